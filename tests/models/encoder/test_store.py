import json
import os
import subprocess
import sys

import pytest

from eafl_flower.errors import ConfigError, DataError
from eafl_flower.models.encoder import EncoderSettings, encoder_path, made_encoders
from eafl_flower.models.encoder.store import RECORD, folder_of, keep

SETTINGS = EncoderSettings()


def saved(folder):
    (folder / "model.safetensors").write_bytes(b"weights")


def kept(seed=1, settings=SETTINGS, corpus="a" * 64):
    path = folder_of(seed, settings, corpus)
    keep(path, saved, {"seed": seed, "settings": settings.values(), "corpus": {"mine": {}}})
    return path


def test_an_encoder_is_found_by_its_seed_and_settings(cache):
    other = EncoderSettings(layers=2)
    paths = kept(), kept(seed=2), kept(settings=other)
    assert all(path.parent == cache for path in paths)
    assert (encoder_path(1), encoder_path(2), encoder_path(1, settings=other)) == paths
    assert {made.path for made in made_encoders()} == set(paths)


def test_one_that_was_not_made_is_told_with_the_command_that_makes_it(cache):
    with pytest.raises(DataError, match=r"run `eafl encoder make --seed 3 --layers 2 --width 64`") as raised:
        encoder_path(3, settings=EncoderSettings(layers=2, width=64))
    assert "\n" not in str(raised.value)


def test_of_two_corpora_none_is_guessed(cache):
    one, other = kept(), kept(corpus="b" * 64)
    with pytest.raises(DataError, match="several corpora") as raised:
        encoder_path()
    assert str(one) in str(raised.value)
    assert str(other) in str(raised.value)


def test_what_fails_while_it_is_saved_leaves_nothing(cache):
    def failing(folder):
        saved(folder)
        raise OSError("no space left")

    path = folder_of(1, SETTINGS, "a")
    with pytest.raises(OSError, match="no space left"):
        keep(path, failing, {})
    assert [*cache.iterdir()] == []


def test_a_process_that_is_killed_while_it_saves_leaves_no_encoder(cache):
    killed = (
        "import os, signal\n"
        "from eafl_flower.models.encoder.store import *\n"
        "def save(folder):\n"
        "    (folder / 'model.safetensors').write_bytes(b'half')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "keep(folder_of(1, EncoderSettings(), 'a'), save, {'seed': 1, 'settings': EncoderSettings().values()})\n"
    )
    assert subprocess.run([sys.executable, "-c", killed], env=dict(os.environ), check=False).returncode < 0
    assert made_encoders() == ()
    path = kept()
    assert encoder_path() == path


def test_an_encoder_that_is_there_stays(cache):
    path = kept()
    before = (path / RECORD).read_bytes()
    keep(path, saved, {"seed": 1, "other": True})
    assert (path / RECORD).read_bytes() == before
    assert [entry.name for entry in cache.iterdir()] == [path.name]


def test_a_folder_that_lacks_a_file_or_a_record_is_no_encoder(cache):
    path = kept()
    assert json.loads((path / RECORD).read_text())["files"].keys() == {"model.safetensors"}
    (cache / "other").mkdir()
    (path / "model.safetensors").unlink()
    assert made_encoders() == ()


@pytest.mark.parametrize(
    ("change", "message"),
    [({"heads": 3}, "does not divide width = 128"), ({"layers": 0}, "layers"), ({"vocabulary": 1}, "vocabulary")],
)
def test_settings_out_of_range_are_refused(change, message):
    with pytest.raises(ConfigError, match=message):
        EncoderSettings(**change)
