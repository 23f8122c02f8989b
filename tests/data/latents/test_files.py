import os
from contextlib import suppress

import numpy as np
import pytest
from safetensors.numpy import save_file

from eafl_flower.core.rng import generator
from eafl_flower.data.latents import (
    LatentRows,
    Latents,
    read_latents,
    read_split_files,
    refuse_other_images,
    write_latents,
)
from eafl_flower.errors import ConfigError, DataError

KINDS = (".safetensors", ".npz")


def rows(n, d, purpose, images=True):
    rng = generator(1, "latents", purpose)
    return LatentRows(
        absolute=rng.standard_normal((n, d)).astype(np.float32),
        labels=rng.integers(0, 4, n),
        images=rng.integers(-(2**63), 2**63 - 1, n) if images else None,
    )


@pytest.fixture
def latents():
    return Latents(
        encoder="hub/größe-s",
        splits={"train": rows(7, 3, "a"), "val": rows(2, 3, "b"), "test": rows(4, 3, "c", images=False)},
        data="shapes",
        trained_on="other shapes",
    )


def same(a, b):
    assert (a.encoder, a.data, a.trained_on, list(a.splits)) == (b.encoder, b.data, b.trained_on, list(b.splits))
    for split, expected in b.splits.items():
        found = a.splits[split]
        assert (found.absolute.dtype, found.labels.dtype) == (np.float32, np.int64)
        np.testing.assert_array_equal(found.absolute, expected.absolute)
        np.testing.assert_array_equal(found.labels, expected.labels)
        assert (found.images is None) == (expected.images is None)
        if expected.images is not None:
            np.testing.assert_array_equal(found.images, expected.images)


@pytest.mark.parametrize("extension", KINDS)
def test_what_was_written_is_read(latents, tmp_path, extension):
    write_latents(tmp_path / "new" / f"a{extension}", latents)
    same(read_latents(tmp_path / "new" / f"a{extension}"), latents)


def test_latents_in_another_order_of_memory_are_written_as_they_are(latents, tmp_path):
    turned = np.asfortranarray(latents.splits["train"].absolute)
    strange = Latents(encoder="x", splits={"train": LatentRows(absolute=turned, labels=np.zeros(7, np.int64))})
    write_latents(tmp_path / "a.safetensors", strange)
    np.testing.assert_array_equal(read_latents(tmp_path / "a.safetensors").splits["train"].absolute, turned)


@pytest.fixture
def few():
    return Latents(encoder="x", splits={"train": rows(2, 1, "a")})


@pytest.mark.parametrize("extension", KINDS)
def test_every_truncation_is_refused(few, tmp_path, extension):
    path = tmp_path / f"a{extension}"
    write_latents(path, few)
    for length in reversed(range(path.stat().st_size)):
        os.truncate(path, length)
        with pytest.raises(DataError, match="damaged"):
            read_latents(path)


@pytest.mark.parametrize("extension", KINDS)
def test_every_changed_byte_is_refused_or_changes_nothing(few, tmp_path, extension):
    path = tmp_path / f"a{extension}"
    write_latents(path, few)
    content = path.read_bytes()
    with path.open("r+b", buffering=0) as file:
        for place, byte in enumerate(content):
            os.pwrite(file.fileno(), bytes([byte ^ 0x15]), place)
            with suppress(DataError):
                same(read_latents(path), few)  # times and rights of a zip's members, for example
            os.pwrite(file.fileno(), bytes([byte]), place)


def test_another_version_is_refused(latents, tmp_path):
    arrays = {"train.absolute": np.zeros((2, 2), np.float32), "train.labels": np.zeros(2, np.int64)}
    save_file(arrays, tmp_path / "a.safetensors", metadata={"version": "2"})
    np.savez(tmp_path / "a.npz", **arrays, version="2")
    for extension in KINDS:
        with pytest.raises(DataError, match="is of version 2 of the format of latents, expected 1"):
            read_latents(tmp_path / f"a{extension}")


def test_files_of_somebody_else_need_latents_and_labels_alone(tmp_path):
    absolute, labels = np.arange(6, dtype=np.float64).reshape(3, 2), np.array([0, 1, 1], np.int16)
    np.savez(tmp_path / "theirs.npz", **{"train.absolute": absolute, "train.labels": labels, "more": labels})
    found = read_latents(tmp_path / "theirs.npz")
    assert (found.encoder, found.size, found.classes, found.splits["train"].images) == ("theirs", 2, 2, None)
    np.testing.assert_array_equal(found.splits["train"].absolute, absolute)


def test_one_file_for_each_split_is_read(tmp_path):
    for split, n in (("train", 5), ("test", 3)):
        (tmp_path / split).mkdir()
        np.savez(tmp_path / split / "vit.npz", absolute=np.ones((n, 2), np.float32), labels=np.arange(n))
    found = read_split_files(tmp_path, "vit")
    assert {split: len(of) for split, of in found.splits.items()} == {"train": 5, "test": 3}
    with pytest.raises(DataError, match=r"no latents of cnn in .*: expected .*/SPLIT/cnn with one of \.safetensors"):
        read_split_files(tmp_path, "cnn")
    save_file({"absolute": np.ones((3, 2), np.float32)}, tmp_path / "test" / "vit.safetensors")
    with pytest.raises(DataError, match="are both there"):
        read_split_files(tmp_path, "vit")


@pytest.mark.parametrize(
    ("arrays", "told"),
    [
        ({}, "has none of train.absolute"),
        ({"train.absolute": np.ones((2, 2), np.float32)}, "no array train.labels"),
        ({"train.absolute": np.ones((2, 2), np.int64), "train.labels": np.zeros(2, np.int64)}, "expected floats"),
        ({"train.absolute": np.ones((2, 2)), "train.labels": np.zeros(2)}, "train.labels is float64"),
        ({"train.absolute": np.ones((2, 2)), "train.labels": np.zeros(3, np.int64)}, r"labels is int64 \(3,\)"),
        ({"train.absolute": np.ones(2), "train.labels": np.zeros(2, np.int64)}, r"absolute is float32 \(2,\)"),
        ({"train.absolute": np.ones((0, 2)), "train.labels": np.zeros(0, np.int64)}, r"at least \(1, 1\)"),
        ({"train.absolute": np.ones((2, 2)), "train.labels": np.array([0, -1])}, "train: label -1 of row 1 is below 0"),
        (
            {"train.absolute": np.ones((2, 2)), "train.labels": np.array([0, 10**12])},
            "train: label 1000000000000 of row 1",
        ),
        ({"train.absolute": np.array([[1.0], [np.nan]]), "train.labels": np.zeros(2, np.int64)}, "1 of 2 latents"),
        ({"train.absolute": np.array([[np.inf], [1.0]]), "train.labels": np.zeros(2, np.int64)}, "the first is row 0"),
        ({"train.absolute": np.array([[1e300]]), "train.labels": np.zeros(1, np.int64)}, "not finite"),
    ],
)
def test_what_is_no_latents_is_refused_in_words(arrays, told, tmp_path):
    save_file(arrays, tmp_path / "a.safetensors")
    with pytest.raises(DataError, match=f"a.safetensors.*{told}"):
        read_latents(tmp_path / "a.safetensors")


def test_splits_of_different_sizes_are_refused():
    with pytest.raises(DataError, match="latents have sizes 3, 4 by split"):
        Latents(encoder="x", splits={"train": rows(5, 3, "a"), "test": rows(5, 4, "b")})
    with pytest.raises(DataError, match="splits: expected some of train, val, test, found dev"):
        Latents(encoder="x", splits={"dev": rows(5, 3, "a")})
    with pytest.raises(DataError, match="have no split val, only train"):
        Latents(encoder="x", splits={"train": rows(5, 3, "a")}).rows("val")


def test_paths_that_cannot_be_meant_are_refused(latents, tmp_path):
    with pytest.raises(DataError, match="no file"):
        read_latents(tmp_path / "a.npz")
    with pytest.raises(DataError, match="is a folder"):
        read_latents(tmp_path)
    (tmp_path / "a.csv").touch()
    with pytest.raises(DataError, match=r'are read from \.safetensors, \.npz, not from "\.csv"'):
        read_latents(tmp_path / "a.csv")
    with pytest.raises(ConfigError, match=r"end in \.safetensors or \.npz"):
        write_latents(tmp_path / "a.pt", latents)


def test_a_small_file_that_unpacks_to_gigabytes_is_refused(tmp_path, monkeypatch):
    import eafl_flower.data.tables.unpacked as unpacked

    monkeypatch.setattr(unpacked, "ALWAYS_FINE", 2**20)
    np.savez_compressed(
        tmp_path / "a.npz", **{"train.absolute": np.zeros((2**20, 4)), "train.labels": np.zeros(2**20, np.int64)}
    )
    with pytest.raises(DataError, match="unpacks to more than"):
        read_latents(tmp_path / "a.npz")


def of(images, labels=(0, 1, 2), split="train"):
    numbers = None if images is None else np.array(images)
    row = LatentRows(absolute=np.ones((len(labels), 2), np.float32), labels=np.array(labels), images=numbers)
    return Latents(encoder=f"of {images}", splits={split: row})


def test_latents_of_other_images_are_no_pilots():
    refuse_other_images(of([5, 6, 7]), [of([5, 6, 7]), of(None)])
    with pytest.raises(DataError, match="2 of 3 rows are of other images, the first is row 1"):
        refuse_other_images(of([5, 6, 7]), [of([5, 7, 6])])
    with pytest.raises(DataError, match="3 and 2 rows"):
        refuse_other_images(of([5, 6, 7]), [of([5, 6], labels=(0, 1))])
    with pytest.raises(DataError, match="1 of 3 rows have other labels, the first is row 2"):
        refuse_other_images(of([5, 6, 7]), [of(None, labels=(0, 1, 1))])
    with pytest.raises(DataError, match=r"of of None have no split train, those of of \[5, 6, 7\] have"):
        refuse_other_images(of([5, 6, 7]), [of(None, split="test")])
