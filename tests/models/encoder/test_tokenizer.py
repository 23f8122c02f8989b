import random

import pytest

pytest.importorskip("transformers", reason="needs transformers: pip install 'eafl-flower[lora]'")

from transformers import AutoTokenizer

from eafl_flower.models.encoder.tokenizer import SPECIAL, make_tokenizer


def test_the_same_corpus_gives_the_same_pieces_each_time(texts):
    one, again = (make_tokenizer(texts, vocabulary=90, positions=16).get_vocab() for _ in range(2))
    assert one == again


def test_pieces_are_those_of_the_corpus_alone(texts):
    known = "".join(texts)
    for piece in make_tokenizer(texts, vocabulary=90, positions=16).get_vocab():
        assert piece in SPECIAL or piece.removeprefix("##") in known


def test_a_word_of_known_letters_is_never_unknown(texts):
    tokenizer = make_tokenizer(texts, vocabulary=90, positions=16)
    random.seed(0)
    word = "".join(random.choices("aeiknrst", k=9))
    ids = tokenizer(f"sun{word}")["input_ids"]
    assert tokenizer.unk_token_id not in ids
    assert tokenizer.decode(ids, skip_special_tokens=True) == f"sun{word}"


def test_special_words_in_a_text_are_cut_like_others(texts):
    tokenizer = make_tokenizer([*texts, "likes"], vocabulary=90, positions=16)
    assert tokenizer.tokenize("##likes") != tokenizer.tokenize("likes")
    ids = tokenizer("tea", "rain")
    assert ids["token_type_ids"][0] == 0
    assert ids["token_type_ids"][-1] == 1


def test_what_was_saved_is_loaded_by_transformers_and_cuts_alike(texts, tmp_path):
    tokenizer = make_tokenizer(texts, vocabulary=90, positions=16)
    tokenizer.save_pretrained(tmp_path)
    loaded = AutoTokenizer.from_pretrained(tmp_path)
    some = [*texts, "Ünknown ☃ word", ""]
    assert loaded(some)["input_ids"] == tokenizer(some)["input_ids"]
    assert (loaded.mask_token, loaded.pad_token_id, loaded.model_max_length) == ("[MASK]", 0, 16)
