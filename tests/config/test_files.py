"""Where a configuration file is looked for and what is said when it is not there."""

import pytest

from eafl_flower.config import RunConfig, preset_names
from eafl_flower.config.files import nested, read_toml
from eafl_flower.errors import ConfigError


def test_nested_tables_and_dotted_keys_mean_the_same(tmp_path):
    (tmp_path / "nested.toml").write_text("seed = 3\n[task]\nbatch-size = 8\n")
    (tmp_path / "flat.toml").write_text('seed = 3\n"task.batch-size" = 8\n')
    assert RunConfig.from_toml(tmp_path / "nested.toml") == RunConfig.from_toml(tmp_path / "flat.toml")


def test_nesting_and_flattening_are_inverse(tmp_path):
    flat = {"a": 1, "b.c": 2, "b.d.e": 3}
    assert nested(flat) == {"a": 1, "b": {"c": 2, "d": {"e": 3}}}


def test_every_packaged_preset_is_found_by_its_name():
    assert {"emam", "emam-paper", "sync-batch", "async-v2x", "fedasync", "fedbuff", "fedavg"} <= set(preset_names())
    for name in preset_names():
        assert read_toml(name)[1] == f"preset {name}"


def test_an_unknown_preset_lists_what_exists():
    with pytest.raises(
        ConfigError,
        match=r'no preset "emma"; did you mean "emam"\? there are alignment, alp-geolife, .*async-v2x, emam',
    ):
        RunConfig.from_toml("emma")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(
        ConfigError, match=r"no file .*absent\.toml; presets known by name: alignment, alp-geolife, .*async-v2x, emam"
    ):
        RunConfig.from_toml(tmp_path / "absent.toml")


def test_a_file_that_is_not_toml_is_named_with_the_place(tmp_path):
    (tmp_path / "broken.toml").write_text("seed = \n")
    with pytest.raises(ConfigError, match=r"broken\.toml is not TOML: .*line 1"):
        RunConfig.from_toml(tmp_path / "broken.toml")
