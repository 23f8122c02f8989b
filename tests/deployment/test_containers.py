"""docker-compose.yml as it stands: a whole job in containers, in which a node and the ServerApp are killed."""

import json
import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest
from federation import CHECKOUT
from pages import blocks_of

from eafl_flower.results.run_directory import RunDirectory

pytestmark = pytest.mark.slow

IMAGE = os.environ.get("EAFL_IMAGE", "eafl-flower")
AT = "/var/lib/eafl-flower"
MERGES = 80  # a killed node is missed after a minute, in which the others go on
KILL_SERVER_APP = """
import os, pathlib
for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
    pid = int(path.parent.name)
    if pid != os.getpid() and b"flwr-serverapp" in path.read_bytes():
        os.kill(pid, 9)
"""


def compose_command():
    """Return the command of compose that is there, or skip and say what is missing."""
    if (
        shutil.which("docker") is None
        or subprocess.run(["docker", "info"], capture_output=True, check=False).returncode
    ):
        pytest.skip("containers: no engine answers `docker info`")
    if subprocess.run(["docker", "image", "inspect", IMAGE], capture_output=True, check=False).returncode:
        pytest.skip(f"containers: no image {IMAGE}; scripts/containers builds it and runs this test")
    for command in (["docker", "compose"], ["docker-compose"]):
        if (
            shutil.which(command[0])
            and not subprocess.run([*command, "version"], capture_output=True, check=False).returncode
        ):
            return command
    return pytest.skip("containers: neither docker compose nor docker-compose is there")


class Containers:
    """The project in a folder of its own; every command's output is kept with its time."""

    def __init__(self, command, folder):
        self.command, self.folder, self.begin = command, folder, time.monotonic()
        shutil.copy(CHECKOUT / "docker-compose.yml", folder)
        shutil.copytree(CHECKOUT / "clients", folder / "clients")
        (folder / "docker" / "jobs").mkdir(parents=True)
        job = (
            (CHECKOUT / "docker" / "jobs" / "three-rsus.toml").read_text().replace("merges = 30", f"merges = {MERGES}")
        )
        (folder / "docker" / "jobs" / "three-rsus.toml").write_text(job)
        self.env = {**os.environ, "COMPOSE_PROJECT_NAME": f"eafl-test-{os.getpid()}", "EAFL_PORT": "0"}

    def say(self, text):
        print(f"[{time.monotonic() - self.begin:6.1f} s] {text}", flush=True)

    def run(self, *command, told=True):
        """Run a command in the project's folder and return what it prints."""
        done = subprocess.run(command, cwd=self.folder, env=self.env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        if told:
            self.say(f"$ {command[-1] if command[0] == 'bash' else ' '.join(command)}\n{done.stdout.strip()}")
        return done.stdout

    def compose(self, *arguments, told=True):
        return self.run(*self.command, *arguments, told=told)

    def at_superlink(self, *command, told=True):
        return self.compose("exec", "-T", "superlink", *command, told=told)

    def paste(self, block):
        """Run a block of docs/containers.md, but for the build: the image is there."""
        for on_the_page, here in (
            ("docker-compose build\n", ""),
            ("docker-compose ", f"{' '.join(self.command)} "),
            ('eafl-flower"\n', f'{IMAGE}"\n'),
        ):
            block = block.replace(on_the_page, here)
        return self.run("bash", "-euc", block)

    def events(self):
        """Return the events of the one run there is, none before it begins."""
        text = self.at_superlink("sh", "-c", f"cat {AT}/runs/*/events.jsonl 2> /dev/null || true", told=False)
        return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]

    def wait_for_merges(self, enough, timeout_s):
        """Wait until ``enough`` of the list of merges holds."""
        deadline = time.monotonic() + timeout_s
        while not enough(merges := merges_in(self.events())):
            assert time.monotonic() < deadline, (
                f"{len(merges)} merges\n{self.compose('logs', '--tail', '40', told=False)}"
            )
            time.sleep(3)
        self.say(f"{len(merges)} merges: clients {''.join(str(event['client']) for event in merges)}")
        return len(merges)


def merges_in(events):
    return [event for event in events if event["event"] == "merge"]


@pytest.fixture
def containers(tmp_path):
    made = Containers(compose_command(), tmp_path)
    try:
        yield made
    finally:
        made.compose("down", "--volumes", "--timeout", "5", told=False)


def test_a_job_in_containers_survives_the_death_of_a_node_and_of_its_server_app(containers, tmp_path):
    start, results, resume = blocks_of("containers.md")
    containers.paste(start)
    before = containers.wait_for_merges(lambda merges: len(merges) >= 6, 400)
    containers.compose("kill", "rsu-1")
    others = containers.wait_for_merges(lambda merges: len(merges) >= before + 3, 300)
    containers.compose("up", "-d", "rsu-1")
    containers.wait_for_merges(lambda merges: any(event["client"] == 1 for event in merges[others + 1 :]), 400)
    containers.at_superlink("python", "-c", KILL_SERVER_APP, told=False)
    killed_at = len(merges_in(containers.events()))
    containers.say(f"the ServerApp was killed at {killed_at} merges")
    containers.paste(resume)
    containers.wait_for_merges(lambda merges: len(merges) >= MERGES, 900)
    while "finished:completed" not in (runs := containers.at_superlink("flwr", "list", "--format", "json", told=False)):
        assert "running" in runs, runs
    containers.compose("ps")
    containers.paste(results)

    (path,) = Path(tmp_path, "runs").iterdir()
    run = RunDirectory.open(path)
    merges, summary = merges_in(run.events()), run.summary()
    accepted = {(event["client"], event["counter"]) for event in merges}
    containers.say(
        f"{summary['merges']} merges, {len(accepted)} different replies accepted, {summary['refused']} refused, "
        f"{summary['lost']} lost, {summary['errors']} errors; accuracy {summary['accuracy']}"
    )
    assert [event["merge"] for event in merges] == list(range(1, MERGES + 1))
    assert summary["merges"] == len(accepted) == MERGES > killed_at
    assert {event["client"] for event in merges} == {0, 1, 2}
