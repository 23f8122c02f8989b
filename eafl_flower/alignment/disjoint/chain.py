r"""Disjoint designs as a whole: a digital map, a selection of what is sent, and a link that undoes the channel.

With :math:`2 K N_T` real features of what the map encodes: they are packed, made white and sent. The user undoes the
channel and the whitening, puts the features back into a latent of the access point, and maps it to its own. First-K and
Top-K of the paper are `FirstK` and `TopK` with `Ridge(bias=False)` and `broadcast_links`.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from eafl_flower.alignment.disjoint.links import Link
from eafl_flower.alignment.disjoint.maps import Map
from eafl_flower.alignment.disjoint.selection import Places, Selection
from eafl_flower.alignment.packing import pack, unpack
from eafl_flower.alignment.whitening import Whitening, fit_whitening
from eafl_flower.errors import ConfigError

Real = NDArray[np.float64]
Complex = NDArray[np.complex128]


@dataclass(frozen=True, kw_only=True, eq=False)
class Chain:
    """What happens to latents between the access point's encoder and one user's classifier.

    Parameters
    ----------
    map
        From the access point's latents to the user's.
    selection
        Which features are sent, ``2 * channel_uses * num_transmit`` of them.
    whitening
        Fitted to the features of the pilots.
    link
        Over the channel.
    dewhiten
        False: the user takes the features as they arrive, white, as in the released code.
    """

    map: Map
    selection: Selection
    whitening: Whitening
    link: Link
    dewhiten: bool = True

    def sent(self, latents: Real) -> tuple[Complex, Places]:
        """Return the symbols of latents ``(d_0, n)``, ``(K N_T, n)``, and what the user is told beside."""
        features, places = self.selection.features(self.map.encode(latents))
        return self.link.sent(self.whitening.apply(pack(features))), places

    def latents(self, received: Complex, places: Places) -> Real:
        """Return the user's latents ``(d, n)`` of what it hears, ``(K N_R, n)``, and what it was told."""
        white = self.link.received(received)
        features = unpack(self.whitening.undo(white) if self.dewhiten else white, 2 * white.shape[0])
        return self.map.decode(self.selection.latents(features, places))

    @classmethod
    def of(
        cls, aligned: Map, selection: Selection, link: Link, pilots: Real, *, dewhiten: bool = True, eps: float = 1e-6
    ) -> "Chain":
        """Return the chain whose whitening fits the pilots.

        Parameters
        ----------
        aligned, selection, link, dewhiten
            As the class has them.
        pilots
            Latents of the access point, ``(d_0, n)``.
        eps
            As `fit_whitening`.

        Raises
        ------
        ConfigError
            If the selection is of other latents than the map sends.
        """
        encoded = aligned.encode(pilots)
        features, places = selection.features(encoded)
        if (size := len(selection.latents(features, places))) != len(encoded):
            raise ConfigError(f"the selection is of latents of {size} dimensions, the map sends {len(encoded)}")
        whitening = fit_whitening(pack(features), eps)
        return cls(map=aligned, selection=selection, whitening=whitening, link=link, dewhiten=dewhiten)
