import runpy
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="the example trains two encoders: pip install 'eafl-flower[torch]'")
pytest.importorskip("sklearn", reason="the example is of scikit-learn's digits")
EXAMPLE = Path(__file__).parents[2] / "examples" / "own_encoders.py"


@pytest.fixture(scope="module")
def example():
    return runpy.run_path(str(EXAMPLE))


def test_a_classifier_reads_latents_of_an_encoder_that_it_never_met(example) -> None:
    own, as_they_are, aligned = example["main"]().values()
    assert own > 0.9
    assert as_they_are < own - 0.4
    assert aligned > own - 0.1


def test_any_functions_from_images_to_latents_can_take_their_place(example) -> None:
    images, labels = example["data"]()
    rng = np.random.default_rng(0)
    theirs, ours = rng.standard_normal((64, 40)), rng.standard_normal((64, 30))

    def encode(mixing, seen):
        return np.tanh(seen.reshape(len(seen), -1) @ mixing / 8)

    pilots = example["PILOTS"]
    onehot = np.eye(10)[labels[pilots]]
    weights = np.linalg.lstsq(encode(ours, images[pilots]), onehot, rcond=None)[0]
    own, as_they_are, aligned = example["main"](
        lambda seen: encode(theirs, seen), lambda seen: encode(ours, seen), lambda z: (z @ weights).argmax(axis=1)
    ).values()
    assert aligned > as_they_are + 0.2
    assert aligned > own - 0.3
