r"""Tuples of LQGCM with subtractive dither: five coefficients of eight bits each.

Sender and receiver know a secret session key. For coefficient :math:`c` and step :math:`\Delta` both draw the
same :math:`z \sim U(-\tfrac12, \tfrac12)`, the sender rounds :math:`c / \Delta + z` and the receiver takes
:math:`z` off again:

.. math:: m = \mathrm{round}(c / \Delta + z) \in [-127, 127], \qquad \hat c = (m - z)\,\Delta

The error :math:`\hat c - c` is uniform on :math:`\pm\Delta/2`, independent of :math:`c` and of variance
:math:`\Delta^2 / 12`: errors of many clients average out. That pays only from about four bits a coefficient
on, so this mode is no competitor at 88 bits for 256 values. It is a building block and an ablation.

The coefficients are those of five rows of the Walsh-Hadamard basis of the block, drawn publicly for each
tuple; the gain of the tuple is :math:`\Delta`. The key stream is SHAKE-256 of the HMAC-SHA-256, under the
session key, of client and counter; tuple :math:`t` takes its bytes :math:`20t` to :math:`20t + 19`.
**Dither is no privacy**: whoever has the key, the server included, sees coefficients to within a step.

References
----------
Schuchman, "Dither signals and their effect on quantization noise", IEEE Trans. Communication Technology 12, 1964.
"""

import hashlib
import hmac
from dataclasses import dataclass, field
from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eafl_flower.codecs.keys import KEY_BYTES
from eafl_flower.codecs.lqgcm.pursuit import half, scale_for
from eafl_flower.codecs.lqgcm.shapes import add_rows
from eafl_flower.codecs.lqgcm.tuples import (
    BLOCK,
    PICKED,
    Tuples,
    Vector,
    join_bytes,
    make_tuples,
    split_bytes,
    words_of,
)
from eafl_flower.errors import CodecError

_LARGEST_CODE = 127
_BASIS = reduce(np.kron, [np.array([[1.0, 1.0], [1.0, -1.0]])] * 8) / 16  # `(256, 256)`, orthonormal


def dither_of(key: bytes, *, client: int, counter: int, num_tuples: int) -> NDArray[np.float64]:
    """Return the dither `(num_tuples, 5)`, uniform on (-1/2, 1/2)."""
    secret = hmac.digest(key, f"eafl-flower lqgcm dither {client} {counter}".encode(), "sha256")
    stream = np.frombuffer(hashlib.shake_256(secret).digest(4 * PICKED * num_tuples), "<u4")
    return ((stream + 0.5) / 2**32 - 0.5).reshape(num_tuples, PICKED)


def quantise(
    coefficients: NDArray[np.float64], dither: NDArray[np.float64], step: float | NDArray[np.float64]
) -> NDArray[np.int64]:
    """Return codes from -127 to 127."""
    return np.clip(np.rint(coefficients / step + dither), -_LARGEST_CODE, _LARGEST_CODE).astype(np.int64)


def dequantise(
    codes: NDArray[np.int64], dither: NDArray[np.float64], step: float | NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return coefficients; their error is uniform unless a code was clipped."""
    return (codes - dither) * step


@dataclass(frozen=True)
class Dithered:
    """Coefficients of one payload; see ``Atoms`` for the methods."""

    key: bytes = field(repr=False)
    client: int
    counter: int

    def __post_init__(self) -> None:
        if len(self.key) != KEY_BYTES:
            msg = f'mode = "dithered" needs a session key of {KEY_BYTES} bytes: see LQGCMCodec.keyed'
            raise CodecError(msg)

    def scale_for(self, peak: float) -> float:
        """Return the unit; a gain is a step, that is at most 16/126 times a value."""
        return scale_for(peak / 4)

    def pursue(self, residual: Vector, *, num_values: int, num_tuples: int, scale: float) -> Tuples:
        """Code five coefficients of the block with the most energy, one block after the other."""
        rows = residual.reshape(-1, BLOCK).astype(np.float64)
        energies = np.einsum("ij,ij->i", rows, rows)
        dither, basis = self._dither(num_tuples), self._basis(num_tuples)
        blocks, codes, gains = [], [], []
        for n in range(num_tuples if num_values else 0):
            b = int(np.argmax(energies))
            coefficients = _BASIS[basis[n]] @ rows[b]
            gain = half(float(np.abs(coefficients).max()) / (_LARGEST_CODE - 1) / scale)
            if gain == 0:
                break
            codes.append(quantise(coefficients, dither[n], gain * scale))
            rows[b] -= dequantise(codes[n], dither[n], gain * scale) @ _BASIS[basis[n]]
            energies[b] = rows[b] @ rows[b]
            blocks.append(b)
            gains.append(gain)
        words = join_bytes(np.array(codes, np.int64).reshape(-1, PICKED) & 0xFF)
        return make_tuples(np.array(blocks, np.uint32), words, np.array(gains, np.float64))

    def add(self, vector: Vector, tuples: Tuples, amounts: NDArray[np.float64]) -> None:
        """Add coefficients times basis rows, as many tuples at a time as the vector has blocks."""
        codes = split_bytes(words_of(tuples)).astype(np.int8).astype(np.int64)
        if codes.size and codes.min() < -_LARGEST_CODE:
            msg = f"a code of the payload is {codes.min()}: expected -{_LARGEST_CODE} to {_LARGEST_CODE}"
            raise CodecError(msg)
        values = dequantise(codes, self._dither(tuples.size), amounts[:, None])
        basis = self._basis(tuples.size)

        def rows_of(part: slice) -> NDArray[Any]:
            return sum((values[part, i, None] * _BASIS[basis[part, i]] for i in range(PICKED)), np.zeros(()))

        add_rows(vector, tuples, rows_of)

    def _dither(self, num_tuples: int) -> NDArray[np.float64]:
        return dither_of(self.key, client=self.client, counter=self.counter, num_tuples=num_tuples)

    def _basis(self, num_tuples: int) -> NDArray[np.int64]:
        """Return five different rows of the basis for each tuple; everybody may know them."""
        seed = f"eafl-flower lqgcm basis {self.counter}".encode()
        drawn = np.frombuffer(hashlib.shake_256(seed).digest(2 * num_tuples), np.uint8).reshape(-1, 2).astype(np.int64)
        return (drawn[:, :1] + (drawn[:, 1:] | 1) * np.arange(PICKED)) % BLOCK  # an odd stride visits all rows
