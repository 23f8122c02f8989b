"""A network of two: this machine and a namespace behind a cable that can be cut."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import ip_address


@dataclass(frozen=True)
class Namespace:
    """A network namespace at the other end of a cable to this machine; nothing else can be reached from it."""

    name: str
    here: str  # address of this machine's end of the cable
    there: str

    @property
    def inside(self) -> tuple[str, ...]:
        """Command that starts a program in it."""
        return ("ip", "netns", "exec", self.name)

    def cut(self) -> None:
        """Pull the cable: what is sent is lost, and nobody is told."""
        ip("link", "set", self.name, "down")

    def mend(self) -> None:
        """Plug the cable in again."""
        ip("link", "set", self.name, "up")

    def throttle(self, rate_bit_s: float, burst_bytes: int) -> None:
        """Let so many bits a second through in either direction."""
        limits = ("rate", f"{rate_bit_s:.0f}bit", "burst", f"{burst_bytes}b", "latency", "400ms")
        for end in (("-n", self.name, "qdisc", "add", "dev", "eth0"), ("qdisc", "add", "dev", self.name)):
            run("tc", *end, "root", "tbf", *limits)


def why_not() -> str:
    """Say why no namespace can be made here, "" if one can."""
    if shutil.which("ip") is None:
        return "network namespaces need the program `ip` (Debian's package iproute2)"
    name = f"eafl{os.getpid()}-try"
    try:
        ip("netns", "add", name)
        ip("netns", "delete", name)
    except subprocess.CalledProcessError as error:
        return f"no network namespace can be made here, which takes the rights of root: {error.stderr.strip()}"
    return ""


def addresses(process: int) -> tuple[str, str]:
    """Return the two ends of a cable, in a network of four addresses that processes started later do not have."""
    network = int(ip_address("10.213.0.0")) + process % 2**14 * 4
    return str(ip_address(network + 1)), str(ip_address(network + 2))


@contextmanager
def namespace() -> Iterator[Namespace]:
    """Make a namespace, and remove it; tests of other processes have other addresses."""
    here, there = addresses(os.getpid())
    made = Namespace(f"eafl{os.getpid()}", here, there)  # the name is that of a link, too, which has at most 15 letters
    inside = ("-n", made.name)
    ip("netns", "add", made.name)
    try:
        ip("link", "add", made.name, "type", "veth", "peer", "name", "eth0", "netns", made.name)
        ip("addr", "add", f"{here}/30", "dev", made.name)
        ip(*inside, "addr", "add", f"{there}/30", "dev", "eth0")
        ip("link", "set", made.name, "up")
        ip(*inside, "link", "set", "eth0", "up")
        ip(*inside, "link", "set", "lo", "up")
        yield made
    finally:
        ip("netns", "delete", made.name)  # and with it the cable


def ip(*arguments: str) -> None:
    """Run ``ip``."""
    run("ip", *arguments)


def run(*command: str) -> None:
    """Run a program of iproute2, whose complaint is in the error."""
    subprocess.run(command, check=True, capture_output=True, text=True)
