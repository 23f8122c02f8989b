"""Settings: what an annotation says, and that it holds for those who construct a part in Python."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import numpy as np
import pytest

from eafl_flower.core.settings import (
    NOT_A_SETTING,
    Count,
    CountFromOne,
    File,
    Range,
    SettingsError,
    check_settings,
    fields_of,
    settings_of,
)
from eafl_flower.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class Part:
    rate: Annotated[float, Range(0, 1, above=True)] = 0.5
    rows: Count = 0
    widths: tuple[CountFromOne, ...] = (8, 4)
    kind: Literal["a", "b"] = "a"
    quick: bool = False
    table: File = ""
    client: int = field(default=0, metadata=NOT_A_SETTING)
    pair: tuple[int, int] = (1, 2)
    rule: Callable[[int], float] | None = None
    numbers: dict[str, Any] = field(default_factory=dict)
    made: int = field(init=False, default=0)

    def __post_init__(self):
        check_settings(self, kind="b is not for quick ones" if self.quick and self.kind == "b" else "")


def test_fields_of_other_types_and_those_that_are_marked_are_no_settings():
    assert list(settings_of(Part, "x.")) == ["x.rate", "x.rows", "x.widths", "x.kind", "x.quick", "x.table"]
    assert [name for name, setting in fields_of(Part).items() if setting.is_file] == ["table"]


def test_numbers_of_numpy_are_numbers_and_an_integer_passes_for_one():
    part = Part(rate=1, rows=np.int64(3), widths=(np.int32(2),))
    assert (part.rate, part.rows, part.widths) == (1, 3, (2,))
    assert Part(rate=np.float32(0.5)).rate == 0.5


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"rate": 0.0}, r"rate = 0\.0: expected a number above 0 and at most 1"),
        ({"rate": float("nan")}, "rate = nan: expected a number"),
        ({"rate": True}, "rate = True: expected a number"),
        ({"rate": "0.5"}, "rate = '0.5': expected a number"),
        ({"rows": 1.5}, r"rows = 1\.5: expected an integer of at least 0"),
        ({"rows": False}, "rows = False: expected an integer"),
        ({"widths": [8]}, r"widths = \[8\]: expected integers of at least 1"),
        ({"widths": (8, 0)}, r"widths = \(8, 0\): expected integers of at least 1"),
        ({"kind": "c"}, """kind = 'c': expected "a" or "b\""""),
        ({"quick": 1}, "quick = 1: expected true or false"),
        ({"table": "a\0b"}, "table = .*: expected text in Unicode"),
        ({"kind": "b", "quick": True}, "kind = 'b': b is not for quick ones"),
    ],
)
def test_a_value_out_of_its_range_is_refused_in_python_too(values, message):
    with pytest.raises(ConfigError, match=f"^Part: {message}"):
        Part(**values)


def test_all_that_is_wrong_with_a_part_is_told_by_the_names_of_its_fields():
    with pytest.raises(SettingsError) as caught:
        Part(rate=2, kind="b", quick=True, rows=-1)
    assert list(caught.value.problems) == ["kind", "rate", "rows"]
    assert str(caught.value).count("; ") == 2
