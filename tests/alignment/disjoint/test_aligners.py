import numpy as np
import pytest

from eafl_flower.alignment.disjoint.aligners import CanonicalCorrelation, Procrustes, Ridge
from eafl_flower.alignment.disjoint.chain import Chain
from eafl_flower.alignment.disjoint.links import own_link
from eafl_flower.alignment.disjoint.maps import latent_sums
from eafl_flower.alignment.disjoint.relative import Relative
from eafl_flower.alignment.disjoint.selection import eigen_k
from eafl_flower.errors import ConfigError, DataError
from eafl_flower.radio.mimo import draw_channel, through

RNG = np.random.default_rng(5)
THEIRS = RNG.standard_normal((8, 8)) @ RNG.standard_normal((8, 200)) + 0.5
OWN = np.tanh(RNG.standard_normal((10, 8)) @ THEIRS / 6) + 0.1 * RNG.standard_normal((10, 200))
ALIGNERS = (Ridge(), Ridge(strength=1e-9), Procrustes(), CanonicalCorrelation(load=0.0), Relative(strength=1e-12))
FEDERATED = [aligner for aligner in (*ALIGNERS, Ridge(strength=0.1, bias=False)) if aligner.federated]
EVERY = pytest.mark.parametrize("aligner", ALIGNERS, ids=repr)


def rotation(rows, columns):
    return np.linalg.qr(RNG.standard_normal((max(rows, columns),) * 2))[0][:rows, :columns]


def of_norm_one(latents):
    return latents / np.linalg.norm(latents, axis=0)


def misfit(matrix, offset=0.0):
    return np.linalg.norm(OWN - matrix @ THEIRS - offset) ** 2


@EVERY
@pytest.mark.parametrize("size", [8, 13])
def test_every_aligner_finds_a_rotation(aligner, size):
    turn = rotation(size, 8)
    theirs, others = (of_norm_one(RNG.standard_normal((8, n))) for n in (200, 20))  # cosines do not tell the norm
    found = aligner.fit(theirs, 1.7 * turn @ theirs)
    np.testing.assert_allclose(found.decode(found.encode(others)), 1.7 * turn @ others, atol=1e-6)


@EVERY
def test_every_aligner_goes_over_a_channel(aligner):
    found = aligner.fit(THEIRS, OWN)
    count = found.encode(THEIRS).shape[0] // 2 * 2
    channel = draw_channel(1, 1, RNG)
    link = own_link(channel, 0.0, channel_uses=count // 2)
    over = Chain.of(found, eigen_k(found.matrix, count), link, THEIRS)
    symbols, places = over.sent(THEIRS)
    received = over.latents(through(channel, symbols), places)
    np.testing.assert_allclose(received, found.decode(found.encode(THEIRS)), atol=1e-3)


@EVERY
def test_every_aligner_refuses_pilots_that_do_not_match(aligner):
    with pytest.raises(DataError, match="200 pilots at the access point, 199 at the user: expected the same data"):
        aligner.fit(THEIRS, OWN[:, 1:])
    broken = OWN.copy()
    broken[3, 7] = np.nan
    with pytest.raises(DataError, match="the user's latents of sample 7 are not finite"):
        aligner.fit(THEIRS, broken)


@pytest.mark.parametrize("aligner", FEDERATED, ids=repr)
def test_federated_aligners_need_sums_only_and_these_add_up(aligner):
    parts = latent_sums(THEIRS[:, :70], OWN[:, :70]) + latent_sums(THEIRS[:, 70:], OWN[:, 70:])
    whole, summed = aligner.fit(THEIRS, OWN), aligner.from_sums(parts)
    np.testing.assert_allclose(summed.matrix, whole.matrix, atol=1e-9)
    np.testing.assert_allclose(summed.offset, whole.offset, atol=1e-9)


def test_relative_representations_never_see_the_access_points_latents_but_as_anchors():
    aligner = Relative(num_anchors=20)
    assert not aligner.federated
    others = THEIRS.copy()
    others[:, 20:] = 0.0
    np.testing.assert_array_equal(aligner.fit(others, OWN).matrix, aligner.fit(THEIRS, OWN).matrix)


def test_a_relative_representation_is_of_cosines_with_the_anchors():
    found = Relative(num_anchors=20).fit(THEIRS, OWN)
    cosines = found.encode(THEIRS)
    np.testing.assert_allclose(np.diagonal(cosines[:, :20]), 1.0)
    np.testing.assert_allclose(found.encode(3 * THEIRS), cosines)
    expected = THEIRS[:, 4] @ THEIRS[:, 50] / np.linalg.norm(THEIRS[:, 4]) / np.linalg.norm(THEIRS[:, 50])
    assert cosines[4, 50] == pytest.approx(expected)


def test_ridge_is_stationary_and_without_offset_or_penalty_least_squares():
    strength = 0.3
    found = Ridge(strength=strength, bias=False).fit(THEIRS, OWN).matrix
    gram = THEIRS @ THEIRS.T
    np.testing.assert_allclose(found @ gram + strength * np.trace(gram) / 8 * found, OWN @ THEIRS.T, atol=1e-8)
    plain = np.linalg.lstsq(THEIRS.T, OWN.T, rcond=None)[0].T
    np.testing.assert_allclose(Ridge(bias=False).fit(THEIRS, OWN).matrix, plain, atol=1e-9)
    with_offset = np.linalg.lstsq(np.vstack([THEIRS, np.ones(200)]).T, OWN.T, rcond=None)[0].T
    found = Ridge().fit(THEIRS, OWN)
    np.testing.assert_allclose(np.hstack([found.matrix, found.offset]), with_offset, atol=1e-9)


def test_no_other_rotation_and_scale_fits_better_than_procrustes():
    found = Procrustes().fit(THEIRS, OWN)
    scale = np.linalg.norm(found.matrix) / np.sqrt(8)
    np.testing.assert_allclose(found.matrix.T @ found.matrix, scale**2 * np.eye(8), atol=1e-10)
    best = misfit(found.matrix, found.offset)
    for _ in range(200):
        turn = np.linalg.qr(np.eye(10) + 0.1 * RNG.standard_normal((10, 10)))[0]
        other = RNG.uniform(0.8, 1.2) * turn @ found.matrix
        offset = (OWN - other @ THEIRS).mean(axis=1, keepdims=True)
        assert misfit(other, offset) >= best


def test_with_fewer_dimensions_procrustes_keeps_orthonormal_rows():
    found = Procrustes().fit(THEIRS, OWN[:3]).matrix
    gram = found @ found.T
    np.testing.assert_allclose(gram, gram[0, 0] * np.eye(3), atol=1e-12)


def test_all_canonical_pairs_are_least_squares_and_one_is_the_most_correlated_direction():
    every = CanonicalCorrelation(load=0.0).fit(THEIRS, OWN)
    np.testing.assert_allclose(every.matrix, Ridge().fit(THEIRS, OWN).matrix, atol=1e-8)
    one = CanonicalCorrelation(pairs=1, load=0.0).fit(THEIRS, OWN).matrix
    assert np.linalg.matrix_rank(one, tol=1e-8) == 1
    x, y = THEIRS - THEIRS.mean(axis=1, keepdims=True), OWN - OWN.mean(axis=1, keepdims=True)
    direction = np.linalg.svd(one)[2][0] @ x

    def correlation(signal):
        fitted = np.linalg.lstsq(y.T, signal, rcond=None)[0] @ y
        return np.linalg.norm(fitted) / np.linalg.norm(signal)

    for _ in range(200):
        assert correlation(RNG.standard_normal(8) @ x) <= correlation(direction) + 1e-12


def test_a_constant_dimension_breaks_no_aligner():
    theirs = np.vstack([THEIRS, np.full((1, 200), 2.0)])
    for aligner in ALIGNERS:
        found = aligner.fit(theirs, OWN)
        assert np.isfinite(found.decode(found.encode(theirs))).all()


def test_settings_that_cannot_be_are_refused():
    with pytest.raises(ConfigError, match=r"strength = -1.0"):
        Ridge(strength=-1.0)
    with pytest.raises(ConfigError, match="num_anchors = 300: there are 200 pilots"):
        Relative(num_anchors=300).fit(THEIRS, OWN)
    with pytest.raises(ConfigError, match="pairs = -1"):
        CanonicalCorrelation(pairs=-1)
    with pytest.raises(DataError, match="expected the same dimensions"):
        latent_sums(THEIRS, OWN) + latent_sums(THEIRS[:3], OWN)
