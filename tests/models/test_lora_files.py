"""What was learnt, as others read it: PEFT and plain transformers."""

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs torch: pip install 'eafl-flower[lora]'")
pytest.importorskip("transformers", reason="needs transformers: pip install 'eafl-flower[lora]'")
pytest.importorskip("peft", reason="needs peft: pip install 'eafl-flower[lora]'")

import torch
from peft import PeftModel
from tiny_encoders import ENCODERS, adapted, bert, inputs, learnt
from transformers import AutoModel, AutoModelForImageClassification, AutoModelForSequenceClassification

from eafl_flower.errors import ConfigError
from eafl_flower.models.lora import load_adapter, load_classifier, save_adapter, save_merged

# PEFT asks transformers for a property by its old name
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
CLOSE = {"rtol": 1e-5, "atol": 1e-5}
AUTO = {"text": AutoModelForSequenceClassification, "image": AutoModelForImageClassification}
RANKS = {"one rank": 3, "ranks of their own": None}


def arrays_of(encoder, ranks):
    return learnt(encoder, RANKS[ranks] or [1 + i % 4 for i in range(len(encoder.layers))])


def logits(encoder, arrays, kind):
    encoder.load(arrays)
    with torch.inference_mode():
        return encoder.logits(inputs(kind)).numpy()


@pytest.mark.parametrize("ranks", RANKS)
@pytest.mark.parametrize("name", ENCODERS)
def test_peft_gives_the_same_logits(name, ranks, tmp_path):
    make, kind = ENCODERS[name]
    make().save_pretrained(tmp_path / "base")
    encoder = adapted(name)
    arrays = arrays_of(encoder, ranks)
    expected = logits(encoder, arrays, kind)
    save_adapter(encoder, tmp_path / "adapter", arrays)
    base = AUTO[kind].from_pretrained(tmp_path / "base", num_labels=4)
    model = PeftModel.from_pretrained(base, tmp_path / "adapter").eval()
    with torch.inference_mode():
        np.testing.assert_allclose(model(**inputs(kind)).logits, expected, **CLOSE)
        merged = model.merge_and_unload()
        np.testing.assert_allclose(merged(**inputs(kind)).logits, expected, **CLOSE)
    for a, b in zip(load_adapter(encoder, tmp_path / "adapter"), arrays, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("ranks", RANKS)
@pytest.mark.parametrize("name", ENCODERS)
def test_transformers_alone_gives_the_same_logits_of_merged_weights(name, ranks, tmp_path):
    kind = ENCODERS[name][1]
    encoder = adapted(name)
    arrays = arrays_of(encoder, ranks)
    save_merged(encoder, tmp_path, arrays)
    model = AUTO[kind].from_pretrained(tmp_path).eval()
    assert model.config.num_labels == 4
    with torch.inference_mode():
        np.testing.assert_allclose(model(**inputs(kind)).logits, logits(encoder, arrays, kind), **CLOSE)


def test_other_features_are_saved_as_an_encoder_with_the_head_beside(tmp_path):
    encoder = adapted(features="mean")
    arrays = arrays_of(encoder, "ranks of their own")
    expected = logits(encoder, arrays, "text")
    save_merged(encoder, tmp_path / "merged", arrays)
    save_adapter(encoder, tmp_path / "adapter", arrays)
    with torch.inference_mode():
        np.testing.assert_allclose(load_classifier(tmp_path / "merged")(**inputs()), expected, **CLOSE)
        merged = AutoModel.from_pretrained(tmp_path / "merged").eval()(**inputs()).last_hidden_state
        by_peft = PeftModel.from_pretrained(bert(), tmp_path / "adapter").eval()(**inputs()).last_hidden_state
        np.testing.assert_allclose(merged, by_peft, **CLOSE)
    for a, b in zip(load_adapter(encoder, tmp_path / "adapter"), arrays, strict=True):
        np.testing.assert_array_equal(a, b)


def test_saving_changes_nothing_of_the_frozen_encoder(tmp_path):
    encoder = adapted()
    base = encoder.adapters[0].base_layer.weight.clone()
    save_merged(encoder, tmp_path, arrays_of(encoder, "one rank"))
    assert torch.equal(encoder.adapters[0].base_layer.weight, base)


def test_files_that_are_not_there_or_of_another_encoder_are_told(tmp_path):
    encoder = adapted()
    with pytest.raises(ConfigError, match="holds no adapter_model"):
        load_adapter(encoder, tmp_path)
    with pytest.raises(ConfigError, match="holds no classifier"):
        load_classifier(tmp_path)
    save_adapter(encoder, tmp_path, arrays_of(encoder, "one rank"))
    with pytest.raises(ConfigError, match="of another encoder"):
        load_adapter(adapted(targets=("dense",)), tmp_path)
