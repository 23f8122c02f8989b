import dataclasses

import numpy as np
import pytest

from eafl_flower.core.rng import generator
from eafl_flower.data.content import content_of
from eafl_flower.data.sets.own_csv import load_csv


def written(path, change=lambda rows: rows, header="a,b,who,kind"):
    rng = generator(1, "table")
    rows = [[f"{rng.normal(i % 3):.4f}", f"{rng.normal(i % 2):.4f}", f"car{i % 5}", "xyz"[i % 3]] for i in range(200)]
    path.write_text("\n".join([header, *(",".join(row) for row in change(rows))]) + "\n")
    return path


def content(path, **options):
    given = {"label": "kind", "client": "who", "clients": 0, "unseen": 1, "seed": 1, **options}
    return content_of(load_csv(path, **given))


def test_it_is_that_of_the_rows_wherever_and_whenever_the_file_was_written(tmp_path):
    first = content(written(tmp_path / "a.csv"))
    (tmp_path / "deep").mkdir()
    assert content(written(tmp_path / "deep" / "b.csv")) == first
    assert first.counts["clients"] == 5
    assert first.counts["clients that train"] == 4
    assert first.counts["features"] == 2


def test_other_numbers_of_rows_clients_or_classes_are_told(tmp_path):
    before = content(written(tmp_path / "a.csv"))
    fewer = content(written(tmp_path / "b.csv", lambda rows: [r for r in rows[:150] if r[2] != "car4"]))
    changes = before.changes_to(fewer)
    assert "clients: 5 -> 4" in changes
    assert any(change.startswith("training rows: ") for change in changes)
    two = content(written(tmp_path / "c.csv", lambda rows: [[*r[:3], r[3].replace("z", "y")] for r in rows]))
    assert "classes: 3 -> 2" in before.changes_to(two)


def swapped_labels(rows):
    return [[*r[:3], {"x": "y", "y": "x"}.get(r[3], r[3])] for r in rows]


def one_value(rows):
    return [[rows[0][0] + "1", *rows[0][1:]], *rows[1:]]


def in_other_units(rows):
    return [[repr(1024 * float(r[0])), *r[1:]] for r in rows]


def renamed(rows):
    return [[*r[:2], f"my{r[2]}", r[3]] for r in rows]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (swapped_labels, "other labels"),
        (one_value, "other values"),
        (in_other_units, "other scaling"),
        (renamed, "other names of clients"),
    ],
)
def test_equal_counts_but_other_content_is_told_by_its_kind(tmp_path, change, told):
    before = content(written(tmp_path / "a.csv"))
    after = content(written(tmp_path / "b.csv", change))
    assert after.counts == before.counts
    assert after.sha256 != before.sha256
    assert told in before.changes_to(after)


def test_who_holds_which_rows_is_part_of_it(tmp_path):
    path = written(tmp_path / "a.csv")
    dealt = [content(path, client="", clients=4, seed=seed) for seed in (1, 1, 2)]
    assert dealt[0] == dealt[1]
    assert dealt[0].sha256 != dealt[2].sha256


def test_the_order_of_bytes_in_memory_is_not(tmp_path):
    source = load_csv(written(tmp_path / "a.csv"), label="kind", client="who", clients=0, unseen=1, seed=1)
    big = tuple(
        dataclasses.replace(p, x_train=np.asfortranarray(p.x_train.astype(">f4")), y_train=p.y_train.astype(">i8"))
        for p in source.parts
    )
    assert content_of(dataclasses.replace(source, parts=big)) == content_of(source)
