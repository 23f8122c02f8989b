"""Tiny encoders with random weights, made from a configuration: nothing is downloaded."""

import numpy as np

from eafl_flower.models.lora import Adapted

VOCABULARY, WIDTH = 50, 16
SIDES = {"hidden_size": WIDTH, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}


def bert(seed=0, **changed):
    import torch
    from transformers import BertConfig, BertModel

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        config = BertConfig(**{"vocab_size": VOCABULARY, "max_position_embeddings": 64, **SIDES, **changed})
        return BertModel(config).eval()


def vit():
    import torch
    from transformers import ViTConfig, ViTModel

    with torch.random.fork_rng():
        torch.manual_seed(1)
        return ViTModel(ViTConfig(image_size=16, patch_size=8, **SIDES)).eval()


def swin():
    import torch
    from transformers import SwinConfig, SwinModel

    with torch.random.fork_rng():
        torch.manual_seed(2)
        sides = {"embed_dim": 8, "depths": [1, 1], "num_heads": [1, 2], "window_size": 2}
        return SwinModel(SwinConfig(image_size=16, patch_size=4, **sides)).eval()


ENCODERS = {"bert": (bert, "text"), "vit": (vit, "image"), "swin": (swin, "image")}


def adapted(name="bert", **settings):
    make, kind = ENCODERS[name]
    return Adapted(make(), kind=kind, **settings)


def inputs(kind="text", count=3):
    import torch

    rng = np.random.default_rng(5)
    if kind == "image":
        return {"pixel_values": torch.tensor(rng.standard_normal((count, 3, 16, 16)), dtype=torch.float32)}
    mask = np.ones((count, 7), np.int64)
    mask[0, 4:] = 0
    return {"input_ids": torch.tensor(rng.integers(1, VOCABULARY, (count, 7))), "attention_mask": torch.tensor(mask)}


def learnt(encoder, ranks, classes=4, seed=3):
    """Factors as after training, and a head; ``ranks`` is one for all layers or one of each."""
    rng = np.random.default_rng(seed)
    ranks = [ranks] * len(encoder.layers) if isinstance(ranks, int) else ranks
    shapes = [s for layer, r in zip(encoder.layers, ranks, strict=True) for s in ((layer.d_in, r), (r, layer.d_out))]
    shapes += [(classes, encoder.width), (classes,)] if classes else []
    return tuple((0.3 * rng.standard_normal(shape)).astype(np.float32) for shape in shapes)
