r"""FedAvg without rounds: the model is the mean of the newest model of each client.

FedAvg waits for all clients and takes the mean of their models. Here each model takes the place of that client's last
one when it arrives, so nobody waits, nothing is counted twice, and a fast client weighs no more than a slow one.

.. math:: \theta = \frac{\sum_k n_k\, y_k}{\sum_k n_k}, \qquad y_k = x_k + \kappa\,\delta_k

with :math:`x_k` the arrays client k last started from, :math:`\delta_k` what training added and :math:`n_k` its
examples. Let training shrink the distance to the optimum by :math:`1-\lambda` along some direction. The mean goes on
like :math:`|1-\lambda|` at least, for *any* delays: it converges wherever FedAvg does. Adding up weighted updates
instead, without taking the last ones away, swings from :math:`\lambda = 1/e` on.

The price of not waiting is age: the :math:`x_k` are 1.5 rounds' worth of merges old on average where FedAvg's are
one. So clients start ahead of the mean, away from its moving average over about a round and a half, as ``ahead``
says. The average is what is evaluated and saved, because :math:`\theta` leans to whoever answered last, and swings
where clients differ. :math:`\kappa` is 1 unless all clients move hardly at all, as ``reach`` says.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np

from eafl_flower.aggregation.acceptance import accept, base_of, begin, check_current, new_clock, own
from eafl_flower.aggregation.ahead import SERVED_SHARE, Ahead
from eafl_flower.aggregation.barrier import the_only
from eafl_flower.aggregation.example_counts import largest_believed
from eafl_flower.aggregation.merge import lead, swap
from eafl_flower.aggregation.norm_guard import guard_scale, noted
from eafl_flower.aggregation.reach import Reach
from eafl_flower.core.orders import Order
from eafl_flower.core.settings import CountFromOne, NotNegative, check_settings
from eafl_flower.types import Array, Arrays, Diagnostics, Merged, Update

ROUNDS_KEPT = 4  # a client unheard of for so many rounds' worth of merges is no longer part of the mean
LEAST_SHARE = 1e-3  # of the mean weight: an update without examples


class Newest(NamedTuple):
    """The newest model of one client."""

    model: Arrays
    weight: float
    merged_at: int
    base_version: int


@dataclass(frozen=True, kw_only=True)
class NewestState:
    """State of ``NewestMean``; consumed by ``apply``.

    ``arrays`` are what clients start from, ahead of the ``mean``; ``average`` is what is served. ``newest`` has a
    client's ``Newest`` (as a plain tuple), the longest unheard of first. ``initial`` stands in for the clients that
    have not answered yet, with the weight ``initial_weight``; ``total_weight`` is that of all. ``versions`` is the
    weighted sum of base versions; ``signed`` tells in which arrays a negative number was seen.
    """

    arrays: Arrays
    mean: Arrays
    average: Arrays
    initial: Arrays
    version: int
    clock: Array  # shape (1,): merges that the arrays hold, shared by all states of a stream
    newest: dict[int, Newest] = field(default_factory=dict)
    total_weight: float = 0.0
    initial_weight: float = 0.0
    mean_weight: float = 0.0
    versions: float = 0.0
    norms: tuple[float, ...] = ()
    examples: float = 0.0
    signed: tuple[bool, ...] = ()
    reach: Reach = field(default_factory=Reach)
    ahead: Ahead = field(default_factory=Ahead)


@dataclass(frozen=True, kw_only=True)
class NewestMean:
    r"""Keep the model at the mean of the newest model of each client, weighed by examples.

    Parameters
    ----------
    clients
        Updates in a round's worth: as many as FedAvg would wait for. So many models are kept, as many as FedAvg holds
        at the end of a round, and three more.
    norm_guard
        Updates longer than this many times the median of the last 64 accepted norms are scaled down to that length,
        from the 17th merge on; 0 switches the guard off.
    weight_by_examples
        Whether a client weighs as many examples as it counts, as with FedAvg, or all weigh alike. Where no client
        counts any, all weigh alike.

    Raises
    ------
    ConfigError
        If a parameter is out of range.

    Notes
    -----
    Arrays in which no client ever had a negative number are taken to be variances, scales or counts: they get neither
    lead nor a longer step, which may make a variance negative. Integer arrays are counters: the whole difference is
    added.

    References
    ----------
    The mean of the newest models is that of "AREA", Iakovidou and Kim, "Asynchronous federated stochastic optimization
    for heterogeneous objectives under arbitrary delays", 2024, arXiv 2405.10123 (abstract read), whose clients keep
    the memory; here the server does, so that any client will do. To start ahead of the model is Nesterov's, 1983.
    What decides :math:`c` and :math:`\kappa` is ours.

    Examples
    --------
    >>> aggregator = NewestMean(clients=2)
    >>> state = aggregator.init((np.zeros(1),))
    >>> for client, goal in (0, 2.0), (1, 4.0), (1, 6.0):
    ...     base = aggregator.arrays(state, Order())
    ...     update = Update(client=client, delta=(goal - base[0],), base=(base[0].copy(),), base_version=state.version,
    ...         num_examples=1)
    ...     state, _ = aggregator.apply(state, [update])
    >>> aggregator.arrays(state, Order())[0].tolist()  # the mean of 2 and 6, whatever client 1 said before
    [4.0]
    """

    clients: CountFromOne = 10
    norm_guard: NotNegative = 4.0
    weight_by_examples: bool = True

    def __post_init__(self) -> None:
        check_settings(self)

    def init(self, arrays: Arrays) -> NewestState:
        """Return the state before the first merge; ``arrays`` are copied."""
        signed = tuple(a.dtype.kind == "f" and a.size > 0 and bool(a.min() < 0) for a in arrays)
        mine = [own(arrays) for _ in range(4)]
        return NewestState(
            arrays=mine[0],
            mean=mine[1],
            average=mine[2],
            initial=mine[3],
            version=0,
            clock=new_clock(),
            signed=signed,
            reach=Reach().of(arrays),
        )

    def apply(self, state: NewestState, updates: Sequence[Update]) -> tuple[NewestState, Diagnostics]:
        """Let the model in the one update take the place of that client's last one; consumes ``state``.

        Raises
        ------
        UpdateRefusedError
            If ``accept`` refuses the update or its base; ``state`` is unchanged and usable.
        ConsumedStateError
            If ``state`` has been used before.
        ConfigError
            If there are several updates.
        ValueError
            If the update has no base.
        """
        check_current(state.clock, state.version)
        update = the_only(updates, "NewestMean")
        accepted = accept(state.arrays, update, version=state.version)
        base = base_of(state.arrays, update)
        scale = guard_scale(state.arrays, state.norms, accepted.norm, self.norm_guard)
        version, weight = state.version + 1, self._weight(state, update)
        moved = [scale * length for length in accepted.lengths]
        reach = state.reach.with_update(moved, count=min(version, self.clients))
        ahead = state.ahead.supported(
            accepted.deltas, state.mean, state.average, step=reach.step * scale, clients=self.clients
        ).paced(scale * accepted.norm, ends_round=version % self.clients == 0)
        signed = _signed(state.signed, base, accepted.deltas)
        model = _extrapolated(base, accepted.deltas, signed, reach.step, scale)

        clock, (arrays, mean, average) = begin(state.clock, state.arrays, state.mean, state.average)
        if 0 < state.version < self.clients:
            most = largest_believed(w for w in (weight, *(m[1] for m in state.newest.values())) if w >= 1)
            state, weight = _weighed_anew(state, mean, most, clients=self.clients), min(weight, most)
        seen = Newest(model, weight, version, update.base_version)
        mean_weight = state.mean_weight + (weight - state.mean_weight) / min(version, self.clients)
        total = state.total_weight if state.version else self.clients * weight
        begun = state.initial_weight if state.version else total
        waiting = max(0, self.clients - version) * mean_weight if begun else 0.0
        newest = state.newest  # consumed with its state
        last = newest.pop(update.client, None)
        leaving = [Newest(*last)] if last is not None else []
        leaving += [Newest(state.initial, begun - waiting, 0, 0)] if begun != waiting else []
        newest[update.client] = seen
        leaving += _lost(newest, most=self.clients, since=version - ROUNDS_KEPT * self.clients)
        versions = state.versions + weight * update.base_version - sum(m.weight * m.base_version for m in leaving)
        total = _replace(mean, seen, leaving, total)
        _count(mean, accepted.deltas)
        age = (version - versions / total) / self.clients
        share = ahead.share(age)
        rate = SERVED_SHARE / self.clients if self.clients > 1 else 1.0
        lead(arrays, mean, average, shares=[share if s else 0.0 for s in signed], rate=rate)
        after = NewestState(
            arrays=arrays,
            mean=mean,
            average=average,
            initial=state.initial if waiting else (),
            version=version,
            clock=clock,
            newest=newest,
            total_weight=total,
            initial_weight=waiting,
            mean_weight=mean_weight,
            versions=versions,
            examples=state.examples + update.num_examples,
            signed=signed,
            reach=reach.of(mean) if version % self.clients == 0 else reach,
            ahead=ahead,
            norms=noted(state.norms, scale * accepted.norm, self.norm_guard),
        )
        share, step, most = reach.step * weight / total, reach.step, reach.most
        told = Merged(
            staleness=accepted.staleness, weight=share, scale=scale, step=step, reach=most, norm=accepted.norm
        )
        return after, (told,)

    def arrays(self, state: NewestState, order: Order | None = None) -> Arrays:
        """Return what clients start from or, without an order, the moving average of the mean.

        That is what is evaluated and saved. It begins at the initial arrays, which the mean has left after a round's
        worth: until the third it leans to the mean, and is the mean in the first. Both are valid until the next
        ``apply``.
        """
        check_current(state.clock, state.version)
        if order is not None:
            return state.arrays
        lean = min(max((3 - state.version / self.clients) / 2, 0.0), 1.0)
        if lean in (0.0, 1.0):
            return state.mean if lean else state.average
        served = own(state.average)
        swap(served, state.mean, state.mean, gain=lean, loss=0.0)
        return served

    def _weight(self, state: NewestState, update: Update) -> float:
        """Return the weight of an update; the least there is for one without examples, where others have some."""
        if not self.weight_by_examples:
            return 1.0
        return float(update.num_examples) or (LEAST_SHARE * state.mean_weight if state.examples else 1.0)


def _signed(known: tuple[bool, ...], base: Arrays, deltas: Arrays) -> tuple[bool, ...]:
    """Return of each array whether a negative number was ever seen in a client's."""
    return tuple(
        signed or (b.dtype.kind == "f" and b.size > 0 and bool((b + d).min() < 0))
        for signed, b, d in zip(known, base, deltas, strict=True)
    )


def _extrapolated(base: Arrays, deltas: Arrays, signed: tuple[bool, ...], step: float, scale: float) -> Arrays:
    """Return what a client's arrays count as; integer arrays as they are."""
    return tuple(
        b if b.dtype.kind != "f" else np.asarray(b + b.dtype.type(step * scale if s else scale) * d)
        for b, d, s in zip(base, deltas, signed, strict=True)
    )


def _weighed_anew(state: NewestState, mean: Arrays, most: float, *, clients: int) -> NewestState:
    """Return ``state`` with no weight above ``most``, the mean formed anew in place.

    In the first round's worth a claim may have come before there was any to hold it against.
    """
    if all(weight <= most for _, weight, *_ in state.newest.values()):
        return state
    newest = {client: Newest(*m)._replace(weight=min(m[1], most)) for client, m in state.newest.items()}
    mean_weight = sum(m.weight for m in newest.values()) / len(newest)
    total = waiting = max(0, clients - state.version) * mean_weight if state.initial_weight else 0.0
    for array, initial in zip(mean, state.initial, strict=False):
        if array.dtype.kind == "f":
            np.copyto(array, initial)
    for model in newest.values():
        total += model.weight
        swap(mean, model.model, model.model, gain=model.weight / total, loss=0.0)
    return replace(
        state,
        newest=newest,
        total_weight=total,
        initial_weight=waiting,
        mean_weight=mean_weight,
        versions=sum(m.weight * m.base_version for m in newest.values()),
    )


def _lost(newest: dict[int, Newest], *, most: int, since: int) -> list[Newest]:
    """Take out the oldest models, where there are more than ``most`` or they were merged before version ``since``."""
    lost = []
    while newest:
        client, oldest = next((client, Newest(*model)) for client, model in newest.items())
        if len(newest) <= most and oldest.merged_at >= since:
            break
        lost.append(oldest)
        del newest[client]
    return lost


def _replace(arrays: Arrays, comes: Newest, leaving: Sequence[Newest], total: float) -> float:
    """Let one model come into the mean and others leave it, in place; return the weight of all that are in it now."""
    first = leaving[0] if leaving else comes._replace(weight=0.0)
    total += comes.weight - first.weight
    swap(arrays, comes.model, first.model, gain=comes.weight / total, loss=first.weight / total)
    for model in leaving[1:]:
        total -= model.weight
        swap(arrays, model.model, model.model, gain=0.0, loss=model.weight / total)
    return total


def _count(arrays: Arrays, deltas: Arrays) -> None:
    for array, delta in zip(arrays, deltas, strict=True):
        if array.dtype.kind != "f":
            array += delta
