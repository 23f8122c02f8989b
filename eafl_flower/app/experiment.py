"""One experiment from its configuration to its summary, on any engine."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flwr.app import ConfigRecord, Context
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp

from eafl_flower.app.resuming import check_resumable, check_same_data, provenance_of, resumed
from eafl_flower.app.workload import (
    build_client_app,
    build_ranges,
    build_source,
    build_strategy,
    build_workload,
    config_of,
    forget_changed_files,
)
from eafl_flower.baselines.cache import collect_baselines
from eafl_flower.baselines.no_communication import no_communication
from eafl_flower.config import RunConfig
from eafl_flower.config.effects import MERGES
from eafl_flower.config.run_config import StopSettings
from eafl_flower.core.events import Event, Fanout, Observer
from eafl_flower.engines.inline import InlineGrid
from eafl_flower.errors import RunFailedError
from eafl_flower.results.model_description import ModelDescription
from eafl_flower.results.ownership import owned
from eafl_flower.results.run_directory import RunDirectory
from eafl_flower.results.summary import Outcome, scores_of, summarize
from eafl_flower.results.views.terminal import say
from eafl_flower.runs.state import Run
from eafl_flower.wire.records import array_record, arrays_of

LONGEST_FAREWELL_S = 60.0  # of a server that is about to end


def run_experiment(
    config: RunConfig,
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
    config
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
    forget_changed_files()
    if resume:  # before an engine is started
        check_resumable(run_dir, config)
    num_nodes = build_source(config).num_clients
    if engine == "inline":
        grid: Grid = InlineGrid(build_client_app(config, run_dir.state_dir), num_nodes)
        return conduct(config, grid, run_dir=run_dir, observer=observer, engine=engine, resume=resume)
    state_dir, data = run_dir.state_dir.resolve(), provenance_of(config).data

    def make_app() -> ClientApp:  # in another process, perhaps on another machine
        check_same_data(config, data)
        return build_client_app(config, state_dir)

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
            return conduct(config, grid, run_dir=run_dir, observer=observer, engine=engine, resume=resume)
    from eafl_flower.engines.flower import run_on_flower

    summaries: list[dict[str, Any]] = []
    server_app = ServerApp()

    @server_app.main()
    def main(grid: Grid, context: Context) -> None:
        summaries.append(conduct(config, grid, run_dir=run_dir, observer=observer, engine=engine, resume=resume))

    run_on_flower(
        server_app,
        make_app,
        num_nodes=num_nodes,
        num_cpus=config.engine.num_cpus,
        num_gpus=config.engine.num_gpus,
    )
    return summaries[0]


def run_in_server_app(grid: Grid, context: Context) -> None:
    """Run the experiment of Flower's run configuration: what ``flwr run`` does."""
    config = config_of(context)
    if not config.checkpoint.resume:
        run_dir = RunDirectory.create(Path(config.results.dir).absolute(), config.name)
        run_dir.write_config(config.to_toml())
    else:
        run_dir = RunDirectory.open(config.checkpoint.resume)
        run_dir.check_has_checkpoint()
    with owned(run_dir.path, wait_s=LONGEST_FAREWELL_S):
        try:
            _conduct_in_server_app(config, grid, run_dir)
        except BaseException:
            if not config.checkpoint.resume:
                run_dir.remove_if_unused()
            raise


def _conduct_in_server_app(config: RunConfig, grid: Grid, run_dir: RunDirectory) -> None:
    from rich.console import Console

    from eafl_flower.results.views.console import ConsoleObserver
    from eafl_flower.results.views.tables import print_results

    resume = bool(config.checkpoint.resume)
    if resume:
        config = resumed(RunConfig.from_toml(run_dir.config_path), config)
        check_resumable(run_dir, config)  # before nodes are waited for
    console = Console(highlight=False)
    for note in build_source(config).notes:
        say(console, note)
    observer = Fanout([run_dir.log, ConsoleObserver(console, config.name)])
    try:
        summary = conduct(config, grid, run_dir=run_dir, observer=observer, engine="flower", resume=resume)
    finally:
        observer.close()
    print_results(console, summary, run_dir.path)


def conduct(
    config: RunConfig, grid: Grid, *, run_dir: RunDirectory, observer: Observer, engine: str, resume: bool = False
) -> dict[str, Any]:
    """Run the strategy of ``config`` over ``grid`` and write model and summary; return the summary."""
    provenance = provenance_of(config)
    run_dir.remove_leftovers()
    run = train(
        config,
        grid,
        observer=observer,
        checkpoint=run_dir.checkpoint_path,
        resume=resume,
        run_name=run_dir.run_name,
        provenance=provenance.without(MERGES),
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
    run_dir.write_description(_description(config, run, run_dir.run_name))
    source = build_source(config)
    summary = summarize(
        outcome,
        run_dir.each_event(),
        name=config.name,
        seed=config.seed,
        provenance=provenance,
        engine=engine,
        baselines=_baselines(config, merges=run.version),
        clients_left_out=source.clients_left_out,
        rows_left_out=source.rows_left_out,
    )
    run_dir.write_summary(summary)
    return summary


def _description(config: RunConfig, run: Run, run_name: str) -> ModelDescription:
    source = build_source(config)
    return ModelDescription(
        run=run_name,
        data=source.name,
        feature_names=source.feature_names,
        scaler=source.scaler,
        class_names=source.class_names,
        num_seen=source.num_seen,
        client_states=tuple(run.jobs.table.state.tolist()),
        client_names=source.client_names,
        ranges=build_ranges(config, source),
        columns=source.columns,
    )


def train(config: RunConfig, grid: Grid, *, observer: Observer | None = None, **options: Any) -> Run:
    """Run the strategy of ``config`` over ``grid``; ``options`` are further settings of ``RunOptions``."""
    workload = build_workload(config)
    shared = workload.initial(config.seed)[: workload.task.num_shared]
    strategy = build_strategy(
        config,
        observer=observer or Fanout(()),
        expected_nodes=workload.source.num_clients,
        min_available_nodes=1,  # a data set may have one client
        **options,
    )
    try:
        strategy.start(
            grid,
            array_record([str(i) for i in range(len(shared))], shared),
            num_rounds=config.strategy.merges,
            timeout=config.job.reply_timeout_s,
            evaluate_config=ConfigRecord({"after-training": config.evaluate.after_training}),
        )
    except RunFailedError as error:
        if "the run expects" not in str(error):
            raise
        command = (
            f'flwr run . --federation-config "num-supernodes={workload.source.num_clients} client-resources-num-cpus=1"'
        )
        msg = f"{error}; start it with: {command} (and the same --run-config)"
        raise RunFailedError(msg) from error
    assert strategy.run is not None
    return strategy.run


def _baselines(config: RunConfig, *, merges: int) -> dict[str, dict[str, float] | None]:
    source, which = build_source(config), config.results.baselines
    if which == "all" and not merges:  # stopped before anything was trained that could be compared
        which = "cheap"
    exact = exact_config(config, merges=max(1, merges))
    return collect_baselines(
        which,
        config=exact,
        data_sha256=provenance_of(config).data.sha256,
        cheap=lambda: _looked_up(source),
        trained=lambda: _trained(exact),
    )


def exact_config(config: RunConfig, *, merges: int) -> RunConfig:
    """Return the configuration of the run with exact updates that is compared with one of ``merges`` merges.

    It makes the same number of merges and stops for no other reason: a budget of bytes would end it at
    another merge, because its uploads are longer.
    """
    no_rules = {f"stop.{name}": value for name, value in vars(StopSettings()).items()}
    changed = {"codec.name": "float32", "evaluate.every": 0, "checkpoint.every": 0, "strategy.merges": merges}
    return config.replace(changed | {key.replace("_", "-"): value for key, value in no_rules.items()})


def _looked_up(source: Any) -> dict[str, dict[str, float]]:
    from eafl_flower.data.lookup import lookup_scores, majority_scores

    return {"majority": _by_score(majority_scores(source)), "lookup": _by_score(lookup_scores(source)[1])}


def _by_score(scores: Mapping[str, float | None]) -> dict[str, float]:
    """Name a baseline without training as the scores it stands beside: it is the same before and after training."""
    named = {"before": scores["seen"], "after": scores["seen"], "unseen": scores["unseen"]}
    return {name: score for name, score in named.items() if score is not None}


class _CountMerges:
    """Counts how often each client's update was merged."""

    def __init__(self) -> None:
        self.by_client: Counter[int] = Counter()

    def write(self, event: Event) -> None:
        if event["event"] == "merge":
            self.by_client[event["client"]] += 1

    def close(self) -> None:
        """Nothing is open."""


def _trained(config: RunConfig) -> dict[str, dict[str, float]]:
    """Train as ``exact_config`` says, and every client alone for as many epochs."""
    workload = build_workload(config)
    counted = _CountMerges()
    grid = InlineGrid(build_client_app(config), workload.source.num_clients)
    exact = train(config, grid, observer=counted)
    alone = no_communication(
        workload.task,
        workload.source,
        {client: merges * workload.local_epochs for client, merges in counted.by_client.items()},
        seed=config.seed,
        local_epochs=workload.local_epochs,
        unseen_steps=workload.unseen_steps,
    )
    return {"exact": scores_of(exact.client_scores[exact.version]), "no_communication": scores_of(alone)}
