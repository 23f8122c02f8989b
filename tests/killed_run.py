"""What a process does that a test will kill: imported by it, so it stands in a module of its own."""

from pathlib import Path

from eafl_flower.app.experiment import run_experiment
from eafl_flower.app.resolving import resolve
from eafl_flower.config import RunConfig
from eafl_flower.core.events import Fanout
from eafl_flower.results.run_directory import RunDirectory


def work(settings: dict, folder: str, resume: bool) -> None:
    """Run or resume an experiment in ``folder``, as the command line does."""
    if resume:
        run_dir = RunDirectory.open(folder)
        config = RunConfig.from_toml(run_dir.config_path)
    else:
        config = RunConfig.from_flat(settings)
        run_dir = RunDirectory.create_at(Path(folder))
        run_dir.write_config(config.to_toml())
    observer = Fanout([run_dir.log])
    try:
        run_experiment(resolve(config), run_dir=run_dir, observer=observer, engine="inline", resume=resume)
    finally:
        observer.close()
