"""A federation over real wires on this machine: certificates, node keys, SuperLink, SuperNodes, and `flwr`.

All traffic stays on loopback. Every process has its own log in the folder; what it starts is found by its
parent's id and ended with it.
"""

import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from certificates import make_certificates, make_node_key
from flwr.cli.supernode.register import try_load_public_key
from flwr.cli.typing import SuperLinkConnection
from flwr.cli.utils import init_http_client_from_connection
from flwr.proto.control_pb2 import ListRunsRequest, RegisterNodeRequest
from flwr.supercore.control import ControlHttpClient
from processes import command_line, descendants, kill_all

CHECKOUT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
NAME = "lab"  # of the SuperLink in Flower's configuration


def copy_app(target: Path) -> Path:
    """Copy what `flwr run` bundles to ``target``; nothing else of the checkout can be imported from there."""
    target.mkdir(parents=True)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(CHECKOUT / name, target)
    shutil.copytree(CHECKOUT / "eafl_flower", target / "eafl_flower", ignore=shutil.ignore_patterns("__pycache__"))
    return target


def environment(home: Path) -> dict[str, str]:
    """Return the environment of Flower's processes: its helpers on PATH, and no package but the bundle's."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "FLWR_", "RAY_"))}
    return {
        **kept,
        "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
        "FLWR_HOME": str(home),
        "FLWR_TELEMETRY_ENABLED": "0",
        "FLWR_DISABLE_UPDATE_CHECK": "1",
        "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION": "1",
        "FLWR_SUPEREXEC_TASK_POLL_INTERVAL": "0.2",  # by default 1 s; at 0.05 two nodes take a fifth of a core for it
        "PYTHONUNBUFFERED": "1",
    }


def free_ports(count: int) -> list[int]:
    """Return ports of loopback that nobody listens on at the moment."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


class Federation:
    """One SuperLink and as many SuperNodes as are started; ``with`` stops them all.

    Parameters
    ----------
    folder
        Where certificates, keys, logs, Flower's home and the run's working directory go.
    fleet_host
        Address that SuperNodes find the SuperLink at.
    """

    def __init__(self, folder: Path, fleet_host: str = "127.0.0.1") -> None:
        self.folder, self.fleet_host = folder, fleet_host
        self.env = environment(folder / "home")
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self._orphans: dict[int, str] = {}  # started by processes that were killed alone
        for name in ("home", "logs", "certs", "keys"):
            (folder / name).mkdir(parents=True)
        self.http, self.fleet = free_ports(2)
        make_certificates(folder / "certs", fleet_host)
        (folder / "home" / "config.toml").write_text(
            f'[superlink]\ndefault = "{NAME}"\n\n[superlink.{NAME}]\naddress = "127.0.0.1:{self.http}"\n'
            f'root-certificates = "{self.ca}"\n'
        )

    def __enter__(self) -> "Federation":
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    @property
    def ca(self) -> Path:
        """Certificate of the authority that everybody trusts."""
        return self.folder / "certs" / "ca.crt"

    def start_superlink(self, *, keys: bool = True) -> None:
        """Start the SuperLink and wait until it answers; without ``keys`` nodes may register themselves."""
        certs = self.folder / "certs"
        self.start(
            "superlink",
            "flower-superlink",
            *("--ssl-ca-certfile", certs / "ca.crt"),
            *("--ssl-certfile", certs / "server.pem", "--ssl-keyfile", certs / "server.key"),
            *(("--enable-supernode-auth",) if keys else ()),
            "--disable-runtime-dependency-installation",
            *("--fleet-api-address", f"{self.fleet_host}:{self.fleet}", "--host", "127.0.0.1", "--port", self.http),
        )
        self.wait_until(
            lambda: answers(self.http) and answers(self.fleet, self.fleet_host), 120, "the SuperLink does not listen"
        )

    def make_key(self, node: str) -> Path:
        """Make the key pair of a node and return the path of the private one."""
        path = self.folder / "keys" / node
        make_node_key(path, comment=node)
        return path

    def register(self, *keys: Path) -> None:
        """Let nodes with these keys take part: `flwr supernode register`, without a process for each."""
        with self._control() as client:
            for key in keys:
                public = try_load_public_key(key.with_suffix(".pub"))
                assert client.RegisterNode(RegisterNodeRequest(public_key=public)).node_id

    @contextmanager
    def _control(self) -> Iterator[ControlHttpClient]:
        """What `flwr` asks the SuperLink with."""
        superlink = SuperLinkConnection(NAME, f"127.0.0.1:{self.http}", root_certificates=str(self.ca))
        client = init_http_client_from_connection(superlink)
        try:
            yield client
        finally:
            client.close()

    def start_node(
        self,
        node: str,
        key: Path | None,
        config: Mapping[str, float | str],
        *,
        ca: Path | None = None,
        inside: Sequence[str] = (),
    ) -> subprocess.Popen[bytes]:
        """Start a SuperNode.

        Parameters
        ----------
        node
            Names the process and its log.
        key
            Private key; without one it registers itself.
        config
            The node's configuration.
        ca
            Certificate of the authority that it trusts, by default the federation's.
        inside
            Command that starts the program in a place of its own, as ``ip netns exec NAME`` does.
        """
        return self.start(
            node,
            "flower-supernode",
            *self._node_arguments(node, key, config, ca),
            *("--host", "127.0.0.1", "--port", free_ports(1)[0]),
            inside=inside,
        )

    def start_kept_node(
        self, node: str, key: Path | None, config: Mapping[str, float | str], *, inside: Sequence[str] = ()
    ) -> subprocess.Popen[bytes]:
        """Start ``eafl node`` of this checkout in the place of a SuperNode, if need be in a place of its own."""
        return self.start(
            node,
            "python",
            *("-m", "eafl_flower.cli.main", "node"),
            *self._node_arguments(node, key, config),
            environment={"PYTHONPATH": str(CHECKOUT)},
            inside=inside,
        )

    def _node_arguments(
        self, node: str, key: Path | None, config: Mapping[str, float | str], ca: Path | None = None
    ) -> list[object]:
        """What both kinds of nodes are told; the configuration goes through a TOML file, as in ``clients/``."""
        path = self.folder / f"{node}.toml"
        path.write_text("".join(f"{name} = {json.dumps(value)}\n" for name, value in config.items()))
        address = f"{self.fleet_host}:{self.fleet}"
        arguments = ["--superlink", address, "--root-certificates", ca or self.ca, "--node-config", path]
        return arguments if key is None else [*arguments, "--auth-supernode-private-key", key]

    def submit(self, app: Path, run_config: Path) -> int:
        """Submit a run of ``app`` and return its id."""
        answer = json.loads(self.flwr("run", app, NAME, "--run-config", run_config, "--format", "json"))
        assert answer["success"], answer
        return int(answer["run-id"])

    def status(self, run_id: int) -> str:
        """Return the status of a run as `flwr list` has it, for example "running" or "finished:completed"."""
        with self._control() as client:
            return _status(client, run_id)

    def wait(self, run_id: int, timeout_s: float) -> str:
        """Wait for the end of a run and return its status; without a process for each look, which takes half a core."""
        deadline = time.monotonic() + timeout_s
        with self._control() as client:
            while not (status := _status(client, run_id)).startswith("finished"):
                assert time.monotonic() < deadline, f"run is {status} after {timeout_s:g} s\n{self.logs()}"
                time.sleep(0.5)
        return status

    def wait_until(self, condition: Callable[[], Any], timeout_s: float, complaint: str) -> None:
        """Wait until ``condition`` holds; all processes must stay alive meanwhile."""
        deadline = time.monotonic() + timeout_s
        while not condition():
            dead = [name for name, process in self.processes.items() if process.poll() is not None]
            assert not dead, f"{dead} ended\n{self.logs()}"
            assert time.monotonic() < deadline, f"{complaint} after {timeout_s:g} s\n{self.logs()}"
            time.sleep(0.2)

    def flwr(self, *arguments: object, timeout_s: float = 180) -> str:
        """Run Flower's command line and return what it prints."""
        command = [str(BIN / "flwr"), *map(str, arguments)]
        done = subprocess.run(
            command, cwd=self.folder, env=self.env, capture_output=True, text=True, timeout=timeout_s, check=False
        )
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}\n{self.logs()}"
        return done.stdout

    def log(self, name: str) -> str:
        """Return what a process has written so far."""
        return (self.folder / "logs" / f"{name}.log").read_text(errors="replace")

    def logs(self, lines: int = 60) -> str:
        """Return the last lines of every log."""
        tails = []
        for path in sorted((self.folder / "logs").glob("*.log")):
            tail = path.read_text(errors="replace").splitlines()[-lines:]
            tails.append("\n".join([f"--- {path.name}", *tail]))
        return "\n".join(tails)

    def kill(self, name: str, *, alone: bool = False) -> None:
        """End a process at once, and all it has started, as a power failure does; or the process ``alone``."""
        process = self.processes.pop(name)
        children = descendants(process.pid)
        if alone:
            self._orphans |= children
        kill_all([process.pid, *(() if alone else children)])
        process.wait()

    def kill_server_app(self, number: int = signal.SIGKILL) -> None:
        """Send a signal to the process in which the ServerApp runs, by default one that kills it."""
        (pid,) = self.server_apps()
        os.kill(pid, number)

    def server_apps(self) -> list[int]:
        """Return the processes in which ServerApps run: one while there is a run, none soon after."""
        children = descendants(self.processes["superlink"].pid)
        return [pid for pid, command in children.items() if "flwr-serverapp" in command]

    def stop(self, *names: str) -> None:
        """Stop these processes, or everything: SuperNodes first, so that they can say good-bye."""
        chosen = [self.processes.pop(name) for name in names or reversed(list(self.processes))]
        running = [process for process in chosen if process.poll() is None]
        children = dict(self._orphans)
        for process in running:
            children |= descendants(process.pid)
            process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + 10
        for process in running:
            try:
                process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        kill_all(pid for pid, command in children.items() if command_line(pid) == command)

    def start(
        self,
        name: str,
        program: str,
        *arguments: object,
        inside: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
    ) -> subprocess.Popen[bytes]:
        """Start a program of this Python's folder under a name of the federation's."""
        with (self.folder / "logs" / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                [*inside, str(BIN / program), *map(str, arguments)],
                cwd=self.folder,
                env={**self.env, **(environment or {})},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        self.processes[name] = process
        return process


def _status(client: ControlHttpClient, run_id: int) -> str:
    (run,) = client.ListRuns(ListRunsRequest(run_id=run_id)).run_dict.values()
    return ":".join(part for part in (run.status.status, run.status.sub_status) if part)


def tls_name(port: int, ca: Path) -> str:
    """Return the name in the certificate at this port of loopback; fails if ``ca`` did not sign it."""
    context = ssl.create_default_context(cafile=str(ca))
    context.set_alpn_protocols(["h2"])
    with (
        socket.create_connection(("127.0.0.1", port), timeout=5) as plain,
        context.wrap_socket(plain, server_hostname="127.0.0.1") as secure,
    ):
        certificate = secure.getpeercert() or {}
    subject: Any = certificate["subject"]
    return str(dict(pair for entry in subject for pair in entry)["commonName"])


def answers(port: int, host: str = "127.0.0.1") -> bool:
    """Whether somebody listens on this port of ``host``, which is this machine."""
    try:
        socket.create_connection((host, port), timeout=1).close()
    except OSError:
        return False
    return True
