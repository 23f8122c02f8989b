import pytest
from tiny_clients import counting_app, train_message

from eafl_flower.engines import InlineGrid, WaitingGrid, wait_for


class PollingGrid(InlineGrid):
    """Answers like Flower's own grids: never blocks, has the reply after some questions."""

    wait = None

    def __init__(self, questions):
        super().__init__(counting_app(), 2)
        self.questions = questions

    def pull_messages(self, message_ids):
        self.questions -= 1
        return super().pull_messages(message_ids) if self.questions <= 0 else []


def test_a_grid_that_cannot_wait_is_asked_until_it_has_a_reply():
    grid = PollingGrid(questions=5)
    ids = grid.push_messages([train_message(2), train_message(3)])
    assert [reply.metadata.reply_to_message_id for reply in wait_for(grid, ids, poll_s=1e-4)] == ids
    assert grid.questions == 0


def test_a_wait_ends_at_its_timeout():
    grid = PollingGrid(questions=10**9)
    assert wait_for(grid, grid.push_messages([train_message(2)]), timeout_s=0.02) == []
    assert grid.questions < 10**9


def test_a_timeout_of_zero_asks_once():
    grid = PollingGrid(questions=1)
    assert len(wait_for(grid, grid.push_messages([train_message(2)]), timeout_s=0.0)) == 1
    grid = PollingGrid(questions=2)
    assert wait_for(grid, grid.push_messages([train_message(2)]), timeout_s=0.0) == []


def test_only_grids_with_a_wait_are_waiting_grids():
    assert isinstance(InlineGrid(counting_app(), 1), WaitingGrid)
    assert not isinstance(PollingGrid(questions=1), WaitingGrid)


class UnreadableGrid(PollingGrid):
    """Fails as Flower does when one node's reply is not made of records."""

    def __init__(self, unreadable, error):
        super().__init__(questions=0)
        self.unreadable, self.error = unreadable, error

    def pull_messages(self, message_ids):
        ids = list(message_ids)
        if self.unreadable.intersection(ids):
            raise self.error
        return super().pull_messages(ids)


@pytest.mark.parametrize("error", [ValueError("Unexpected set of `children`" + "x" * 10**6), KeyError("dtype")])
def test_a_reply_that_cannot_be_read_is_an_error_of_its_node_alone(error):
    grid = UnreadableGrid(set(), error)
    ids = list(grid.push_messages([train_message(2), train_message(3)]))
    grid.unreadable = {ids[0]}
    replies = {reply.metadata.reply_to_message_id: reply for reply in wait_for(grid, ids, timeout_s=5.0)}
    assert "the reply cannot be read" in replies[ids[0]].error.reason
    assert len(replies[ids[0]].error.reason) < 400
    assert replies[ids[1]].has_content()


def test_trouble_with_the_connection_is_not_taken_for_a_reply():
    grid = UnreadableGrid(set(), ConnectionError("refused"))
    grid.unreadable = set(grid.push_messages([train_message(2)]))
    with pytest.raises(ConnectionError):
        wait_for(grid, grid.unreadable, timeout_s=5.0)
