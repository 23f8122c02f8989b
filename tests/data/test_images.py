import numpy as np
import pytest

from eafl_flower.core.rng import generator
from eafl_flower.data.images import FEATURE_NAMES, Images, read_images, shared_images
from eafl_flower.errors import ConfigError, DataError

CLASSES = ("red", "green", "blue")


def write(path, *, count=12, drop="", **changed):
    rng = np.random.default_rng(0)
    arrays = {"images": rng.integers(0, 256, (count, 32, 32, 3), dtype=np.uint8), "labels": np.arange(count) % 3}
    arrays |= changed
    np.savez(path, **{name: array for name, array in arrays.items() if name != drop})
    return path


def test_a_row_is_an_image_in_the_order_row_column_channel_divided_by_255(tmp_path):
    path = write(tmp_path / "a.npz")
    found = read_images(path, classes=CLASSES)
    owned = [np.arange(12)]
    source = shared_images(found, found, owned, name="x", class_names=CLASSES, num_seen=1, rng=generator(1))
    x, images = source.partition(0).x_train, np.load(path)["images"]
    assert x.dtype == np.float32
    assert FEATURE_NAMES.index("pixel_2_3_blue") == (2 * 32 + 3) * 3 + 2
    by_bytes = {row.tobytes(): row for row in x}
    scaled = (images / 255).astype(np.float32)
    assert {image.tobytes() for image in scaled} == set(by_bytes)
    np.testing.assert_array_equal(source.scaler.apply(images.reshape(12, -1)), scaled.reshape(12, -1))


def test_test_images_are_dealt_out_once_each_to_those_that_train():
    rng = np.random.default_rng(0)
    train, test = (
        Images(pixels=rng.integers(0, 256, (n, 3072), dtype=np.uint8), labels=rng.integers(0, 3, n)) for n in (40, 23)
    )
    owned = np.split(np.arange(40), 5)
    source = shared_images(train, test, owned, name="x", class_names=CLASSES, num_seen=4, rng=generator(1))
    sizes = [len(source.partition(i).y_test) for i in range(4)]
    assert sum(sizes) == 23 and max(sizes) - min(sizes) == 1
    dealt = np.concatenate([source.partition(i).x_test for i in range(4)])
    assert {row.tobytes() for row in dealt} == {(row / 255).astype(np.float32).tobytes() for row in test.pixels}
    last = source.partition(4)
    assert (len(last.y_train), len(last.y_test)) == (2, 6)


def test_groups_of_an_unseen_client_stay_on_one_side_and_one_group_alone_is_refused():
    pixels = np.repeat(np.arange(20, dtype=np.uint8)[:, None], 3072, axis=1)
    images = Images(pixels=pixels, labels=np.zeros(20, dtype=np.int64))
    options = {"name": "x", "class_names": CLASSES, "num_seen": 1, "rng": generator(1), "groups": np.arange(20) // 3}
    source = shared_images(images, images, [np.arange(9), np.arange(9, 18)], **options)
    part = source.partition(1)
    train, test = ({round(float(v) * 255) // 3 for v in x[:, 0]} for x in (part.x_train, part.x_test))
    assert (len(train), len(test)) == (1, 2) and not train & test
    with pytest.raises(
        ConfigError, match=r"data\.clients = 2: rows of client 1, which never trains, all belong together"
    ):
        shared_images(images, images, [np.arange(9), np.arange(9, 12)], **options)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"drop": "labels"}, r"a\.npz has no array labels: found images, tracks: as told"),
        ({"images": np.zeros((12, 3072), np.uint8)}, r"images is uint8 \(12, 3072\), expected uint8 \(n, 32, 32, 3\)"),
        ({"images": np.zeros((12, 32, 32, 3))}, r"images is float64 \(12, 32, 32, 3\), expected uint8"),
        ({"images": np.zeros((0, 32, 32, 3), np.uint8)}, r"images is uint8 \(0, 32, 32, 3\)"),
        (
            {"labels": np.zeros(12)},
            r"labels is float64 \(12,\), expected integers \(12,\), one for each image: as told",
        ),
        ({"labels": np.zeros(11, int)}, r"labels is int64 \(11,\), expected integers \(12,\)"),
        ({"labels": np.arange(12) - 1}, r"9 labels out of range, the first is -1 of image 0; expected 0 to 2"),
        ({"tracks": np.zeros((12, 1), int)}, r"tracks is int64 \(12, 1\), expected integers"),
        ({"class_names": np.array(["green", "red", "blue"])}, r"class_names are green, red, blue; expected red, green"),
        ({"labels": np.array([None] * 12)}, r"cannot be read as arrays of numpy \(npz\).*Object arrays"),
    ],
)
def test_other_arrays_are_data_errors(tmp_path, changed, message):
    changed = {"tracks": np.arange(12), **changed}
    with pytest.raises(DataError, match=message):
        read_images(write(tmp_path / "a.npz", **changed), classes=CLASSES, more=("tracks",), made="as told")


def test_a_damaged_file_and_one_of_another_kind_are_data_errors(tmp_path):
    path = write(tmp_path / "a.npz")
    whole = path.read_bytes()
    for cut in (0, 10, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:cut])
        with pytest.raises(DataError, match="it is damaged or something else"):
            read_images(path, classes=CLASSES)
    path.write_bytes(whole[:5000] + bytes([whole[5000] ^ 1]) + whole[5001:])  # its checksum tells
    with pytest.raises(DataError, match="it is damaged or something else"):
        read_images(path, classes=CLASSES)
    path.write_text("a,b\n1,2\n")
    with pytest.raises(DataError, match="it is damaged or something else"):
        read_images(path, classes=CLASSES)
    np.save(tmp_path / "b.npy", np.zeros(3))
    with pytest.raises(DataError, match="is one array, expected a file of the arrays images, labels"):
        read_images(tmp_path / "b.npy", classes=CLASSES)
