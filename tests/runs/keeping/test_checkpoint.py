import os
from dataclasses import dataclass

import numpy as np
import pytest
import safetensors.numpy

from eafl_flower.errors import CheckpointError
from eafl_flower.runs.keeping import checkpoint
from eafl_flower.runs.keeping.checkpoint import open_checkpoint, read_checkpoint, write_checkpoint
from eafl_flower.runs.snapshot import Snapshot
from eafl_flower.wire.records import JobTerms


@dataclass(frozen=True)
class State:
    arrays: tuple
    by_version: dict
    name: str
    time_s: float


def state(value=1.0):
    arrays = (np.full((2, 3), value, np.float32), np.array(7, np.int64), np.zeros((0, 4)), np.array([True, False]))
    return State(arrays, {3: (np.arange(4, dtype=np.uint8),), 12: ()}, "emam", float("inf"))


def assert_equal(a, b):
    assert (a.name, a.time_s, a.by_version.keys()) == (b.name, b.time_s, b.by_version.keys())
    for x, y in zip(a.arrays, b.arrays, strict=True):
        assert x.dtype == y.dtype
        assert x.shape == y.shape
        np.testing.assert_array_equal(x, y)


def test_what_is_read_is_what_was_written(tmp_path):
    path = tmp_path / "deep" / "server.safetensors"
    write_checkpoint(path, state())
    assert_equal(read_checkpoint(path, state(0.0)), state())
    assert [p.name for p in path.parent.iterdir()] == ["server.safetensors"]


def test_arrays_in_any_memory_order_are_stored_as_they_read(tmp_path):
    path = tmp_path / "c"
    matrix = np.arange(6.0).reshape(2, 3)
    write_checkpoint(path, State((matrix.T, matrix[:, ::2]), {}, "x", 0.0))
    transposed, sliced = read_checkpoint(path, state()).arrays
    np.testing.assert_array_equal(transposed, matrix.T)
    np.testing.assert_array_equal(sliced, matrix[:, ::2])


def test_the_same_values_are_stored_once_and_come_back_apart(tmp_path):
    """Whether they are one array or equal ones, of whatever shape and type."""
    path, ones = tmp_path / "c", np.ones(1000, np.float32)
    arrays = (ones, ones, ones.copy(), ones.reshape(10, 100), ones.view(np.int32), np.zeros((0, 4)), ones[:0])
    write_checkpoint(path, State(arrays, {}, "x", 0.0))
    assert ones.nbytes < path.stat().st_size < 2 * ones.nbytes
    again = read_checkpoint(path, state()).arrays
    assert_equal(State(again, {}, "x", 0.0), State(arrays, {}, "x", 0.0))
    again[0][0] = 7.0
    assert all(array.reshape(-1)[0] != 7.0 for array in again[1:5])


def test_a_process_that_dies_while_writing_leaves_the_old_checkpoint(tmp_path, monkeypatch):
    path = tmp_path / "c"
    write_checkpoint(path, state(1.0))

    def dies(fd):
        raise KeyboardInterrupt

    monkeypatch.setattr("os.fsync", dies)
    with pytest.raises(KeyboardInterrupt):
        write_checkpoint(path, state(2.0))
    assert_equal(read_checkpoint(path, state()), state(1.0))


def test_the_names_of_a_checkpoint_and_of_its_new_folders_are_on_the_disk(tmp_path, monkeypatch):
    synced, folder = [], tmp_path / "deep" / "deeper"
    monkeypatch.setattr("os.fsync", lambda handle: synced.append(os.fstat(handle).st_ino))
    write_checkpoint(folder / "c", state())
    paths = [tmp_path, tmp_path / "deep", folder / "c", folder]
    assert synced == [path.stat().st_ino for path in paths]


def test_only_its_owner_can_read_a_checkpoint(tmp_path):
    """Whatever the umask says, and whatever a process that was killed has left."""
    path, before = tmp_path / "c.safetensors", os.umask(0)
    try:
        path.with_suffix(".tmp").touch(0o666)
        write_checkpoint(path, state())
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == 0o600


def test_terms_and_snapshots_do_not_show_their_secrets():
    terms = JobTerms(run="r", seed=0, client=0, counter=1, load=0, acknowledged=0, durable=0, key=b"hush")
    snapshot = Snapshot(**dict.fromkeys(Snapshot.__dataclass_fields__, "x") | {"secret": "hush"})
    assert "counter=1" in repr(terms)
    assert "origin='x'" in repr(snapshot)
    assert "hush" not in repr(terms) + repr(snapshot)


def test_a_missing_checkpoint_says_why_there_may_be_none(tmp_path):
    with pytest.raises(CheckpointError, match="started without checkpoints, or ended before its first one"):
        read_checkpoint(tmp_path / "none", state())


def test_every_truncation_is_a_checkpoint_error(tmp_path):
    path = tmp_path / "c"
    write_checkpoint(path, state())
    whole = path.read_bytes()
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        with pytest.raises(CheckpointError, match=str(path)):
            read_checkpoint(path, state())


def test_every_changed_byte_is_a_checkpoint_error_or_changes_nothing(tmp_path):
    path = tmp_path / "c"
    write_checkpoint(path, state())
    whole = path.read_bytes()
    unnoticed = 0
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        try:
            found = read_checkpoint(path, state())
        except CheckpointError:
            continue
        unnoticed += 1
        assert_equal(found, state())  # a space of JSON that became another character without a meaning
    assert unnoticed < 10


def test_a_file_of_another_kind_is_told(tmp_path):
    path = tmp_path / "model.safetensors"
    safetensors.numpy.save_file({"w": np.ones(3)}, path)
    with pytest.raises(CheckpointError, match="is not a checkpoint of this version"):
        read_checkpoint(path, state())


def test_a_checkpoint_of_an_earlier_version_says_which_it_is(tmp_path, monkeypatch):
    with monkeypatch.context() as earlier:
        earlier.setattr(checkpoint, "FORMAT", "eafl-flower checkpoint 4")
        write_checkpoint(tmp_path / "c", state())
    with pytest.raises(CheckpointError, match=r"checkpoint 8', found 'eafl-flower checkpoint 4'\): .* start the run"):
        read_checkpoint(tmp_path / "c", state())


def test_one_field_is_read_without_knowing_the_classes_of_the_others(tmp_path):
    write_checkpoint(tmp_path / "c", state())
    stored = open_checkpoint(tmp_path / "c")
    assert stored.restore_field("name", "") == "emam"
    with pytest.raises(CheckpointError, match="it has no origin"):
        stored.restore_field("origin", "")


def test_a_state_of_other_fields_is_told(tmp_path):
    @dataclass(frozen=True)
    class Other:
        arrays: tuple

    write_checkpoint(tmp_path / "c", Other(()))
    with pytest.raises(CheckpointError, match="fields"):
        read_checkpoint(tmp_path / "c", state())
