"""``flwr run`` on this machine: the SuperLink that ``flwr`` starts itself for simulations, found again and ended."""

import json
import os
import subprocess
from pathlib import Path

from federation import command_line, descendants, environment, free_ports, kill_all


class LocalFlower:
    """`flwr` with the SuperLink that it starts itself for simulations and leaves running.

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
        self.port, control = free_ports(2)
        own = environment(folder / "home")
        self.env = own | {
            "PATH": f"{scripts}{os.pathsep}{own['PATH']}",
            "PYTHONPATH": str(site),
            "FLWR_LOCAL_SUPERLINK_HTTP_API_PORT": str(self.port),
            "FLWR_LOCAL_CONTROL_API_PORT": str(control),
            "RAY_ADDRESS": "local",
        }
        (folder / "home").mkdir(parents=True)
        (folder / "home" / "config.toml").write_text(
            '[superlink]\ndefault = "local"\n\n[superlink.local]\naddress = ":local:"\n'
        )

    def run(
        self, app: Path, *, num_nodes: int, run_config: Path | str, resources: str = "client-resources-num-cpus=1"
    ) -> tuple[str, str]:
        """Run an app to its end and return status and log; ``resources`` are those of Ray and of each client."""
        options = ("--run-config", run_config, "--federation-config", f"num-supernodes={num_nodes} {resources}")
        answer = json.loads(self.flwr("run", app, *options, "--format", "json"))
        assert answer["success"], answer  # the exit status is 0 all the same
        run_id = answer["run-id"]
        log = self.flwr("log", run_id, "--stream")  # until the run has ended
        (found,) = json.loads(self.flwr("list", "--run-id", run_id, "--format", "json"))["runs"]
        return str(found["status"]), log

    def flwr(self, *arguments: object, timeout_s: float = 300) -> str:
        """Run Flower's command line and return what it prints."""
        command = [str(self.scripts / "flwr"), *map(str, arguments)]
        done = subprocess.run(
            command, cwd=self.folder, env=self.env, capture_output=True, text=True, timeout=timeout_s, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def stop(self) -> None:
        """End the SuperLink, found by its port."""
        daemons = [int(name) for name in os.listdir("/proc") if name.isdigit() and self._is_ours(int(name))]
        kill_all([*daemons, *(child for daemon in daemons for child in descendants(daemon))])

    def _is_ours(self, pid: int) -> bool:
        words = command_line(pid).split()
        return "--simulation" in words and ["--port", str(self.port)] in [words[i : i + 2] for i in range(len(words))]
