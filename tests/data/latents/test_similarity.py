import numpy as np
import pytest
from scipy.stats import ortho_group

from eafl_flower.core.rng import generator
from eafl_flower.data.latents import linear_cka
from eafl_flower.errors import DataError

RNG = generator(1, "cka")
X, Y = RNG.standard_normal((40, 5)), RNG.standard_normal((40, 7))


def test_a_space_is_like_itself_turned_scaled_and_moved():
    turn = ortho_group.rvs(5, random_state=1)
    assert linear_cka(X, X) == pytest.approx(1, abs=1e-14)
    assert linear_cka(X, -3 * X @ turn + 2) == pytest.approx(1, abs=1e-14)
    assert linear_cka(5 * X @ turn - 1, Y) == pytest.approx(linear_cka(X, Y), abs=1e-14)


def test_it_is_the_cosine_of_the_centred_grams():
    centre = np.eye(40) - 1 / 40
    k, m = (centre @ z @ z.T @ centre for z in (X, Y))
    assert linear_cka(X, Y) == pytest.approx(np.sum(k * m) / np.linalg.norm(k) / np.linalg.norm(m), abs=1e-14)
    assert linear_cka(Y, X) == pytest.approx(linear_cka(X, Y), abs=1e-14)


def test_uncorrelated_spaces_have_nothing_alike():
    q = np.linalg.qr(np.c_[np.ones(40), RNG.standard_normal((40, 6))])[0][:, 1:]
    assert linear_cka(q[:, :3], q[:, 3:]) == pytest.approx(0, abs=1e-28)
    assert linear_cka(q[:, :4], q[:, 3:4]) == pytest.approx(1 / 2, abs=1e-14)  # one of four directions: 1 / sqrt(4)


def test_what_cannot_be_compared_is_refused():
    with pytest.raises(DataError, match=r"\(40, 5\) and \(39, 7\)"):
        linear_cka(X, Y[1:])
    with pytest.raises(DataError, match="all latents of an encoder are the same"):
        linear_cka(X, np.ones((40, 2)))
