import logging
import os
import signal
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from eafl_flower.core.rng import generator
from eafl_flower.types import Rows

sys.path.insert(0, str(Path(__file__).parent))  # what several folders of tests share: toy_federation, fake_experiment

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


@pytest.fixture
def real_data():
    """Folder of the real data files, or a skip that says how to get them."""
    folder = os.environ.get("EAFL_DATA_DIR", "")
    if not folder:
        pytest.skip(
            "real data: set EAFL_DATA_DIR to a folder with cabspotting/, cifar10/, encoders/, geolife/, gtsrb/, "
            "iot_device_id/, ngsim/, ton_iot/ and unsw_nb15/"
        )
    return Path(folder)


@pytest.fixture(autouse=True)
def quiet():
    """Flower's logger says much about each start."""
    logger = logging.getLogger("flwr")
    level = logger.level
    logger.setLevel(logging.WARNING)
    yield
    logger.setLevel(level)


@pytest.fixture
def flower_log(caplog):
    """What Flower's logger said: it does not propagate."""
    logger = logging.getLogger("flwr")
    logger.addHandler(caplog.handler)
    yield caplog
    logger.removeHandler(caplog.handler)


@pytest.fixture
def progress_log(flower_log):
    """The same, with what it says of the progress."""
    logging.getLogger("flwr").setLevel(logging.INFO)
    return flower_log


@pytest.fixture
def empty_cache(tmp_path_factory, monkeypatch):
    """No baseline of another test is found."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture
def make_run(tmp_path, empty_cache):
    """Make a finished run from settings; ``interrupt`` stops it early instead and leaves a checkpoint."""
    from fake_experiment import run_experiment

    from eafl_flower.app.resolving import resolve
    from eafl_flower.config import RunConfig
    from eafl_flower.core.events import Fanout
    from eafl_flower.results.run_directory import RunDirectory

    def make(*others, resume=None, **settings):
        flat = {"strategy.merges": 200, "evaluate.every": 48, "results.baselines": "all"}
        flat |= {key.replace("__", ".").replace("_", "-"): value for key, value in settings.items()}
        config = RunConfig().replace(flat)
        run = RunDirectory.open(resume) if resume else RunDirectory.create(tmp_path / "runs", config.name)
        if not resume:
            run.write_config(config.to_toml())
        observer = Fanout([run.log, *others])
        try:
            run_experiment(
                resolve(config), run_dir=run, observer=observer, engine="inline", resume=bool(resume), ray_address=None
            )
        except KeyboardInterrupt:
            pass
        finally:
            observer.close()
        return RunDirectory(run.path)

    return make


@pytest.fixture
def clocks(monkeypatch):
    """Every clock of a run that was made since, the newest last."""
    from eafl_flower.runs.loop.virtual_time import VirtualClock
    from eafl_flower.runs.loop.wall_time import WallClock

    made = []
    for kind in (VirtualClock, WallClock):
        begin = kind.begin
        monkeypatch.setattr(kind, "begin", lambda self, begin=begin: (made.append(self), begin(self)))
    return made
