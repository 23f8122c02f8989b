import numpy as np
import pytest

from eafl_flower.data.texts.rows import LeftOut, TextRows, without_copies


def rows(*pairs):
    texts, labels = zip(*pairs, strict=True)
    return TextRows(name="made", texts=texts, labels=np.array(labels), class_names=("no", "yes"))


def test_of_the_same_texts_the_first_stays():
    kept = without_copies(rows(("Good film.", 1), ("bad", 0), ("good film", 1), ("GOOD FILM", 1)))
    assert kept.texts == ("Good film.", "bad")
    assert kept.labels.tolist() == [1, 0]
    assert kept.left_out == LeftOut(repeated=2)


def test_a_text_of_two_classes_does_not_stay():
    kept = without_copies(rows(("so so", 1), ("so so.", 0), ("so so", 1), ("fine", 1)))
    assert kept.texts == ("fine",)
    assert kept.left_out == LeftOut(contradictory=3)


def test_texts_without_a_word_are_counted_as_such_whatever_their_class():
    assert without_copies(rows((" ...", 1), ("", 0), ("fine", 1))).left_out == LeftOut(empty=2)


def test_every_text_is_either_kept_or_counted():
    rng = np.random.default_rng(3)
    made = rows(*((" ".join(rng.choice(["a", "b", "?"], 2)), int(rng.integers(2))) for _ in range(200)))
    kept = without_copies(made)
    out = kept.left_out
    assert len(kept) + out.empty + out.repeated + out.contradictory == len(made)
    assert without_copies(kept).texts == kept.texts


def test_taking_rows_takes_their_labels_along():
    made = rows(("a", 0), ("b", 1), ("c", 1))
    taken = made.take([2, 0])
    assert (taken.texts, taken.labels.tolist(), taken.counts) == (("c", "a"), [1, 0], {"no": 1, "yes": 1})
    assert len(made.take([])) == 0


@pytest.mark.parametrize(
    ("left_out", "words"),
    [
        (LeftOut(), "nothing"),
        (LeftOut(empty=1, repeated=1200), "1 text without a word, 1,200 texts that repeat others"),
    ],
)
def test_what_was_left_out_is_told_in_words(left_out, words):
    assert str(left_out) == words
