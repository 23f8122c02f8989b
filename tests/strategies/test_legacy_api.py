"""Parts of Flower's legacy API where ours are of the Message API: one line says what to write instead."""

import pytest
from flwr.app import ConfigRecord, Message, MessageType, RecordDict
from flwr.client import NumPyClient
from flwr.clientapp import ClientApp
from flwr.server import Server, SimpleClientManager
from flwr.server.strategy import FedAvg as LegacyFedAvg
from flwr.serverapp.strategy import FedAvg
from foreign_app import run_foreign, start

from eafl_flower.clients import compression_mod, numpy_client_app
from eafl_flower.codecs import Int8Codec
from eafl_flower.engines.inline import InlineGrid
from eafl_flower.errors import ConfigError, RunFailedError
from eafl_flower.strategies import Compressed


class Legacy(NumPyClient):
    def fit(self, parameters, config):
        return parameters, 1, {}


def client_fn(context):
    return Legacy().to_client()


def test_a_legacy_strategy_cannot_be_compressed_and_its_successor_is_named():
    named = r"flwr\.server\.strategy\.fedavg.*legacy.*flwr\.serverapp\.strategy"
    with pytest.raises(TypeError, match=named) as caught:
        Compressed(LegacyFedAvg(), Int8Codec())
    assert "\n" not in str(caught.value)


def test_what_is_no_strategy_cannot_be_compressed():
    with pytest.raises(TypeError, match=r"Compressed wraps a strategy, not Int8Codec"):
        Compressed(Int8Codec(), FedAvg())


def test_a_compressed_strategy_in_server_app_components_is_told_what_to_do():
    server = Server(client_manager=SimpleClientManager(), strategy=Compressed(FedAvg(), Int8Codec()))
    with pytest.raises(ConfigError, match=r"Message API.*@app\.main.*Compressed\(\.\.\.\)\.start\("):
        server.fit(1, None)


def test_a_legacy_client_app_with_the_mod_is_told_what_to_do():
    app = ClientApp(client_fn=client_fn, mods=[compression_mod(Int8Codec())])
    with pytest.raises(RunFailedError, match="numpy_client_app"):
        run_foreign(Compressed(FedAvg(fraction_evaluate=0.0), Int8Codec()), 3, app=app)


def test_a_bridged_client_tells_a_legacy_server_what_it_speaks():
    content = RecordDict({"fitins.parameters": start(), "fitins.config": ConfigRecord()})
    grid = InlineGrid(numpy_client_app(client_fn), 1)
    (node,) = grid.get_node_ids()
    (reply,) = grid.send_and_receive([Message(content, node, MessageType.TRAIN)])
    assert reply.has_error()
    assert "server_fn" in reply.error.reason and "@app.main()" in reply.error.reason
