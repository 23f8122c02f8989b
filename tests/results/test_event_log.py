import json
from pathlib import Path

import numpy as np
import pytest

from eafl_flower.errors import CheckpointError, RunFailedError
from eafl_flower.results.event_log import EventLog, read_events


def write(path, count):
    log = EventLog(path)
    for number in range(count):
        log.write({"event": "merge", "merge": number})
    return log


def test_events_come_back_as_they_were_written(tmp_path):
    events = [{"event": "start", "clients": 3}, {"event": "evaluate", "metrics": {"accuracy-before": 0.1 + 0.2}}]
    log = EventLog(tmp_path / "events.jsonl")
    for event in events:
        log.write(event)
    log.close()
    assert list(read_events(log.path)) == events


def test_every_event_can_be_read_while_the_log_is_open(tmp_path):
    log = write(tmp_path / "events.jsonl", 2)
    assert len(list(read_events(log.path))) == 2
    log.close()


def test_numpy_scalars_become_numbers_and_nan_becomes_null(tmp_path):
    log = EventLog(tmp_path / "events.jsonl")
    log.write({"event": "merge", "staleness": np.int64(3), "weight": np.float32(0.5), "metrics": {"loss": np.nan}})
    log.close()
    assert json.loads(log.path.read_text()) == {
        "event": "merge", "staleness": 3, "weight": 0.5, "metrics": {"loss": None}
    }  # fmt: skip


def test_a_log_is_cut_back_and_goes_on_from_there(tmp_path):
    log = write(tmp_path / "events.jsonl", 5)
    log.truncate(2)
    log.write({"event": "stop"})
    assert log.position() == 3
    log.close()
    assert [event.get("merge", "stop") for event in read_events(log.path)] == [0, 1, "stop"]


def test_a_resume_event_cuts_back_to_its_checkpoint_and_is_not_kept(tmp_path):
    log = write(tmp_path / "events.jsonl", 5)
    log.write({"event": "resume", "events": 3})
    log.close()
    assert [event["merge"] for event in read_events(log.path)] == [0, 1, 2]


def test_a_line_that_was_cut_off_by_a_kill_is_dropped(tmp_path):
    path = tmp_path / "events.jsonl"
    write(path, 3).close()
    with path.open("ab") as file:
        file.write(b'{"event":"mer')
    assert len(list(read_events(path))) == 3
    log = EventLog(path)
    assert log.position() == 3
    log.write({"event": "stop"})
    log.close()
    assert [event["event"] for event in read_events(path)] == ["merge", "merge", "merge", "stop"]


@pytest.mark.parametrize("cut", [1, 5, 18])
def test_a_log_that_lacks_the_last_line_before_its_checkpoint_says_so_and_goes_on(tmp_path, cut):
    """Or a part of that line, as after a crash of the machine."""
    path = tmp_path / "events.jsonl"
    write(path, 4).close()
    path.write_bytes(path.read_bytes()[:-cut])
    log = EventLog(path)
    log.write({"event": "resume", "events": 4})
    log.write({"event": "stop"})
    assert log.position() == 5
    log.close()
    kinds = [event["event"] for event in read_events(path)]
    assert kinds == ["merge", "merge", "merge", "merge" if cut == 1 else "missing", "stop"]


def test_a_log_that_lacks_more_lines_is_another_runs(tmp_path):
    log = write(tmp_path / "events.jsonl", 2)
    with pytest.raises(
        CheckpointError, match=r"has 2 events, the checkpoint was made after 4: .* start the run afresh"
    ):
        log.truncate(4)
    log.close()
    assert len(list(read_events(log.path))) == 2


def test_a_damaged_log_is_found_before_a_resume_writes_to_it(tmp_path):
    path = tmp_path / "events.jsonl"
    write(path, 4).close()
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + b"\0" * (len(lines[1]) - 1) + b"\n" + lines[2] + lines[3])
    log = EventLog(path)
    with pytest.raises(CheckpointError, match=r"is damaged at line 2: .* start the run afresh"):
        log.truncate(3)
    log.close()
    assert len(path.read_bytes().splitlines()) == 4


def test_a_full_disk_is_one_error_that_names_the_file(tmp_path):
    log = write(tmp_path / "events.jsonl", 2)
    log.close()
    with (
        Path("/dev/full").open("ab", buffering=0) as log._file,
        pytest.raises(RunFailedError, match="No space left on de"),
    ):
        log.write({"event": "stop"})
    log.close()


@pytest.mark.parametrize("line", ["not json", "[1]", '{"merge": 1}'])
def test_a_damaged_line_is_named(tmp_path, line):
    path = tmp_path / "events.jsonl"
    path.write_text(f'{{"event": "start"}}\n{line}\n')
    with pytest.raises(CheckpointError, match=r"events\.jsonl is damaged at line 2"):
        list(read_events(path))


def test_a_missing_log_is_one_error(tmp_path):
    with pytest.raises(CheckpointError, match="cannot be read"):
        list(read_events(tmp_path / "events.jsonl"))
