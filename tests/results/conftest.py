import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))  # fake_experiment


@pytest.fixture(autouse=True)
def empty_cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture
def make_run(tmp_path):
    """Make a finished run from settings; ``interrupt`` stops it early instead and leaves a checkpoint."""
    from fake_experiment import run_experiment

    from eafl_flower.config import RunConfig
    from eafl_flower.results.observer import Fanout
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
                config, run_dir=run, observer=observer, engine="inline", resume=bool(resume), ray_address=None
            )
        except KeyboardInterrupt:
            pass
        finally:
            observer.close()
        return RunDirectory(run.path)

    return make
