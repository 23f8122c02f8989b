import numpy as np
import pytest

pytest.importorskip("torch", reason="needs torch: pip install 'eafl-flower[lora]'")
pytest.importorskip("transformers", reason="needs transformers: pip install 'eafl-flower[lora]'")

import torch

from eafl_flower.models.encoder.pretraining import (
    LabelledTexts,
    _batches,
    _hidden,
    _masked,
    mean_vector,
    new_encoder,
    pretrain,
)
from eafl_flower.models.encoder.settings import EncoderSettings
from eafl_flower.models.encoder.tokenizer import make_tokenizer
from eafl_flower.models.encoder.word_vectors import word_vectors

TINY = EncoderSettings(layers=1, width=16, heads=2, vocabulary=90, positions=16, passes=2, batch_size=16)


@pytest.fixture
def tokenizer(texts):
    return make_tokenizer(texts, vocabulary=90, positions=16)


@pytest.fixture
def sets(texts):
    return [
        LabelledTexts(texts=texts, labels=np.repeat([0, 1], 30), classes=2),
        LabelledTexts(texts=texts[::2], labels=np.arange(30) % 3, classes=3),
    ]


def weights(encoder):
    return np.concatenate([value.numpy().ravel() for value in encoder.state_dict().values()])


def test_the_same_seed_trains_the_same_encoder_and_another_seed_another(sets, tokenizer):
    one, again, other = (pretrain(sets, tokenizer, TINY, seed=seed)[0] for seed in (1, 1, 2))
    np.testing.assert_array_equal(weights(one), weights(again))
    assert not np.array_equal(weights(one), weights(other))


def test_training_leaves_the_process_its_random_state(sets, tokenizer):
    torch.manual_seed(3)
    before = torch.get_rng_state()
    pretrain(sets, tokenizer, TINY, seed=1)
    assert torch.equal(torch.get_rng_state(), before)


def test_training_learns_words_and_classes(texts, tokenizer):
    settings = EncoderSettings(**{**TINY.values(), "passes": 25, "learning_rate": 5e-3})
    told = []
    clear = [LabelledTexts(texts=texts, labels=np.repeat([0, 1], 30), classes=2)]
    encoder, passes = pretrain(
        clear, tokenizer, settings, seed=1, on_pass=lambda number, one: told.append((number, one))
    )
    assert told == list(enumerate(passes, start=1))
    assert passes[-1].words_loss < passes[0].words_loss < 2 * np.log(len(tokenizer))
    assert passes[-1].labels_right > 0.9 > passes[0].labels_right  # half of them are right by chance
    assert not encoder.training


def test_words_begin_with_the_vectors_of_their_neighbours_or_as_chance_has_them(sets, tokenizer):
    none = EncoderSettings(**{**TINY.values(), "passes": 0})
    by_chance = EncoderSettings(**{**none.values(), "start": "random"})
    untrained = new_encoder(tokenizer, none, 1).embeddings.word_embeddings.weight
    random = pretrain(sets, tokenizer, by_chance, seed=1)[0].embeddings.word_embeddings.weight
    begun = pretrain(sets, tokenizer, none, seed=1)[0].embeddings.word_embeddings.weight
    assert torch.equal(random, untrained)
    ids = [one[1:-1] for rows in sets for one in tokenizer(list(rows.texts))["input_ids"]]
    expected = 0.05 * word_vectors(ids, vocabulary=len(tokenizer), width=16)
    zero = ~expected.any(axis=1)
    assert torch.equal(begun[zero], untrained[zero])
    np.testing.assert_array_equal(begun.detach().numpy()[~zero], expected[~zero].astype(np.float32))


def test_every_text_is_in_one_batch_of_a_pass_beside_those_of_its_length():
    rng = np.random.default_rng(0)
    tokens = [[0] * length for length in rng.integers(2, 40, 500)]
    batches = [*_batches(tokens, 8, rng)]
    assert sorted(np.concatenate(batches).tolist()) == list(range(500))
    spread = [np.ptp([len(tokens[row]) for row in batch]) for batch in batches]
    assert np.mean(spread) < 5  # of 38: 256 texts sorted make 32 batches of about 38 / 32 each


def test_only_words_are_hidden_and_as_many_as_the_share_says(tokenizer, texts):
    batch = tokenizer.pad(tokenizer(list(texts) * 20), return_tensors="pt")
    ids, mask = batch["input_ids"], batch["attention_mask"]
    torch.manual_seed(0)
    hidden = _hidden(ids, mask, tokenizer, 0.15)
    words = mask.bool() & (ids != tokenizer.cls_token_id) & (ids != tokenizer.sep_token_id)
    assert not (hidden & ~words).any()
    number = int(words.sum())
    assert abs(int(hidden.sum()) - 0.15 * number) < 5 * np.sqrt(0.15 * 0.85 * number)
    shown = _masked(ids, hidden, tokenizer)
    assert torch.equal(shown[~hidden], ids[~hidden])
    masks = int((shown[hidden] == tokenizer.mask_token_id).sum())
    assert abs(masks - 0.8 * int(hidden.sum())) < 5 * np.sqrt(0.16 * int(hidden.sum()))


def test_one_word_is_hidden_even_of_the_shortest_text(tokenizer):
    batch = tokenizer(["tea"], return_tensors="pt")
    for seed in range(20):
        torch.manual_seed(seed)
        assert int(_hidden(batch["input_ids"], batch["attention_mask"], tokenizer, 1e-9).sum()) == 1


def test_the_mean_vector_counts_no_padding():
    vectors = torch.arange(12.0).reshape(2, 3, 2)
    mean = mean_vector(vectors, torch.tensor([[1, 1, 0], [1, 1, 1]]))
    assert mean.tolist() == [[1.0, 2.0], [8.0, 9.0]]
