"""What a run tells of clients that never train."""

import logging

import pytest

from eafl_flower.app.client import client_app
from eafl_flower.app.resolving import resolve
from eafl_flower.app.training import train
from eafl_flower.config import RunConfig
from eafl_flower.engines import InlineGrid

SMALL = {"data.clients": 5, "data.unseen": 2, "strategy.merges": 12, "evaluate.every": 3, "results.baselines": "none"}


def scores_of(rows, **settings):
    config = RunConfig.from_flat({**SMALL, "data.idm.rows-per-client": rows, **settings})
    experiment = resolve(config)
    run = train(experiment, InlineGrid(client_app(experiment), 5))
    return run.client_scores[run.version]


def said(caplog):
    return [r.getMessage() for r in caplog.records if "never trained" in r.getMessage()]


@pytest.mark.parametrize("head", ["federated", "private"])
@pytest.mark.parametrize("rows", [32, 120])
def test_who_has_too_few_rows_to_adapt_is_counted_once(caplog, head, rows):
    """A quarter of 32 rows are eight: ten are needed to judge whether adapting helps, none to fit a fresh head."""
    with caplog.at_level(logging.INFO, logger="flwr"):
        scores = scores_of(rows, **{"task.tabular.head": head})
    assert ("accuracy-unlabelled" in scores) == (head == "federated")
    assert len(said(caplog)) == (scores["unjudged"] > 0)
    if head == "private":
        assert scores["unjudged"] == 0
    elif rows == 32:
        assert scores["unjudged"] == 1
        assert said(caplog)[0].startswith("2 of 2 clients that never trained have too few labelled rows")
        assert scores["accuracy-unlabelled"] == scores["accuracy-unseen"]
