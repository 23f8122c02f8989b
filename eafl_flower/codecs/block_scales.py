r"""Vectors in blocks of eight-bit codes that share a scale.

A block with largest magnitude :math:`m` becomes one scale and one code a value:

.. math:: s = \mathrm{bf16}(m / 127), \qquad q_i = \mathrm{round}(x_i / s) \in [-127, 127],
          \qquad \hat x_i = s \, q_i

The scale is rounded to the nearest bfloat16, the upper half of a float32. It costs two bytes
instead of four and raises the error by 0.1 %; and since :math:`s q_i` then has at most 15
significant bits, decoding is exact and encoding decoded values again gives the same codes. Scales
are at least the smallest normal float32, so a block of zeros needs no special case, and values
below half of it, 6e-39, become zero.

References
----------
Dettmers et al., "8-bit Optimizers via Block-wise Quantization", ICLR 2022.
"""

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from eafl_flower.errors import CodecError

_LARGEST_CODE: Final = 127
_FLOAT32: Final = np.finfo(np.float32)
# scales as bfloat16 bits; 127 times the largest, 2**121 x (1 + 1/128), is still a float32
_SMALLEST_SCALE_BITS: Final = 0x0080
_LARGEST_SCALE_BITS: Final = 0x7C01
_CHUNK_VALUES: Final = 2**15  # what is worked on at a time stays in the processor's cache


def quantise(
    values: NDArray[np.float32], residual: NDArray[np.float32], kept: NDArray[np.float32], *, block_size: int
) -> tuple[NDArray[np.uint16], NDArray[np.int8], float] | None:
    """Code ``values + residual``.

    Parameters
    ----------
    values
        `(num_blocks * block_size,)`, what the error is relative to.
    residual
        Of the same shape, or empty for none.
    kept
        Of the same shape: filled with what the codes leave out of ``values + residual``. Or empty.
    block_size
        Values that share a scale.

    Returns
    -------
    tuple or None
        ``(scale_bits, codes, error)``: the scales' bfloat16 bits `(num_blocks,)`, the codes
        `(num_blocks * block_size,)` and the relative L2 error of the decoded values against ``values``,
        0 if those are all zero. None if ``values`` are not finite.
    """
    x, r, k = (vector.reshape(-1, block_size) for vector in (values, residual, kept))
    num_blocks = len(x)
    scale_bits = np.empty(num_blocks, "<u2")
    codes = np.empty(x.shape, np.int8)
    error_squared = norm_squared = 0.0
    step = max(1, _CHUNK_VALUES // block_size)
    for first in range(0, num_blocks, step):
        rows = slice(first, first + step)
        wanted = x[rows]
        target = wanted + r[rows] if residual.size else wanted
        peak = np.abs(target).max(axis=1)  # NaN if one is NaN
        if not np.isfinite(peak).all():
            if not np.isfinite(wanted).all():
                return None
            # only the sum left the range: what is cut off goes back into the residual
            target = np.clip(target, _FLOAT32.min, _FLOAT32.max)
            peak = np.abs(target).max(axis=1)
        scale_bits[rows], scale = _scales(peak)
        rounded = np.rint(target * (1 / scale)[:, None])
        codes[rows] = rounded  # within 127.5 without clipping, since the scale is off by at most 2**-8
        rounded *= scale[:, None]
        if kept.size:
            np.subtract(target, rounded, out=k[rows])
        rounded -= wanted
        error_squared += _sum_of_squares(rounded)
        norm_squared += _sum_of_squares(wanted)
    error = math.sqrt(error_squared / norm_squared) if norm_squared > 0 else 0.0
    return scale_bits, codes.reshape(-1), error


def dequantise(scale_bits: NDArray[np.uint16], codes: NDArray[np.int8], *, block_size: int) -> NDArray[np.float32]:
    """Decode blocks; the last one may be short of codes, which then count as zeros.

    Parameters
    ----------
    scale_bits
        bfloat16 bits of the scales, `(num_blocks,)`.
    codes
        At most `(num_blocks * block_size,)`.
    block_size
        Values that share a scale.

    Returns
    -------
    NDArray
        `(num_blocks * block_size,)`.

    Raises
    ------
    CodecError
        If a scale or a code is none that ``quantise`` returns.
    """
    if codes.size and (scale_bits.min() < _SMALLEST_SCALE_BITS or scale_bits.max() > _LARGEST_SCALE_BITS):
        msg = "a scale of the payload is negative, not finite, too small or too large"
        raise CodecError(msg)
    if codes.size and codes.min() < -_LARGEST_CODE:
        msg = f"a code of the payload is {codes.min()}: expected -{_LARGEST_CODE} to {_LARGEST_CODE}"
        raise CodecError(msg)
    scale = (scale_bits.astype(np.uint32) << np.uint32(16)).view(np.float32)
    values = np.empty(scale.size * block_size, np.float32)
    values[: codes.size] = codes
    values[codes.size :] = 0
    blocks = values.reshape(-1, block_size)
    blocks *= scale[:, None]
    return values


def _scales(peak: NDArray[np.float32]) -> tuple[NDArray[np.uint16], NDArray[np.float32]]:
    exact = np.maximum(peak / np.float32(_LARGEST_CODE), _FLOAT32.smallest_normal)
    bits = (exact.view(np.uint32) + np.uint32(0x8000)) >> np.uint32(16)
    return bits.astype(np.uint16), (bits << np.uint32(16)).view(np.float32)


def _sum_of_squares(values: NDArray[np.float32]) -> float:
    # in float64: squares of float32 leave the range of float32; by einsum, whose sum, unlike that of
    # BLAS, does not depend on the number of threads
    wide = values.astype(np.float64)
    return float(np.einsum("ij,ij->", wide, wide))
