"""What the clients of a data source really get, as counts and digests: a fingerprint of the data.

Values count as the clients get them: scaled, as float32, client by client. The digest of all clients is one of the
digests of each, so that clients can make theirs where their rows are.
"""

import hashlib
import json

import numpy as np

from eafl_flower.core.provenance import Content
from eafl_flower.core.state import flatten
from eafl_flower.data.source import InMemorySource
from eafl_flower.types import Array, digest


def content_of(source: InMemorySource) -> Content:
    """Return the content of ``source``; the same on every machine and wherever its files lie."""
    rows = [source.partition(client) for client in range(source.num_clients)]
    return Content(
        counts={
            "clients": source.num_clients,
            "clients that train": source.num_seen,
            "training rows": sum(len(r.y_train) for r in rows),
            "test rows": sum(len(r.y_test) for r in rows),
            "features": len(source.feature_names),
            "classes": len(source.class_names),
        },
        digests={
            "features": sha256_of(source.feature_names),
            "classes": sha256_of(source.class_names),
            "names of clients": sha256_of(source.client_names),
            "labels": sha256_of([digest([r.y_train, r.y_test]) for r in rows]),
            "values": sha256_of([digest([r.x_train, r.x_test]) for r in rows]),
            "scaling": _scaling(source),
        },
    )


def _scaling(source: InMemorySource) -> str:
    """Return the digest of what scales the features: the same scaled rows may stem from other units."""
    arrays, tree = flatten(source.scaler)
    named = {name: digest([_as_float32(array)]) for name, array in arrays.items()}
    return sha256_of([tree, named])


def _as_float32(array: Array) -> Array:
    return array.astype(np.float32) if array.dtype.kind == "f" else array


def sha256_of(value: object) -> str:
    """Return the digest of a value that JSON can hold."""
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()
