import subprocess
import sys

import pytest

from eafl_flower.errors import CheckpointError
from eafl_flower.results.ownership import owned

OWNER = """
import sys
from pathlib import Path
from eafl_flower.results.ownership import owned
with owned(Path(sys.argv[1]), wait_s=0):
    print("mine", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def other(tmp_path):
    """Another process that owns the run in ``tmp_path`` until its input ends."""
    command = [sys.executable, "-c", OWNER, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"mine\n"
        yield process
        process.kill()


def test_a_run_has_one_owner_at_a_time(other, tmp_path):
    message = rf"another process \(pid {other.pid}\) is working on this run"
    for _ in range(2):  # asking leaves the number of the owner as it is
        with pytest.raises(CheckpointError, match=message), owned(tmp_path, wait_s=0):
            pass


def test_who_waits_owns_the_run_when_the_other_has_ended(other, tmp_path):
    other.kill()
    with owned(tmp_path, wait_s=20):
        pass


def test_a_run_can_be_owned_again(tmp_path):
    for _ in range(2):
        with owned(tmp_path, wait_s=0):
            pass
