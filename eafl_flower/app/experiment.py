"""One experiment from its configuration to its summary, on any engine."""

from pathlib import Path
from typing import Any

from flwr.app import Context
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp

from eafl_flower.app.baselines import baselines_beside
from eafl_flower.app.client import client_app, experiment_of
from eafl_flower.app.own_rows import greeting, has_own_rows, shaped
from eafl_flower.app.resolving import resolve
from eafl_flower.app.resuming import check_resumable, check_same_data, provenance_of, resumed
from eafl_flower.app.training import train
from eafl_flower.app.workload import Experiment
from eafl_flower.config import RunConfig
from eafl_flower.config.effects import MERGES
from eafl_flower.core.events import Observer
from eafl_flower.engines.inline import InlineGrid
from eafl_flower.errors import ConfigError
from eafl_flower.heads.prior import SizedByRanges
from eafl_flower.results.model_description import ModelDescription
from eafl_flower.results.ownership import owned
from eafl_flower.results.run_directory import RunDirectory
from eafl_flower.results.summary import Outcome, summarize
from eafl_flower.runs.state import Run
from eafl_flower.tasks.backend import backend_for
from eafl_flower.tasks.training import ReadsBins
from eafl_flower.wire.arrays import arrays_of

LONGEST_FAREWELL_S = 60.0  # of a server that is about to end


def run_experiment(
    experiment: Experiment,
    *,
    run_dir: RunDirectory,
    observer: Observer,
    engine: str,
    resume: bool = False,
    ray_address: str | None = None,
) -> dict[str, Any]:
    """Run an experiment and write its results to ``run_dir``.

    Parameters
    ----------
    experiment
        What to run.
    run_dir
        Where results go.
    observer
        Sees every event; must include the event log of ``run_dir``.
    engine
        "inline", "ray" or "flower".
    resume
        Go on from the checkpoint in ``run_dir``.
    ray_address
        Ray cluster to use; by default this machine.

    Returns
    -------
    dict
        The summary, as in ``summary.json``.
    """
    config, num_nodes = experiment.config, experiment.source.num_clients
    if resume:  # before an engine is started
        check_resumable(run_dir, experiment)
    _ = experiment.stop  # a mistake in it is told before an engine is started
    if ray_address is None:  # clients compute on this machine
        check_device(config.task.device)
    if engine == "inline":
        grid: Grid = InlineGrid(client_app(experiment, run_dir.state_dir), num_nodes)
        return conduct(experiment, grid, run_dir=run_dir, observer=observer, engine=engine, resume=resume)
    state_dir, data = run_dir.state_dir.resolve(), provenance_of(experiment).data

    def make_app() -> ClientApp:  # in another process, perhaps on another machine
        here = resolve(config)
        check_same_data(here, data)
        return client_app(here, state_dir)

    if engine == "ray":
        from eafl_flower.engines.ray_grid import RayGrid

        with RayGrid(
            make_app,
            num_nodes,
            num_cpus=config.engine.num_cpus,
            num_gpus=config.engine.num_gpus,
            workers=config.engine.workers or None,
            address=ray_address,
        ) as grid:
            return conduct(experiment, grid, run_dir=run_dir, observer=observer, engine=engine, resume=resume)
    from eafl_flower.engines.flower import run_on_flower

    summaries: list[dict[str, Any]] = []
    server_app = ServerApp()

    @server_app.main()
    def main(grid: Grid, context: Context) -> None:
        summaries.append(conduct(experiment, grid, run_dir=run_dir, observer=observer, engine=engine, resume=resume))

    run_on_flower(
        server_app,
        make_app,
        num_nodes=num_nodes,
        num_cpus=config.engine.num_cpus,
        num_gpus=config.engine.num_gpus,
    )
    return summaries[0]


def run_config(config: RunConfig) -> RunDirectory:
    """Run an experiment from Python and return the directory with its results; only Flower's log tells of it.

    The directory is a new one in ``config.results.dir``, as ``eafl run`` makes it; engine, checkpoints and sinks are
    those of the configuration.

    Raises
    ------
    EAFLError
        As ``run_experiment``: the configuration, its data or the run itself is what it should not be.
    """
    from rich.console import Console

    from eafl_flower.app.telling import Teller

    run_dir = RunDirectory.create(config.results.dir, config.name)
    run_dir.write_config(config.to_toml())
    with owned(run_dir.path, wait_s=0):
        try:
            experiment = resolve(config)
            with Teller(config, run_dir, Console(quiet=True)).observing(experiment.task.scores) as observer:
                run_experiment(experiment, run_dir=run_dir, observer=observer, engine=config.engine.name)
        except BaseException:
            run_dir.remove_if_unused()
            raise
    return run_dir


def check_device(device: str) -> None:
    """Raise ``ConfigError`` or ``ModuleNotFoundError`` if clients on this machine cannot compute on ``task.device``."""
    try:
        backend_for(device)
    except ConfigError as error:
        msg = f"task.{error}"
        raise ConfigError(msg) from error


def run_in_server_app(grid: Grid, context: Context) -> None:
    """Run the experiment of Flower's run configuration: what ``flwr run`` does."""
    config = experiment_of(context).config
    if not config.checkpoint.resume:
        run_dir = RunDirectory.create(Path(config.results.dir).absolute(), config.name)
        run_dir.write_config(config.to_toml())
    else:
        run_dir = RunDirectory.open(config.checkpoint.resume)
    with owned(run_dir.path, wait_s=LONGEST_FAREWELL_S):
        try:
            if config.checkpoint.resume:
                run_dir.check_has_checkpoint()  # not before: who had the run may have left it as the last it did
            _conduct_in_server_app(config, grid, run_dir)
        except BaseException:
            if not config.checkpoint.resume:
                run_dir.remove_if_unused()
            raise


def _conduct_in_server_app(config: RunConfig, grid: Grid, run_dir: RunDirectory) -> None:
    from rich.console import Console

    from eafl_flower.app.telling import Teller

    resume = bool(config.checkpoint.resume)
    if resume:
        config = resumed(RunConfig.from_toml(run_dir.config_path), config)
    experiment = resolve(config)
    if has_own_rows(config):
        experiment = shaped(experiment, grid, run_dir.path, resume=resume)
    if resume:
        check_resumable(run_dir, experiment)  # before nodes are waited for
    teller = Teller(config, run_dir, Console(highlight=False))
    for note in experiment.source.notes:
        teller.say(note)
    with teller.observing(experiment.task.scores) as observer:
        summary = conduct(experiment, grid, run_dir=run_dir, observer=observer, engine="flower", resume=resume)
    teller.results(summary)


def conduct(
    experiment: Experiment, grid: Grid, *, run_dir: RunDirectory, observer: Observer, engine: str, resume: bool = False
) -> dict[str, Any]:
    """Run an experiment over ``grid`` and write model and summary; return the summary."""
    config, provenance = experiment.config, provenance_of(experiment)
    run_dir.remove_leftovers()
    run = train(
        experiment,
        grid,
        observer=observer,
        status_every_s=config.results.status_every_s,
        checkpoint=run_dir.checkpoint_path,
        resume=resume,
        run_name=run_dir.run_name,
        provenance=provenance.without(MERGES),
        greeting=greeting(experiment, run_dir.run_name),
    )
    spent = run.ledger.total()
    metrics = {**run.server_scores.get(run.version, {}), **run.client_scores.get(run.version, {})}
    time_s = run.time_s
    outcome = Outcome(
        merges=run.version,
        refused=run.tally.refused,
        lost=run.tally.lost,
        timeouts=run.tally.timed_out,
        errors=run.tally.errors,
        states_lost=run.tally.states_lost,
        uncertified=run.tally.uncertified,
        virtual_time_s=time_s,
        wall_s=time_s if run.clock == "wall" else run.wall_s(),  # one clock, one number
        uplink_bytes=run.ledger.total("uplink").payload_bytes,
        downlink_bytes=run.ledger.total("downlink").payload_bytes,
        uplink_framed_bytes=run.ledger.total("uplink").framed_bytes,
        downlink_framed_bytes=run.ledger.total("downlink").framed_bytes,
        energy_j=spent.energy_j,
        metrics=metrics,
        arrays_sha256=run.arrays_sha256(),
        stopped=run.stop_reason or "all merges made",
    )
    about = {
        "run": run_dir.run_name,
        "config_sha256": provenance.settings_sha256,
        "data_sha256": provenance.data.sha256,
    }
    run_dir.write_model(dict(zip(run.models.keys, arrays_of(run.result.arrays), strict=True)), about)
    run_dir.write_description(_description(experiment, run, run_dir.run_name))
    beside = baselines_beside(experiment, merges=run.version, wall_s=run.wall_s())
    summary = summarize(
        outcome,
        run_dir.each_event(),
        name=config.name,
        seed=config.seed,
        provenance=provenance,
        engine=engine,
        scores=experiment.task.scores,
        baselines=beside.found,
        baselines_left_out=beside.left_out,
        clients_left_out=experiment.source.clients_left_out,
        rows_left_out=experiment.source.rows_left_out,
    )
    run_dir.write_summary(summary)
    return summary


def _description(experiment: Experiment, run: Run, run_name: str) -> ModelDescription:
    source, task = experiment.source, experiment.task
    return ModelDescription(
        run=run_name,
        data=source.name,
        feature_names=source.feature_names,
        scaler=source.scaler,
        class_names=source.class_names,
        num_seen=source.num_seen,
        client_states=tuple(run.jobs.table.state.tolist()),
        client_names=source.client_names,
        ranges=task.ranges() if isinstance(task, SizedByRanges) and task.ranges is not None else None,
        columns=source.columns,
        quantiles=task.quantiles() if isinstance(task, ReadsBins) and task.quantiles is not None else None,
    )
