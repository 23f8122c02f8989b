import numpy as np
import pytest

from eafl_flower.errors import ConfigError, DataError

torch = pytest.importorskip("torch", reason="needs torch: pip install 'eafl-flower[torch]'")
pytest.importorskip("sklearn", reason="needs scikit-learn: pip install scikit-learn")

from eafl_flower.core.threads import one_thread  # noqa: E402
from eafl_flower.data.latents.images import load_image_set, split_images  # noqa: E402
from eafl_flower.models.latents.classifier import fit_classifier  # noqa: E402
from eafl_flower.models.latents.extraction import extract  # noqa: E402
from eafl_flower.models.latents.families import EncoderKind, Training, kind_of, new_network  # noqa: E402
from eafl_flower.models.latents.training import made_encoder, trained  # noqa: E402

FEW = Training(passes=1, shift=1, mirrored=True)


@pytest.fixture(scope="module")
def digits():
    one_thread()
    return load_image_set("digits")


@pytest.fixture(scope="module")
def rows(digits):
    return split_images(digits, seed=1, encoder_share=0.5)


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.mark.parametrize("name", ["cnn-16", "mlp-16", "vit-16"])
def test_an_encoder_trained_twice_gives_equal_latents(digits, rows, name):
    kind = kind_of(name)
    weights = [trained(kind, digits, rows.encoders, FEW).state_dict() for _ in range(2)]
    for one, other in zip(*(state.values() for state in weights), strict=True):
        assert torch.equal(one, other)
    state = torch.get_rng_state()
    found = made_encoder(kind, digits, rows.encoders, FEW)
    assert torch.equal(torch.get_rng_state(), state)  # the process's randomness is left alone
    again = made_encoder(kind, digits, rows.encoders, FEW, on_training=lambda: pytest.fail("it is in the cache"))
    latents = [extract(encoder, digits, rows) for encoder in (found, again)]
    for split in latents[0].splits:
        np.testing.assert_array_equal(latents[0].splits[split].absolute, latents[1].splits[split].absolute)


def test_other_seeds_families_widths_images_and_trainings_are_other_encoders(digits, rows, own_cache):
    fewer = Training(passes=1, learning_rate=1e-3)
    for kind, of, training in (
        (kind_of("mlp-8"), rows.encoders, FEW), (kind_of("mlp-8-2"), rows.encoders, FEW),
        (kind_of("cnn-8"), rows.encoders, FEW), (kind_of("mlp-12"), rows.encoders, FEW),
        (kind_of("mlp-8"), rows.encoders[1:], FEW), (kind_of("mlp-8"), rows.encoders, fewer),
    ):  # fmt: skip
        made_encoder(kind, digits, of, training)
    assert len([*(own_cache / "eafl-flower" / "latents").iterdir()]) == 6


def test_an_encoder_has_learnt_what_its_untrained_self_does_not_know(digits, rows):
    kind, training = kind_of("mlp-32"), Training(passes=30)
    latents = extract(made_encoder(kind, digits, rows.encoders, training), digits, rows)
    classifier = fit_classifier(latents, seed=1)
    assert classifier.accuracy(latents.rows("test")) > 0.9
    assert "718 images that are in no split" in latents.trained_on


def test_a_damaged_encoder_of_the_cache_is_refused(digits, rows, own_cache):
    made_encoder(kind_of("mlp-8"), digits, rows.encoders, FEW)
    (path,) = (own_cache / "eafl-flower" / "latents").iterdir()
    (path / "weights.safetensors").write_bytes(b"x")
    with pytest.raises(DataError, match=r"is damaged .*: remove it, and the encoder is made anew"):
        made_encoder(kind_of("mlp-8"), digits, rows.encoders, FEW)


def test_without_images_to_learn_from_there_is_no_encoder(digits):
    with pytest.raises(DataError, match="no image of digits is set aside to train encoders"):
        made_encoder(kind_of("mlp-8"), digits, np.array([], np.int64), FEW)


@pytest.mark.parametrize("family", ["cnn", "mlp", "vit"])
@pytest.mark.parametrize(("side", "channels"), [(8, 1), (32, 3), (28, 1), (7, 3)])
def test_every_family_takes_images_of_every_size(family, side, channels):
    network = new_network(kind_of(f"{family}-12"), side=side, channels=channels)
    assert network(torch.zeros(2, channels, side, side)).shape == (2, 12)


@pytest.mark.parametrize("family", ["cnn", "mlp", "vit"])
def test_no_number_of_a_latent_follows_from_the_others(family):
    """Else their covariance could not be whitened."""
    torch.manual_seed(1)
    network = new_network(kind_of(f"{family}-32"), side=8, channels=1).eval()
    with torch.inference_mode():
        latents = network(torch.randn(500, 1, 8, 8)).double()
    values = torch.linalg.eigvalsh(torch.cov(latents.T))
    assert values[0] > 1e-9 * values[-1]  # of float32, an empty direction has about 1e-14


@pytest.mark.parametrize("name", ["cnn", "rnn-8", "cnn-x", "cnn-8-1-1", "cnn-", "-8", "", "cnn-8-x", "cnn--8"])
def test_names_that_are_none_are_refused(name):
    with pytest.raises(ConfigError, match="expected FAMILY-WIDTH or FAMILY-WIDTH-SEED"):
        kind_of(name)


def test_names_are_read_as_they_are_written():
    assert kind_of("vit-64-3").name == "vit-64-3"
    assert kind_of("vit-64", seed=5) == EncoderKind(family="vit", width=64, seed=5)
    with pytest.raises(ConfigError, match="width"):
        kind_of("cnn-10")
    with pytest.raises(ConfigError, match="width"):
        kind_of("cnn-4")
    with pytest.raises(ConfigError, match="passes"):
        Training(passes=0)
