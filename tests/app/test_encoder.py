import json

import numpy as np
import pytest

from eafl_flower.app.encoder import corpus_from, make_encoder
from eafl_flower.errors import ConfigError
from eafl_flower.models.encoder import EncoderSettings, encoder_path

TINY = EncoderSettings(layers=1, width=16, heads=2, vocabulary=90, positions=16, passes=1)


@pytest.fixture
def files(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    things = ("tea", "rain", "music", "winter", "cars")
    base = [f"somebody likes {what} {number},yes" for what in things for number in range(6)]
    base += [f"when is {what} {number} ?,no" for what in things for number in range(6)]
    for name, rows in (("base", base), ("task", ["somebody likes tea 3 !,a", "zebra,b"])):
        (tmp_path / f"{name}.csv").write_text("\n".join(["text,label", *rows]))
    return str(tmp_path / "base.csv"), str(tmp_path / "task.csv")


def made(files, seed=1):
    corpus = corpus_from(files[:1], apart=files[1:])
    return make_encoder(corpus, TINY, seed=seed, apart=("task",)), corpus


def test_what_is_made_is_loaded_by_transformers_and_says_what_it_was_made_of(files):
    transformers = pytest.importorskip("transformers", reason="needs transformers: pip install 'eafl-flower[lora]'")
    path, corpus = made(files)
    assert path == encoder_path(1, settings=TINY)
    tokenizer = transformers.AutoTokenizer.from_pretrained(path)
    encoder = transformers.AutoModel.from_pretrained(path)
    out = encoder(**tokenizer(["somebody likes rain", "when ?"], padding=True, return_tensors="pt"))
    assert out.last_hidden_state.shape[::2] == (2, 16)
    told = json.loads((path / "training.json").read_text())
    assert told["corpus"]["base"]["texts"] == len(corpus.texts) == 59
    assert told["corpus"]["base"]["same_as_kept_apart"] == 1
    assert told["weights"] == sum(p.numel() for p in encoder.parameters())
    assert np.isfinite(told["passes"][0]["words_loss"])
    assert "z" not in tokenizer.get_vocab()  # of a text of the task alone


def test_an_encoder_is_made_once(files, monkeypatch):
    pytest.importorskip("transformers", reason="needs transformers: pip install 'eafl-flower[lora]'")
    path, _ = made(files)
    before = (path / "model.safetensors").stat().st_mtime_ns
    monkeypatch.setattr("eafl_flower.app.encoder.require_transformers", lambda what: pytest.fail("trained again"))
    assert made(files)[0] == path
    assert (path / "model.safetensors").stat().st_mtime_ns == before


def test_without_transformers_it_is_said_what_to_install(files, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "transformers", None)
    with pytest.raises(
        ModuleNotFoundError, match=r"eafl encoder make needs transformers: pip install 'eafl-flower\[lora\]'"
    ):
        made(files)


@pytest.mark.parametrize(
    ("names", "apart", "message"),
    [
        ((), (), "the corpus has no text set"),
        (("imdb",), (), '"imdb" is no text set that we know'),
        (("subj", "subj"), (), "subj: given twice"),
    ],
)
def test_sets_that_make_no_corpus_are_refused(names, apart, message):
    with pytest.raises(ConfigError, match=message):
        corpus_from(names, apart=apart)
