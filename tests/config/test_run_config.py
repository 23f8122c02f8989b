"""The tree: defaults, overrides, round trips, and everything a configuration can get wrong."""

import tomllib
from dataclasses import FrozenInstanceError
from typing import Any

import pytest

from eafl_flower.config import RunConfig, parse_overrides
from eafl_flower.config.files import flat
from eafl_flower.config.run_config import known_settings
from eafl_flower.errors import ConfigError


def test_defaults_are_valid_and_survive_both_written_forms():
    config = RunConfig()
    assert RunConfig.from_flat(config.to_flat()) == config
    assert RunConfig.from_flat({}) == config


def test_a_changed_configuration_survives_its_toml_file(tmp_path):
    config = RunConfig().replace(
        {
            "task.tabular.hidden": "64,8",
            "clients.slowdown": "1,2.5,16",
            "radio.constant-rate.uplink-rate-bit-s": 1 / 3,
            "name": "a-b_c.1",
        }
    )
    (tmp_path / "config.toml").write_text(config.to_toml())
    assert RunConfig.from_toml(tmp_path / "config.toml") == config


def test_every_key_reads_back_what_it_writes():
    for key, setting in known_settings().items():
        written = setting.write(setting.default)
        assert type(written) in (bool, int, float, str), key
        assert setting.read(written) == setting.default, key


def test_lists_are_comma_strings_outside_and_tuples_inside():
    config = RunConfig.from_flat({"task.tabular.hidden": " 8, 4", "clients.slowdown": "1,1.5"})
    assert config.task.part.hidden == (8, 4)
    assert config.clients.slowdown == (1.0, 1.5)
    assert config.to_flat()["clients.slowdown"] == "1,1.5"


def test_a_list_may_hold_texts():
    csv = {"data.name": "csv", "data.csv.file": "f.csv", "data.csv.label-column": "y", "data.csv.features": "v1.0, b c"}
    config = RunConfig().replace(csv)
    assert config.data.part.features == ("v1.0", "b c")
    assert config.to_flat()["data.csv.features"] == "v1.0,b c"


def test_columns_belong_to_a_file_of_ones_own():
    with pytest.raises(
        ConfigError, match=r'data\.csv\.time-column = "t": belongs to data\.name = "csv", and that is "idm"'
    ):
        RunConfig().replace({"data.csv.time-column": "t"})
    with pytest.raises(
        ConfigError, match=r'data\.csv\.file = "": which file\?(.|\n)*data\.csv\.label-column = "": which'
    ):
        RunConfig().replace({"data.name": "csv"})
    csv = {"data.name": "csv", "data.csv.file": "f.csv", "data.csv.label-column": "y"}
    with pytest.raises(ConfigError, match="y is named for two uses"):
        RunConfig().replace(csv | {"data.csv.features": "x,y"})


def test_a_fifth_of_the_clients_may_be_unseen():
    assert RunConfig().replace({"data.clients": 20, "data.unseen": -1}).data.unseen == -1
    with pytest.raises(ConfigError, match=r"expected at most the 16 clients that train"):
        RunConfig().replace({"data.clients": 20, "data.unseen": -1, "strategy.concurrency": 17})


def test_an_empty_list_is_an_empty_tuple():
    config = RunConfig.from_flat({"task.tabular.hidden": "", "task.tabular.head": "federated"})
    assert config.task.part.hidden == ()
    assert config.to_flat()["task.tabular.hidden"] == ""


def test_an_integer_passes_for_a_number_and_becomes_one():
    config = RunConfig.from_flat({"task.learning-rate": 1})
    assert type(config.task.learning_rate) is float


def test_a_configuration_cannot_be_changed():
    with pytest.raises(FrozenInstanceError):
        RunConfig().seed = 2  # type: ignore[misc]


def test_replace_keeps_what_is_not_named():
    first = RunConfig().replace({"seed": 7})
    assert first.replace({"task.batch-size": 8}).to_flat() == first.to_flat() | {"task.batch-size": 8}


def test_all_mistakes_are_reported_together_with_the_file(tmp_path):
    path = tmp_path / "wrong.toml"
    path.write_text(
        '[strategy.emam]\nmu = 2\nalphas = 1\n[task.tabular]\nhidden = "4,8,x"\n[data]\nclients = 5\nunseen = 5\n'
    )
    with pytest.raises(ConfigError) as caught:
        RunConfig.from_toml(path)
    assert str(caught.value).splitlines() == [
        f"4 problems in {path}:",
        "  strategy.emam.mu = 2: expected a number of at least 0 and below 1",
        "  strategy.emam.alphas: no such setting; did you mean strategy.emam.alpha?",
        '  task.tabular.hidden = "4,8,x": "x" is not an integer',
        "  data.unseen = 5: expected fewer than data.clients = 5, or nobody trains",
    ]


@pytest.mark.parametrize(
    ("flat", "message"),
    [
        ({"seed": "5"}, r'seed = "5": expected an integer from 0'),
        ({"seed": True}, r"seed = true: expected an integer"),
        ({"seed": 1.0}, r"seed = 1\.0: expected an integer"),
        ({"strategy.merges": 2**63}, r"expected an integer of at least 1 and below 2\^63$"),
        ({"seed": 2**63}, r"expected an integer from 0 to 9223372036854775807$"),
        ({"evaluate.after-training": 1}, r"expected true or false"),
        ({"task.learning-rate": float("nan")}, r"task\.learning-rate = NaN: expected a number above 0"),
        ({"task.learning-rate": float("inf")}, r"expected a number above 0"),
        (
            {"task.tabular.hidden": [32, 32]},
            r"task\.tabular\.hidden = \[32, 32\]: expected integers .*as in \"4,8,16\"",
        ),
        ({"task.tabular.hidden": "32,0"}, r"expected integers of at least 1 separated by commas"),
        ({"clients.slowdown": "1,inf"}, r"expected numbers above 0"),
        (
            {"staleness.name": "half"},
            r'"half": no such staleness rule; did you mean "half-life"\? there are half-life, exp',
        ),
        ({"codec.int8.block-size": 65536}, r"expected an integer from 1 to 65535"),
        ({"strategy.name": "fedasync", "strategy.fedasync.mixing": 0}, r"expected a number above 0 and at most 1"),
        ({"codec.int8.block_size": 8}, r"codec\.int8\.block_size: no such .*; did you mean codec\.int8\.block-size\?"),
        (
            {"codec.zzz": 8},
            r"codec\.zzz: no such setting; codec\. has codec\.name, codec\.remembered-clients, codec\.int8\.b",
        ),
        ({"zzz": 8}, r"zzz: no such setting; there are name, seed, data,"),
        ({"name": "../up"}, r"it names the directory of the run"),
    ],
)
def test_a_mistake_says_what_was_expected(flat: dict[str, Any], message: str):
    with pytest.raises(ConfigError, match=message):
        RunConfig.from_flat(flat)


@pytest.mark.parametrize(
    ("flat", "message"),
    [
        ({"data.clients": 10, "data.unseen": 10}, r"data\.unseen = 10: expected fewer than data\.clients = 10"),
        ({"data.clients": 20, "strategy.concurrency": 9}, r"strategy\.concurrency = 9: expected at most the 8 clients"),
        ({"strategy.mode": "sync", "strategy.cohort": 49}, r"strategy\.cohort = 49: expected at most the 48 clients"),
        ({"strategy.name": "fedavg"}, r'strategy\.mode = "async": expected "sync" with strategy\.name = "fedavg"'),
        ({"strategy.name": "fedbuff", "strategy.mode": "sync"}, r'expected "async" with strategy\.name = "fedbuff"'),
        ({"strategy.cohort": 4}, r"strategy\.cohort = 4: a cohort belongs to strategy\.mode"),
        ({"task.tabular.hidden": ""}, r'task\.tabular\.head = "private": .* set head = "federated"'),
        (
            {"task.name": "softmax", "task.tabular.optimizer": "adamw"},
            r'task\.tabular\.optimizer = "adamw": belongs to task\.name = "tabular", and that is "softmax"',
        ),
        ({"stop.target": 0.9}, r"stop\.target = 0\.9: which score is meant\? set stop\.metric"),
        ({"stop.metric": "accuracy-before", "evaluate.every": 5}, r"which value is to be reached\? set stop\.target"),
        ({"stop.metric": "accuracy-before", "stop.target": 0.9}, r"set evaluate\.every to a number of merges"),
        (
            {
                "stop.metric": "accuracy-after",
                "stop.target": 0.9,
                "evaluate.every": 5,
                "evaluate.after-training": False,
            },
            r"set evaluate\.after-training = true",
        ),
        ({"churn.on-job-times": 20.0}, r"churn needs both times; set churn\.off-job-times too"),
        ({"churn.off-job-times": 5.0}, r"churn needs both times; set churn\.on-job-times too"),
        (
            {"task.fractal.head-sizes": "1x16"},
            r'task\.fractal\.head-sizes = "1x16": belongs to task\.name = "fractal", and that is "tabular"',
        ),
        (
            {"task.name": "fractal", "task.fractal.head-sizes": "1x16,9x9"},
            r'"9x9" is not a depth from 0 to 4 and a width from',
        ),
        (
            {"task.name": "fractal", "task.fractal.head-sizes": "1x16,2x16", "task.fractal.head": "federated"},
            r'task\.fractal\.head-sizes = "1x16,2x16": a federated head has one size for all clients',
        ),
        ({"task.device": "cuda", "engine.name": "ray"}, r"engine\.num-gpus = 0\.0: .* as in engine\.num-gpus = 0\.25"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(flat: dict[str, Any], message: str):
    with pytest.raises(ConfigError, match=rf"^1 problem in here:\n  .*{message}"):
        RunConfig.from_flat(flat, source="here")


def test_a_value_that_was_not_read_causes_no_second_complaint():
    with pytest.raises(ConfigError, match=r"^1 problem in"):
        RunConfig.from_flat({"data.clients": "many", "data.unseen": 100})


def test_a_tree_made_by_hand_is_checked_too():
    with pytest.raises(ConfigError, match=r"seed = -1: expected an integer from 0"):
        RunConfig(seed=-1)


def test_overrides_take_the_type_of_their_key():
    assert parse_overrides(
        [
            "seed=3",
            "name=5",
            "task.tabular.hidden=8, 8",
            "strategy.emam.mu=1e-1",
            "strategy.emam.beta=1",
            "evaluate.after-training=False",
            "data.dir=/a=b",
            "seed=4",
        ]
    ) == {
        "seed": 4,
        "name": "5",
        "task.tabular.hidden": "8,8",
        "strategy.emam.mu": 0.1,
        "strategy.emam.beta": 1.0,
        "evaluate.after-training": False,
        "data.dir": "/a=b",
    }


def test_all_wrong_overrides_are_reported_together():
    with pytest.raises(ConfigError) as caught:
        parse_overrides(["seed", "seed=1.5", "evaluate.after-training=yes", "task.batchsize=8"])
    assert str(caught.value).splitlines() == [
        "4 problems in --set:",
        '  "seed": expected key=value, as in task.batch-size=8',
        '  seed = "1.5": expected an integer from 0 to 9223372036854775807',
        '  evaluate.after-training = "yes": expected true or false',
        "  task.batchsize: no such setting; did you mean task.batch-size?",
    ]


def test_the_hash_depends_on_the_values_alone():
    assert RunConfig().hash() == RunConfig.from_flat({"strategy.merges": 2000, "strategy.emam.beta": 0}).hash()
    assert RunConfig().hash() != RunConfig(seed=2).hash()


def test_the_hash_ignores_what_is_left_out():
    changed = RunConfig().replace({"results.dir": "elsewhere", "engine.name": "ray", "name": "b"})
    left_out = ("results", "engine", "name")
    assert changed.hash() != RunConfig().hash()
    assert changed.hash(leave_out=left_out) == RunConfig().hash(leave_out=left_out)
    assert changed.hash(leave_out=left_out) != RunConfig(seed=2).hash(leave_out=left_out)


def test_leaving_out_what_does_not_exist_is_an_error():
    with pytest.raises(ValueError, match='leave_out names "result", which is neither'):
        RunConfig().hash(leave_out=["result"])


def test_the_written_toml_is_nested_and_complete():
    written = tomllib.loads(RunConfig().to_toml())
    assert written["staleness"] == {"name": "half-life", "half-life": {"merges": 0.0}}
    assert flat(written) == RunConfig().settings()


def test_what_belongs_to_a_step_of_ones_own_needs_one():
    with pytest.raises(
        ConfigError, match=r'staleness.name = "constant": belongs to a step .* set strategy.emam.alpha too'
    ):
        RunConfig().replace({"staleness.name": "constant"})
    assert RunConfig().replace({"staleness.name": "constant", "strategy.emam.alpha": 0.2}).strategy.part.alpha == 0.2
    RunConfig().replace({"staleness.name": "polynomial", "strategy.name": "fedbuff"})
