"""A ClientApp with ``compression_mod`` is known to decode, whatever else it can answer."""

import numpy as np
import pytest
from flwr.app import ArrayRecord, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from eafl_flower.clients import compression_mod
from eafl_flower.codecs import Float32Codec, Int8Codec, LQGCMCodec
from eafl_flower.engines.inline import InlineGrid
from eafl_flower.errors import ConfigError
from eafl_flower.runs.members.roster import roster_question
from eafl_flower.runs.members.roster_answers import answer_of
from eafl_flower.strategies import AsyncEMAM

CODECS = [Float32Codec(), Int8Codec(block_size=4), LQGCMCodec(tuples=4, downlink_tuples=4)]


def template_app(codec):
    app = ClientApp(mods=[] if codec is None else [compression_mod(codec)])

    @app.train()
    def train(message, context):
        client = context.node_config["partition-id"]
        arrays = [a + np.float32(0.1 * (client + 1)) for a in message.content["arrays"].to_numpy_ndarrays()]
        metrics = MetricRecord({"num-examples": 5 * (client + 1)})
        return Message(RecordDict({"arrays": ArrayRecord(arrays), "metrics": metrics}), reply_to=message)

    return app


def asked(app, make_message, make_context, **node_config):
    """What the server hears of a node whose app has no answer to the query itself."""
    context = make_context(2, 6)
    context.node_config.update(node_config)
    message = make_message("train")
    message.content, message.metadata.message_type = roster_question(of_mods=True)
    return app(message, context)


def test_the_mod_answers_for_an_app_that_has_no_answer_that_the_number_of_examples_is_not_known(
    make_message, make_context
):
    reply = asked(template_app(CODECS[0]), make_message, make_context)
    assert reply.content["roster"]["kind"] == "delta"
    answer = answer_of(reply, 4, most=100)
    member, total = answer.member, answer.num_partitions
    assert (member.client, member.num_examples, member.counted, member.plain, total) == (2, 1, False, False, 6)


def test_an_app_without_the_mod_is_not_taken_for_one_that_decodes(make_message, make_context):
    with pytest.raises(KeyError, match="arrays"):
        asked(template_app(None), make_message, make_context)


def test_a_node_that_does_not_know_its_partition_says_so(make_message, make_context):
    with pytest.raises(ConfigError, match=r"partition-id = 'x'.*--node-config"):
        asked(template_app(CODECS[0]), make_message, make_context, **{"partition-id": "x"})


def test_mods_are_asked_only_where_there_is_a_codec():
    def run(codec):
        grid = InlineGrid(template_app(CODECS[0]), 3)
        asked, push = [], grid.push_messages
        grid.push_messages = lambda messages: push(asked.append("roster" in m.content) or m for m in messages)
        AsyncEMAM(codec=codec, evaluate_clients=False).start(grid, ArrayRecord([np.zeros(9, np.float32)]), num_rounds=3)
        return sum(asked)

    assert (run(None), run(CODECS[0])) == (0, 3)


@pytest.mark.parametrize("codec", CODECS, ids=str)
def test_an_app_of_flowers_template_with_the_mod_is_sent_payloads_by_our_strategies(codec, caplog):
    strategy = AsyncEMAM(codec=codec, evaluate_clients=False, concurrency=2, unit="merges")
    start = ArrayRecord([np.zeros((40, 5), np.float32)])
    strategy.start(InlineGrid(template_app(codec), 4), start, num_rounds=30)
    jobs = strategy.run.jobs
    assert not any(m.plain for m in jobs.members.values())
    assert sorted(jobs.table.num_examples) == [5, 10, 15, 20]  # what the first replies told
    assert (strategy.run.tally.errors, strategy.run.tally.refused) == (0, 0)
    if codec != CODECS[0]:
        assert strategy.run.ledger.total().payload_bytes < 60 * strategy.run.models.raw_bytes
    assert "get plain arrays" not in caplog.text


def test_such_a_run_is_reproducible_from_its_seed():
    def after(seed):
        strategy = AsyncEMAM(codec=CODECS[1], evaluate_clients=False, concurrency=2, seed=seed)
        strategy.start(InlineGrid(template_app(CODECS[1]), 4), ArrayRecord([np.zeros(9, np.float32)]), num_rounds=20)
        return strategy.run.arrays_sha256()

    assert after(1) == after(1) != after(2)
