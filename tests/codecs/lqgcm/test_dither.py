from dataclasses import replace

import numpy as np
import pytest

from eafl_flower.codecs import LQGCMCodec, keyed_for
from eafl_flower.codecs.keys import session_key
from eafl_flower.codecs.lqgcm.dither import dequantise, dither_of, quantise
from eafl_flower.conformance import check_codec
from eafl_flower.core.rng import generator
from eafl_flower.errors import CodecError
from eafl_flower.types import ArraySpec, digest

RNG = generator(1, "unused")
KEY = session_key(1, 2)
LAYOUT = (ArraySpec((30, 40), "float32"),)


def codec(key=KEY, client=2, **settings):
    return LQGCMCodec(mode="dithered", **settings).keyed(key, client)


def coded(one, other, *, counter=1):
    arrays = (generator(1, "dithered").standard_normal((30, 40)).astype(np.float32),)
    encoded, _ = one.encode(replace(one.init(LAYOUT), counter=counter), arrays, RNG)
    return encoded, arrays, other.decode(other.init(LAYOUT), encoded.payload)[0]


def test_it_keeps_the_contract_of_a_codec():
    check_codec(codec(), is_idempotent=False)


def test_the_error_is_uniform_and_independent_of_the_coefficient():
    step, num = 0.5, 4_000_000
    dither = dither_of(KEY, client=2, counter=1, num_tuples=num // 5).reshape(-1)
    values = generator(1, "coefficients").standard_normal(num) ** 3
    values = values[np.abs(values) < 126 * step]
    dither = dither[: values.size]
    error = dequantise(quantise(values, dither, step), dither, step) - values
    assert np.abs(error).max() <= step / 2 * (1 + 1e-9)
    # the sample variance of a uniform error is off by sqrt(4/5 / n) = 0.05 %, its correlation by 1/sqrt(n) = 0.0005
    assert error.var() == pytest.approx(step**2 / 12, rel=0.01)
    assert abs(error.mean()) < 5 * step / np.sqrt(12 * num)
    assert abs(np.corrcoef(error, values)[0, 1]) < 0.005
    assert abs(np.corrcoef(error, np.abs(values))[0, 1]) < 0.005


def test_adding_the_dither_instead_of_taking_it_off_is_five_times_as_bad():
    step, num = 0.5, 500_000
    dither = dither_of(KEY, client=2, counter=1, num_tuples=num // 5).reshape(-1)
    values = generator(1, "coefficients").standard_normal(num)
    codes = quantise(values, dither, step)
    for estimate, factor in ((codes - dither, 1), (codes, 2), (codes + dither, 5)):
        # variances of the three are off by less than 0.2 % (one standard error)
        assert ((estimate * step - values).var()) == pytest.approx(factor * step**2 / 12, rel=0.01)


def test_dither_depends_on_key_client_counter_and_tuple_and_longer_runs_begin_alike():
    reference = dither_of(KEY, client=2, counter=1, num_tuples=50)
    assert np.array_equal(dither_of(KEY, client=2, counter=1, num_tuples=20), reference[:20])
    assert len(np.unique(reference)) == reference.size
    for key, client, counter in ((session_key(2, 2), 2, 1), (KEY, 3, 1), (KEY, 2, 2)):
        other = dither_of(key, client=client, counter=counter, num_tuples=50)
        assert not (other == reference).any()


def test_only_the_same_key_and_client_decode():
    encoded, arrays, decoded = coded(codec(), codec())
    error = np.linalg.norm(decoded[0] - arrays[0]) / np.linalg.norm(arrays[0])
    assert error == pytest.approx(encoded.error, rel=1e-5)
    for other in (codec(session_key(2, 2)), codec(client=3)):
        _, _, wrong = coded(codec(), other)
        assert digest(wrong) != digest(decoded)


def test_errors_of_many_clients_average_out():
    # all clients send the same coefficients: the mean of K independent errors has 1/K of their energy
    step, clients, num = 0.5, 64, 4000
    values = generator(1, "average").standard_normal(num)
    total = np.zeros(num)
    for client in range(clients):
        dither = dither_of(session_key(1, client), client=client, counter=1, num_tuples=num // 5).reshape(-1)
        total += dequantise(quantise(values, dither, step), dither, step) - values
    # relative standard error of a variance of `num` nearly normal values: sqrt(2 / num) = 2.2 %
    assert (total / clients).var() == pytest.approx(step**2 / 12 / clients, rel=5 * np.sqrt(2 / num))


def test_a_codec_without_a_key_says_how_to_give_one():
    bare = LQGCMCodec(mode="dithered")
    with pytest.raises(CodecError, match=r"needs a session key of 32 bytes: see LQGCMCodec\.keyed"):
        coded(bare, bare)
    coded(keyed_for(bare, seed=1, client=4), keyed_for(bare, seed=1, client=4))


def test_a_key_of_ones_own_is_kept_and_serves_all_clients():
    plain, own = LQGCMCodec(), LQGCMCodec(mode="dithered", session_key=KEY)
    assert keyed_for(plain, seed=1, client=4) is plain
    for client in (4, 5):
        assert keyed_for(own, seed=9, client=client) == codec(client=client)
        assert keyed_for(LQGCMCodec(mode="dithered"), seed=9, client=client) == codec(session_key(9, client), client)


def test_the_key_is_not_printed():
    assert "session_key" not in repr(codec())
