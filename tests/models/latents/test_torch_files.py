import os

import numpy as np
import pytest

from eafl_flower.errors import DataError

torch = pytest.importorskip("torch", reason="needs torch: pip install 'eafl-flower[torch]'")

from eafl_flower.data.latents import LatentRows, Latents, write_latents  # noqa: E402
from eafl_flower.models.latents import read_latents, read_split_files  # noqa: E402

ABSOLUTE, LABELS = torch.arange(6.0).reshape(3, 2), torch.tensor([0, 2, 1], dtype=torch.int32)


def test_one_file_of_torch_for_each_split_is_read_as_others_cache_them(tmp_path):
    for split in ("train", "test"):
        (tmp_path / split).mkdir()
        torch.save({"absolute": ABSOLUTE, "labels": LABELS}, tmp_path / split / "levit_128s.fb_dist_in1k.pt")
    found = read_split_files(tmp_path, "levit_128s.fb_dist_in1k")
    assert (found.encoder, found.size, found.classes) == ("levit_128s.fb_dist_in1k", 2, 3)
    for rows in found.splits.values():
        np.testing.assert_array_equal(rows.absolute, ABSOLUTE.numpy())
        np.testing.assert_array_equal(rows.labels, LABELS.numpy())


def test_all_splits_may_be_in_one_file(tmp_path):
    half = {"absolute": ABSOLUTE.to(torch.bfloat16), "labels": [0, 2, 1]}
    torch.save({"train": half, "val": half}, tmp_path / "a.pt")
    found = read_latents(tmp_path / "a.pt")
    assert sorted(found.splits) == ["train", "val"]
    np.testing.assert_array_equal(found.splits["val"].absolute, ABSOLUTE.numpy())
    write_latents(tmp_path / "a.npz", found)
    np.testing.assert_array_equal(read_latents(tmp_path / "a.npz").splits["val"].labels, [0, 2, 1])


@pytest.mark.parametrize("zipped", [True, False])
def test_every_truncation_is_refused(tmp_path, zipped):
    path = tmp_path / "a.pt"
    content = {"train": {"absolute": ABSOLUTE, "labels": LABELS}}
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    read_latents(path)
    for length in reversed(range(path.stat().st_size)):
        os.truncate(path, length)
        with pytest.raises(DataError, match=r"a\.pt"):
            read_latents(path)


class Mischief:
    def __reduce__(self):
        return os.mkdir, ("mischief",)


def test_no_code_of_a_file_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"absolute": ABSOLUTE, "labels": Mischief()}, "a.pt")
    with pytest.raises(DataError, match="cannot be read as tensors of torch"):
        read_latents("a.pt")
    assert not (tmp_path / "mischief").exists()


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ([1, 2], "holds a list, expected a dict"),
        ({"train": {"absolute": ABSOLUTE, "labels": None}}, "train.labels is a NoneType, expected a tensor"),
        ({"train": {"absolute": ABSOLUTE.to_sparse(), "labels": LABELS}}, "absolute is a tensor that is not dense"),
        ({"train": {"absolute": ABSOLUTE}}, "no array train.labels"),
        ({"train": {"absolute": ABSOLUTE / 0, "labels": LABELS}}, "3 of 3 latents are not finite"),
        ({"absolute": ABSOLUTE, "labels": LABELS}, "has none of train.absolute"),
        ({"version": "3", "train": {"absolute": ABSOLUTE, "labels": LABELS}}, "of version 3"),
    ],
)
def test_what_is_no_latents_is_refused_in_words(content, told, tmp_path):
    torch.save(content, tmp_path / "a.pt")
    with pytest.raises(DataError, match=f"a.pt.*{told}"):
        read_latents(tmp_path / "a.pt")


def test_files_of_numpy_alone_are_read_too(tmp_path):
    rows = LatentRows(absolute=ABSOLUTE.numpy(), labels=LABELS.numpy().astype(np.int64))
    write_latents(tmp_path / "a.safetensors", Latents(encoder="x", splits={"train": rows}))
    assert read_latents(tmp_path / "a.safetensors").encoder == "x"


def test_the_pure_reader_says_that_it_reads_no_files_of_torch(tmp_path):
    from eafl_flower.data.latents import read_latents as read

    torch.save({"absolute": ABSOLUTE, "labels": LABELS}, tmp_path / "a.pt")
    with pytest.raises(DataError, match=r'are read from \.safetensors, \.npz, not from "\.pt"'):
        read(tmp_path / "a.pt")
