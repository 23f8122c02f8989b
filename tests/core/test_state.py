from dataclasses import dataclass, field, replace

import numpy as np

from eafl_flower.core.state import changed_fields, flatten, restore


@dataclass(frozen=True)
class Inner:
    size: int = 3


@dataclass(frozen=True, eq=False)
class Outer:
    name: str = ""
    inner: Inner = Inner()
    values: np.ndarray = field(default_factory=lambda: np.zeros(0))


def test_what_changed_is_all_there_is_to_store():
    fresh = Outer()
    assert changed_fields(fresh, fresh) == {}
    state = replace(fresh, inner=Inner(5), values=np.arange(3.0))
    changed = changed_fields(state, fresh)
    assert sorted(changed) == ["inner", "values"]
    again = replace(fresh, **changed)
    assert (again.name, again.inner) == ("", Inner(5))
    np.testing.assert_array_equal(again.values, state.values)


def test_values_of_a_dictionary_take_their_classes_from_those_of_the_same_key():
    template = {"inner": Inner(), "values": np.zeros(0), "name": ""}
    arrays, tree = flatten({"values": np.arange(3.0), "inner": Inner(7)})
    again = restore(template, arrays, tree)
    assert again["inner"] == Inner(7)
    np.testing.assert_array_equal(again["values"], np.arange(3.0))


def test_values_of_unknown_keys_take_their_class_from_any():
    arrays, tree = flatten({7: Inner(1), 9: Inner(2)})
    assert restore({0: Inner()}, arrays, tree) == {7: Inner(1), 9: Inner(2)}
