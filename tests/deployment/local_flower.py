"""``flwr run`` of simulations on this machine.

The SuperLink is the one that ``flwr run`` starts itself (its address ``:local:``), but started here: Flower gives it
15 s to answer, which is too little on a loaded machine.
"""

import json
import os
import subprocess
import time
from pathlib import Path

from federation import answers, environment, free_ports
from processes import descendants, kill_all

LONGEST_START_S = 120.0


class LocalFlower:
    """A SuperLink for simulations, and the ``flwr`` that knows it; ``with`` ends what it has started.

    Parameters
    ----------
    folder
        A neutral one, where all of its processes run: from the checkout, Ray's workers would import from there.
    scripts
        Folder of the programs of the environment that Flower runs in.
    site
        A folder of packages that can be imported as if they were installed.
    """

    def __init__(self, folder: Path, *, scripts: Path, site: Path) -> None:
        self.folder, self.scripts = folder, scripts
        own = environment(folder / "home")
        path = f"{scripts}{os.pathsep}{own['PATH']}"
        self.env = own | {"PATH": path, "PYTHONPATH": str(site), "RAY_ADDRESS": "local"}

    def __enter__(self) -> "LocalFlower":
        (port,) = free_ports(1)
        home, log = self.folder / "home", self.folder / "superlink.log"
        home.mkdir(parents=True)
        (home / "config.toml").write_text(
            f'[superlink]\ndefault = "here"\n\n[superlink.here]\naddress = "127.0.0.1:{port}"\ninsecure = true\n'
        )
        command = [self.scripts / "flower-superlink", "--insecure", "--simulation", "--isolation", "subprocess"]
        with log.open("wb") as file:
            self.superlink = subprocess.Popen(
                [*map(str, command), "--host", "127.0.0.1", "--port", str(port)],
                cwd=self.folder,
                env=self.env,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
            )
        deadline = time.monotonic() + LONGEST_START_S
        while not answers(port):
            if self.superlink.poll() is not None or time.monotonic() > deadline:
                self.__exit__()
                raise AssertionError(f"the SuperLink does not listen: {log.read_text(errors='replace')}")
            time.sleep(0.1)
        return self

    def __exit__(self, *error: object) -> None:
        kill_all([self.superlink.pid, *descendants(self.superlink.pid)])
        self.superlink.wait()

    def run(
        self, app: Path, *, num_nodes: int, run_config: Path | str, resources: str = "client-resources-num-cpus=1"
    ) -> tuple[str, str]:
        """Run an app to its end and return status and log; ``resources`` are those of Ray and of each client."""
        options = ("--run-config", run_config, "--federation-config", f"num-supernodes={num_nodes} {resources}")
        answer = json.loads(self.flwr("run", app, *options, "--format", "json"))
        assert answer["success"], answer  # the exit status is 0 all the same
        log = self.flwr("log", answer["run-id"], "--stream")  # until the run has ended
        (found,) = json.loads(self.flwr("list", "--run-id", answer["run-id"], "--format", "json"))["runs"]
        return str(found["status"]), log

    def flwr(self, *arguments: object, timeout_s: float = 300) -> str:
        """Run Flower's command line and return what it prints."""
        command = [str(self.scripts / "flwr"), *map(str, arguments)]
        done = subprocess.run(
            command, cwd=self.folder, env=self.env, capture_output=True, text=True, timeout=timeout_s, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout
