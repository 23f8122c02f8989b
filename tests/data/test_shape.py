"""What a server forms of clients' reports is what it would form of their rows."""

import json

import numpy as np
import pytest

from eafl_flower.core.rng import generator
from eafl_flower.data.row_summary import RowSummary
from eafl_flower.data.scaling import Scaler
from eafl_flower.data.shape import RowsReport, Shape
from eafl_flower.errors import DataError, ProtocolError


def rows_of(client, count=60):
    rng = generator(client, "rows")
    return rng.normal(client, 1 + client, (count, 3)) * [1.0, 1e3, 1e-3]


def report_of(client, classes=("a", "b"), columns=("u", "v", "w"), count=60):
    return RowsReport.of(columns, classes, RowSummary.of(rows_of(client, count)))


def shape_of(reports, **counts):
    counts = {"num_clients": len(reports), "num_seen": len(reports), **counts}
    return Shape.of(dict(enumerate(reports)), **counts)


def test_the_scaler_is_that_of_all_training_rows_together():
    shape, left_out = shape_of([report_of(client) for client in range(4)], num_clients=5)
    pooled = Scaler.fit(np.concatenate([rows_of(client) for client in range(4)]))
    assert left_out == {}
    np.testing.assert_array_equal(shape.scaler.mean, pooled.mean)
    np.testing.assert_array_equal(shape.scaler.scale, pooled.scale)
    assert (shape.num_clients, shape.num_seen) == (5, 4)


def test_the_ranges_are_the_quantiles_of_all_scaled_rows():
    shape, _ = shape_of([report_of(client, count=400) for client in range(4)])
    scaled = shape.scaler.apply(np.concatenate([rows_of(client, 400) for client in range(4)]))
    low, high = np.quantile(scaled, (0.005, 0.995), axis=0)
    np.testing.assert_allclose(shape.ranges.low, low, atol=0.2)
    np.testing.assert_allclose(shape.ranges.high, high, atol=0.2)


def test_the_quantiles_are_those_of_all_scaled_rows():
    shape, _ = shape_of([report_of(client, count=400) for client in range(4)])
    scaled = shape.scaler.apply(np.concatenate([rows_of(client, 400) for client in range(4)]))
    shares = np.arange(33) / 32
    np.testing.assert_allclose(shape.quantiles, np.quantile(scaled, shares, axis=0, method="higher"), atol=0.1)


def test_classes_are_the_sorted_union_in_the_spelling_of_most():
    reports = [report_of(k, classes) for k, classes in enumerate([("keep", "Brake"), ("brake",), ("brake", "turn")])]
    assert shape_of(reports)[0].class_names == ("brake", "keep", "turn")


def test_those_that_never_train_have_no_say():
    seen, unseen = report_of(0), report_of(9, ("a", "z"), columns=("other",) * 0 + ("u", "v", "w"))
    shape, _ = Shape.of({0: seen, 1: unseen}, num_clients=2, num_seen=1)
    assert shape.class_names == ("a", "b")
    np.testing.assert_array_equal(shape.scaler.mean, Scaler.fit(rows_of(0)).mean)


@pytest.mark.parametrize(
    ("odd", "words"),
    [
        (report_of(2, columns=("u", "v", "x")), "client 2 has columns .*x.*, expected .*w.*, unlike client 0"),
        (report_of(2, classes=("0", "1")), "client 2 has labels that are numbers, expected texts, unlike client 0"),
    ],
)
def test_whoever_disagrees_with_most_is_left_out_by_one_sentence(odd, words):
    shape, left_out = shape_of([report_of(0), report_of(1), odd])
    assert list(left_out) == [2]
    assert __import__("re").search(words, left_out[2])
    assert shape.disagreement(odd)
    assert not shape.disagreement(report_of(7, classes=("c",)))


def test_one_client_cannot_decide_alone_by_claiming_many_rows():
    liar = RowsReport.of(("u", "v", "w"), ("a",), RowSummary.of(np.full((1, 3), 1e6)))
    many = [type(c)(dropped=c.dropped, bins=c.bins, counts=c.counts * 2**39) for c in liar.summary.columns]
    liar = RowsReport.of(liar.columns, liar.classes, RowSummary(columns=tuple(many)))
    shape, _ = shape_of([report_of(0), report_of(1), report_of(2), liar])
    claimed, _ = shape_of([report_of(0), report_of(1), report_of(2), report_of(3, count=6000)])
    assert np.isfinite(shape.scaler.mean).all()
    assert claimed.scaler.scale[0] > 0


def test_one_class_or_nobody_who_trains_is_an_error():
    with pytest.raises(DataError, match=r"one class .*a"):
        shape_of([report_of(0, ("a",)), report_of(1, ("A",))])
    with pytest.raises(DataError, match="no client that trains"):
        Shape.of({3: report_of(0)}, num_clients=4, num_seen=2)


def test_reports_and_shapes_travel_exactly():
    report = report_of(1)
    back = RowsReport.from_fields(report.to_fields(), "it")
    assert (back.columns, back.classes, back.labels) == (report.columns, report.classes, "texts")
    for a, b in zip(back.summary.columns, report.summary.columns, strict=True):
        assert a.dropped == b.dropped
        np.testing.assert_array_equal(a.bins, b.bins)
        np.testing.assert_array_equal(a.counts, b.counts)
    shape, _ = shape_of([report_of(0), report])
    again = Shape.from_json(shape.to_json())
    assert again.to_json() == shape.to_json()
    np.testing.assert_array_equal(again.scaler.scale, shape.scaler.scale)
    np.testing.assert_array_equal(again.quantiles, shape.quantiles)


GOOD = report_of(0).to_fields()


@pytest.mark.parametrize(
    "wrong",
    [
        {"columns": []},
        {"columns": ["u", "u", "w"]},
        {"columns": "uvw"},
        {"columns": ["u", "v"]},
        {"classes": [1, 2]},
        {"classes": ["x" * 10_000]},
        {"classes": [f"c{i}" for i in range(2000)]},
        {"bins": b"123"},
        {"bins": GOOD["bins"][:-8]},
        {"bins": bytes(len(GOOD["bins"]))},
        {"bins": b"\xff" * len(GOOD["bins"])},
        {"counts": bytes(len(GOOD["counts"]))},
        {"counts": b"\xff" * len(GOOD["counts"])},
        {"counts": b"\xff\xff\xff\xff\xff\xff\xff\x7f" * (len(GOOD["counts"]) // 8)},
        {"sizes": [10**9, 1, 1]},
        {"sizes": [-1, 1, 1]},
        {"sizes": "many"},
        {"dropped": [400, 0, 0]},
        {"dropped": [1.5, 0, 0]},
        {"dropped": None},
    ],
    ids=str,
)
def test_a_report_that_cannot_be_is_refused(wrong):
    with pytest.raises(ProtocolError, match="node 5 tells of its rows what cannot be"):
        RowsReport.from_fields({**GOOD, **wrong}, "node 5")


@pytest.mark.parametrize(
    "change",
    [
        {"mean": [1.0]},
        {"scale": [float("nan")] * 3},
        {"classes": 3},
        {"limit": "x"},
        {"quantiles": None},
        {"quantiles": [[0.0] * 3] * 32},
        {"quantiles": [[0.0] * 2] * 33},
        {"quantiles": [[0.0] * 3] * 32 + [[0.0] * 2]},
        {"quantiles": [[0.0] * 3] * 32 + [[0.0, -1.0, 0.0]]},
        {"quantiles": [[0.0] * 3] * 32 + [[0.0, float("inf"), 0.0]]},
        {"quantiles": [[0] * 3] * 32 + [[0, 10**400, 0]]},
        {"quantiles": [["high"] * 3] * 33},
        {"mean": [10**400] * 3},
    ],
    ids=lambda change: str(change)[:60],
)
def test_a_shape_that_cannot_be_is_refused(change):
    told = json.loads(shape_of([report_of(0), report_of(1)])[0].to_json())
    with pytest.raises(ProtocolError, match="a shape of data cannot be read"):
        Shape.from_json(json.dumps({**told, **change}))
    with pytest.raises(ProtocolError, match="a shape of data cannot be read"):
        Shape.from_json("nonsense")


def test_a_shape_without_quantiles_is_of_another_version():
    told = json.loads(shape_of([report_of(0), report_of(1)])[0].to_json())
    del told["quantiles"]
    with pytest.raises(ProtocolError, match=r"quantiles.*server and node need the same eafl-flower"):
        Shape.from_json(json.dumps(told))
