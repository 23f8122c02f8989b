"""EMQ as a Flower strategy: rounds over a cell-free uplink, within budgets of energy and time."""

from typing import Any, Unpack

from eafl_flower.aggregation.reference import FedAvg
from eafl_flower.codecs.emq.codec import EMQCodec
from eafl_flower.errors import ConfigError
from eafl_flower.power.cell_free_radio import CellFree, CellFreeRadio
from eafl_flower.protocols import Aggregator
from eafl_flower.runs.limits import StopRule
from eafl_flower.strategies.asynchronous import AsynchronousStrategy
from eafl_flower.strategies.options import Options

_CODEC = EMQCodec()
_NETWORK = CellFree()


class EMQ(AsynchronousStrategy):
    """Rounds of FedAvg whose uploads share a cell-free uplink. Works with any standard Flower client.

    When all replies of a round are in, the server knows what each client has to send. It allocates their powers, books
    the joules and seconds that the round then takes and, if those are within the budgets, merges it.

    Parameters
    ----------
    network
        The cell-free network, and how it allocates power.
    energy_j, time_s
        Budgets of the whole run: energy of all clients [J], and virtual time [s]; 0: none. The run ends before the
        first round that would exceed one.
    aggregator
        What merges a round; by default FedAvg.
    **options
        Settings of the run, see ``RunOptions``: ``codec``, here ``EMQCodec()`` unless given, ``seed``, which also
        decides where everybody is, ``concurrency``, ``processors``, ``evaluate_every``, ``scheduler``, FedAvg's
        arguments, ...

    Raises
    ------
    ConfigError
        If a setting is out of range, or ``stop`` or ``radio`` are given beside the arguments that make them.

    Examples
    --------
    >>> strategy = EMQ(energy_j=5.0, time_s=60.0)
    >>> # result = strategy.start(grid, initial_arrays, num_rounds=50)
    """

    def __init__(
        self,
        *,
        network: CellFree = _NETWORK,
        energy_j: float = 0.0,
        time_s: float = 0.0,
        aggregator: Aggregator[Any] | None = None,
        **options: Unpack[Options],
    ) -> None:
        for option, arguments in (("stop", {"energy_j": energy_j, "time_s": time_s}), ("radio", {"network": network})):
            if option in options and any(value not in (0.0, _NETWORK) for value in arguments.values()):
                msg = f"EMQ: {option} and {' or '.join(arguments)} say the same; give one of them"
                raise ConfigError(msg)
        given: Options = {
            "radio": CellFreeRadio(network=network, seed=options.get("seed", 0)),
            "stop": StopRule(energy_j=energy_j, time_s=time_s, within_budget=True),
            "codec": _CODEC,
        }
        merges = aggregator or FedAvg()
        given.update(options)
        super().__init__(lambda in_flight, clients: merges, barrier=True, **given)
