"""Models of `step_tasks.py`: small enough that a local epoch takes milliseconds."""

from collections.abc import Callable
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from eafl_flower.core.rng import generator

PIXELS, CLASSES = 64, 10  # scikit-learn's digits
WORDS, LENGTH, WIDTH, HEADS, RANK = 32, 10, 16, 2, 2
SOURCE_TOPICS, TOPICS = 8, 5


def seeded(seed: int, build: Callable[[], nn.Module]) -> nn.Module:
    """Return what ``build`` makes with torch's generator at ``seed``; the generator of the process is left alone."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return build()


def softmax() -> nn.Module:
    return nn.Linear(PIXELS, CLASSES)


def mlp() -> nn.Module:
    return nn.Sequential(nn.Linear(PIXELS, 32), nn.ReLU(), nn.Linear(32, CLASSES))


def regressor() -> nn.Module:
    return nn.Sequential(nn.Linear(10, 24), nn.Tanh(), nn.Linear(24, 1), nn.Flatten(0))


def cnn(*, batch_norm: bool = False) -> nn.Module:
    return nn.Sequential(
        nn.Unflatten(1, (1, 8, 8)),
        nn.Conv2d(1, 8, 3, stride=2),
        nn.BatchNorm2d(8) if batch_norm else nn.Identity(),
        nn.ReLU(),
        nn.Conv2d(8, 16, 2),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(64, CLASSES),
    )


def frozen_vision() -> nn.Module:
    """Return frozen convolutions and a head that is trained."""
    features = nn.Sequential(
        nn.Unflatten(1, (1, 8, 8)),
        nn.Conv2d(1, 8, 3, stride=2),
        nn.ReLU(),
        nn.Conv2d(8, 24, 2),
        nn.ReLU(),
        nn.Flatten(),
    )
    features.requires_grad_(False)
    return nn.Sequential(features, nn.Linear(96, CLASSES))


class AdaptedLinear(nn.Module):
    """A frozen linear map plus a low-rank one: ``x W^T + b + 2 x A^T B^T`` (Hu et al., 2021)."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.linear = linear.requires_grad_(False)
        self.lora_a = nn.Parameter(torch.randn(RANK, linear.in_features) / RANK)
        self.lora_b = nn.Parameter(torch.zeros(linear.out_features, RANK))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.linear(x) + 2 * (x @ self.lora_a.T) @ self.lora_b.T


class Layer(nn.Module):
    """Self-attention and a feed-forward network, each behind a norm."""

    def __init__(self) -> None:
        super().__init__()
        self.norm_1, self.norm_2 = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.attend: nn.Module = nn.Linear(WIDTH, 3 * WIDTH)
        self.mix: nn.Module = nn.Linear(WIDTH, WIDTH)
        self.feed = nn.Sequential(nn.Linear(WIDTH, 2 * WIDTH), nn.ReLU(), nn.Linear(2 * WIDTH, WIDTH))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        shape = (len(x), LENGTH, HEADS, WIDTH // HEADS)
        query, key, value = (part.reshape(shape).transpose(1, 2) for part in self.attend(self.norm_1(x)).chunk(3, -1))
        attended = functional.scaled_dot_product_attention(query, key, value)
        x = x + self.mix(attended.transpose(1, 2).flatten(2))
        return x + self.feed(self.norm_2(x))


class Transformer(nn.Module):
    """Two layers over ``(n, LENGTH)`` words, mean of the places, a linear head."""

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.words = nn.Embedding(WORDS, WIDTH)
        self.places = nn.Parameter(0.1 * torch.randn(LENGTH, WIDTH))
        self.layers = nn.Sequential(Layer(), Layer())
        self.norm = nn.LayerNorm(WIDTH)
        self.head = nn.Linear(WIDTH, outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        hidden: torch.Tensor = self.norm(self.layers(self.words(x) + self.places).mean(1))
        return self.head(hidden)


def sentences(num_rows: int, topics: range, rng: np.random.Generator) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return words ``(num_rows, LENGTH)`` and topics ``(num_rows,)``.

    Words and topics have fixed vectors; a word is the likelier, the closer it is to the sentence's topic.
    """
    fixed = generator(0, "sentences")
    words, all_topics = fixed.normal(size=(WORDS, 5)), fixed.normal(size=(SOURCE_TOPICS + TOPICS, 5))
    all_topics /= np.linalg.norm(all_topics, axis=1, keepdims=True)
    y = rng.integers(len(topics), size=num_rows)
    logits = 1.2 * all_topics[np.array(topics)] @ words.T
    noise = rng.gumbel(size=(num_rows, LENGTH, WORDS))
    return (logits[y][:, None, :] + noise).argmax(-1), y


@lru_cache(maxsize=1)
def pretrained() -> dict[str, torch.Tensor]:
    """Return the weights of a transformer trained on the source topics, without its head: two seconds."""
    model = seeded(0, lambda: Transformer(SOURCE_TOPICS))
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    rng = generator(0, "pretraining")
    for _ in range(400):
        x, y = sentences(64, range(SOURCE_TOPICS), rng)
        optimizer.zero_grad()
        functional.cross_entropy(model(torch.from_numpy(x)), torch.from_numpy(y)).backward()
        optimizer.step()
    return {name: value for name, value in model.state_dict().items() if not name.startswith("head")}


def lora() -> nn.Module:
    """Return the pre-trained transformer, frozen, with adapters in its attention and a new head."""
    model = Transformer(TOPICS)
    model.load_state_dict(pretrained(), strict=False)
    model.requires_grad_(False)
    model.head.requires_grad_(True)
    for layer in model.layers:
        layer.attend, layer.mix = AdaptedLinear(layer.attend), AdaptedLinear(layer.mix)
    return model
