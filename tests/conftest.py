import os
import signal
from dataclasses import dataclass

import numpy as np
import pytest

from eafl_flower.rng import generator
from eafl_flower.types import Rows

# Several processes share the cores: what they start computes with one thread, as a run of ours does.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")

# A shell that runs something in the background lets it ignore Ctrl-C, nohup lets it ignore a hang-up, and so does
# everything it starts: the tests that stop a process of theirs would wait for ever.
for number, usual in (signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL):
    if signal.getsignal(number) == signal.SIG_IGN:
        signal.signal(number, usual)


@dataclass(frozen=True)
class ToySource:
    """Points labelled by the nearest of three centres; every client sees them shifted a little."""

    name: str = "toy"
    class_names: tuple[str, ...] = ("a", "b", "c")
    feature_names: tuple[str, ...] = ("u", "v", "w", "x", "y")
    num_clients: int = 6
    num_seen: int = 4
    num_rows: int = 36

    def partition(self, index):
        centres = 4 * generator(0, "centres").standard_normal((3, 5))
        rng = generator(0, "toy", index)
        y = rng.integers(0, 3, self.num_rows)
        x = centres[y] + 0.3 * rng.standard_normal(5) + rng.standard_normal((self.num_rows, 5))
        x = x.astype(np.float32)
        x.flags.writeable = False
        cut = self.num_rows * 2 // 3 if index < self.num_seen else self.num_rows // 4
        return Rows(x_train=x[:cut], y_train=y[:cut], x_test=x[cut:], y_test=y[cut:])


@pytest.fixture
def toy_source():
    return ToySource()
