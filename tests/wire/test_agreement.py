"""Statements of what both halves have alike."""

import numpy as np
import pytest

from eafl_flower.codecs import LQGCMCodec
from eafl_flower.types import layout_of
from eafl_flower.wire.agreement import disagreement, layout_in_words, statement, to_text


@pytest.mark.parametrize("value", ["a", 1, 1.5, True, None, float("nan"), float("inf")])
def test_what_is_alike_is_no_disagreement(value):
    assert disagreement({"x": value, "x.y": 3}, {"x": value, "x.y": 3}) == ""


def test_what_only_one_side_states_is_not_compared():
    assert disagreement({"x": 1}, {"y": 2}) == disagreement({}, {"y": 2}) == disagreement({"x": 1}, {}) == ""


def test_of_another_class_its_settings_are_not_told():
    line = disagreement({"task": "Tabular", "task.hidden": 8}, {"task": "Fractal", "task.depth": 2})
    assert line.startswith("task is Fractal on the node and Tabular in the run: ")


def test_of_many_settings_the_first_are_told_and_the_others_counted():
    ours, theirs = ({"x": "X", **{f"x.{i}": i + more for i in range(9)}} for more in (0, 1))
    line = disagreement(ours, theirs)
    assert "x.2 is 3 on the node and 2 in the run; 6 more settings of x differ: make x the same" in line


def test_layouts_of_other_shapes_or_dtypes_are_told_apart():
    arrays = [np.zeros(6, np.float32)], [np.zeros((2, 3), np.float32)], [np.zeros(6)], [np.zeros(6), np.zeros(6)]
    assert len({layout_in_words(layout_of(some)) for some in arrays}) == 4


def test_a_key_of_a_codec_is_not_stated():
    codec = LQGCMCodec(mode="dithered", session_key=b"k" * 32)
    stated = statement(codec=codec)
    assert stated["codec.mode"] == "dithered"
    assert "key" not in to_text(stated) and "kkk" not in to_text(stated)
