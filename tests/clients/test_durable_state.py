import os
import stat

import numpy as np
import pytest
from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict

from eafl_flower.clients import durable_state_mod
from eafl_flower.errors import ClientFailedError, ProtocolError
from eafl_flower.wire.arrays import array_record, arrays_of

TERMS = {"run": "run-1", "seed": 3, "client": 4, "counter": 1, "load": 0, "acknowledged": 0, "durable": 0}


def counting(message, context):
    """Keeps one of each kind of record, and tells how often it has trained from this state."""
    count = int(context.state["n"]["n"]) + 1 if "n" in context.state else 1
    context.state["n"] = MetricRecord({"n": count, "half": count / 2, "list": [1, 2]})
    context.state["head"] = array_record(["w", "s"], [np.full((2, 3), count, np.float32), np.array(count, np.int64)])
    context.state["codec"] = ConfigRecord(
        {"tree": "{}", "data": [b"\x00\xff", bytes([count])], "on": True, "raw": b"x"}
    )
    return Message(RecordDict({"metrics": MetricRecord({"num-examples": 1, "count": count})}), reply_to=message)


def failing(message, context):
    counting(message, context)
    raise ValueError("in the middle")


@pytest.fixture
def job(make_message):
    """Do one job; return how many jobs the client counts, and whether its state was lost."""

    def do(context, counter, load, *, mod=None, app=counting, kind="train", **terms):
        message = make_message(kind, terms={**TERMS, "counter": counter, "load": load, **terms})
        reply = (mod or durable_state_mod())(message, context, app)
        return reply.content["metrics"]["count"], "eafl" in reply.content

    return do


def files(folder):
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


def test_each_job_starts_from_the_state_it_names(job, make_context):
    context = make_context()
    assert job(context, 1, 0) == (1, False)
    assert job(context, 2, 1) == (2, False)
    assert job(context, 3, 2) == (3, False)


def test_a_job_that_is_done_again_starts_from_the_same_state(job, make_context):
    context = make_context()
    job(context, 1, 0)
    assert job(context, 2, 1) == (2, False)
    assert job(context, 2, 1) == (2, False)  # its reply was lost on the way
    assert job(context, 3, 1) == (2, False)  # or the server gave it up


def test_load_zero_is_a_fresh_state(job, make_context):
    context = make_context()
    job(context, 1, 0)
    assert job(context, 2, 0) == (1, False)


def test_without_files_a_state_older_than_two_jobs_is_lost_and_the_reply_says_so(job, make_context):
    context = make_context()
    for counter in (1, 2, 3):
        job(context, counter, counter - 1)
    assert job(context, 4, 1) == (1, True)


def test_with_files_any_state_that_may_be_needed_is_found(job, make_context, tmp_path):
    context, mod = make_context(), durable_state_mod(tmp_path)
    for counter in (1, 2, 3):
        job(context, counter, counter - 1, mod=mod, durable=min(counter - 1, 1))
    assert job(context, 4, 1, mod=mod, durable=1) == (2, False)
    assert files(tmp_path) == [f"run-1/client-4/state-{n}.safetensors" for n in (1, 2, 3, 4)]


def test_a_restarted_node_goes_on_from_its_files(job, make_context, tmp_path):
    for counter in (1, 2, 3):
        assert job(make_context(), counter, counter - 1, mod=durable_state_mod(tmp_path)) == (counter, False)


def test_a_file_gives_back_every_record_as_it_was(job, make_context, make_message, tmp_path):
    mod = durable_state_mod(tmp_path)
    job(make_context(), 1, 0, mod=mod)
    seen = {}

    def look(message, context):
        seen.update(context.state.items())
        return counting(message, context)

    job(make_context(), 2, 1, mod=mod, app=look)
    w, s = arrays_of(seen["head"])
    assert isinstance(seen["head"], ArrayRecord)
    assert list(seen["head"]) == ["w", "s"]
    assert (w.shape, w.dtype, s.shape, s.dtype, int(s)) == ((2, 3), np.float32, (), np.int64, 1)
    assert dict(seen["n"]) == {"n": 1, "half": 0.5, "list": [1, 2]}
    assert dict(seen["codec"]) == {"tree": "{}", "data": [b"\x00\xff", b"\x01"], "on": True, "raw": b"x"}


def test_the_folder_comes_from_the_node_or_from_the_run(job, make_context, tmp_path):
    job(make_context(**{"state-dir": str(tmp_path / "node")}), 1, 0)
    context = make_context()
    context.run_config["checkpoint.state-dir"] = str(tmp_path / "run")
    job(context, 1, 0)
    assert files(tmp_path) == [f"{who}/run-1/client-4/state-1.safetensors" for who in ("node", "run")]


def left(*numbers):
    return [f"run-1/client-4/state-{n}.safetensors" for n in numbers]


@pytest.mark.parametrize(("durable", "kept"), [(0, (5, 6)), (2, (2, 5, 6)), (4, (4, 5, 6)), (5, (5, 6))])
@pytest.mark.parametrize("restarts", [False, True])
def test_left_are_the_state_of_the_checkpoint_that_of_the_start_and_the_one_just_made(
    job, make_context, tmp_path, durable, kept, restarts
):
    context, mod = make_context(), durable_state_mod(tmp_path)
    for counter in range(1, 6):
        job(context, counter, counter - 1, mod=mod, durable=min(durable, counter - 1))
    notes = tmp_path / "run-1" / "client-4" / "state-notes.safetensors"
    notes.write_text("not ours")
    job(make_context() if restarts else context, 6, 5, mod=mod, durable=durable)
    notes.unlink()
    assert files(tmp_path) == left(*kept)


def test_a_job_of_a_killed_server_deletes_nothing_that_the_resumed_one_had_made_meanwhile(job, make_context, tmp_path):
    """Job 5 of the old server ends after job 3 of the one that goes on from the checkpoint with state 2."""
    old, mod = make_context(), durable_state_mod(tmp_path)
    for counter in (1, 2, 3, 4):
        job(old, counter, counter - 1, mod=mod, durable=min(2, counter - 1))
    job(make_context(), 3, 2, mod=mod, durable=2)
    made = tmp_path / left(3)[0]
    os.utime(made, ns=(made.stat().st_atime_ns, made.stat().st_mtime_ns + 10**9))
    job(old, 5, 4, mod=mod, durable=2)
    assert files(tmp_path) == left(2, 3, 4, 5)


def inodes(*paths):
    return [path.stat().st_ino for path in paths]


def test_a_state_and_the_names_of_its_folders_are_on_the_disk_before_the_reply(
    job, make_context, tmp_path, monkeypatch
):
    """Each folder after what is in it got its name; what the new state stands in for goes only then."""
    synced, there, context, mod = [], [], make_context(), durable_state_mod(tmp_path / "new")

    def fsync(handle):
        synced.append(os.fstat(handle).st_ino)
        there.append(files(tmp_path / "new"))

    monkeypatch.setattr("os.fsync", fsync)
    folders = [tmp_path, tmp_path / "new", tmp_path / "new" / "run-1", tmp_path / "new" / "run-1" / "client-4"]
    for counter in (1, 2, 3):
        synced.clear()
        there.clear()
        job(context, counter, counter - 1, mod=mod)
        expected = inodes(folders[-1] / f"state-{counter}.safetensors", folders[-1])
        assert synced == (inodes(*folders[:-1]) if counter == 1 else []) + expected
        assert there[-1] == left(*range(max(1, counter - 2), counter + 1))
    assert files(tmp_path / "new") == left(2, 3)


def test_where_power_is_safe_nothing_waits_for_the_disk(job, make_context, tmp_path, monkeypatch):
    monkeypatch.setattr("os.fsync", lambda handle: pytest.fail("waits"))
    assert job(make_context(), 1, 0, mod=durable_state_mod(tmp_path / "new", power_safe=False)) == (1, False)


def test_a_client_that_starts_afresh_deletes_nothing(job, make_context, tmp_path):
    context, mod = make_context(), durable_state_mod(tmp_path)
    job(context, 1, 0, mod=mod)
    job(context, 2, 0, mod=mod)
    assert files(tmp_path) == left(1, 2)


def test_other_runs_and_clients_are_left_alone(job, make_context, tmp_path):
    mod = durable_state_mod(tmp_path)
    job(make_context(), 1, 0, mod=mod, run="other")
    job(make_context(), 1, 0, mod=mod, client=5)
    context = make_context()
    for counter in (1, 2, 3):
        job(context, counter, counter - 1, mod=mod, durable=counter - 1)
    assert {"other/client-4/state-1.safetensors", "run-1/client-5/state-1.safetensors"} < set(files(tmp_path))
    # the state of another run with the same counter is not this run's
    assert job(context, 2, 1, run="third") == (1, True)


@pytest.mark.parametrize("run", ["../up", "/etc", "a/b", "a\\b", "..", ".hidden", "", "a\0b", "x" * 200, "-rf"])
def test_a_run_name_that_could_leave_the_folder_is_refused(job, make_context, tmp_path, run):
    with pytest.raises(ProtocolError, match="names its run"):
        job(make_context(), 1, 0, mod=durable_state_mod(tmp_path), run=run)
    assert files(tmp_path) == []


@pytest.mark.parametrize(
    ("field", "value"),
    [("client", -1), ("client", "../4"), ("counter", 1.5), ("load", -3), ("durable", True), ("run", 5)],
)
def test_terms_of_wrong_types_are_refused(job, make_context, tmp_path, field, value):
    with pytest.raises(ProtocolError, match=f'record "eafl" of a message has {field} = '):
        job(make_context(), **{"counter": 1, "load": 0, "mod": durable_state_mod(tmp_path), field: value})


def test_a_checkpoint_ahead_of_its_run_is_refused(job, make_context, tmp_path):
    with pytest.raises(ProtocolError, match=r"durable = 3, load = 2: expected durable to be at most load"):
        job(make_context(), 4, 2, mod=durable_state_mod(tmp_path), durable=3)
    assert files(tmp_path) == []


def test_numbers_without_files_cost_nothing(job, make_context, tmp_path):
    """A server that names the state of a checkpoint very far ahead makes no client look for all before it."""
    context, mod, far = make_context(), durable_state_mod(tmp_path), 2**62
    job(context, 1, 0, mod=mod)
    assert job(context, far + 1, far, mod=mod, durable=far) == (1, True)
    assert files(tmp_path) == left(far + 1)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda path: path.unlink(),
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(path.read_bytes()[:-1]),
        lambda path: path.write_bytes(path.read_bytes()[:40]),
        lambda path: path.write_bytes(b"\xff" * 100),
        lambda path: path.write_bytes(path.read_bytes().replace(b"head", b"haed")),
    ],
    ids=["missing", "empty", "truncated", "header only", "junk", "other names"],
)
def test_a_missing_or_damaged_file_is_a_lost_state_that_is_told(job, make_context, tmp_path, spoil):
    mod = durable_state_mod(tmp_path)
    job(make_context(), 1, 0, mod=mod)
    spoil(tmp_path / "run-1" / "client-4" / "state-1.safetensors")
    count, lost = job(make_context(), 2, 1, mod=mod)
    assert (count, lost) == (1, True)
    assert job(make_context(), 3, 2, mod=mod) == (2, False)


def test_an_evaluation_sees_the_state_it_names_and_changes_nothing(job, make_context, tmp_path):
    context, mod = make_context(), durable_state_mod(tmp_path)

    def vandal(message, context):
        reply = counting(message, context)
        context.state["codec"]["data"][0] = b"changed"
        return reply

    for counter in (1, 2):
        job(context, counter, counter - 1, mod=mod)
    before, on_disk = context.state.copy(), files(tmp_path)
    data = list(context.state["codec"]["data"])
    assert job(context, 0, 2, mod=mod, app=vandal, kind="evaluate") == (3, False)
    assert job(context, 0, 1, mod=mod, app=vandal, kind="evaluate") == (2, False)
    assert dict(context.state.items()) == dict(before.items())
    assert context.state["codec"]["data"] == data
    assert files(tmp_path) == on_disk
    assert job(context, 3, 2, mod=mod) == (3, False)


def test_a_job_that_raises_leaves_the_state_as_it_was(job, make_context, tmp_path):
    context, mod = make_context(), durable_state_mod(tmp_path)
    job(context, 1, 0, mod=mod)
    with pytest.raises(ValueError, match="in the middle"):
        job(context, 2, 1, mod=mod, app=failing)
    assert files(tmp_path) == ["run-1/client-4/state-1.safetensors"]
    assert job(context, 2, 1, mod=mod) == (2, False)


def test_messages_without_terms_pass(make_context, make_message, tmp_path):
    mod, context = durable_state_mod(tmp_path), make_context()
    for count in (1, 2):
        reply = mod(make_message("train"), context, counting)
        assert reply.content["metrics"]["count"] == count
    assert files(tmp_path) == []


def test_states_are_their_owners_alone(job, make_context, tmp_path):
    before = os.umask(0)
    try:
        job(make_context(), 1, 0, mod=durable_state_mod(tmp_path / "new"))
    finally:
        os.umask(before)
    made = [tmp_path / "new", *(tmp_path / "new").rglob("*")]
    assert {stat.S_IMODE(path.stat().st_mode) for path in made if path.is_dir()} == {0o700}
    assert {stat.S_IMODE(path.stat().st_mode) for path in made if path.is_file()} == {0o600}


@pytest.mark.parametrize("place", ["run", "client", "file"])
def test_no_state_is_written_through_a_link(job, make_context, tmp_path, place):
    job(make_context(), 1, 0, mod=durable_state_mod(tmp_path / "probe"))
    folder = next((tmp_path / "probe").rglob("client-*")).relative_to(tmp_path / "probe")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "victim").write_text("precious")
    target = tmp_path / "new" / {"run": folder.parent, "client": folder, "file": folder / "state-1.tmp"}[place]
    target.parent.mkdir(parents=True)
    target.symlink_to(elsewhere / "victim" if place == "file" else elsewhere)
    if place == "file":
        job(make_context(), 1, 0, mod=durable_state_mod(tmp_path / "new"))
    else:
        with pytest.raises(ClientFailedError, match="symbolic link"):
            job(make_context(), 1, 0, mod=durable_state_mod(tmp_path / "new"))
    assert [path.name for path in elsewhere.iterdir()] == ["victim"]
    assert (elsewhere / "victim").read_text() == "precious"
