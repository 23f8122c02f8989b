"""Training of a federated alignment: from what pilots sum up to, against the exchange of every pilot.

    python benchmarks/alignment.py [--repeats 3] [--pilots 3000] [--small]

10 users with latents of 384 to 1,280 real dimensions, as of the encoders of the paper, an access point with 192, 4 x 4
antennas, 20 channel uses, 30 rounds, one thread. Latents are synthetic: random encoders of a semantic space of 48
dimensions. Both train the same precoder from the same start, in turn; a ratio above 1 is faster than the peer.

* The peer is the protocol as it is written, with the messages it has: A_k = (I x H_k) F X, M^H M and M^H S_k.
* Ours works on R_k^H R_k with R_k = S_k X^H / (n-1), formed before the clock; what that takes stands in a row.
* A user's row is what one user computes in a round, with 1,280 dimensions: as it is written, and with R_k.
"""

import argparse
import statistics
import time

import numpy as np
from report import row, write_rows
from threadpoolctl import threadpool_limits
from timing import ratio, seconds_of

from eafl_flower.alignment import (
    EVERYBODY,
    AccessPoint,
    AccessPointState,
    Alignment,
    Pilots,
    User,
    access_point,
    fit_whitening,
    pack,
    statistics_of,
    train,
    users_at_once,
)
from eafl_flower.core.rng import generator
from eafl_flower.radio.mimo import noise_std, through, user_channel

SIZES = (384, 384, 768, 768, 1280, 1024, 1280, 1024, 384, 384)
ANTENNAS, CHANNEL_USES, ROUNDS, SNR_DB = 4, 20, 30, 20.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3, help="turns of each (default 3)")
    parser.add_argument("--pilots", type=int, default=3000, help="semantic pilots (default 3000)")
    parser.add_argument("--small", action="store_true", help="one turn, five rounds")
    arguments = parser.parse_args()
    repeats, rounds = (1, 5) if arguments.small else (arguments.repeats, ROUNDS)
    white, latents = drawn(arguments.pilots)
    settings = Alignment(channel_uses=CHANNEL_USES)
    point = access_point(settings, white, ANTENNAS, SNR_DB)
    sigma = noise_std(SNR_DB, channel_uses=CHANNEL_USES, num_receive=ANTENNAS, num_transmit=ANTENNAS)
    channels = [user_channel(0, number, ANTENNAS, ANTENNAS) for number in range(len(SIZES))]
    written = [
        User(channel=channel, noise_std=sigma, known=Pilots(latents=own))
        for channel, own in zip(channels, latents, strict=True)
    ]
    began = time.perf_counter()
    short = [
        User(channel=user.channel, noise_std=sigma, known=statistics_of(own, white))
        for user, own in zip(written, latents, strict=True)
    ]
    crossed = time.perf_counter()
    users = users_at_once(short)
    squared = time.perf_counter()
    begin = point.init(generator(0, "benchmark", "alignment"))
    ends: dict[str, AccessPointState] = {}

    def by_pilots() -> None:
        ends["pilots"] = exchange(point, begin, written, white, rounds)

    def by_statistics() -> None:
        ends["statistics"] = train(point, users, begin, rounds)

    by_statistics()  # as the other's first turn, which does not count, would take as long as all of this
    times: dict[str, list[float]] = {"pilots": [], "statistics": []}
    for _ in range(repeats):
        for name, contestant in (("pilots", by_pilots), ("statistics", by_statistics)):
            start = time.perf_counter()
            contestant()
            times[name].append(time.perf_counter() - start)
    difference = np.abs(ends["pilots"].precoders[EVERYBODY] - ends["statistics"].precoders[EVERYBODY]).max()
    if difference > 1e-8:
        raise SystemExit(f"the precoders differ by {difference}: expected at most 1e-8")
    peer = f"every pilot, n = {arguments.pilots:,}"
    ms = {name: 1e3 * statistics.median(values) for name, values in times.items()}
    rows = [
        row("precoders differ by, at most", float(difference), ""),
        row("sums R of 10 users, once", 1e3 * (crossed - began), "ms"),
        row("products R^H R of 10 users, once", 1e3 * (squared - crossed), "ms"),
        row(
            f"{rounds} rounds of 10 users",
            ms["statistics"],
            "ms",
            peer=peer,
            peer_value=ms["pilots"],
            ratio=ratio(times["pilots"], times["statistics"]),
            aim=25.0,
        ),
        _user_row(point, begin, written[4], short[4], white, peer, max(repeats, 3)),
    ]
    write_rows("alignment", rows)


def drawn(num_pilots: int) -> tuple[np.ndarray, list[np.ndarray]]:
    """Return white pilots of the access point and of each user."""
    rng = generator(0, "benchmark", "alignment", "latents")
    meaning = rng.standard_normal((48, num_pilots))
    whitened = []
    for size in (192, *SIZES):
        latents = np.tanh(rng.standard_normal((size, 48)) @ meaning / 7)
        packed = pack(latents + 0.1 * rng.standard_normal(latents.shape))
        whitened.append(fit_whitening(packed).apply(packed))
    return whitened[0], whitened[1:]


def exchange(
    point: AccessPoint, state: AccessPointState, users: list[User], white: np.ndarray, rounds: int
) -> AccessPointState:
    """Return the state after rounds of the protocol as it is written, the broadcast formed once for all."""
    for _ in range(rounds):
        sent = point.precoder(state, 0) @ white
        answers = {}
        for number, user in enumerate(users):
            _, answer = user.answer(through(user.channel, sent))
            answers[number] = point.reduced(answer, white)
        state = point.merged(state, answers)
    return state


def _user_row(
    point: AccessPoint, state: AccessPointState, written: User, short: User, white: np.ndarray, peer: str, repeats: int
) -> dict[str, object]:
    precoder = point.precoder(state, 0)
    received, heard = through(written.channel, precoder @ white), short.hears(precoder)
    times = seconds_of({"pilots": lambda: written.answer(received), "statistics": lambda: short.answer(heard)}, repeats)
    ms = {name: 1e3 * statistics.median(values) for name, values in times.items()}
    return row(
        "an answer of one user with 1,280 dimensions",
        ms["statistics"],
        "ms",
        peer=peer,
        peer_value=ms["pilots"],
        ratio=ratio(times["pilots"], times["statistics"]),
    )


if __name__ == "__main__":
    with threadpool_limits(1):
        main()
