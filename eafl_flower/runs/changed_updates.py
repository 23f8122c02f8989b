"""What an aggregator has to tell of an update, such as what it changed before merging it: told once."""

from typing import Final

from eafl_flower.types import Merged
from eafl_flower.wire.notes import Notes

_TOLD_STEP: Final = 1.5  # times its length; less is as usual


def tell_changes(notes: Notes, client: int, merged: Merged, *, ends_first_round: bool = False) -> None:
    """Tell what the aggregator notes, that it scaled down an update of ``client``, or lengthened short steps."""
    if merged.note:
        notes.mention("note", merged.note)
    if ends_first_round and merged.step > _TOLD_STEP:
        text = (
            f"no client moves any array by more than {100 * merged.reach:.2g} % of its length: their steps are "
            f"lengthened, now {merged.step:.3g} times; clients that train longer or at a higher rate need less of it"
        )
        notes.tell("short steps", text)
    if merged.scale < 1:
        text = (
            f"the update of client {client} has norm {merged.norm:.3g}, far more than the others or the model: the "
            f"norm guard scales it to {merged.scale * merged.norm:.3g}, and all such after it; norm_guard = 0 switches "
            "it off"
        )
        notes.tell("long update", text)
