import numpy as np
import pytest

from eafl_flower.core.rng import generator
from eafl_flower.data.latents import LatentRows, Latents
from eafl_flower.errors import ConfigError, DataError

torch = pytest.importorskip("torch", reason="needs torch: pip install 'eafl-flower[torch]'")

from eafl_flower.models.latents.classifier import Fitting, LatentClassifier, fit_classifier  # noqa: E402

RNG = generator(1, "classifier")


def random_classifier(size=7, hidden=5, classes=3):
    def half(a, b):
        return tuple(RNG.standard_normal(shape).astype(np.float32) for shape in ((a,), (a,), (b, a), (b,)))

    return LatentClassifier(first=half(size, hidden), second=half(hidden, classes))


def around(centres, n, noise=0.3):
    labels = RNG.integers(0, len(centres), n)
    return LatentRows(
        absolute=(centres[labels] + noise * RNG.standard_normal((n, centres.shape[1]))).astype(np.float32),
        labels=labels,
    )


CENTRES = RNG.standard_normal((4, 6))
EASY = Latents(encoder="x", splits={s: around(CENTRES, n) for s, n in (("train", 400), ("val", 100), ("test", 300))})


def test_scores_are_those_of_the_same_layers_of_torch():
    classifier, z = random_classifier(), RNG.standard_normal((20, 7)).astype(np.float32)
    z[0] = 0
    first, second = ([torch.from_numpy(a) for a in half] for half in (classifier.first, classifier.second))
    with torch.no_grad():
        x = torch.nn.functional.normalize(torch.from_numpy(z))
        x = torch.nn.functional.layer_norm(x, (7,), *first[:2]) @ first[2].T + first[3]
        x = torch.nn.functional.layer_norm(torch.tanh(x), (5,), *second[:2]) @ second[2].T + second[3]
    np.testing.assert_allclose(classifier.scores(z), x.numpy(), rtol=1e-4, atol=1e-5)


def test_the_length_of_a_latent_does_not_count():
    classifier, z = random_classifier(), RNG.standard_normal((20, 7)).astype(np.float32)
    np.testing.assert_allclose(classifier.scores(8 * z), classifier.scores(z), atol=1e-5)


def test_it_learns_what_can_be_told_apart():
    assert fit_classifier(EASY, seed=1).accuracy(EASY.rows("test")) > 0.95


def test_it_is_the_same_each_time_and_another_for_each_seed():
    weights = [fit_classifier(EASY, seed=seed, fitting=Fitting(epochs=3)).first[2] for seed in (1, 1, 2)]
    np.testing.assert_array_equal(weights[0], weights[1])
    assert not np.array_equal(weights[0], weights[2])


def test_the_epoch_with_the_best_validation_accuracy_is_kept():
    splits = {"train": around(CENTRES, 60, noise=2.0), "val": around(CENTRES, 100, noise=2.0)}
    hard = Latents(encoder="x", splits=splits)  # of which more is learnt by heart from epoch to epoch
    accuracies = [
        fit_classifier(hard, seed=1, fitting=Fitting(epochs=epochs, patience=100)).accuracy(splits["val"])
        for epochs in range(1, 20)
    ]
    assert accuracies == sorted(accuracies)


def test_it_stops_when_the_validation_loss_does_not_fall():
    untold = RNG.integers(0, 4, 100)
    val = LatentRows(absolute=EASY.rows("val").absolute, labels=untold)
    noise = Latents(encoder="x", splits={"train": EASY.rows("train"), "val": val})
    short, long = (
        fit_classifier(noise, seed=1, fitting=Fitting(epochs=epochs, patience=2)).first[2] for epochs in (20, 10_000)
    )
    np.testing.assert_array_equal(short, long)


def test_latents_of_another_encoder_and_missing_splits_are_refused():
    with pytest.raises(DataError, match=r"latents are \(3, 5\), expected \(n, 7\): they are of another encoder"):
        random_classifier().scores(np.zeros((3, 5), np.float32))
    with pytest.raises(DataError, match="no split val"):
        fit_classifier(Latents(encoder="x", splits={"train": EASY.rows("train")}), seed=1)
    with pytest.raises(ConfigError, match="epochs"):
        Fitting(epochs=0)
