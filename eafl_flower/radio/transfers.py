r"""Uploads under way: bits left, joules so far, and the next end, while the grants of a radio change.

Between two changes of its grant an upload has a constant rate :math:`r` [bit/s] and power :math:`P` [W]. Over all such
segments :math:`i` of :math:`\Delta t_i` seconds

.. math:: \sum_i r_i \Delta t_i = \text{bits sent}, \qquad \sum_i P_i \Delta t_i = \text{energy}

A grant that stays what it was begins no new segment, so times are exactly those of a single one.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from eafl_flower.errors import RunFailedError
from eafl_flower.protocols import Radio
from eafl_flower.types import Grant, Phase, Upload

_NOTHING = Phase(time_s=0.0, energy_j=0.0)
_NO_GRANT = Grant(rate_bit_s=0.0, power_w=0.0)


@dataclass(frozen=True, kw_only=True)
class Transfer:
    """One upload, in the segment of its newest grant.

    ``bits_left`` are those at the beginning of the segment; ``before`` is what all segments before it took.
    """

    start_s: float
    num_bits: int
    bits_left: float
    before: Phase
    grant: Grant

    @cached_property
    def segment(self) -> Phase:
        """What is left, should the grant stay; with a rate of 0 it takes for ever."""
        if not self.bits_left:
            return Phase(time_s=0.0, energy_j=0.0)
        if not self.grant.rate_bit_s:
            return Phase(time_s=math.inf, energy_j=math.inf if self.grant.power_w else 0.0)
        time_s = self.bits_left / self.grant.rate_bit_s
        return Phase(time_s=time_s, energy_j=self.grant.power_w * time_s)

    @cached_property
    def end_s(self) -> float:
        """When the upload is done, should the grant stay [s]."""
        return self.start_s + (self.before.time_s + self.segment.time_s)

    def spent(self, elapsed_s: float, *, done: bool) -> tuple[Phase, float]:
        """Return what the first ``elapsed_s`` seconds of the upload took, all of it if ``done``, and the share sent."""
        segment, whole = self.segment, self.bits_left / self.num_bits if self.num_bits else 1.0
        elapsed_s -= self.before.time_s
        if done and math.isinf(segment.time_s):  # it came all the same, as a reply in a deployment may
            part, share = Phase(time_s=0.0, energy_j=0.0), 1.0
        elif done or elapsed_s >= segment.time_s:
            part, share = segment, 1.0
        elif elapsed_s <= 0:
            part, share = Phase(time_s=0.0, energy_j=0.0), 0.0
        elif math.isinf(segment.time_s):
            part, share = Phase(time_s=elapsed_s, energy_j=self.grant.power_w * elapsed_s), 0.0
        else:
            part = Phase(time_s=elapsed_s, energy_j=segment.energy_j * elapsed_s / segment.time_s)
            share = elapsed_s / segment.time_s
        took = Phase(time_s=self.before.time_s + part.time_s, energy_j=self.before.energy_j + part.energy_j)
        return took, (1.0 - whole) + whole * share

    def granted(self, grant: Grant, time_s: float) -> "Transfer":
        """Return the transfer with a new grant from ``time_s`` on [s]."""
        if grant == self.grant:
            return self
        elapsed_s = min(max(0.0, time_s - self.start_s - self.before.time_s), self.segment.time_s)
        return replace(
            self,
            bits_left=max(0.0, self.bits_left - self.grant.rate_bit_s * elapsed_s),
            before=Phase(
                time_s=self.before.time_s + elapsed_s, energy_j=self.before.energy_j + self.grant.power_w * elapsed_s
            ),
            grant=grant,
        )


def waiting(num_bytes: int, start_s: float) -> Transfer:
    """Return the transfer of an upload that begins at ``start_s`` [s] and that nothing has been granted to."""
    return _begun(8 * num_bytes, start_s, _NO_GRANT)


def alone(radio: Radio, client: int, num_bytes: int, start_s: float) -> Transfer:
    """Return the transfer of an upload about which ``radio`` is asked alone; raises as ``shared_out``."""
    num_bits = 8 * num_bytes
    upload = Upload(client=client, start_s=start_s, num_bits=num_bits, bits_left=float(num_bits))
    return _begun(num_bits, start_s, _grants(radio, [upload], start_s)[0])


def _begun(num_bits: int, start_s: float, grant: Grant) -> Transfer:
    return Transfer(start_s=start_s, num_bits=num_bits, bits_left=float(num_bits), before=_NOTHING, grant=grant)


def shared_out(radio: Radio, transfers: Mapping[int, Transfer], time_s: float) -> dict[int, Transfer]:
    """Ask ``radio`` about all ``transfers`` together; return, by client, those whose grant is another from now on.

    Raises
    ------
    RunFailedError
        If it does not grant each of them a rate and a power, finite and not negative.
    """
    uploads = [
        Upload(client=client, start_s=t.start_s, num_bits=t.num_bits, bits_left=_bits_left(t, time_s))
        for client, t in transfers.items()
    ]
    granted = {
        client: transfer.granted(grant, time_s)
        for (client, transfer), grant in zip(transfers.items(), _grants(radio, uploads, time_s), strict=True)
    }
    return {client: transfer for client, transfer in granted.items() if transfer is not transfers[client]}


def _bits_left(transfer: Transfer, time_s: float) -> float:
    if time_s <= transfer.start_s:
        return transfer.bits_left
    _, share = transfer.spent(time_s - transfer.start_s, done=False)
    return transfer.num_bits * (1.0 - share)


def _grants(radio: Radio, uploads: Sequence[Upload], time_s: float) -> Sequence[Grant]:
    grants = radio.grants(time_s, uploads) if uploads else []
    wrong = [g for g in grants if not (0 <= g.rate_bit_s < math.inf and 0 <= g.power_w < math.inf)]
    if wrong or len(grants) != len(uploads):
        got = f"{wrong[0]}" if wrong else f"{len(grants)} grants for {len(uploads)} uploads"
        msg = f"{type(radio).__name__} grants {got}: expected a rate and a power for each, finite and at least 0"
        raise RunFailedError(msg)
    return grants
