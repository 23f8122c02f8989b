"""What a deployment measures of its clients' links, and what their jobs cost by that."""

import math
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from flwr.app import Message

from eafl_flower.protocols import Radio
from eafl_flower.radio.measured import MOST_KEPT, Exchange, at_rate, measured_rate_bit_s
from eafl_flower.radio.transfers import alone
from eafl_flower.runs.jobs import Job
from eafl_flower.types import Phase
from eafl_flower.wire.records import COMPUTE_W, RECEIVE_W, TRANSMIT_W
from eafl_flower.wire.replies import own_powers_w, own_seconds

MOST_ARRIVED = 10_000  # replies that are not priced yet
LONGEST_GAP_S = 1.5  # between two looks for replies; what is found after a longer one may have been there for long


class Links:
    """Measures the rate of each client's link, and prices jobs with it; by ``radio`` until something is known.

    A run that goes on after an interruption measures afresh.

    Parameters
    ----------
    radio
        The model: its rates until some are measured, and its powers.
    measured
        Whether to measure at all.
    """

    def __init__(self, radio: Radio, *, measured: bool) -> None:
        self._radio, self._measured = radio, measured
        self._exchanges: dict[int, deque[Exchange]] = {}
        self._rates: dict[int, float] = {}
        self._sent: dict[int, tuple[int, float]] = {}  # client -> number of its newest job, and when it was sent [s]
        self._arrived: dict[str, float] = {}  # id of the message that a reply is to -> when that came [s]
        self._looked_s = -math.inf

    def note_sent(self, job: Job) -> None:
        """Note that ``job`` has just been sent; what it costs to receive is that of a rate that is known."""
        self._sent[job.client] = job.counter, time.monotonic()
        if rate := self._rates.get(job.client):
            job.price = replace(job.price, download=at_rate(job.price.download, 8 * job.downlink_bytes, rate))

    def note_arrivals(self, replies: Sequence[Message], began_s: float) -> None:
        """Note replies that are there at the end of a look; when they came is known if the last look was not long ago.

        A look lasts until the arrays of its replies are there, so that one on a slow link is seen to come, however long
        it takes. Of several nobody knows for which of them it has waited.
        """
        now_s = time.monotonic()
        ends_s = began_s if len(replies) == 1 else now_s
        if ends_s - self._looked_s <= LONGEST_GAP_S:
            self._arrived |= {reply.metadata.reply_to_message_id: now_s for reply in replies}
        for message_id in list(self._arrived)[:-MOST_ARRIVED]:  # answers to questions are nobody's price
            del self._arrived[message_id]
        self._looked_s = now_s

    def price(self, job: Job, reply: Message) -> dict[str, Any]:
        """Price ``job``, whose ``reply`` is in, as if it had the link to itself.

        Powers are those that the node states, and its computation then takes as long as it says; all else is the
        model's.

        Returns
        -------
        dict
            Fields of an event: by what rate and whose powers it is priced.
        """
        powers_w = own_powers_w(reply.content) if self._measured else {}
        own_s, price = own_seconds(reply.content), job.price
        if (compute_w := powers_w.get(COMPUTE_W)) is not None and own_s is not None:
            price = replace(price, compute=Phase(time_s=own_s, energy_j=compute_w * own_s))
        download = self._radio.download(job.client, price.dispatched_s, job.downlink_bytes)
        upload = alone(self._radio, job.client, job.uplink_bytes, price.upload_start_s)
        self._note(job, reply, model_s=download.time_s + upload.segment.time_s)
        rate = self._rates.get(job.client, 0.0)
        if rate:
            download = at_rate(download, 8 * job.downlink_bytes, rate)
        if (receive_w := powers_w.get(RECEIVE_W)) is not None:
            download = replace(download, energy_j=receive_w * download.time_s)
        grant = replace(
            upload.grant,
            rate_bit_s=rate or upload.grant.rate_bit_s,
            power_w=powers_w.get(TRANSMIT_W, upload.grant.power_w),
        )
        job.price = replace(price, download=download, upload=replace(upload, grant=grant))
        source = {"rate_source": "measured", "rate_bit_s": rate} if rate else {"rate_source": "model"}
        return {**source, **({"power_source": "node"} if powers_w else {})}

    def _note(self, job: Job, reply: Message, *, model_s: float) -> None:
        """Take in an exchange, if both its ends and the node's own time are known."""
        arrived_s = self._arrived.pop(reply.metadata.reply_to_message_id, None)
        counter, sent_s = self._sent.get(job.client, (0, 0.0))
        own_s = own_seconds(reply.content)
        if not self._measured or arrived_s is None or counter != job.counter or own_s is None:
            return
        time_s = arrived_s - sent_s - own_s
        if time_s <= 0:  # it says that it was at work for longer than the job took
            return
        num_bits = 8 * (job.downlink_framed_bytes + job.uplink_framed_bytes)
        kept = self._exchanges.setdefault(job.client, deque(maxlen=MOST_KEPT))
        kept.append(Exchange(num_bits=num_bits, time_s=time_s, model_s=model_s))
        self._rates[job.client] = measured_rate_bit_s(kept)
