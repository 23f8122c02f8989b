"""What an aggregator has changed about an update before it was merged: told once."""

from typing import Final

from eafl_flower.aggregation.acceptance import Merged
from eafl_flower.wire.notes import Notes

_TOLD_STEP: Final = 1.5  # times its length; less is as usual


def tell_changes(notes: Notes, client: int, last: Merged | None, *, ends_first_round: bool) -> None:
    """Tell that the norm guard has scaled down the newest update, of ``client``, or that short steps are lengthened."""
    if last is None:
        return
    if ends_first_round and last.step > _TOLD_STEP:
        text = (
            f"no client moves any array by more than {100 * last.reach:.2g} % of its length: their steps are "
            f"lengthened, now {last.step:.3g} times; clients that train longer or at a higher rate need less of it"
        )
        notes.tell("short steps", text)
    if last.scale < 1:
        tell_scaled(notes, client, last.norm, last.scale * last.norm)


def tell_scaled(notes: Notes, client: int, norm: float, limit: float) -> None:
    """Tell that an update of ``client`` was as long as ``norm`` and is merged as one of ``limit``."""
    text = (
        f"the update of client {client} has norm {norm:.3g}, far more than the others or the model: the norm guard "
        f"scales it to {limit:.3g}, and all such after it; norm_guard = 0 switches it off"
    )
    notes.tell("long update", text)
