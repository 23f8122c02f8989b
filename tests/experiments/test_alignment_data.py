"""What a recorded alignment was made from."""

from types import SimpleNamespace

import numpy as np
import pytest

from experiments.alignment import spaces


@pytest.fixture
def latents(monkeypatch):
    """Latents of two encoders, which a test may change; nothing is trained."""
    rows = {name: np.full((3, 2), float(number)) for number, name in enumerate(("one", "two"))}
    monkeypatch.setattr(spaces, "there", lambda world: tuple(rows))
    monkeypatch.setattr(
        spaces,
        "latents_of",
        lambda world, name: SimpleNamespace(splits={"train": SimpleNamespace(absolute=rows[name])}),
    )
    monkeypatch.setattr(spaces, "images_digest", lambda images: images)
    spaces._digest.cache_clear()
    yield rows
    spaces._digest.cache_clear()


def test_latents_of_another_encoder_are_other_data(latents):
    first = spaces.data_digest({"world": "digits"})
    spaces._digest.cache_clear()
    assert spaces.data_digest({"world": "digits"}) == first
    spaces._digest.cache_clear()
    latents["two"] = latents["two"] + np.spacing(1.0)  # trained on another machine
    assert spaces.data_digest({"world": "digits"}) != first
