import pytest
from flwr.app import ConfigRecord, RecordDict

from eafl_flower.core.orders import NO_ORDER, Enough, Order
from eafl_flower.errors import ProtocolError
from eafl_flower.wire.orders import order_fields, order_of
from eafl_flower.wire.records import TERMS, JobTerms, terms_of, terms_record
from eafl_flower.wire.size import record_bytes

TERMS_OF_A_JOB = {"run": "run", "seed": 1, "client": 2, "counter": 3, "load": 2, "acknowledged": 1, "durable": 0}
ORDERS = [
    NO_ORDER,
    Order(epochs=3),
    Order(model="speech", rank=8),
    Order(stop=Enough(share=0.25, least=2, most=5)),
    Order(model="text", rank=4, stop=Enough(share=0, least=1, most=1)),
]


@pytest.mark.parametrize("order", ORDERS)
def test_the_terms_of_a_job_bring_its_order(order):
    terms = JobTerms(**TERMS_OF_A_JOB, order=order)
    assert terms_of(RecordDict({TERMS: terms_record(terms)})) == terms


def test_a_usual_order_adds_no_byte_to_a_message():
    assert order_fields(NO_ORDER) == {}
    assert dict(terms_record(JobTerms(**TERMS_OF_A_JOB))) == TERMS_OF_A_JOB
    assert record_bytes(terms_record(JobTerms(**TERMS_OF_A_JOB))) == record_bytes(ConfigRecord(TERMS_OF_A_JOB))


@pytest.mark.parametrize("order", ORDERS)
def test_a_client_finds_the_order_in_its_configuration(order):
    config = {"lr": 0.1, **{f"eafl.{name}": value for name, value in order_fields(order).items()}}
    assert order_of(config, "eafl.") == order


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"epochs": "3"}, "epochs = 3: expected int"),
        ({"epochs": True}, "epochs = True: expected int"),
        ({"rank": -2}, "expected rank, epochs and unit of at least 0"),
        ({"model": 7}, "model = 7: expected str"),
        ({"stop-share": 0.1}, "only 1 of stop-share, least-epochs, most-epochs"),
        ({"stop-share": 0.1, "least-epochs": 4, "most-epochs": 2}, "1 <= least <= most"),
        ({"stop-share": 0.1, "least-epochs": 1, "most-epochs": 2, "epochs": 2}, "or the rule to stop by"),
    ],
)
def test_an_order_that_cannot_be_one_is_refused(fields, message):
    with pytest.raises(ProtocolError, match=message):
        order_of(fields)
