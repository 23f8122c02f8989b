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
            "features": _sha256(source.feature_names),
            "classes": _sha256(source.class_names),
            "names of clients": _sha256(source.client_names),
            "labels": _sha256([digest([r.y_train, r.y_test]) for r in rows]),
            "values": _sha256([digest([r.x_train, r.x_test]) for r in rows]),
            "scaling": _scaling(source),
        },
    )


def _scaling(source: InMemorySource) -> str:
    """Return the digest of what scales the features: the same scaled rows may stem from other units."""
    arrays, tree = flatten(source.scaler)
    named = {name: digest([_as_float32(array)]) for name, array in arrays.items()}
    return _sha256([tree, named])


def _as_float32(array: Array) -> Array:
    return array.astype(np.float32) if array.dtype.kind == "f" else array


def _sha256(value: object) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()
