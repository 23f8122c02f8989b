import numpy as np
import pytest
from flwr.app import Array, ArrayRecord
from flwr.client import NumPyClient

from eafl_flower.clients.bridge import numpy_client_app
from eafl_flower.errors import ClientFailedError, ConfigError, ProtocolError


class Stranger(NumPyClient):
    """A client as other people write them."""

    def __init__(self):
        self.weights = None

    def fit(self, parameters, config):
        self.config = config
        return [p + 1.0 for p in parameters], np.int64(7), {"loss": np.float32(0.5), "note": "fine", "converged": True}

    def evaluate(self, parameters, config):
        return 0.25, 3, {"accuracy": 0.75, "raw": b"\x00"}


class Returns(NumPyClient):
    def __init__(self, value):
        self.value = value

    def fit(self, parameters, config):
        if isinstance(self.value, BaseException):
            raise self.value
        return self.value

    evaluate = fit


@pytest.fixture
def arrays():
    return ArrayRecord(
        {"conv.weight": Array(np.arange(6, dtype=np.float32).reshape(2, 3)), "steps": Array(np.array(4, np.int64))}
    )


def floats():
    return ArrayRecord({"w": Array(np.zeros(2, np.float32))})


def test_a_train_reply_has_the_keys_shapes_and_dtypes_of_the_message(make_message, make_context):
    given = ArrayRecord({"b": Array(np.zeros((2, 3), np.float32)), "a": Array(np.ones(2, np.float64))})
    reply = numpy_client_app(lambda _: Stranger())(make_message("train", given), make_context())
    assert list(reply.content.array_records) == ["arrays"]
    record = reply.content.array_records["arrays"]
    assert list(record) == ["b", "a"]
    b, a = record.to_numpy_ndarrays()
    assert (b.dtype, a.dtype) == (np.float32, np.float64)
    assert np.array_equal(b, np.ones((2, 3)))
    assert np.array_equal(a, [2, 2])


def test_a_client_may_write_into_its_arrays_as_into_those_that_flower_makes(make_message, make_context):
    class InPlace(Stranger):
        def fit(self, parameters, config):
            for parameter in parameters:
                parameter += 2
            return parameters, 1, {}

    given = floats()
    reply = numpy_client_app(lambda _: InPlace())(make_message("train", given), make_context())
    assert np.array_equal(reply.content["arrays"]["w"].numpy(), [2, 2])
    assert np.array_equal(given["w"].numpy(), [0, 0])


def test_metrics_that_are_no_numbers_travel_apart(make_message, make_context):
    app = numpy_client_app(lambda _: Stranger())
    content = app(make_message("train", floats()), make_context()).content
    assert dict(content.metric_records["metrics"]) == {"num-examples": 7, "loss": 0.5}
    assert dict(content.config_records["metrics.other"]) == {"note": "fine", "converged": True}
    content = app(make_message("evaluate", floats()), make_context()).content
    assert dict(content.metric_records["metrics"]) == {"accuracy": 0.75, "num-examples": 3, "loss": 0.25}
    assert dict(content.config_records["metrics.other"]) == {"raw": b"\x00"}
    assert not content.array_records


def test_a_client_gets_configuration_and_terms_of_the_job_but_not_the_key_of_the_codec(make_message, make_context):
    client = Stranger()
    app = numpy_client_app(lambda _: client)
    terms = {"seed": 5, "counter": 2, "key": bytes(32)}
    app(make_message("train", floats(), {"lr": 0.1, "server-round": 3}, terms), make_context())
    assert client.config == {"lr": 0.1, "server-round": 3, "eafl.seed": 5, "eafl.counter": 2}


def test_what_to_client_gives_is_unwrapped(make_message, make_context):
    reply = numpy_client_app(lambda _: Stranger().to_client())(make_message("train", floats()), make_context())
    assert np.array_equal(reply.content.array_records["arrays"]["w"].numpy(), [1, 1])


@pytest.mark.parametrize("garbage", [None, "client", object()])
def test_a_client_fn_that_returns_something_else_is_named(make_message, make_context, garbage):
    with pytest.raises(ProtocolError, match=f"client_fn returned {type(garbage).__name__}: expected a flwr"):
        numpy_client_app(lambda _: garbage)(make_message("train", floats()), make_context())


ONE = [np.zeros(2, np.float32)]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "fit returned NoneType: expected a tuple"),
        ((ONE, 1), "fit returned tuple: expected a tuple"),
        ((None, 1, {}), "fit returned NoneType: expected a list of 1"),
        (([], 1, {}), "fit returned 0 arrays: expected a list of 1"),
        (([np.zeros(3, np.float32)], 1, {}), r'array "w" as float32 \(3,\): expected float32 \(2,\)'),
        ((["x"], 1, {}), r'array "w" as <U1 \(\)'),
        ((ONE, 1.5, {}), "fit reports 1.5 examples"),
        ((ONE, -1, {}), "fit reports -1 examples"),
        ((ONE, 1, None), "metrics of type NoneType"),
        ((ONE, 1, {"list": [1]}), 'metric "list" of type list'),
        ((ONE, 1, {"none": None}), 'metric "none" of type NoneType'),
    ],
)
def test_garbage_from_fit_is_a_clear_error(make_message, make_context, value, text):
    with pytest.raises(ProtocolError, match=text):
        numpy_client_app(lambda _: Returns(value))(make_message("train", floats()), make_context())


def test_integers_do_not_become_fractions(make_message, make_context, arrays):
    with pytest.raises(ProtocolError, match='array "steps" as float64'):
        numpy_client_app(lambda _: Stranger())(make_message("train", arrays), make_context())


@pytest.mark.parametrize("value", [None, (0.1, 1), ("bad", 1, {}, 2)])
def test_garbage_from_evaluate_is_a_clear_error(make_message, make_context, value):
    with pytest.raises(ProtocolError, match="evaluate returned"):
        numpy_client_app(lambda _: Returns(value))(make_message("evaluate", floats()), make_context())


def test_a_client_that_cannot_evaluate_says_so(make_message, make_context):
    class FitOnly(NumPyClient):
        pass

    with pytest.raises(ProtocolError, match="FitOnly has no evaluate method"):
        numpy_client_app(lambda _: FitOnly())(make_message("evaluate", floats()), make_context())


def test_a_message_without_arrays_is_refused(make_message, make_context):
    with pytest.raises(ProtocolError, match="0 ArrayRecords"):
        numpy_client_app(lambda _: Stranger())(make_message("train"), make_context())


@pytest.mark.parametrize("kind", ["train", "evaluate"])
def test_a_full_gpu_is_an_error_of_that_client_only(make_message, make_context, kind):
    torch = pytest.importorskip("torch")

    def client_fn(context):
        if context.node_config["partition-id"] == 3:
            client = Returns(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."))
            client.device = "cuda"
            return client
        return Stranger()

    app = numpy_client_app(client_fn)
    with pytest.raises(ClientFailedError, match=r'client 3 ran out of memory on device "cuda" \(CUDA out of.*smaller'):
        app(make_message(kind, floats()), make_context(3))
    for partition in (2, 3 + 1):
        assert app(make_message(kind, floats()), make_context(partition)).has_content()


def test_a_full_memory_is_an_error_of_that_client(make_message, make_context):
    app = numpy_client_app(lambda _: Returns(MemoryError("Unable to allocate 8 TiB")))
    with pytest.raises(ClientFailedError, match="client 1 ran out of memory"):
        app(make_message("train", floats()), make_context(1))


def test_a_client_cannot_end_its_node(make_message, make_context):
    app = numpy_client_app(lambda _: Returns(SystemExit(3)))
    with pytest.raises(ClientFailedError, match=r"client 1 called sys.exit\(3\)"):
        app(make_message("train", floats()), make_context(1))


def test_other_exceptions_pass_unchanged(make_message, make_context):
    with pytest.raises(ZeroDivisionError, match="mine"):
        numpy_client_app(lambda _: Returns(ZeroDivisionError("mine")))(make_message("train", floats()), make_context())


def test_the_roster_reply_tells_part_and_number_of_examples(make_message, make_context):
    class Counted(Stranger):
        num_examples = 11
        trains = False

    def answer(**options):
        content = numpy_client_app(**options)(make_message("query"), make_context(2)).content
        return dict(content.metric_records["metrics"]), content.config_records["roster"]["kind"]

    part = {"partition-id": 2, "num-partitions": 6}
    assert answer(client_fn=lambda _: Counted()) == (part | {"num-examples": 11, "trains": 0}, "full")
    assert answer(client_fn=lambda _: Stranger()) == (part | {"num-examples": 1, "trains": 1}, "full")
    known = {"num-examples": 5, "trains": 1, "kind": "delta"}
    assert answer(client_fn=lambda _: None, roster_fn=lambda _: known) == (
        part | {"num-examples": 5, "trains": 1},
        "delta",
    )


def test_a_node_without_a_part_cannot_answer_the_roster(make_message, make_context):
    context = make_context()
    context.node_config = {}
    with pytest.raises(ConfigError, match="partition-id = None"):
        numpy_client_app(lambda _: Stranger())(make_message("query"), context)


def test_mods_see_messages_outermost_first(make_message, make_context):
    seen = []

    def mod(name):
        def call(message, context, call_next):
            seen.append(name)
            return call_next(message, context)

        return call

    app = numpy_client_app(lambda _: Stranger(), mods=[mod("outer"), mod("inner")])
    app(make_message("train", floats()), make_context())
    assert seen == ["outer", "inner"]


def test_a_client_tells_how_long_it_was_at_work_only_if_it_is_asked(make_message, make_context):
    app, counter = numpy_client_app(lambda _: Returns((floats().to_numpy_ndarrays(), 5, {}))), {"counter": 1}
    assert "eafl" not in app(make_message("train", floats(), terms=counter), make_context()).content
    told = app(make_message("train", floats(), terms={**counter, "timed": True}), make_context()).content["eafl"]
    assert set(told) == {"own-s"} and 0 <= told["own-s"] < 60
