import numpy as np
import pytest

from eafl_flower.config import RunConfig
from eafl_flower.data.content import content_of
from eafl_flower.data.holders import Holders
from eafl_flower.data.latents import LatentRows, Latents, write_latents
from eafl_flower.data.latents.part import LatentFiles
from eafl_flower.errors import ConfigError, DataError

SIZES = {"point": 6, "first": 8, "second": 5}
FILES = LatentFiles(access_point="point.npz", users=("first.npz", "second.npz"))


def latents(name, *, counts=(("train", 30), ("test", 12)), first_image=0):
    rng, splits = np.random.default_rng(len(name)), {}
    for split, count in counts:
        splits[split] = LatentRows(
            absolute=rng.standard_normal((count, SIZES[name])).astype(np.float32),
            labels=np.arange(count) % 3,
            images=np.arange(first_image, first_image + count),
        )
    return Latents(encoder=name, splits=splits, data="invented")


@pytest.fixture
def folder(tmp_path):
    for name in SIZES:
        write_latents(tmp_path / f"{name}.npz", latents(name))
    return tmp_path


def test_a_row_is_the_access_points_latent_and_behind_it_the_users(folder):
    source = FILES.make(Holders(dir=str(folder), unseen=0))
    assert (source.num_clients, source.num_seen, source.class_names) == (2, 2, ("0", "1", "2"))
    assert len(source.feature_names) == SIZES["point"]
    for client, name in enumerate(("first", "second")):
        rows, own, sent = source.partition(client), latents(name), latents("point")
        for split, x, y in (("train", rows.x_train, rows.y_train), ("test", rows.x_test, rows.y_test)):
            np.testing.assert_array_equal(x[:, : SIZES["point"]], sent.rows(split).absolute)
            np.testing.assert_array_equal(x[:, SIZES["point"] :], own.rows(split).absolute)
            np.testing.assert_array_equal(y, own.rows(split).labels)


def test_files_here_come_before_those_of_the_data_folder(folder, monkeypatch):
    there = content_of(FILES.make(Holders(dir=str(folder))))
    monkeypatch.chdir(folder)
    assert content_of(FILES.make(Holders(dir="/nowhere"))) == there
    monkeypatch.setenv("EAFL_DATA_DIR", str(folder))
    monkeypatch.chdir("/")
    assert content_of(FILES.make(Holders())) == there


def test_what_cannot_be_aligned_is_refused(folder):
    holders = Holders(dir=str(folder))
    with pytest.raises(DataError, match=r"no file missing\.npz or .*missing\.npz: make one with eafl latents"):
        LatentFiles(access_point="missing.npz", users=("first.npz",)).make(holders)
    with pytest.raises(ConfigError, match="the data set has 2"):
        FILES.make(Holders(dir=str(folder), clients=3))
    write_latents(folder / "second.npz", latents("second", first_image=1))
    with pytest.raises(DataError, match="30 of 30 rows are of other images"):
        FILES.make(holders)
    for name in SIZES:
        write_latents(folder / f"{name}.npz", latents(name, counts=(("train", 30),)))
    with pytest.raises(DataError, match="have no split test"):
        FILES.make(holders)


@pytest.mark.parametrize(
    ("changed", "problem"),
    [({"access_point": ""}, "access_point"), ({"users": ()}, "users"), ({"users": ("a.npz", "")}, "users")],
)
def test_files_are_named(changed, problem):
    with pytest.raises(ConfigError, match=problem):
        LatentFiles(**{"access_point": "a.npz", "users": ("b.npz",), **changed})


def test_the_preset_of_alignment_takes_them(folder):
    values = {"data.name": "latents", "data.clients": 2, "data.latents.access-point": str(folder / "point.npz")}
    users = ",".join(str(folder / f"{name}.npz") for name in ("first", "second"))
    config = RunConfig.from_toml("alignment").replace({**values, "data.latents.users": users})
    assert config.data.part.users == tuple(users.split(","))
