import numpy as np
import pytest

from eafl_flower.heads.pruning import new_record
from eafl_flower.heads.size import LARGEST, SMALLEST, HeadSize, block_parameters, parse_sizes, size_of
from eafl_flower.models.fractal import Fractal


@pytest.mark.parametrize(("inputs", "count"), [(7, 7296), (6, 7168), (13, 8064), (43, 11904), (297, 44416)])
def test_the_shared_block_has_the_number_of_parameters_of_its_source(inputs, count):
    assert block_parameters(inputs, 32, 2) == count


def test_the_smallest_head_with_an_inner_node_fits_the_count_of_the_specification():
    assert HeadSize(1, 16).parameters(11) == 1787


@pytest.mark.parametrize("depth", range(5))
@pytest.mark.parametrize("width", [1, 16, 24, 32])
def test_the_formula_counts_the_arrays(depth, width):
    head = Fractal(32, width, depth, 5).init(np.random.default_rng(0))
    assert sum(a.size for a in head) == HeadSize(depth, width).parameters(5)
    assert size_of(head) == (depth, width, HeadSize(depth, width).parameters(5))
    assert size_of((*head, new_record(depth))) == size_of(head)


def test_the_ladder_goes_down_in_depth_and_then_in_width():
    ladder, size = [], LARGEST
    while size is not None:
        ladder.append(str(size))
        size = size.next_smaller()
    assert ladder == ["4x32", "3x32", "2x32", "1x32", "0x32", "0x24", "0x16"]
    assert ladder[-1] == str(SMALLEST)
    assert HeadSize(0, 20).next_smaller() == SMALLEST


@pytest.mark.parametrize("size", [LARGEST, HeadSize(3, 24), HeadSize(0, 20)])
def test_each_step_down_has_fewer_parameters(size):
    while (smaller := size.next_smaller()) is not None:
        assert smaller.parameters(5) < size.parameters(5)
        size = smaller


def test_sizes_are_read_as_they_are_written():
    sizes = (HeadSize(1, 16), HeadSize(4, 32), HeadSize(0, 5))
    assert parse_sizes(", ".join(map(str, sizes))) == sizes
    assert parse_sizes(" ") == ()


@pytest.mark.parametrize(
    "text", ["1x16,", "1x33", "5x16", "1x0", "x16", "1x", "16", "-1x16", "1x1e1", "²x16", "1x0000016"]
)
def test_what_is_no_size_is_named(text):
    with pytest.raises(ValueError, match="is not a depth from 0 to 4 and a width from 1 to 32"):
        parse_sizes(text)
