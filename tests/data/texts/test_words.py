import numpy as np
import pytest

from eafl_flower.data.texts.words import letters_of, same_text, words_of


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("It doesn't work!", "it does n't work ."),
        ("\uff26\uff35LL width", "full-width"),
        ("STRASSE", "straße"),
        ("Clásicos", "Cla\u0301sicos"),
    ],
)
def test_texts_that_are_only_written_differently_are_the_same(one, other):
    assert letters_of(one) == letters_of(other)


@pytest.mark.parametrize(("one", "other"), [("कि", "का"), ("can", "can't"), ("1 a", "2 a"), ("拥堵", "拥")])
def test_texts_of_other_letters_are_not_the_same(one, other):
    assert letters_of(one) != letters_of(other)


def test_equal_words_in_equal_order_are_the_same_text():
    rng = np.random.default_rng(0)
    words = ["so", "far", "é", "x2", "ok"]
    for _ in range(50):
        chosen = rng.choice(words, 6)
        one, other = (" ".join(f"{w}{rng.choice(['', ' ,', '!', ' -'])}" for w in chosen) for _ in range(2))
        assert words_of(one) == words_of(other)
        assert letters_of(one) == letters_of(other)


def test_the_same_texts_get_the_number_of_their_first_appearance():
    assert same_text(["b !", "a", "B", "A.", "c"]).tolist() == [0, 1, 0, 1, 2]


def test_a_text_without_letters_has_none():
    assert letters_of(" -- ?! … 🙂") == ""
