"""A deployment tells at intervals how it stands; every run that had begun tells why it ended."""

import json

import pytest
from threaded_grid import ThreadedGrid
from toy_federation import Recorder, run_toy, toy_app

from eafl_flower.errors import RunFailedError
from eafl_flower.results.event_fields import check_event
from eafl_flower.results.event_log import EventLog, read_events


def always_failing(client, counter, arrays):
    raise ValueError("out of memory")


def test_a_deployment_tells_who_is_there_and_how_many_work():
    grid = ThreadedGrid(toy_app(), 2)
    try:
        _, recorder = run_toy(merges=30, grid=grid, status_every_s=1e-6, backoff_s=0.05)
    finally:
        grid.close()
    told = recorder.of("status")
    assert told
    for event in told:
        check_event(event)
        assert (event["there"], event["away"], event["away_clients"]) == (2, 0, [])
        assert 0 <= event["in_flight"] <= 2
    assert [event["merge"] for event in told] == sorted(event["merge"] for event in told)


def test_a_deployment_tells_which_clients_are_away():
    grid = ThreadedGrid(toy_app(), 3)

    class Director(Recorder):
        def write(self, event):
            super().write(event)
            if event["event"] == "merge" and event["merge"] == 5:
                grid.stop(1)

    try:
        _, recorder = run_toy(
            merges=40, grid=grid, recorder=Director(), status_every_s=1e-6, backoff_s=0.05, evaluate_clients=False
        )
    finally:
        grid.close()
    assert (recorder.of("status")[-1]["away_clients"], recorder.of("status")[-1]["there"]) == ([1], 2)


def test_virtual_time_tells_nothing_that_depends_on_the_wall():
    assert run_toy(3, 12, status_every_s=1e-6)[1].told() == run_toy(3, 12)[1].told()


def test_a_run_that_fails_says_why_as_its_last_event():
    recorder = Recorder()
    with pytest.raises(RunFailedError, match="out of memory"):
        run_toy(3, 12, app=toy_app(train=always_failing), recorder=recorder, error_budget=4)
    last = recorder.events[-1]
    check_event(last)
    assert last["event"] == "failed"
    assert "errors and refusals without a merge" in last["reason"]
    assert len(recorder.of("error")) == 5


def test_a_run_that_fails_before_it_starts_tells_nothing():
    recorder = Recorder()
    with pytest.raises(RunFailedError):
        run_toy(3, 12, app=toy_app(trains=lambda client: False), recorder=recorder)
    assert recorder.events == []


def test_an_observer_that_fails_keeps_its_own_error():
    class Broken(Recorder):
        def write(self, event):
            if event["event"] in ("merge", "failed"):
                raise RunFailedError("disk full")

    with pytest.raises(RunFailedError, match="disk full"):
        run_toy(3, 12, recorder=Broken())


def test_a_run_that_was_interrupted_says_so_and_the_log_of_the_resumed_one_does_not(tmp_path):
    class Interrupting(Recorder):
        def write(self, event):
            log.write(event)
            if event["event"] == "merge" and event["merge"] == 5:
                run["run"].mail.interrupted = True

        def flush(self):
            log.flush()

    import eafl_flower.runs.loop.execute as execute

    run, prepare = {}, execute._prepare

    def note(given, clock, roster):
        run["run"] = given
        prepare(given, clock, roster)

    options = {"checkpoint": tmp_path / "server.safetensors", "run_name": "toy"}
    app = toy_app(state_dir=tmp_path / "state")
    log = EventLog(tmp_path / "events.jsonl")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(execute, "_prepare", note)
        with pytest.raises(KeyboardInterrupt):
            run_toy(3, 12, app=app, recorder=Interrupting(), **options)
    log.close()
    last = list(read_events(log.path))[-1]
    assert (last["event"], last["merge"], last["reason"]) == ("interrupted", 5, "interrupted")

    log = EventLog(tmp_path / "events.jsonl")
    run_toy(3, 12, app=app, recorder=log, resume=True, **options)
    log.close()
    undisturbed = EventLog(tmp_path / "undisturbed.jsonl")
    run_toy(3, 12, recorder=undisturbed)
    undisturbed.close()

    def told(path):
        events = [{k: v for k, v in event.items() if k != "wall_s"} for event in read_events(path)]
        return json.dumps(events, sort_keys=True)

    assert told(log.path) == told(undisturbed.path)


def test_nothing_is_written_behind_an_event_that_was_cut(tmp_path, monkeypatch):
    log = EventLog(tmp_path / "events.jsonl")
    log.write({"event": "start"})

    class Full:
        def write(self, line):
            with log.path.open("ab") as file:
                file.write(line[:5])
            raise OSError(28, "No space left on device")

    file, log._file = log._file, Full()
    with pytest.raises(RunFailedError, match="cannot be written"):
        log.write({"event": "merge"})
    log._file = file  # there is room again
    with pytest.raises(RunFailedError, match="ends within an event: resume the run"):
        log.write({"event": "failed"})
    log.close()
    assert [event["event"] for event in read_events(log.path)] == ["start"]
