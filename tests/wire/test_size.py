"""Sizes as Flower serialises records, held against Flower's own objects."""

from typing import Any

import numpy as np
import pytest
from flwr.app import Array as FlowerArray
from flwr.app import ArrayRecord, ConfigRecord, MetricRecord, RecordDict

from eafl_flower.engines.flower_internals import CHUNK_BYTES
from eafl_flower.wire.arrays import array_record
from eafl_flower.wire.size import framed_bytes


def size_of_all_objects(parent: Any) -> int:
    """Serialise an object and all its children, each as often as it occurs."""
    children = parent.values() if isinstance(parent, ArrayRecord) else []
    if isinstance(parent, FlowerArray):
        children = [chunk for _, chunk in parent.slice_array()]
    return len(parent.deflate()) + sum(size_of_all_objects(child) for child in children)


VALUES: list[Any] = [
    0, 1, -1, 63, 64, -64, -65, 2**31, -(2**63), 2**63 - 1, 2**63, 2**64 - 1, 0.0, -1.5, float("nan"),
    [], [0], [1, -1, 300, -(2**40)], [2**63, 5], [0.0, 1.0], [0.5] * 40,
]  # fmt: skip
ONLY_CONFIG: list[Any] = [
    True, False, "", "text", "Grüße 世界", "x" * 127, "x" * 128, b"", b"\0" * 20_000,
    [True, False], ["", "a", "ü" * 100], [b"", b"abc" * 50],
]  # fmt: skip


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_a_metric_record_counts_what_flower_makes_of_it(value: Any) -> None:
    record = MetricRecord({"num-examples": 12, "ü": value})
    assert framed_bytes(RecordDict({"metrics": record})) == len(record.deflate())


@pytest.mark.parametrize("value", VALUES + ONLY_CONFIG, ids=lambda value: repr(value)[:20])
def test_a_config_record_counts_what_flower_makes_of_it(value: Any) -> None:
    for record in (ConfigRecord({"k": value}), ConfigRecord({"k" * 200: value, "second": 3})):
        assert framed_bytes(RecordDict({"config": record})) == len(record.deflate())


def test_empty_records_are_headers() -> None:
    for record in (ArrayRecord(), ConfigRecord(), MetricRecord()):
        assert framed_bytes(RecordDict({"record": record})) == len(record.deflate())


def test_an_array_record_counts_its_arrays_and_their_chunks() -> None:
    rng = np.random.default_rng(1)
    arrays = [
        rng.standard_normal((64, 10), dtype=np.float32),
        rng.standard_normal(3),
        np.array(7),
        rng.integers(0, 255, CHUNK_BYTES + 1).astype(np.uint8),
        rng.integers(0, 255, (2, CHUNK_BYTES // 2 - 64)).astype(np.uint8),
    ]
    for keys in ("01234", ['"quoted"', "ü", "", "a.b", "\n"]):
        record = array_record(list(keys), arrays)
        assert framed_bytes(RecordDict({"arrays": record})) == size_of_all_objects(record)


def test_an_array_without_data_has_no_chunks() -> None:
    record = ArrayRecord({"0": FlowerArray("float32", (), "numpy.ndarray", b"")})
    assert framed_bytes(RecordDict({"arrays": record})) == size_of_all_objects(record)


def test_the_sizes_of_all_records_add_up() -> None:
    content = RecordDict({"arrays": array_record(["0"], [np.arange(9.0)]), "metrics": MetricRecord({"loss": 0.5})})
    assert framed_bytes(content) == sum(size_of_all_objects(record) for record in content.values())
