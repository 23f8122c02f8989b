"""Parts: ours by name, somebody else's by entry point or path, and what can be wrong with either."""

import subprocess
import sys
import tomllib
from dataclasses import fields

import pytest
from somebody_elses import PRESET, install

from eafl_flower.codecs import Int8Codec
from eafl_flower.config import RunConfig, parse_overrides
from eafl_flower.config.parts import GROUPS, part_class, part_names, part_settings
from eafl_flower.config.renamed import RENAMED
from eafl_flower.config.run_config import CodecSettings, declared, known_settings
from eafl_flower.errors import ConfigError

EVERY = [(group, name) for group, table in GROUPS.items() for name in table.parts]


@pytest.fixture
def somebody(tmp_path, monkeypatch):
    """Whether there is a package of somebody else is said by its entry points."""

    def make(*entry_points, name="somebody"):
        monkeypatch.syspath_prepend(install(tmp_path / name, *entry_points, name=name))

    yield make
    for module in [name for name in sys.modules if name.partition(".")[0] in ("somebody", "other", "broken")]:
        del sys.modules[module]


@pytest.mark.parametrize(("group", "name"), EVERY)
def test_every_part_of_ours_is_a_frozen_dataclass_with_a_default_of_everything(group, name):
    assert part_class(group, name)
    assert all(key.startswith(f"{group}.{name}.") for key in part_settings(group, name))


def test_a_part_is_imported_only_when_it_is_named():
    code = (
        "import sys; from eafl_flower.config import RunConfig; RunConfig.from_flat({'codec.name': 'float32'});"
        "print(*sorted(m for m in sys.modules if m.startswith('eafl_flower.')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert {"eafl_flower.data.sets.idm", "eafl_flower.tasks.tabular", "eafl_flower.codecs.float32"} <= loaded
    assert not {"eafl_flower.tasks.fractal_net", "eafl_flower.tasks.softmax", "eafl_flower.codecs.plain"} & loaded


def test_no_part_has_the_name_of_a_common_setting_of_its_group():
    for group, name in EVERY:
        assert f"{group}.{name}" not in known_settings()


def test_with_another_part_what_was_set_of_the_one_before_is_dropped():
    config = RunConfig().replace({"codec.int8.block-size": 64, "codec.remembered-clients": 7})
    other = config.replace({"codec.name": "lqgcm", "codec.lqgcm.tuples": 3})
    assert (other.codec.part.tuples, other.codec.remembered_clients) == (3, 7)
    assert "codec.int8.block-size" not in other.settings()
    assert other.replace({"codec.name": "int8"}).codec.part == Int8Codec()


def test_a_part_that_is_not_chosen_keeps_its_defaults_as_flower_hands_them_out():
    assert RunConfig.from_flat(declared()) == RunConfig()
    fedavg = declared() | {"strategy.name": "fedavg", "strategy.mode": "sync"}
    assert RunConfig.from_flat(fedavg).strategy.name == "fedavg"
    message = r'codec\.lqgcm\.tuples = 5: belongs to codec\.name = "lqgcm", and that is "int8"'
    with pytest.raises(ConfigError, match=message):
        RunConfig.from_flat(declared() | {"codec.lqgcm.tuples": 5})


def test_a_part_made_by_hand_must_be_the_one_that_is_named():
    assert CodecSettings(name="int8").part == Int8Codec()
    with pytest.raises(ConfigError, match=r'codec\.part is a Int8Codec, but "float32" is Float32Codec'):
        CodecSettings(name="float32", part=Int8Codec())


@pytest.mark.parametrize(
    ("flat", "message"),
    [
        (
            {"codec.name": "int9"},
            r'codec.name = "int9": no such codec; did you mean "int8"\? there are none, float32, ',
        ),
        (
            {"data.name": "zzz"},
            r'data.name = "zzz": no such data set; there are radio-map, idm, .*, and package.module:Class',
        ),
        ({"task.name": 5}, r"task.name = 5: expected text"),
        ({"codec.int9.block-size": 1}, r'codec.int9: no such codec; did you mean "int8"'),
        ({"codec.int8.blocksize": 1}, r"no such setting; did you mean codec.int8.block-size\?"),
        (
            {"codec.name": "no.such:Codec"},
            r"no.such:Codec cannot be imported \(ModuleNotFoundError: No module named 'no",
        ),
        ({"codec.name": "eafl_flower.types:Zzz"}, r"the module eafl_flower.types has no Zzz"),
        ({"codec.name": "eafl_flower.types:digest"}, r"eafl_flower.types:digest is no frozen dataclass"),
        ({"foreign": "[1]"}, r'foreign = "\[1\]": expected settings as a JSON object'),
        ({"foreign": "{"}, r'foreign = "\{": expected settings as a JSON object'),
    ],
)
def test_a_part_that_is_not_there_is_one_clear_line(flat, message):
    with pytest.raises(ConfigError, match=rf"^1 problem in here:\n  .*{message}[^\n]*$"):
        RunConfig.from_flat(flat, "here")


@pytest.mark.parametrize(("old", "new"), RENAMED.items())
def test_an_old_key_is_refused_with_its_new_one(old, new):
    assert set(new.split(" or ")) <= set(known_settings())
    with pytest.raises(ConfigError, match=rf"^1 problem in here:\n  {old}: is now {new}$"):
        RunConfig.from_flat({old: 1}, "here")
    with pytest.raises(ConfigError, match=f"{old}: is now {new}"):
        parse_overrides([f"{old}=1"])


def test_somebody_elses_parts_are_named_by_entry_point_or_path_and_set_under_their_names(somebody, tmp_path):
    somebody()
    (tmp_path / "toy.toml").write_text(PRESET)
    config = RunConfig.from_toml(tmp_path / "toy.toml")
    assert (config.codec.part.step, config.strategy.part.share) == (0.001, 0.9)
    assert part_names("codec")[-1] == "coarse"
    changed = config.replace(parse_overrides(["codec.coarse.step=0.5", "strategy.somebody.parts:Damped.share=0"]))
    assert (changed.codec.part.step, changed.strategy.part.share) == (0.5, 0.0)
    assert config.decisive()["codec.coarse.step"] == 0.001
    assert config.hash() != changed.hash()


def test_settings_of_somebody_elses_parts_travel_in_one_text_that_flower_lets_through(somebody, tmp_path):
    somebody()
    (tmp_path / "toy.toml").write_text(PRESET)
    config = RunConfig.from_toml(tmp_path / "toy.toml")
    flat = config.to_flat()
    assert flat.keys() <= declared().keys()
    assert flat["foreign"] == '{"strategy.somebody.parts:Damped.share": 0.9, "codec.coarse.step": 0.001}'
    (tmp_path / "again.toml").write_text(config.to_toml())
    assert RunConfig.from_toml(tmp_path / "again.toml") == config
    assert RunConfig.from_flat(declared() | flat) == config  # as Flower merges them
    assert "foreign" not in tomllib.loads(RunConfig().to_toml())


@pytest.mark.parametrize(
    ("flat", "message"),
    [
        ({"codec.name": "coarse", "codec.coarse.step": 0}, "codec.coarse.step = 0: expected a number above 0"),
        ({"codec.name": "coarse", "codec.coarse.steps": 1}, r"no such setting; did you mean codec.coarse.step\?"),
        ({"codec.coarse.step": 0.5}, r'codec.coarse.step = 0.5: belongs to codec.name = "coarse", and that is "int8"'),
        ({"codec.name": "somebody.parts:Open"}, r"somebody.parts:Open is no frozen dataclass"),
        ({"codec.name": "somebody.parts:Wanting"}, r"somebody.parts:Wanting has no default of rows"),
        (
            {"codec.name": "somebody.parts:Choosy", "codec.somebody.parts:Choosy.low": 2},
            r"codec.somebody.parts:Choosy: low = 2 is above high = 1",
        ),
        ({"codec.name": "coarsely"}, r'did you mean "coarse"\?'),
    ],
)
def test_what_is_wrong_with_somebody_elses_part_is_told_like_with_ours(somebody, flat, message):
    somebody()
    with pytest.raises(ConfigError, match=rf"^1 problem in here:\n  .*{message}"):
        RunConfig.from_flat(flat, "here")


def test_a_name_that_is_taken_is_refused_where_it_is_used(somebody):
    somebody("[eafl_flower.codecs]", "int8 = somebody.parts:Coarse", "coarse = somebody.parts:Coarse")
    message = (
        r'codec.name = "int8": 2 packages have a codec of this name: eafl-flower, somebody \(somebody.parts:Coarse\)'
    )
    with pytest.raises(ConfigError, match=message):
        RunConfig.from_flat({"codec.name": "int8"})
    assert RunConfig.from_flat({"codec.name": "coarse"}).codec.part.step == 0.01
    somebody("[eafl_flower.codecs]", "coarse = other.parts:Coarse", name="other")
    with pytest.raises(ConfigError, match=r"2 packages have a codec of this name: other .*, somebody .*; name the one"):
        RunConfig.from_flat({"codec.name": "coarse"})
    assert RunConfig.from_flat({"codec.name": "other.parts:Coarse"}).codec.part.step == 0.01


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("import torch_that_is_not_there", r"No module named 'torch_that_is_not_there'\)$"),
        ("1 / 0", r"broken:Codec cannot be imported \(ZeroDivisionError: division by zero\)$"),
        ("import sys; sys.modules['torch'] = None\nimport torch", r"pip install 'eafl-flower\[torch\]'$"),
    ],
)
def test_a_part_whose_import_fails_gives_the_reason_and_what_to_install(tmp_path, monkeypatch, code, message):
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "broken.py").write_text(code)
    with pytest.raises(ConfigError, match=message):
        RunConfig.from_flat({"codec.name": "broken:Codec"})
    sys.modules.pop("torch", None)


def test_whoever_constructs_a_part_in_python_is_held_to_the_same_ranges():
    for group, name in EVERY:
        found = part_class(group, name)
        for field in fields(found):
            key = f"{group}.{name}.{field.name.replace('_', '-')}"
            setting = known_settings().get(key)
            if setting is None or setting.range is None or setting.is_list:
                continue
            with pytest.raises(ConfigError, match=f"{field.name} = .*expected"):
                found(**{field.name: setting.kind(setting.range.low - 1)})
