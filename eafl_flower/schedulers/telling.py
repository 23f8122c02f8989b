"""What a scheduler tells of jobs, for whoever draws a run."""

from collections.abc import Mapping
from typing import Any, Final, Protocol, TypeGuard, runtime_checkable

from eafl_flower.conforming import asked_once
from eafl_flower.core.orders import Order
from eafl_flower.protocols import S, Scheduler


@runtime_checkable
class TellingScheduler(Scheduler[S], Protocol[S]):
    """Has something to tell of a job that has ended: prices, budgets, places. Nothing is computed with it."""

    def told(self, state: S, client: int, order: Order, time_s: float) -> Mapping[str, float]:
        """Return fields of the event of a job that ended at ``time_s``, as ``core/events.py`` lists them.

        ``state`` has learnt of it already.
        """


_is_telling: Final = asked_once(TellingScheduler)


def tells(scheduler: Scheduler[Any]) -> TypeGuard[TellingScheduler[Any]]:
    """Return whether ``scheduler`` has something to tell of a job."""
    return _is_telling(scheduler)


def told_by(scheduler: Scheduler[Any], state: Any, client: int, order: Order, time_s: float) -> dict[str, float]:
    """Return what a scheduler tells of a job that has ended; nothing if it does not tell."""
    return dict(scheduler.told(state, client, order, time_s)) if tells(scheduler) else {}
