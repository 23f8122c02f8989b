"""lora-digits: A Flower / PEFT app."""

import math
from functools import cache

import torch
from peft import LoraConfig, get_peft_model
from transformers import ViTConfig, ViTForImageClassification

from loradigits.dataset import digits_of


def cosine_annealing(current_round: int, total_round: int, lrate_max: float, lrate_min: float) -> float:
    """Return the learning rate of a round."""
    cos_inner = math.pi * current_round / total_round
    return lrate_min + 0.5 * (lrate_max - lrate_min) * (1 + math.cos(cos_inner))


@cache
def pretrained():
    """Return the weights of a small vision transformer that knows the digits 0 to 4.

    It stands in the place of ``from_pretrained("...")``, so that there is nothing to download: the same on every node.
    """
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model, (images, labels) = new_model(), digits_of(range(5))
        optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
        for batch in (batch for _ in range(6) for batch in torch.randperm(len(labels)).split(32)):
            optimizer.zero_grad()
            model(pixel_values=images[batch], labels=labels[batch]).loss.backward()
            optimizer.step()
    return model.state_dict()


def new_model():
    """Return the vision transformer without training."""
    return ViTForImageClassification(
        ViTConfig(
            image_size=8,
            patch_size=2,
            num_channels=1,
            hidden_size=32,
            num_hidden_layers=2,
            num_attention_heads=4,
            intermediate_size=64,
            num_labels=5,
        )
    )


def get_model(lora_r: int, lora_alpha: int):
    """Load the pretrained model and put adapters on it, and a head of its own for the new classes."""
    model = new_model()
    model.load_state_dict(pretrained())
    peft_config = LoraConfig(
        r=lora_r,
        lora_alpha=lora_alpha,
        target_modules=["q_proj", "v_proj"],
        modules_to_save=["classifier"],
    )
    return get_peft_model(model, peft_config)
