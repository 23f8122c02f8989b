"""The keywords of strategies: written down once, known to type checkers, and refused where they are misspelt."""

import inspect
import runpy
from pathlib import Path
from typing import get_type_hints

import pytest

from eafl_flower.errors import ConfigError
from eafl_flower.runs import options as settings
from eafl_flower.strategies import (
    EMAM,
    EMQ,
    AsyncEMAM,
    AsynchronousStrategy,
    FederatedAlignment,
    Options,
    RunOptions,
    UCBDual,
    options,
)

SCRIPT = Path(__file__).parents[2] / "scripts" / "sync-options"
STRATEGIES = [AsynchronousStrategy, AsyncEMAM, EMAM, EMQ, FederatedAlignment, UCBDual]


def test_the_keywords_are_the_fields_of_the_options():
    assert get_type_hints(Options) == get_type_hints(RunOptions)


@pytest.mark.skipif(not SCRIPT.exists(), reason="scripts/ is in the checkout alone")
def test_the_file_of_keywords_is_as_the_script_writes_it():
    made = runpy.run_path(str(SCRIPT))["options_module"](Path(settings.__file__).read_text())
    assert Path(options.__file__).read_text() == made, "run scripts/sync-options"


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_strategy_has_no_keyword_of_that_name_beside(strategy):
    own = set(inspect.signature(strategy).parameters)
    assert own & set(Options.__annotations__) == set()
    assert inspect.signature(strategy).parameters["options"].annotation.__args__ == (Options,)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_start_has_flowers_arguments(strategy):
    names = ["grid", "initial_arrays", "num_rounds", "timeout", "train_config", "evaluate_config", "evaluate_fn"]
    assert list(inspect.signature(strategy.start).parameters) == ["self", *names]


@pytest.mark.parametrize(
    ("strategy", "given", "meant"),
    [(AsyncEMAM, "concurency", "concurrency"), (EMQ, "enery_j", "energy_j"), (UCBDual, "local_epoch", "local_epochs")],
)
def test_a_misspelt_keyword_is_told_with_the_one_that_was_meant(strategy, given, meant):
    with pytest.raises(ConfigError, match=f"{strategy.__name__} has no setting {given}; did you mean {meant}?"):
        strategy(**{given: 1})


def test_emq_has_a_codec_of_its_own_unless_another_is_given():
    assert EMQ().options.codec is not None
    assert EMQ(codec=None).options.codec is None
