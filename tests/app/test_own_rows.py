"""A server without rows: two nodes and more, each with a file of its own."""

import json
import threading

import numpy as np
import pytest
from threaded_grid import ThreadedGrid

from eafl_flower.app.client import client_app
from eafl_flower.app.experiment import conduct
from eafl_flower.app.own_rows import shaped
from eafl_flower.app.prediction import predictor_of
from eafl_flower.app.resolving import resolve
from eafl_flower.config import RunConfig
from eafl_flower.core.events import Fanout
from eafl_flower.core.rng import generator
from eafl_flower.data.row_summary import RowSummary
from eafl_flower.data.scaling import Scaler
from eafl_flower.data.sets.input_rows import read_input_rows
from eafl_flower.data.sets.own_rows import OwnRows
from eafl_flower.errors import CheckpointError, ConfigError, DataError
from eafl_flower.results.run_directory import RunDirectory
from eafl_flower.runs.loop import wall_time

SETTINGS = {
    **{"name": "own", "data.name": "own-rows", "data.own-rows.label-column": "kind", "data.unseen": 0},
    **{"task.tabular.hidden": "8", "strategy.merges": 12, "evaluate.every": 6, "results.baselines": "cheap"},
}


@pytest.fixture(autouse=True)
def fast(monkeypatch):
    monkeypatch.setattr(wall_time, "NODE_POLL_S", 0.02)
    monkeypatch.setattr(wall_time, "REPLY_POLL_S", 0.02)


def write(path, client, *, rows=40, header="kind,speed,gap", kinds=("brake", "keep"), unit=""):
    rng = generator(client, "file")
    kind = rng.integers(0, len(kinds), rows)
    speed, gap = rng.normal(10 + 3 * kind, 2.0), rng.normal(30 - 9 * kind + client, 3.0)
    lines = [f"{kinds[k]},{s:.3f}{unit},{g:.3f}" for k, s, g in zip(kind, speed, gap, strict=True)]
    path.write_text("\n".join([header, *lines]) + "\n")
    return path


class Nodes:
    """A deployment whose nodes read files of their own."""

    def __init__(self, folder, files, *, config=None, nodes=None):
        self.folder, self.files = folder, files
        self.config = RunConfig().replace({**SETTINGS, "data.clients": 0, **(config or {})})
        self.experiment = resolve(self.config)

        def told(partition):
            return {"rows-file": str(files[partition]), "state-dir": str(folder / f"node-{partition}")}

        online = range(len(files)) if nodes is None else nodes
        self.grid = ThreadedGrid(client_app(self.experiment), len(files), online=online, config=told)

    def run(self, name="run", **options):
        run_dir = RunDirectory.create_at(self.folder / name)
        run_dir.write_config(self.config.to_toml())
        try:
            experiment = shaped(self.experiment, self.grid, run_dir.path, resume=False)
            observer = Fanout([run_dir.log])
            summary = conduct(experiment, self.grid, run_dir=run_dir, observer=observer, engine="flower", **options)
            observer.close()
        finally:
            self.grid.close()
        return summary, RunDirectory(run_dir.path)


def table_of(path):
    return OwnRows(label_column="kind").read(path, client=0, trains=True, seed=1)


def test_nodes_with_files_of_their_own_train_and_the_server_sees_no_row(tmp_path):
    files = [write(tmp_path / f"{client}.csv", client) for client in range(3)]
    learnt = {"strategy.merges": 90, "task.tabular.head": "federated", "task.learning-rate": 0.3}
    summary, run = Nodes(tmp_path, files, config=learnt).run()
    assert summary["merges"] == 90
    assert summary["data"] == {"clients": 3, "clients that train": 3, "features": 2, "classes": 2}
    assert summary["accuracy"]["before"] > 0.8  # means lie two deviations apart
    assert set(summary["baselines"].values()) == {None}
    description = run.description()
    assert (description.feature_names, description.class_names) == (("speed", "gap"), ("brake", "keep"))
    training = [
        OwnRows(label_column="kind").read(path, client=k, trains=True, seed=1).part.x_train
        for k, path in enumerate(files)
    ]
    np.testing.assert_array_equal(description.scaler.mean, Scaler.fit(np.concatenate(training)).mean)


def test_the_model_is_used_on_the_node_with_what_the_node_holds(tmp_path):
    files = [write(tmp_path / f"{client}.csv", client) for client in range(2)]
    _, run = Nodes(tmp_path, files).run()
    predictor = predictor_of(run, 1, state_dir=tmp_path / "node-1")
    read = read_input_rows(
        files[1],
        data=predictor.description.data,
        feature_names=predictor.description.feature_names,
        class_names=predictor.description.class_names,
        columns=predictor.description.columns,
        label="kind",
    )
    assert predictor.probabilities(read).shape == (40, 2)
    with pytest.raises(CheckpointError, match="no head of client 1"):
        predictor_of(run, 1, state_dir=tmp_path / "node-0")


def test_features_are_put_in_bins_by_what_the_nodes_tell_of_them(tmp_path):
    files = [write(tmp_path / f"{client}.csv", client) for client in range(2)]
    _, run = Nodes(tmp_path, files, config={"task.tabular.numeric-bins": 4}).run()
    description = run.description()
    part = OwnRows(label_column="kind")
    tables = [part.read(path, client=k, trains=True, seed=1) for k, path in enumerate(files)]
    pooled = np.concatenate([table.part.x_train for table in tables])
    expected = description.scaler.apply(RowSummary.of(pooled).quantiles())
    np.testing.assert_array_equal(description.quantiles, expected)
    predictor = predictor_of(run, 1, state_dir=tmp_path / "node-1")
    assert [array.shape for array in predictor.model] == [(8, 2 * 5), (8,), (2, 8), (2,)]


def test_classes_are_the_union_of_what_nodes_have(tmp_path):
    kinds = [("brake",), ("keep",), ("Brake", "turn")]
    files = [write(tmp_path / f"{client}.csv", client, kinds=kinds[client]) for client in range(3)]
    _, run = Nodes(tmp_path, files).run()
    assert run.description().class_names == ("Brake", "keep", "turn")


@pytest.mark.parametrize(
    ("odd", "words"),
    [
        ({"header": "kind,speed,distance"}, r"node \d+, partition 2, gets no jobs: .*2.csv has columns .*distance"),
        ({"kinds": ("0", "1")}, "has labels that are numbers, expected texts as in the run"),
        ({"header": "sort,speed,gap"}, "has no column kind: found sort, speed, gap"),
        ({"unit": " km/h"}, "column speed has numbers in km/h; other nodes may write others"),
        ({"rows": 3}, "3 rows, expected at least 8 with different features"),
    ],
)
def test_a_node_that_does_not_fit_is_refused_by_one_line_that_names_both(tmp_path, odd, words, flower_log):
    files = [write(tmp_path / f"{client}.csv", client) for client in range(2)]
    files.append(write(tmp_path / "2.csv", 2, **odd))
    summary, run = Nodes(tmp_path, files).run()
    assert summary["merges"] == 12
    assert 2 not in {e["client"] for e in run.each_event() if e["event"] == "merge"}
    lines = [r.getMessage() for r in flower_log.records if r.levelname == "WARNING"]
    assert any(__import__("re").search(words, line) for line in lines), lines


def test_a_node_without_a_file_says_how_to_give_it_one(tmp_path, flower_log):
    files = [write(tmp_path / "0.csv", 0), write(tmp_path / "1.csv", 1), tmp_path / "nothing.csv"]
    summary, _ = Nodes(tmp_path, files).run()
    assert summary["merges"] == 12
    assert "nothing.csv: no such file; the node's configuration says where its rows are" in flower_log.text


def test_when_no_node_can_take_part_the_server_says_why(tmp_path, monkeypatch):
    monkeypatch.setattr("eafl_flower.app.own_rows.LONGEST_WAIT_S", 0.5)
    nodes = Nodes(tmp_path, [tmp_path / "nothing.csv"] * 2)
    from eafl_flower.errors import RunFailedError

    with pytest.raises((DataError, RunFailedError), match=r"nothing\.csv"):
        nodes.run()


def test_a_late_vehicle_is_scaled_by_the_same_numbers_and_its_unknown_classes_are_left_out(tmp_path, flower_log):
    files = [write(tmp_path / f"{client}.csv", client) for client in range(2)]
    files.append(write(tmp_path / "2.csv", 2, kinds=("brake", "keep", "fly")))
    nodes = Nodes(tmp_path, files, config={"strategy.merges": 60, "data.clients": 0}, nodes=[0, 1])
    for partition in range(2):
        nodes.grid.stop(partition)
        nodes.grid.start(partition, num_partitions=2)
    late = threading.Timer(0.5, lambda: nodes.grid.start(2, num_partitions=3))
    late.start()
    _, run = nodes.run()
    late.join()
    merged = {e["client"] for e in run.each_event() if e["event"] == "merge"}
    shape = json.loads((run.path / "shape.json").read_text())
    held = [*(tmp_path / "node-2").glob("shape-2-*.json")]
    assert 2 in merged
    assert json.loads(held[0].read_text()) == shape
    assert shape["clients"] == 2
    table = table_of(files[2])
    from eafl_flower.data.shape import Shape

    rows, left_out = table.rows(Shape.from_json(json.dumps(shape)))
    flying = sum("fly" in str(y) for part in (table.part.y_train, table.part.y_test) for y in part)
    assert left_out == flying > 0
    assert f"partition 2: {left_out} rows of classes that the run does not know are left out" in flower_log.text
    assert len(rows.y_train) + len(rows.y_test) + left_out == 40


def test_a_simulation_with_own_rows_is_refused_with_what_to_do():
    config = RunConfig().replace(SETTINGS)
    with pytest.raises(ConfigError, match=r"rows lie on the nodes.*use data.name = .csv."):
        _ = resolve(config).source


def test_a_run_that_goes_on_takes_the_shape_it_began_with(tmp_path):
    files = [write(tmp_path / f"{client}.csv", client) for client in range(2)]
    nodes = Nodes(tmp_path, files)
    _, run = nodes.run()
    before = (run.path / "shape.json").read_text()
    assert shaped(nodes.experiment, nodes.grid, run.path, resume=True).source.shape.to_json() == before
    (run.path / "shape.json").unlink()
    with pytest.raises(CheckpointError, match="without the shape of its data the run cannot go on"):
        shaped(nodes.experiment, nodes.grid, run.path, resume=True)
