import io
import zipfile

import numpy as np
import pytest
from flwr.app import Array as FlowerArray

from eafl_flower.errors import ProtocolError
from eafl_flower.wire.arrays import from_flower_array, to_flower_array
from eafl_flower.wire.npy import read_npy

VALUES = np.arange(6, dtype=np.float32).reshape(2, 3)


def saved(array, **options):
    file = io.BytesIO()
    np.save(file, array, **options)
    return file.getvalue()


def header(text, version=1):
    length = len(text).to_bytes(2 if version == 1 else 4, "little")
    return b"\x93NUMPY" + bytes([version, 0]) + length + text.encode()


def fields(descr="'<f4'", shape="(2, 3)"):
    return f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}}}\n"


def archive():
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as zipped:
        zipped.writestr("a.npy", saved(VALUES))
    return file.getvalue()


@pytest.mark.parametrize(
    "array",
    [VALUES, np.asfortranarray(VALUES), VALUES.astype(">f8"), np.array(2.5), np.zeros((0, 3)), np.array([True, False])],
    ids=["C", "Fortran", "big-endian", "scalar", "empty", "bool"],
)
def test_what_numpy_saves_is_read_alike(array):
    read = from_flower_array(FlowerArray(array), "w")
    assert (read.dtype, read.shape, read.tolist()) == (array.dtype, array.shape, array.tolist())
    assert from_flower_array(to_flower_array(array), "w").tolist() == array.tolist()
    assert read_npy(header(fields(), version=3) + VALUES.tobytes()).tolist() == VALUES.tolist()


@pytest.mark.parametrize(
    "data",
    [
        b"PK\x05\x06" + bytes(18),  # an empty archive
        archive(),
        b"\x80\x04K\x01.",  # a pickle
        saved(np.array([None], dtype=object), allow_pickle=True),
        b"",
        b"\x93NUMPY",
        saved(VALUES)[:-1],
        saved(VALUES) + b"\0",
        header(fields(shape="(2**62,)")),
        header(fields(shape="(1099511627776,)")),
        header(fields(shape="(-6, -5)")) + bytes(120),
        header(fields(descr="'|V0'", shape="(1099511627776,)")),
        header(fields(descr="[('a', '<f4')]")) + bytes(24),
        header(fields(descr="'|O'")) + bytes(48),
        header("[1, 2]"),
        header("(" * 4000),
        header("-" * 4000 + "1"),
        header("(" * 200_000, version=2),
    ],
)
def test_anything_else_is_an_error_of_the_protocol(data):
    with pytest.raises(ProtocolError, match=r'array "w" cannot be read .* expected a numpy array of float32 \[2, 3\]'):
        from_flower_array(FlowerArray("float32", (2, 3), "numpy.ndarray", data), "w")


def test_an_array_has_the_shape_and_the_kind_it_says():
    with pytest.raises(ProtocolError, match=r"its data have shape \(2, 3\)"):
        from_flower_array(FlowerArray("float32", (6,), "numpy.ndarray", saved(VALUES)), "w")
    with pytest.raises(ProtocolError, match=r"it is a torch\.Tensor"):
        from_flower_array(FlowerArray("float32", (2, 3), "torch.Tensor", saved(VALUES)[1:]), "w")


@pytest.mark.parametrize(
    ("dtype", "shape"),
    [("x" * 10**6, (2,)), ("float32", (10**400,)), ("float32", (10**5000,)), ("float32", (1,) * 10**5)],
)
def test_a_description_of_a_megabyte_makes_no_message_of_a_megabyte(dtype, shape):
    with pytest.raises(ProtocolError) as caught:
        from_flower_array(FlowerArray(dtype, shape, "numpy.ndarray", b""), "k" * 10**6)
    assert len(str(caught.value)) < 1500
