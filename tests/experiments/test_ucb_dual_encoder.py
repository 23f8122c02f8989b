"""Which encoder a recording is of."""

import pytest

pytest.importorskip("transformers")
pytest.importorskip("peft")

from tiny_encoders import bert

from eafl_flower.errors import ConfigError
from experiments.ucb_dual.learning import base_encoder, encoder_digest

WORDS = ("[UNK]", "[SEP]", "[PAD]", "[CLS]", "[MASK]", "car", "road")


def saved(folder, *, seed=0, words=WORDS, pooler=True):
    from transformers import BertModel, BertTokenizerFast

    folder.mkdir()
    (folder / "vocab.txt").write_text("\n".join(words))
    BertTokenizerFast(str(folder / "vocab.txt")).save_pretrained(folder)
    encoder = bert(seed)
    if not pooler:
        stored = BertModel(encoder.config, add_pooling_layer=False)
        stored.load_state_dict({k: v for k, v in encoder.state_dict().items() if not k.startswith("pooler")})
        encoder = stored
    encoder.save_pretrained(folder)
    (folder / "training.json").write_text(str(folder))  # how it was made: times among others
    return str(folder)


def test_encoders_of_equal_weights_and_words_are_one_however_long_they_took_to_make(tmp_path):
    first = encoder_digest(saved(tmp_path / "a"))
    assert first == encoder_digest(saved(tmp_path / "b"))
    assert first != encoder_digest(saved(tmp_path / "c", seed=1))
    assert first != encoder_digest(saved(tmp_path / "d", words=(*WORDS[:-1], "lane")))


def test_what_is_not_stored_of_an_encoder_does_not_tell_it_from_itself(tmp_path):
    found = {encoder_digest(saved(tmp_path / name, pooler=False)) for name in "ab"}
    assert len(found) == 1


def test_an_encoder_of_ones_own_is_adapted_at_query_key_and_value(tmp_path):
    names = [layer.name.split(".")[-1] for layer in base_encoder(saved(tmp_path / "a")).layers]
    assert names == ["query", "key", "value"] * 2


def test_an_encoder_that_is_not_there_is_one_line(tmp_path):
    with pytest.raises(ConfigError, match=r"^encoder .*nowhere: expected a folder or a name on the hub [^\n]*$"):
        encoder_digest(str(tmp_path / "nowhere"))
