"""Adapters and a head trained on texts and images."""

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs torch: pip install 'eafl-flower[lora]'")
pytest.importorskip("transformers", reason="needs transformers: pip install 'eafl-flower[lora]'")
pytest.importorskip("peft", reason="needs peft: pip install 'eafl-flower[lora]'")

import torch
from tiny_encoders import WIDTH, adapted, bert
from tuning_rows import by_words, images, sentences

from eafl_flower.core.orders import Enough
from eafl_flower.core.rng import generator
from eafl_flower.errors import ClientFailedError, ConfigError, DataError, ProtocolError
from eafl_flower.models.lora import Adapted
from eafl_flower.tasks.finetune import FineTune, TuningRows, image_rows, rows_of, text_rows


def rng(number=0):
    return generator(7, "test", number)


def learner(name="bert", **settings):
    given = {"encoder": adapted(name), "num_labels": 3, "learning_rate": 0.02, "batch_size": 8}
    return FineTune(**{**given, **settings})


def same(one, other):
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def test_training_learns_what_the_first_word_says():
    task, rows = learner(encoder=adapted(features="mean")), sentences(60)
    arrays = task.init(rng(), 4)
    before, _ = task.evaluate(arrays, rows)
    trained, loss = task.train(arrays, rows, rng(), epochs=15)
    after, scores = task.evaluate(trained, rows)
    assert after < before / 2 and loss < before and scores["accuracy"] > 0.9


@pytest.mark.parametrize("name", ["vit", "swin"])
def test_images_train_as_texts_do(name):
    task, rows = learner(name), images(24)
    arrays = task.init(rng(), 2)
    trained, _ = task.train(arrays, rows, rng(), epochs=8)
    assert task.evaluate(trained, rows)[0] < task.evaluate(arrays, rows)[0]


def test_the_same_generator_gives_the_same_arrays_and_the_encoder_stays_bit_for_bit():
    task, rows = learner(), sentences(20)
    arrays = task.init(rng(), 3)
    given = tuple(a.copy() for a in arrays)
    base = {n: t.clone() for n, t in task.encoder.encoder.state_dict().items() if "lora_" not in n}
    first, loss = task.train(arrays, rows, rng(1), epochs=2)
    learner_of_another_rank = task.init(rng(), 7)
    task.train(learner_of_another_rank, rows, rng(3))
    again, same_loss = task.train(arrays, rows, rng(1), epochs=2)
    assert same(first, again) and loss == same_loss and same(arrays, given)
    assert not same(first, task.train(arrays, rows, rng(2), epochs=2)[0])
    state = task.encoder.encoder.state_dict()
    assert all(torch.equal(state[n], t) for n, t in base.items())


def test_tasks_that_share_an_encoder_do_not_touch_each_other():
    encoder = adapted()
    three, two = learner(encoder=encoder), learner(encoder=encoder, num_labels=2)
    rows = sentences(20)
    pair = rows_with(rows, labels=rows.labels % 2)
    arrays, other = three.init(rng(), 2), two.init(rng(1), 5)
    alone = three.train(arrays, rows, rng(1))[0], two.train(other, pair, rng(2))[0]
    logits = three.predict(alone[0], rows)
    two.predict(alone[1], pair)
    assert np.array_equal(three.predict(alone[0], rows), logits)
    assert same(three.train(arrays, rows, rng(1))[0], alone[0])
    assert [a.shape for a in alone[1][-2:]] == [(2, WIDTH), (2,)]


def rows_with(rows, **changed):
    return replace(rows, **changed)


def test_one_step_of_gradient_descent_moves_b_alone_at_first_and_a_when_b_is_not_zero():
    task = learner(optimizer="sgd", learning_rate=5.0, batch_size=20, encoder=adapted(dropout=0.0))
    arrays = task.init(rng(), 2)
    trained, _ = task.train(arrays, sentences(20), rng())
    assert same(trained[0:-2:2], arrays[0:-2:2]) and not same(trained[1:-2:2], arrays[1:-2:2])
    further, _ = task.train(trained, sentences(20), rng())
    assert not same(further[0:-2:2], trained[0:-2:2])


def test_layers_that_are_frozen_stay_also_under_weight_decay():
    task = learner(weight_decay=0.1)
    arrays = task.train(task.init(rng(), 2), sentences(20), rng())[0]
    trained, _ = task.train(arrays, sentences(20), rng(), frozen_layers={0, 4})
    stays = [np.array_equal(a, b) for a, b in zip(trained, arrays, strict=True)]
    assert [i for i, stayed in enumerate(stays) if stayed] == [0, 1, 8, 9]
    with pytest.raises(ConfigError, match="frozen layers"):
        task.train(arrays, sentences(20), rng(), frozen_layers={6})


def test_the_regulariser_makes_the_tail_smaller_and_is_not_in_the_loss_that_is_told():
    task = learner(encoder=adapted(dropout=0.0), batch_size=20)
    rows = sentences(20)
    arrays = task.train(task.init(rng(), 4), rows, rng(), epochs=4)[0]
    tails = []
    for weight in (0.0, 5.0):
        trained, loss = task.train(arrays, rows, rng(1), epochs=1, tail_weight=weight, gamma=0.5)
        np.testing.assert_allclose(loss, task.evaluate(arrays, rows)[0], rtol=1e-4)  # one step: that of the start
        task.encoder.load(trained)
        tails.append(task.encoder.tail(0.5).item())
    assert tails[1] < tails[0]


def test_a_rule_to_stop_by_makes_as_many_passes_as_their_losses_ask_for():
    task, rows = learner(), sentences(20)
    arrays = task.init(rng(), 2)
    trained, losses = task.train_until(arrays, rows, rng(), Enough(share=0.0, most=3))
    assert same(trained, task.train(arrays, rows, rng(), epochs=len(losses))[0])
    assert len(task.train_until(arrays, rows, rng(), Enough(share=1.0, most=9))[1]) == 2


def test_padding_changes_no_prediction():
    task, rows = learner(encoder=adapted(features="mean")), sentences(12)
    arrays = task.train(task.init(rng(), 2), rows, rng())[0]
    together = task.predict(arrays, rows)
    alone = np.concatenate([task.predict(arrays, rows.part(np.array([i]))) for i in range(len(rows))])
    np.testing.assert_allclose(together, alone, rtol=1e-4, atol=1e-5)


def test_batches_of_like_length_hold_every_row_once():
    task, rows = learner(batch_size=5), sentences(33)
    batches = list(task._batches(rows, rng()))
    assert sorted(np.concatenate(batches)) == list(range(33)) and max(map(len, batches)) == 5
    assert [len(b) for b in batches].count(3) == 1
    widths = [rows.batch(b)["input_ids"].shape[1] for b in batches]
    drawn = [rows.batch(b)["input_ids"].shape[1] for b in replace(task, by_length=False)._batches(rows, rng())]
    assert sum(widths) < sum(drawn)


def test_rows_of_one_class_train_and_score():
    task, rows = learner(), sentences(10)
    rows = rows_with(rows, labels=np.zeros(10, np.int64))
    trained, _ = task.train(task.init(rng(), 1), rows, rng(), epochs=10)
    assert task.evaluate(trained, rows)[1] == {"accuracy": 1.0}


def test_a_loss_that_is_not_finite_ends_training_with_one_clear_error():
    task = learner()
    arrays = task.init(rng(), 2)
    broken = (*arrays[:-1], np.full(3, np.nan, np.float32))
    with pytest.raises(ClientFailedError, match="pass 1 over 10 rows: training has diverged, lower learning_rate"):
        task.train(broken, sentences(10), rng(), epochs=3)


@pytest.mark.parametrize("use", ["train", "evaluate"])
def test_no_rows_are_told(use):
    task = learner()
    empty = text_rows([], [], by_words)
    with pytest.raises(DataError, match="rows"):
        getattr(task, use)(task.init(rng(), 1), empty, *([rng()] if use == "train" else []))
    assert task.predict(task.init(rng(), 1), empty).shape == (0, 3)


def test_labels_and_tokens_out_of_range_and_texts_that_are_too_long_are_told():
    task, rows = learner(), sentences(10)
    arrays = task.init(rng(), 1)
    with pytest.raises(DataError, match="labels from 0 to 3: expected 0 to 2"):
        task.train(arrays, rows_with(rows, labels=np.arange(10) % 4), rng())
    with pytest.raises(DataError, match="tokens from 0 to 99: the encoder knows 0 to 49"):
        tokens = rows.inputs["input_ids"].copy()
        tokens[0, 0] = 99
        task.evaluate(arrays, rows_with(rows, inputs={"input_ids": tokens}))
    with pytest.raises(DataError, match="a text has 66 tokens, the encoder reads 64: lower max_length"):
        task.predict(arrays, text_rows(["a " * 65], [0], by_words))


def test_arrays_of_another_number_of_classes_are_told():
    task = learner()
    with pytest.raises(ProtocolError, match="of 3 classes"):
        task.evaluate(learner(num_labels=2).init(rng(), 1), sentences(4))


@pytest.mark.parametrize(
    "wrong", [{"num_labels": 1}, {"learning_rate": 0.0}, {"batch_size": 0}, {"optimizer_state": "kept"}]
)
def test_settings_out_of_range_are_told(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        learner(**wrong)


@pytest.mark.parametrize("text", ["", "  ", "naïve 🚗 Straße", "a" * 5000, "日本語", "\x00"])
def test_any_text_can_be_scored(text):
    task = learner()
    rows = text_rows([text, "b"], [0, 1], by_words)
    assert np.isfinite(task.predict(task.init(rng(), 1), rows)).all()


def test_texts_without_tokens_or_of_half_a_character_are_told():
    with pytest.raises(DataError, match="row 1 has no tokens"):
        text_rows(["a", ""], [0, 0], lambda texts, **_: {"input_ids": [list(map(len, t.split())) for t in texts]})
    with pytest.raises(DataError, match="half a character"):
        text_rows(["\ud800"], [0], by_words)
    with pytest.raises(DataError, match="row 0 holds 3"):
        text_rows([3], [0], by_words)


class Own:
    def __init__(self, items):
        self.items = items

    def __len__(self):
        return len(self.items)

    def __getitem__(self, i):
        return self.items[i]


def test_a_data_set_of_ones_own_gives_the_same_rows_as_texts_or_tokens_or_tensors():
    expected = sentences(5)
    texts = expected_texts(5)
    labels = expected.labels.tolist()
    tokens = by_words(texts)["input_ids"]
    padded = [t + [0] * (9 - len(t)) for t in tokens]
    masks = [[1] * len(t) + [0] * (9 - len(t)) for t in tokens]
    for items in (
        list(zip(texts, labels, strict=True)),
        [{"text": t, "label": y} for t, y in zip(texts, labels, strict=True)],
        [({"input_ids": t}, y) for t, y in zip(tokens, labels, strict=True)],
        [
            {"input_ids": torch.tensor(t), "attention_mask": torch.tensor(m), "labels": torch.tensor(y)}
            for t, m, y in zip(padded, masks, labels, strict=True)
        ],
    ):
        rows = rows_of(Own(items), tokenizer=by_words)
        assert np.array_equal(rows.labels, expected.labels) and np.array_equal(rows.lengths, expected.lengths)
        assert np.array_equal(rows.inputs["input_ids"], expected.inputs["input_ids"])


def expected_texts(count):
    from tuning_rows import texts_of

    return texts_of(count)[0]


def test_images_of_ones_own_are_stacked():
    pixels = np.zeros((2, 3, 16, 16), np.float32)
    rows = rows_of(Own([(pixels[0], 0), (torch.tensor(pixels[1]), 1)]))
    assert rows.inputs["pixel_values"].shape == (2, 3, 16, 16) and rows.lengths is None


@pytest.mark.parametrize(
    ("items", "told"),
    [
        ([], "no items"),
        ([("a", 0)], "give a tokenizer"),
        ([("a", 0.5)], "expected an integer"),
        (["a"], r"expected \(input, label\)"),
        ([{"text": "a"}], "expected one label"),
        ([("a", 0), (np.zeros(3), 0)], "expected one kind"),
        ([(np.zeros(3), 0), (np.zeros(4), 0)], "different shapes"),
        ([({"input_ids": [[1, 2]]}, 0)], "shapes"),
        ([({"x": [1]}, 0), ({"y": [1]}, 0)], "different names"),
    ],
)
def test_data_sets_that_cannot_be_read_are_told(items, told):
    with pytest.raises(DataError, match=told):
        rows_of(Own(items))


def test_rows_whose_shapes_do_not_go_together_are_told():
    with pytest.raises(DataError, match="expected 2 rows"):
        TuningRows(inputs={"x": np.zeros((3, 2))}, labels=np.zeros(2, np.int64))
    with pytest.raises(DataError, match="integers"):
        TuningRows(inputs={"x": np.zeros((2, 2))}, labels=np.zeros(2))
    with pytest.raises(DataError, match="lengths of texts"):
        TuningRows(inputs={"x": np.zeros((2, 2))}, labels=np.zeros(2, int), lengths=np.array([1, 3]))
    with pytest.raises(DataError, match="all finite"):
        image_rows(np.full((1, 3, 4, 4), np.nan), [0])


def test_a_user_s_own_encoder_trains():
    task = FineTune(encoder=Adapted(bert(3), targets=("query", "dense"), features="cls"), num_labels=3)
    trained, loss = task.train(task.init(rng(), 2), sentences(10), rng())
    assert np.isfinite(loss) and len(trained) == 2 * len(task.encoder.layers) + 2
