import json
from dataclasses import dataclass, field

import numpy as np

from eafl_flower.app.resolving import resolve
from eafl_flower.app.resuming import provenance_of
from eafl_flower.codecs import LQGCMCodec
from eafl_flower.config import RunConfig
from eafl_flower.config.effects import MERGES, WITHOUT_EFFECT
from eafl_flower.config.run_config import known_settings
from eafl_flower.core.provenance import Content, Provenance, plain_settings, setting_changes


def test_equal_provenance_has_no_changes_and_one_digest():
    one = Provenance(settings={"a": 1, "b": "x"}, data=Content(counts={"rows": 3}, digests={"labels": "l"}))
    other = Provenance(settings={"b": "x", "a": 1}, data=Content(counts={"rows": 3}, digests={"labels": "l"}))
    assert one.changes_to(other) == ""
    assert (one.settings_sha256, one.data.sha256) == (other.settings_sha256, other.data.sha256)


def test_changes_name_old_and_new_values_in_one_line():
    old = Provenance(settings={"alpha": 0.8, "seed": 1}, data=Content(counts={"rows": 1200}))
    new = Provenance(settings={"alpha": 0.1, "seed": 1}, data=Content(counts={"rows": 900}))
    assert old.changes_to(new) == "with other settings (alpha: 0.8 -> 0.1) and from other data (rows: 1,200 -> 900)"
    assert old.without("alpha").changes_to(new.without("alpha")) == "from other data (rows: 1,200 -> 900)"


def test_many_changes_are_counted_not_listed():
    old, new = ({f"s{i}": i * k for i in range(1, 21)} for k in (1, 2))
    assert Provenance(settings=old).changes_to(Provenance(settings=new)).endswith("s6: 6 -> 12 and 14 more)")


@dataclass(frozen=True)
class Part:
    rate: float
    table: np.ndarray = field(default_factory=lambda: np.zeros(3), repr=False)
    secret: bytes = field(default=b"hush", repr=False)


@dataclass(frozen=True)
class Whole:
    part: object
    names: tuple = ("a", "b")


def test_a_part_is_told_with_all_it_consists_of_but_its_secrets():
    plain = plain_settings("whole", Whole(Part(0.5)))
    assert plain["whole"] == "Whole"
    assert (plain["whole.part.rate"], plain["whole.names.1"]) == (0.5, "b")
    assert "hush" not in repr(plain)
    assert not any("secret" in key for key in plain)
    assert json.loads(json.dumps(plain)) == plain
    assert plain == plain_settings("whole", Whole(Part(0.5, secret=b"another")))


def test_other_numbers_in_an_array_are_another_setting():
    zeros, ones = (plain_settings("p", Part(1.0, table=np.full(3, value))) for value in (0.0, 1.0))
    (change,) = setting_changes(zeros, ones)
    assert change.startswith("p.table: array ")


def test_of_a_part_of_another_class_only_the_class_is_told():
    before, now = plain_settings("whole", Whole(Part(0.5))), plain_settings("whole", Whole(None))
    assert setting_changes(before, now) == ["whole.part: Part -> None"]


def test_a_function_is_known_by_its_name_and_an_object_by_its_class():
    assert plain_settings("f", json.dumps) == {"f": "json.dumps"}
    assert plain_settings("o", object()) == {"o": "object"}


def test_a_key_of_the_users_is_no_setting():
    assert plain_settings("c", LQGCMCodec(mode="dithered", session_key=b"k" * 32)) == plain_settings(
        "c", LQGCMCodec(mode="dithered")
    )


def test_settings_without_effect_exist_and_change_nothing():
    known = known_settings()
    keys = {key for key in known for name in WITHOUT_EFFECT if key == name or key.startswith(f"{name}.")}
    assert {name for name in WITHOUT_EFFECT if any(k == name or k.startswith(f"{name}.") for k in keys)} == set(
        WITHOUT_EFFECT
    )
    assert RunConfig().decisive().keys() == RunConfig().settings().keys() - keys
    assert MERGES in RunConfig().decisive()
    small = {"data.clients": 4, "data.unseen": 1, "data.idm.rows-per-client": 16}
    elsewhere = {"name": "x", "results.dir": "y", "engine.name": "ray", "checkpoint.every": 9, "job.error-budget": 3}
    one = provenance_of(resolve(RunConfig().replace(small)))
    assert one == provenance_of(resolve(RunConfig().replace({**small, **elsewhere})))
    assert one != provenance_of(resolve(RunConfig().replace({**small, "strategy.emam.mu": 0.5})))
    assert one.data.sha256 != provenance_of(resolve(RunConfig().replace({**small, "seed": 2}))).data.sha256
