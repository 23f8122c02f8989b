"""The codebook of the published codec: 256 k-means centres of 50,000 samples of white noise.

Samples are rounded to eighths and centres to 512ths, so that k-means is exact (see ``lqgcm_kmeans``) and every
machine gets the same centres. It takes some seconds, so they are kept in the user's cache folder,
``$XDG_CACHE_HOME/eafl-flower`` or ``~/.cache/eafl-flower``, in a file that is named after what it was made from and
holds its own SHA-256. A file that is missing or damaged is made anew; without a writable folder so it is each time.
"""

import hashlib
import os
import tempfile
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from eafl_flower.codecs.lqgcm.kmeans import CENTRES, kmeans
from eafl_flower.codecs.lqgcm.tuples import BLOCK
from eafl_flower.core.rng import generator

SEED = 42  # the source's
NUM_SAMPLES = 50_000
ITERATIONS = 5  # more of them change the centres' norm by less than 0.3 %

_GRID = 1 / 8  # of the samples; that of the centres is a 64th of it
_LARGEST = 4  # of a sample


@cache
def noise_codebook() -> NDArray[np.float32]:
    """Return the centres `(256, 256)`, from the cache folder if they are there; not to be written to."""
    path = cache_folder() / f"{_name()}.bin"
    stored = _read(path)
    if stored is None:
        stored = _made()
        _write(path, stored)
    return stored.astype(np.float32) * np.float32(_GRID / 64)


def cache_folder() -> Path:
    """Return the user's cache folder of this package."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(base) if os.path.isabs(base) else Path.home() / ".cache") / "eafl-flower"


def _made() -> NDArray[np.int16]:
    """Return the centres in 512ths."""
    noise = generator(SEED, "lqgcm", "noise codebook").standard_normal((NUM_SAMPLES, BLOCK), dtype=np.float32)
    samples = np.clip(np.rint(noise / _GRID), -_LARGEST / _GRID, _LARGEST / _GRID)
    centres = kmeans(samples, generator(SEED, "lqgcm", "k-means"), iterations=ITERATIONS, grid=1 / 64)
    return (64 * centres).astype("<i2")


def _name() -> str:
    recipe = f"noise codebook 1: seed {SEED}, {NUM_SAMPLES} samples, {ITERATIONS} iterations, grid {_GRID}, {_LARGEST}"
    return f"lqgcm-{hashlib.sha256(recipe.encode()).hexdigest()[:16]}"


def _read(path: Path) -> NDArray[np.int16] | None:
    size = 2 * CENTRES * BLOCK
    try:
        with path.open("rb") as file:
            content = file.read(32 + size + 1)
    except OSError:
        return None
    if len(content) != 32 + size or hashlib.sha256(content[32:]).digest() != content[:32]:
        return None
    return np.frombuffer(content, "<i2", offset=32).reshape(CENTRES, BLOCK)


def _write(path: Path, centres: NDArray[np.int16]) -> None:
    data = centres.tobytes()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, draft = tempfile.mkstemp(dir=path.parent, prefix=path.stem)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(hashlib.sha256(data).digest() + data)
            os.replace(draft, path)
        except BaseException:
            os.unlink(draft)
            raise
    except OSError:
        return  # the next process makes it again
