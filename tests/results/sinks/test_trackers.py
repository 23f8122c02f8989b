"""Trackers hold what the event log holds, each number at its merge; each is tried with its own package."""

import json
import math
from collections import defaultdict

import pytest
from recorded_logs import START, STOP, merge, status

from eafl_flower.results.sinks.about import About
from eafl_flower.results.sinks.points import MOST_NAMES, Points

EVENTS = [
    START,
    *(merge(n, client=n % 3, staleness=n // 4, metrics={"loss": 1 / n}) for n in range(1, 11)),
    {"event": "evaluate", "merge": 10, "time_s": 9.0, "metrics": {"accuracy-before": 0.625, "accuracy-after": None}},
    status(10, 9.0, in_flight=0),
    STOP,
]
EXPECTED = {
    "merge/staleness": {n: n // 4 for n in range(1, 11)},
    "merge/energy_j": dict.fromkeys(range(1, 11), 0.5),
    "merge/uplink_bytes": dict.fromkeys(range(1, 11), 10),
    "train/loss": {n: 1 / n for n in range(1, 11)},
    "evaluate/accuracy-before": {10: 0.625},
    "status/in_flight": {10: 0},
}


@pytest.fixture
def about(tmp_path):
    folder = tmp_path / "lab-20260101T000000Z"
    folder.mkdir()
    return About(name=folder.name, folder=folder, settings={"seed": 7, "codec.name": "int8"})


def tell(sink, events=EVENTS):
    for event in events:
        sink.write(event)
    sink.close()


def holds(found, expected=EXPECTED):
    for name, values in expected.items():
        assert found[name] == pytest.approx(values, rel=1e-6), name  # TensorBoard keeps float32


def test_points_are_the_numbers_of_the_log_at_their_merge():
    points, found = Points(), defaultdict(dict)
    for event in EVENTS:
        for point in points.of(event):
            found[point.name][point.step] = point.value
    holds(found)
    assert "evaluate/accuracy-after" not in found


def test_clients_cannot_make_curves_without_end_nor_write_into_names():
    points = Points()
    names = {f"\x1b[2J/{n}": 1.0 for n in range(10 * MOST_NAMES)} | {"loss": math.inf, "ok": True}
    made = list(points.of(merge(1, metrics=names)))
    assert len(made) == MOST_NAMES
    assert all(point.name.isprintable() and point.name.count("/") == 1 for point in made)


def tensorboard_scalars(folder):
    """Return what TensorBoard would show: of two values at a step those of the newest writer, as its purges say."""
    records = pytest.importorskip("tensorboardX.record_writer", reason="needs tensorboardX")
    event_pb2 = pytest.importorskip("tensorboardX.proto.event_pb2")
    assert records
    found = defaultdict(dict)
    for path in sorted(folder.glob("events.*")):
        data, place = path.read_bytes(), 0
        while place < len(data):
            size = int.from_bytes(data[place : place + 8], "little")
            event = event_pb2.Event.FromString(data[place + 12 : place + 12 + size])
            place += 16 + size
            if event.HasField("session_log") and event.session_log.status == 1:
                for values in found.values():
                    for step in [step for step in values if step >= event.step]:
                        del values[step]
            for value in event.summary.value:
                found[value.tag][event.step] = value.simple_value
    return found


def test_tensorboard(about):
    pytest.importorskip("tensorboardX", reason="needs the extra tensorboard")
    from eafl_flower.results.sinks.tensorboard import TensorBoardSink

    tell(TensorBoardSink(about))
    holds(tensorboard_scalars(about.folder / "tensorboard"))


def test_tensorboard_drops_what_a_run_that_goes_on_has_dropped(about):
    pytest.importorskip("tensorboardX", reason="needs the extra tensorboard")
    from eafl_flower.results.sinks.tensorboard import TensorBoardSink

    tell(TensorBoardSink(about), EVENTS[:9])
    tell(TensorBoardSink(about), [{**START, "event": "resume", "merge": 4, "events": 5, "time_s": 4.0}, merge(5)])
    assert max(tensorboard_scalars(about.folder / "tensorboard")["merge/staleness"]) == 5


@pytest.mark.slow
def test_mlflow(about, tmp_path, monkeypatch):
    mlflow = pytest.importorskip("mlflow", reason="needs the extra mlflow")
    from eafl_flower.results.sinks.mlflow import MLflowSink

    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "fleet")
    mlflow.set_tracking_uri((tmp_path / "store").as_uri())
    tell(MLflowSink(about))
    client = mlflow.MlflowClient()
    (run,) = client.search_runs([client.get_experiment_by_name("fleet").experiment_id])
    assert (run.info.run_name, run.info.status) == (about.name, "FINISHED")
    assert run.data.params == {"seed": "7", "codec.name": "int8"}
    holds({name: {m.step: m.value for m in client.get_metric_history(run.info.run_id, name)} for name in EXPECTED})


@pytest.mark.slow
def test_weights_and_biases(about, monkeypatch):
    wandb = pytest.importorskip("wandb", reason="needs the extra wandb")
    from eafl_flower.results.sinks.wandb import WandbSink

    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    tell(WandbSink(about))
    wandb.teardown()  # as at the end of a process: only then is the file whole
    (log,) = about.folder.glob("wandb/offline-run-*/*.wandb")
    assert about.name in log.name
    holds(wandb_history(log))


def wandb_history(path):
    """Return the history in W&B's file: records in LevelDB's log format behind a header of 7 bytes."""
    from wandb.proto.wandb_internal_pb2 import Record

    data, place, whole, found = path.read_bytes(), 7, b"", defaultdict(dict)
    while place + 7 <= len(data):
        if (left := 32_768 - place % 32_768) < 7:
            place += left
            continue
        size, kind = int.from_bytes(data[place + 4 : place + 6], "little"), data[place + 6]
        whole, place = whole + data[place + 7 : place + 7 + size], place + 7 + size
        if kind in (1, 4):  # a whole record, or the last piece of one
            record, whole = Record.FromString(whole), b""
            for item in record.history.item:
                name = item.key or "/".join(item.nested_key)
                found[name][record.history.step.num] = json.loads(item.value_json)
    return found
