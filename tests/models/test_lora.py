"""A frozen encoder with adapters whose rank changes from one job to the next."""

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs torch: pip install 'eafl-flower[lora]'")
pytest.importorskip("transformers", reason="needs transformers: pip install 'eafl-flower[lora]'")
pytest.importorskip("peft", reason="needs peft: pip install 'eafl-flower[lora]'")

import torch
from tiny_encoders import ENCODERS, SIDES, WIDTH, adapted, bert, inputs, learnt, vit
from torch import nn

from eafl_flower.errors import ConfigError, ProtocolError
from eafl_flower.models.lora import Adapted, shared_encoder

ROUNDING = {"rtol": 1e-4, "atol": 1e-5}  # of float32 sums in another order


def logits(encoder, arrays, kind="text"):
    encoder.load(arrays)
    with torch.inference_mode():
        return encoder.logits(inputs(kind)).numpy()


@pytest.mark.parametrize("name", ENCODERS)
def test_a_new_adapter_changes_nothing_of_what_the_encoder_says(name):
    make, kind = ENCODERS[name]
    encoder = adapted(name, features="mean")
    encoder.load(encoder.init(np.random.default_rng(0), 2))
    with torch.inference_mode():
        hidden = make()(**inputs(kind)).last_hidden_state
        mask = inputs(kind).get("attention_mask", torch.ones(hidden.shape[:2]))[:, :, None]
        mean = (hidden * mask).sum(1) / mask.sum(1)
        np.testing.assert_allclose(encoder.features(inputs(kind)), mean, **ROUNDING)


def test_an_adapted_layer_adds_s_times_the_product_to_its_weights():
    encoder, plain = adapted(lora_alpha=6.0), bert()
    arrays = learnt(encoder, 3, classes=0)
    encoder.load(arrays)
    for i, layer in enumerate(encoder.layers):
        plain.get_submodule(layer.name).weight.data += torch.tensor(6.0 / 3 * (arrays[2 * i] @ arrays[2 * i + 1]).T)
    with torch.inference_mode():
        expected = plain(**inputs()).pooler_output
        np.testing.assert_allclose(encoder.features(inputs()), expected, **ROUNDING)


@pytest.mark.parametrize("rank", [1, 5, 16])
def test_what_comes_out_is_what_went_in_whatever_the_rank(rank):
    encoder = adapted()
    for other in (rank, 2, rank):
        arrays = learnt(encoder, other)
        encoder.load(arrays)
        for out, given in zip(encoder.arrays(), arrays, strict=True):
            np.testing.assert_array_equal(out, given)


def test_an_adapter_of_a_higher_rank_with_the_same_product_says_the_same_and_so_does_one_brought_back():
    encoder = adapted()
    arrays = learnt(encoder, 4)
    before = logits(encoder, arrays)
    wider = list(arrays)
    for i in range(0, 2 * len(encoder.layers), 2):
        a, b = arrays[i], arrays[i + 1]
        # s(8) = s(4) / 2
        wider[i] = np.concatenate([2 * a, np.ones_like(a)], axis=1)
        wider[i + 1] = np.concatenate([b, np.zeros_like(b)])
    np.testing.assert_allclose(logits(encoder, wider), before, **ROUNDING)
    np.testing.assert_array_equal(logits(encoder, arrays), before)


def test_layers_may_have_ranks_of_their_own():
    encoder = adapted()
    ranks = [1, 2, 3, 4, 5, 6]
    assert encoder.ranks(learnt(encoder, ranks)) == tuple(ranks)
    assert np.isfinite(logits(encoder, learnt(encoder, ranks))).all()


def test_gradients_of_frozen_layers_are_not_made_and_do_not_stand_among_the_trained():
    encoder = adapted()
    arrays = learnt(encoder, 2)
    encoder.load(arrays, frozen={1, 3})
    trained, gradient = encoder.trained()
    encoder.logits(inputs()).square().sum().backward()
    assert len(trained) == sum(a.size for i, a in enumerate(arrays) if i // 2 not in (1, 3))
    assert gradient.abs().sum() > 0
    encoder.load(arrays)
    encoder.logits(inputs()).square().sum().backward()
    whole = encoder.trained()[1]
    assert whole.norm() > gradient.norm()
    trained[:] = 0  # of the layout before: this one has arrays of its own
    np.testing.assert_array_equal(encoder.arrays()[0], arrays[0])


def test_dropout_is_on_in_training_alone_and_a_function_of_the_generator():
    encoder = adapted(dropout=0.5)
    encoder.load(learnt(encoder, 4))
    state = torch.random.get_rng_state()

    def drawn(seed):
        with encoder.training(np.random.default_rng(seed)), torch.no_grad():
            return encoder.logits(inputs())

    assert torch.equal(drawn(1), drawn(1)) and not torch.equal(drawn(1), drawn(2))
    assert torch.equal(torch.random.get_rng_state(), state)
    with torch.no_grad():
        assert torch.equal(encoder.logits(inputs()), encoder.logits(inputs()))
    assert not torch.equal(drawn(1), encoder.logits(inputs()).detach())


def test_the_tail_is_the_product_of_norms_beyond_the_share_that_stays():
    encoder = adapted()
    arrays = learnt(encoder, 4)
    encoder.load(arrays)
    pairs = zip(arrays[0:-2:2], arrays[1:-2:2], strict=True)
    expected = sum(np.linalg.norm(a[:, 2:]) * np.linalg.norm(b[2:]) for a, b in pairs)
    np.testing.assert_allclose(encoder.tail(0.5).item(), expected, rtol=1e-5)


def test_a_module_of_ones_own_is_copied_and_stays_as_it_is():
    module = bert()
    before = {name: t.clone() for name, t in module.state_dict().items()}
    encoder = Adapted(module)
    encoder.load(learnt(encoder, 2))
    assert module.state_dict().keys() == before.keys()
    assert all(torch.equal(t, before[name]) for name, t in module.state_dict().items())


def test_a_module_that_is_not_of_transformers_needs_only_linear_layers():
    class Mine(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Linear(6, 5)

        def forward(self, x):
            return self.first(x).relu()

    encoder = Adapted(Mine(), targets=("first",), width=5)
    encoder.load(learnt(encoder, 2, classes=3))
    assert encoder.logits({"x": torch.ones(4, 6)}).shape == (4, 3)
    with pytest.raises(ConfigError, match="does not say how many features"):
        Adapted(Mine(), targets=("first",))


def test_an_encoder_is_loaded_from_a_folder_once_for_all_who_ask(tmp_path):
    bert().save_pretrained(tmp_path)
    encoder = shared_encoder(str(tmp_path))
    assert shared_encoder(str(tmp_path)) is encoder
    same = adapted()
    arrays = learnt(same, 2)
    np.testing.assert_array_equal(logits(encoder, arrays), logits(same, arrays))


def test_a_classification_model_gives_its_encoder():
    from transformers import ViTForImageClassification

    whole = ViTForImageClassification(vit().config).eval()
    encoder = Adapted(whole, kind="image")
    encoder.load(encoder.init(np.random.default_rng(0), 2))
    with torch.inference_mode():
        expected = whole.vit(**inputs("image")).last_hidden_state[:, 0]
        np.testing.assert_allclose(encoder.features(inputs("image")), expected, **ROUNDING)


def test_only_the_pooler_that_is_read_is_adapted():
    names = {
        how: [la.name for la in Adapted(bert(), targets=("dense",), features=how).layers] for how in ("cls", "pooler")
    }
    assert set(names["pooler"]) - set(names["cls"]) == {"pooler.dense"}


def test_targets_that_match_nothing_are_told_beside_the_layers_there_are():
    with pytest.raises(
        ConfigError, match="targets qkv match no linear layer; the encoder has dense, key, query, value"
    ):
        Adapted(bert(), targets=("query", "qkv"))
    with pytest.raises(ConfigError, match="usual targets"):
        Adapted(nn.Sequential(nn.Linear(2, 2)), width=2)


def test_a_rank_above_a_side_of_a_layer_is_told_with_the_layer():
    encoder = adapted()
    with pytest.raises(
        ConfigError, match=r"rank 17 for encoder.layer.0.attention.self.query of 16 x 16: expected a rank from 1 to 16"
    ):
        encoder.init(np.random.default_rng(0), WIDTH + 1)
    with pytest.raises(ConfigError, match="rank 0"):
        encoder.init(np.random.default_rng(0), 0)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda a: a[:3], "3 arrays: expected A and B of 6 layers"),
        (lambda a: (a[0].T, *a[1:]), "factors of encoder.layer.0.attention.self.query"),
        (lambda a: (a[0].astype(int), *a[1:]), "expected floats"),
        (lambda a: a[:-1], "expected weights"),
        (lambda a: (*a[:-1], a[-1][:1]), "expected weights"),
    ],
)
def test_arrays_that_are_not_those_of_the_encoder_are_told(change, told):
    encoder = adapted()
    with pytest.raises(ProtocolError, match=told):
        encoder.load(change(learnt(encoder, 2)))


@pytest.mark.parametrize(
    "wrong",
    [{"kind": "sound"}, {"features": "max"}, {"lora_alpha": 0.0}, {"dropout": 1.0}, {"lora_alpha": float("nan")}],
)
def test_settings_out_of_range_are_told(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        Adapted(bert(), **wrong)


def test_an_encoder_that_is_not_there_is_told(tmp_path):
    with pytest.raises(ConfigError, match="cannot be loaded"):
        Adapted(str(tmp_path))


def test_an_encoder_without_a_pooler_cannot_be_read_by_it():
    from transformers import BertModel

    encoder = Adapted(BertModel(bert().config, add_pooling_layer=False), features="pooler")
    encoder.load(learnt(encoder, 2))
    with pytest.raises(ConfigError, match="no pooler"):
        encoder.logits(inputs())
    assert SIDES["hidden_size"] == encoder.width
