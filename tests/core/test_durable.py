import os
import stat

import pytest

from eafl_flower.core.durable import make_folder, open_unlinked, write_private
from eafl_flower.errors import CheckpointError
from eafl_flower.results.event_log import EventLog
from eafl_flower.results.ownership import owned


@pytest.fixture
def victim(tmp_path):
    path = tmp_path / "victim"
    path.write_text("precious")
    return path


def rights(path):
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture(autouse=True)
def generous_mask():
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.mark.parametrize("durable", [True, False])
def test_a_private_file_is_its_owners_alone_and_replaces_a_link(tmp_path, victim, durable):
    (tmp_path / "state.bin").symlink_to(victim)
    (tmp_path / "state.tmp").symlink_to(victim)
    write_private(tmp_path / "state.bin", b"mine", durable=durable)
    assert (tmp_path / "state.bin").read_bytes() == b"mine"
    assert rights(tmp_path / "state.bin") == 0o600
    assert victim.read_text() == "precious"


def test_private_folders_are_their_owners_alone(tmp_path):
    make_folder(tmp_path / "a" / "b", rights=0o700)
    assert {rights(tmp_path / "a"), rights(tmp_path / "a" / "b")} == {0o700}


@pytest.mark.parametrize("mode", ["w", "ab", "rb+"])
def test_nothing_is_opened_through_a_link(tmp_path, victim, mode):
    (tmp_path / "link").symlink_to(victim)
    with pytest.raises(OSError, match="is a symbolic link, and nothing is written through one"):
        open_unlinked(tmp_path / "link", mode)
    assert victim.read_text() == "precious"


def test_what_the_caller_has_open_is_no_link(tmp_path):
    with (tmp_path / "out").open("w") as file, open_unlinked(f"/dev/fd/{file.fileno()}", "w") as again:
        again.write("x")
    assert (tmp_path / "out").read_text() == "x"


def test_the_log_and_the_lock_of_a_run_are_not_written_through_links(tmp_path, victim):
    (tmp_path / "owner").symlink_to(victim)
    (tmp_path / "events.jsonl").symlink_to(victim)
    with pytest.raises((OSError, CheckpointError), match="symbolic link"), owned(tmp_path, wait_s=0):
        pass
    with pytest.raises((OSError, CheckpointError), match="symbolic link"):
        EventLog(tmp_path / "events.jsonl")
    assert victim.read_text() == "precious"
