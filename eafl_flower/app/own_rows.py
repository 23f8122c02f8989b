"""A run whose rows lie on the nodes: the server asks for their shape, and clients are made of what they hold."""

import json
from functools import lru_cache
from logging import INFO, WARNING
from pathlib import Path

from flwr.app import Context
from flwr.serverapp import Grid

from eafl_flower.app.workload import Experiment, task_agreed
from eafl_flower.clients.numpy_client import Workload
from eafl_flower.clients.own_rows import RUN, SHAPE, OwnRowsClient
from eafl_flower.config import RunConfig
from eafl_flower.core.durable import write_atomically
from eafl_flower.data.sets.own_rows import OwnRows, OwnTable, ShapedSource
from eafl_flower.data.shape import RowsReport, Shape
from eafl_flower.data.splits import client_counts
from eafl_flower.engines.flower_log import log
from eafl_flower.errors import CheckpointError, ProtocolError
from eafl_flower.runs.members.roster import take_roster
from eafl_flower.runs.options import RunOptions
from eafl_flower.wire.agreement import statement

FILE = "shape.json"
LONGEST_WAIT_S = RunOptions().node_timeout_s  # for nodes to come


def has_own_rows(config: RunConfig) -> bool:
    """Whether the rows of a run lie on its nodes."""
    return isinstance(config.data.part, OwnRows)


def client_of(config: RunConfig) -> OwnRowsClient:
    """Return what reads a node's rows by the settings of a run."""
    assert isinstance(config.data.part, OwnRows)
    data = config.data
    return OwnRowsClient(part=data.part, clients=data.clients, unseen=data.unseen, seed=config.seed)


def workload_of(experiment: Experiment, context: Context) -> Workload:
    """Return what the client of a node trains, with its own rows."""
    shape, table, client = client_of(experiment.config).shaped_table(context)
    return _workload(experiment, shape.to_json(), table, client)


@lru_cache(maxsize=8)
def _workload(experiment: Experiment, shape: str, table: OwnTable, client: int) -> Workload:
    return Experiment(experiment.config, given=ShapedSource.of(Shape.from_json(shape), table, client)).workload


def shaped(experiment: Experiment, grid: Grid, folder: Path, *, resume: bool) -> Experiment:
    """Return the experiment with the shape of what the nodes have: asked for, or of the run that goes on in ``folder``.

    Raises
    ------
    DataError
        If no node that trains tells of its rows, or all have one class.
    CheckpointError
        If the shape of a run that is to go on cannot be read.
    """
    path = folder / FILE
    if resume:
        try:
            return Experiment(experiment.config, given=ShapedSource(shape=Shape.from_json(path.read_text("utf-8"))))
        except (OSError, ProtocolError) as error:
            msg = f"{path} cannot be read ({error}): without the shape of its data the run cannot go on"
            raise CheckpointError(msg) from error
    shape = _asked(experiment, grid)
    write_atomically(path, shape.to_json().encode())
    return Experiment(experiment.config, given=ShapedSource(shape=shape))


def greeting(experiment: Experiment, run_name: str) -> dict[str, str] | None:
    """Return what every node is told before its first job: the shape of the run, if rows lie on the nodes."""
    source = experiment.source
    return {SHAPE: source.shape.to_json(), RUN: run_name} if isinstance(source, ShapedSource) else None


def _asked(experiment: Experiment, grid: Grid) -> Shape:
    config = experiment.config
    agreed = statement(codec=experiment.codec, further=task_agreed(experiment))
    least = max(1, config.data.clients)
    roster = take_roster(grid, min_nodes=least, timeout_s=LONGEST_WAIT_S, agreed=agreed)
    reports: dict[int, RowsReport] = {}
    for member in roster.members:
        whose = f"node {member.node_id}, client {member.client},"
        try:
            if member.rows is None:
                raise ProtocolError(f"{whose} tells nothing of its rows: does it run this app?")
            reports[member.client] = RowsReport.from_fields(member.rows, whose)
        except ProtocolError as error:
            log(WARNING, "%s; it is left out", error)
    clients, unseen = client_counts(0, config.data.unseen, if_zero=roster.num_partitions or len(roster.members))
    shape, left_out = Shape.of(reports, num_clients=clients, num_seen=clients - unseen)
    for reason in left_out.values():
        log(WARNING, "%s: it is left out", reason)
    text = "%d nodes told of their rows: %d features, classes %s"
    log(INFO, text, len(reports) - len(left_out), len(shape.feature_names), json.dumps(shape.class_names))
    return shape
