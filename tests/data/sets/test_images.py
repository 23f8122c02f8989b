import numpy as np
import pytest

from eafl_flower.data.sets.images import CIFAR10_CLASSES, GTSRB_CLASSES, load_cifar10, load_gtsrb
from eafl_flower.errors import ConfigError, DataError

PARTITIONS = ["iid", "dirichlet", "dirichlet-equal", "contiguous"]
NUM_TRACKS, FRAMES = 4, 3


def write(folder, name, *, labels, **more):
    # The first pixel tells the class of an image, its number in the class, and how many there are in the file.
    images = np.zeros((len(labels), 32, 32, 3), np.uint8)
    number = np.arange(len(labels)) - np.searchsorted(labels, labels)
    images[:, 0, 0] = np.stack([labels, number, np.full(len(labels), len(labels) % 256)], axis=1)
    folder.mkdir(exist_ok=True)
    np.savez(folder / name, images=images, labels=labels, **more)


@pytest.fixture
def folder(tmp_path):
    for name, count in ("train", 20), ("test", 7):
        write(tmp_path / "cifar10", f"cifar10_{name}.npz", labels=np.repeat(np.arange(10), count))
    labels = np.repeat(np.arange(43), NUM_TRACKS * FRAMES)
    tracks = np.tile(np.repeat(np.arange(NUM_TRACKS), FRAMES), 43)  # numbered anew in each class
    write(tmp_path / "gtsrb", "gtsrb_32x32_train.npz", labels=labels, tracks=tracks)
    write(tmp_path / "gtsrb", "gtsrb_32x32_test.npz", labels=np.repeat(np.arange(43), 2))
    return tmp_path


def numbers(x):
    """The first pixel of each image."""
    return [tuple(pixel) for pixel in (x[:, :3] * 255).round().astype(int).tolist()]


@pytest.mark.parametrize("partition", PARTITIONS)
@pytest.mark.parametrize(("load", "rows", "tests"), [(load_cifar10, 200, 70), (load_gtsrb, 516, 86)])
def test_every_image_has_one_owner_and_test_images_are_dealt_to_those_that_train(folder, load, rows, tests, partition):
    source = load(data_dir=folder, clients=5, unseen=1, partition=partition, dirichlet_alpha=2.0)
    parts = [source.partition(i) for i in range(5)]
    owned = [number for p in parts for number in numbers(p.x_train)] + numbers(parts[4].x_test)
    assert len(owned) == len(set(owned)) == rows
    dealt = [number for p in parts[:4] for number in numbers(p.x_test)]
    assert len(dealt) == len(set(dealt)) == tests
    assert not set(dealt) & set(owned)
    assert all([n[0] for n in numbers(p.x_train)] == p.y_train.tolist() for p in parts)


@pytest.mark.parametrize("partition", PARTITIONS)
def test_the_frames_of_a_track_stay_together(folder, partition):
    source = load_gtsrb(data_dir=folder, clients=6, unseen=2, partition=partition, dirichlet_alpha=2.0)
    place = {}
    for client in range(6):
        part = source.partition(client)
        sides = [part.x_train, part.x_test] if client >= 4 else [part.x_train]
        for side, x in enumerate(sides):
            for label, number, _ in numbers(x):
                place.setdefault((label, number // FRAMES), set()).add((client, side))
    assert len(place) == 43 * NUM_TRACKS
    assert {len(where) for where in place.values()} == {1}


def test_the_seed_decides_who_owns_what(folder):
    first, again, other = (load_cifar10(data_dir=folder, clients=4, partition="iid", seed=seed) for seed in (1, 1, 2))
    assert np.array_equal(first.partition(0).x_train, again.partition(0).x_train)
    assert not np.array_equal(first.partition(0).x_train, other.partition(0).x_train)


def test_counts_of_zero_mean_twenty_clients(folder):
    source = load_cifar10(data_dir=folder, clients=0, unseen=-1, partition="iid")
    assert (source.num_clients, source.num_seen) == (20, 16)


def test_what_is_missing_is_named_with_its_place_and_publisher(folder):
    (folder / "gtsrb" / "gtsrb_32x32_test.npz").unlink()
    with pytest.raises(
        DataError,
        match=r"no file gtsrb/gtsrb_32x32_test\.npz or gtsrb_32x32_test\.npz in .*GTSRB, test images; published",
    ):
        load_gtsrb(data_dir=folder)
    write(folder / "gtsrb", "gtsrb_32x32_test.npz", labels=np.arange(43))
    with pytest.raises(
        DataError, match=r"is a file; expected the folder with cifar10/cifar10_train\.npz and cifar10/c"
    ):
        load_cifar10(data_dir=folder / "cifar10" / "cifar10_train.npz")
    write(folder / "gtsrb", "gtsrb_32x32_train.npz", labels=np.arange(43))
    with pytest.raises(DataError, match=r"has no array tracks: found images, labels: docs/data\.md says how"):
        load_gtsrb(data_dir=folder)
    write(folder / "cifar10", "cifar10_train.npz", labels=np.arange(12))
    with pytest.raises(DataError, match="2 labels out of range, the first is 10 of image 10; expected 0 to 9"):
        load_cifar10(data_dir=folder)


def test_too_many_clients_are_refused(folder):
    with pytest.raises(ConfigError, match=r"data\.partition = 'iid': a client would have 1 of 200 rows, fewer than 2"):
        load_cifar10(data_dir=folder, clients=150, partition="iid")


def test_the_real_images_are_whole(real_data):
    cifar10, gtsrb = (load(data_dir=real_data, partition="iid") for load in (load_cifar10, load_gtsrb))
    for source, classes in (cifar10, CIFAR10_CLASSES), (gtsrb, GTSRB_CLASSES):
        assert source.class_names == classes and len(source.feature_names) == 3072
        x = np.concatenate([part.x_train for part in source.parts])
        assert (x.min(), x.max()) == (0.0, 1.0)
        labels = np.concatenate([part.y_train for part in source.parts])
        assert len(np.unique(labels)) == len(classes)
