"""What a run was made from, as its checkpoint keeps it: who goes on from there must have the same."""

from dataclasses import dataclass, field, fields
from logging import WARNING
from pathlib import Path
from typing import Final

from eafl_flower.core.provenance import Plain, Provenance, listed, plain_settings, setting_changes
from eafl_flower.engines.flower_log import log
from eafl_flower.errors import CheckpointError
from eafl_flower.runs.options import RunOptions
from eafl_flower.runs.plan import Plan

WITHOUT_EFFECT: Final = frozenset(
    {
        *("run_name", "provenance", "clock", "greeting", "agreed", "measured"),  # each looked at by itself
        *("checkpoint", "checkpoint_every", "resume", "observer"),
        *("on_merge", "on_evaluate", "train_metrics_aggr_fn", "evaluate_metrics_aggr_fn", "scores"),  # they only look
        *("error_budget", "min_available_nodes", "expected_nodes", "node_timeout_s"),  # when a run gives up
    }
)
"""Options that say where and how safely a run is made, not what comes out."""


@dataclass(frozen=True, kw_only=True)
class Origin:
    """What a run was made from.

    ``settings`` are those of the strategy: aggregator for ``in_flight`` clients, codec, options and what is sent with
    each job. ``provenance`` is what the options add to it. ``initial_sha256`` is the digest of the initial arrays,
    which nothing depends on once there is a checkpoint.
    """

    run_name: str
    in_flight: int
    settings: dict[str, Plain] = field(default_factory=dict)
    provenance: Provenance = field(default_factory=Provenance)
    initial_sha256: str = ""

    def check(self, path: Path, now: "Origin") -> None:
        """Raise ``CheckpointError`` unless the run ``now`` may go on from the checkpoint ``path`` with this origin."""
        if self.run_name != now.run_name:
            msg = f"checkpoint {path} belongs to run {self.run_name!r}, not to {now.run_name!r}"
            raise CheckpointError(msg)
        self.check_provenance(path, now.provenance)
        if changes := setting_changes(self.settings, now.settings):
            msg = f"checkpoint {path} was made with other settings ({listed(changes)}): resume with those"
            raise CheckpointError(msg)
        if self.initial_sha256 != now.initial_sha256:
            text = "the initial arrays are not those the run %s was started with: they are not used, it goes on from %s"
            log(WARNING, text, now.run_name, path)

    def check_provenance(self, path: Path, now: Provenance) -> None:
        """Raise ``CheckpointError`` unless a run of the provenance ``now`` may go on from here."""
        if changes := self.provenance.changes_to(now):
            msg = f"checkpoint {path} was made {changes}: undo the change, or start a new run"
            raise CheckpointError(msg)


NO_ORIGIN: Final = Origin(run_name="", in_flight=0)


def origin_of(plan: Plan, *, clock: str, in_flight: int, initial_sha256: str) -> Origin:
    """Return the origin of a run on this clock, with its aggregator for ``in_flight`` clients."""
    options = plan.options
    settings = plain_settings("clock", clock) | plain_settings("barrier", plan.barrier)
    settings |= plain_settings("aggregator", plan.make_aggregator(max(1, in_flight), max(1, in_flight)))
    for option in fields(RunOptions):
        if option.name not in WITHOUT_EFFECT:
            settings |= plain_settings(option.name, getattr(options, option.name))
    settings |= plain_settings("train_config", dict(plan.train_config))
    settings |= plain_settings("evaluate_config", dict(plan.evaluate_config))
    return Origin(
        run_name=options.run_name,
        in_flight=in_flight,
        settings=settings,
        provenance=options.provenance,
        initial_sha256=initial_sha256,
    )
