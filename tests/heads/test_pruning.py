import numpy as np
import pytest

from eafl_flower.core.rng import generator
from eafl_flower.errors import ProtocolError
from eafl_flower.heads.pruning import PATIENCE, looked_at, new_record, pruned_nodes, split_record, variation


def looks(record, *scores, threshold=0.1):
    """Look as often as there are scores; return the record and what was pruned at each look."""
    pruned = []
    for each in scores:
        record, gone = looked_at(record, each, threshold)
        pruned.append(gone)
    return record, pruned


def test_a_constant_output_does_not_vary_and_a_centred_one_does_nothing_else():
    rng = generator(1, "outputs")
    constant = np.broadcast_to(rng.standard_normal((4, 1)), (4, 100))
    centred = rng.standard_normal((4, 100))
    centred -= centred.mean(axis=1, keepdims=True)
    scores = variation(np.stack([constant, centred, np.zeros((4, 100))]))
    assert scores == pytest.approx([0, 1, 0], abs=1e-12)


def test_the_score_does_not_depend_on_the_scale():
    outputs = 1 + generator(1, "outputs").standard_normal((3, 4, 50))
    assert variation(1000 * outputs) == pytest.approx(variation(outputs))


def test_a_subtree_goes_after_several_low_looks_in_a_row():
    low, high = {2: 0.0, 3: 1.0}, {2: 0.5, 3: 1.0}
    _, pruned = looks(new_record(1), *[low] * (PATIENCE - 1), high, *[low] * PATIENCE)
    assert pruned == [()] * (2 * PATIENCE - 1) + [(2,)]


def test_of_two_children_the_one_that_varies_more_stays():
    both = {2: 0.02, 3: 0.01}
    record, pruned = looks(new_record(1), *[both] * PATIENCE)
    assert pruned[-1] == (3,)
    record, pruned = looks(record, *[{2: 0.0}] * 10)
    assert pruned == [()] * 10
    assert pruned_nodes(record) == (3,)


def test_large_subtrees_go_before_those_inside_them():
    scores = {2: 0.01, 3: 1.0, 4: 0.0, 5: 1.0, 6: 0.0, 7: 1.0}
    record, pruned = looks(new_record(2), *[scores] * PATIENCE)
    assert pruned[-1] == (2, 6)
    assert pruned_nodes(record) == (2, 6)
    assert record.tolist() == [0, 0, -1, 0, -1, -1, -1, 0]


def test_a_subtree_around_a_pruned_one_can_still_go():
    scores = {2: 1.0, 3: 1.0, 4: 0.0, 5: 1.0, 6: 1.0, 7: 1.0}
    record, _ = looks(new_record(2), *[scores] * PATIENCE)
    assert pruned_nodes(record) == (4,)
    record, _ = looks(record, *[{2: 0.0, 3: 1.0, 5: 1.0, 6: 1.0, 7: 1.0}] * PATIENCE)
    assert pruned_nodes(record) == (2,)


def test_a_look_leaves_the_record_it_is_given_alone():
    record = new_record(1)
    looked_at(record, {2: 0.0, 3: 1.0}, 0.1)
    assert not record.any()


def test_the_record_is_the_only_array_of_integers():
    arrays = (np.zeros(3, np.float32), np.zeros(2, np.float32))
    assert split_record(arrays) == (arrays, None)
    found, record = split_record((*arrays, new_record(0)))
    assert found == arrays
    assert record.tolist() == [0, 0]


@pytest.mark.parametrize(
    "entries",
    [
        [],
        [0],
        [0, 0, 0],
        [0, 0, 0, 0, 0, 0],
        [-1, 0, 0, 0],
        [0, 1, 0, 0],
        [0, -1, 0, 0],
        [0, 0, -2, 0],
        [0, 0, -1, -1],  # both children of the root
        [0, 0, -1, 0, 0, 0, 0, 0],  # lives below a pruned one
        [0, 0, 0, 0, -1, -1, 0, 0],
    ],
)
def test_a_record_that_no_pruning_leads_to_is_refused(entries):
    with pytest.raises(ProtocolError, match="record of a head's pruning is damaged"):
        pruned_nodes(np.array(entries, np.int32))


def test_a_record_of_another_shape_is_refused():
    with pytest.raises(ProtocolError, match="damaged"):
        pruned_nodes(np.zeros((2, 2), np.int32))
