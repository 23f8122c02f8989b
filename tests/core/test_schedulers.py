import pytest

from eafl_flower.app.client import client_app
from eafl_flower.app.resolving import resolve
from eafl_flower.app.training import train
from eafl_flower.config import RunConfig
from eafl_flower.core.orders import Enough, Order
from eafl_flower.core.schedulers import UntilEnough
from eafl_flower.engines import InlineGrid
from eafl_flower.errors import ConfigError

TINY = {"data.clients": 4, "data.unseen": 0, "data.idm.rows-per-client": 32, "strategy.merges": 12}


def test_every_client_gets_the_rule_of_the_settings():
    scheduler = UntilEnough(share=0.1, least=2, most=5)
    assert scheduler.offer(scheduler.init(3), 1, None) == Order(stop=Enough(share=0.1, least=2, most=5))


@pytest.mark.parametrize("wrong", [{"least": 3, "most": 2}, {"share": -0.1}, {"most": 0}, {"share": float("nan")}])
def test_numbers_that_cannot_be_are_refused(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        UntilEnough(**wrong)


def test_a_preset_names_it_and_clients_stop_by_themselves():
    config = RunConfig().replace(
        {
            **TINY,
            "scheduler.name": "until-enough",
            "scheduler.until-enough.share": 0.05,
            "scheduler.until-enough.most": 6,
        }
    )
    epochs = []

    class Seen:
        def write(self, event):
            if event["event"] == "merge":
                epochs.append(event["metrics"]["epochs"])

        def close(self):
            pass

    experiment = resolve(config)
    train(experiment, InlineGrid(client_app(experiment), 4), observer=Seen())
    assert len(epochs) == 12
    assert all(1 <= count <= 6 for count in epochs)
    assert len(set(epochs)) > 1  # who learns no more stops earlier
