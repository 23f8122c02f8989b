import numpy as np
import pytest

from eafl_flower.alignment.pilots import herded_pilots, random_pilots
from eafl_flower.errors import ConfigError, DataError

RNG = np.random.default_rng(8)
CENTRES = 4.0 * RNG.standard_normal((3, 5))
LATENTS = CENTRES[:, RNG.integers(5, size=1500)] + RNG.standard_normal((3, 1500))


SQUARES = (LATENTS**2).sum(axis=0)
DISTANCES = SQUARES[:, None] + SQUARES - 2 * LATENTS.T @ LATENTS
KERNEL = np.exp(-DISTANCES / (2 * DISTANCES.mean()))


def discrepancy(chosen):
    """Squared distance of the means of the chosen and of all in the feature space of the kernel."""
    return KERNEL.mean() - 2 * KERNEL[chosen].mean() + KERNEL[np.ix_(chosen, chosen)].mean()


def test_pilots_are_different_data():
    for chosen in (herded_pilots(LATENTS, 60), random_pilots(1500, 60, RNG)):
        assert len(set(chosen.tolist())) == 60
        assert chosen.min() >= 0
        assert chosen.max() < 1500


def test_herded_pilots_stand_for_the_data_better_than_any_of_many_random_draws():
    herded = discrepancy(herded_pilots(LATENTS, 40))
    assert herded < min(discrepancy(random_pilots(1500, 40, RNG)) for _ in range(50))


@pytest.mark.parametrize("width", [0.5, 1.0])
def test_each_pilot_is_the_one_that_herding_asks_for(width):
    kernel = KERNEL ** (1 / width**2)
    chosen = herded_pilots(LATENTS, 25, width)
    for t in range(25):
        value = kernel.mean(axis=1) - kernel[:, chosen[:t]].sum(axis=1) / (t + 1)
        value[chosen[:t]] = -np.inf
        assert value[chosen[t]] == pytest.approx(value.max(), rel=1e-9)


def test_fewer_herded_pilots_are_the_first_of_more():
    np.testing.assert_array_equal(herded_pilots(LATENTS, 30)[:10], herded_pilots(LATENTS, 10))


def test_herding_is_indifferent_to_place_and_unit():
    np.testing.assert_array_equal(herded_pilots(3.0 * LATENTS + 7.0, 30), herded_pilots(LATENTS, 30))


def test_all_data_may_be_pilots():
    assert sorted(herded_pilots(LATENTS[:, :50], 50)) == list(range(50))


@pytest.mark.parametrize("count", [0, 1501])
def test_more_pilots_than_data_are_refused(count):
    for choose in (lambda: herded_pilots(LATENTS, count), lambda: random_pilots(1500, count, RNG)):
        with pytest.raises(ConfigError, match=f"{count} pilots of 1500 data: expected from 1 to 1500"):
            choose()


def test_data_without_differences_are_refused():
    with pytest.raises(DataError, match="all the same"):
        herded_pilots(np.ones((3, 9)), 2)
    with pytest.raises(ConfigError, match="width = 0"):
        herded_pilots(LATENTS, 2, width=0.0)
