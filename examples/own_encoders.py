"""Two encoders of your own: what one sends, the classifier of the other understands. An ordinary Flower app.

Run it: ``python examples/own_encoders.py`` (it needs the extra ``torch`` and scikit-learn). An encoder is any function
from images to latents, ``(n, ...)`` to ``(n, d)``. Here they are two small torch models that learnt the digits apart
from each other: a convolutional network at an access point, and another network at three users, each behind a channel
of its own and with a classifier for its own latents. ``FederatedAlignment`` learns with what the access point sends its
latents to all of them at once, and how each user makes latents of its own of what it hears. To align yours, replace
``access_point_encoder``, ``user_encoder`` and ``user_classifier``, and the images that both have encoded.
"""

from collections.abc import Callable
from functools import cache, partial

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import nn

from eafl_flower.alignment import Alignment, User, fit_whitening, pack, statistics_of
from eafl_flower.alignment.learner import AlignmentLearner, EvaluationData
from eafl_flower.clients import alignment_app
from eafl_flower.engines.inline import InlineGrid
from eafl_flower.radio.mimo import noise_std, user_channel
from eafl_flower.strategies import FederatedAlignment

NUM_USERS, ANTENNAS, CHANNEL_USES, SNR_DB, ROUNDS = 3, 4, 3, 20.0, 30
FIRST, SECOND, PILOTS, TESTS = slice(0, 500), slice(500, 1000), slice(1000, 1440), slice(1440, None)
Encoder = Callable[[np.ndarray], np.ndarray]


@cache
def data() -> tuple[np.ndarray, np.ndarray]:
    """Return images ``(n, 8, 8)`` and their classes, in random order."""
    images, digits = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(digits))
    return (images[order] / 16).reshape(-1, 8, 8).astype(np.float32), digits[order]


@cache
def trained(name: str) -> tuple[nn.Module, nn.Module]:
    """Return a network that makes latents, and its head; the two networks learn from different images."""
    torch.manual_seed(0)
    if name == "access point":
        rows, size = FIRST, 48
        layers = [nn.Unflatten(1, (1, 8)), nn.Conv2d(1, 16, 3), nn.ReLU(), nn.Flatten(), nn.Linear(576, size)]
    else:
        rows, size = SECOND, 32
        layers = [nn.Flatten(), nn.Linear(64, 128), nn.Tanh(), nn.Linear(128, size)]
    body, head = nn.Sequential(*layers), nn.Linear(size, 10)
    x, y = (torch.from_numpy(array[rows]) for array in data())
    optimizer = torch.optim.Adam([*body.parameters(), *head.parameters()], lr=3e-3)
    for _ in range(20):
        for batch in torch.randperm(len(x)).split(25):
            optimizer.zero_grad()
            nn.functional.cross_entropy(head(body(x[batch])), y[batch]).backward()
            optimizer.step()
    return body.eval(), head.eval()


def _through(network: nn.Module, values: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        return network(torch.from_numpy(np.ascontiguousarray(values, np.float32))).numpy()


def access_point_encoder(images: np.ndarray) -> np.ndarray:
    """Return the access point's latents, ``(n, 48)``."""
    return _through(trained("access point")[0], images)


def user_encoder(images: np.ndarray) -> np.ndarray:
    """Return a user's latents, ``(n, 32)``."""
    return _through(trained("user")[0], images)


def user_classifier(latents: np.ndarray) -> np.ndarray:
    """Return the classes of a user's latents ``(n, 32)``."""
    return _through(trained("user")[1], latents).argmax(axis=1)


def learner_of(user: int, *, theirs: Encoder, own: Encoder, classify: Encoder) -> AlignmentLearner:
    """Return what a user brings: its channel, its latents of the pilots, and its classifier to be judged by."""
    images, labels = data()
    white = fit_whitening(pack(theirs(images[PILOTS]).T))  # columns are samples
    ours = fit_whitening(pack(own(images[PILOTS]).T))
    latents = own(images[TESTS]).T
    pilots = [w.apply(pack(encode(images[PILOTS]).T)) for w, encode in ((ours, own), (white, theirs))]
    return AlignmentLearner(
        user=User(
            channel=user_channel(1, user, ANTENNAS, ANTENNAS),
            noise_std=noise_std(SNR_DB, channel_uses=CHANNEL_USES, num_receive=ANTENNAS, num_transmit=ANTENNAS),
            known=statistics_of(*pilots),
        ),
        whitening=ours,
        size=len(latents),
        tests=EvaluationData(
            latents=latents,
            labels=labels[TESTS],
            classify=lambda found: classify(found.T),
            sent=white.apply(pack(theirs(images[TESTS]).T)),
        ),
    )


def main(
    theirs: Encoder = access_point_encoder, own: Encoder = user_encoder, classify: Encoder = user_classifier
) -> dict[str, float]:
    """Align the two, and print the accuracy of the users' classifier without and with alignment."""
    torch.set_num_threads(1)
    images, labels = data()
    tests, sizes = images[TESTS], (theirs(images[:1]).shape[1], own(images[:1]).shape[1])
    as_they_are = np.zeros((len(tests), sizes[1]), np.float32)
    shared = min(sizes)
    as_they_are[:, :shared] = theirs(tests)[:, :shared]

    strategy = FederatedAlignment(
        theirs(images[PILOTS]).T,
        num_transmit=ANTENNAS,
        settings=Alignment(channel_uses=CHANNEL_USES),
        evaluate_every=ROUNDS,
        seed=1,
    )
    app = alignment_app(partial(learner_of, theirs=theirs, own=own, classify=classify))
    result = strategy.start(InlineGrid(app, NUM_USERS), num_rounds=ROUNDS)

    accuracy = {
        "the users' own latents": float(np.mean(classify(own(tests)) == labels[TESTS])),
        "the access point's latents as they are, without a channel": float(
            np.mean(classify(as_they_are) == labels[TESTS])
        ),
        f"aligned, {CHANNEL_USES} channel uses": float(result.evaluate_metrics_clientapp[ROUNDS]["accuracy"]),
    }
    for name, value in accuracy.items():
        print(f"{name}: accuracy {value:.3f}")
    return accuracy


if __name__ == "__main__":
    main()
