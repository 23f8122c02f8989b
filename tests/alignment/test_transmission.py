import numpy as np
import pytest

from eafl_flower.alignment import Receiver, Sender, compression, fit_whitening, no_whitening, pack
from eafl_flower.errors import ConfigError, DataError, ProtocolError
from eafl_flower.radio.mimo import complex_normal, draw_channel, through

RNG = np.random.default_rng(6)
LATENTS = RNG.standard_normal((7, 40))
WHITENING = fit_whitening(pack(LATENTS))


def test_symbols_have_the_energy_of_the_precoder():
    precoder = complex_normal((6, 4), 1.0, RNG)
    symbols = Sender(whitening=WHITENING, precoder=precoder).symbols(LATENTS)
    assert np.linalg.norm(symbols) ** 2 / 39 == pytest.approx(np.linalg.norm(precoder) ** 2)


@pytest.mark.parametrize("whitening", [WHITENING, no_whitening(4)], ids=["white", "plain"])
def test_latents_come_through_a_channel_whose_inverse_is_the_equalizer(whitening):
    channel, precoder = draw_channel(2, 2, RNG), complex_normal((4, 4), 1.0, RNG)
    inverse = np.linalg.inv(np.kron(np.eye(2), channel) @ precoder)
    received = through(channel, Sender(whitening=whitening, precoder=precoder).symbols(LATENTS))
    found = Receiver(whitening=whitening, equalizer=inverse, size=7).latents(received)
    np.testing.assert_allclose(found, LATENTS, atol=1e-10)


def test_compression_counts_uses_and_symbols():
    assert compression(24, 2, 96) == (0.25, 0.5)
    with pytest.raises(ConfigError, match="4 uses, 4 antennas, 0 dimensions: expected one or more"):
        compression(4, 4, 0)


def test_what_does_not_fit_together_is_refused():
    with pytest.raises(ConfigError, match=r"precoder is \(6, 3\): expected \(symbols, 4\)"):
        Sender(whitening=WHITENING, precoder=np.ones((6, 3)))
    for equalizer, size in ((np.ones((3, 6)), 7), (np.ones((4, 6)), 6), (np.ones(4), 7)):
        with pytest.raises(ConfigError, match=r"expected \(4, symbols\) and 7 or 8, as is whitened"):
            Receiver(whitening=WHITENING, equalizer=equalizer, size=size)
    receiver = Receiver(whitening=WHITENING, equalizer=np.ones((4, 6)), size=7)
    with pytest.raises(ProtocolError, match=r"received \(5, 2\): expected \(6, n\) symbols"):
        receiver.latents(np.ones((5, 2)))
    with pytest.raises(ProtocolError, match="not finite"):
        receiver.latents(np.full((6, 2), np.inf))
    with pytest.raises(DataError, match="the whitening was fitted to"):
        Sender(whitening=WHITENING, precoder=np.ones((6, 4))).symbols(LATENTS[:5])
