"""Real updates of a transformer language model: what a codec of large models is measured on.

Six layers of width 384 with six heads, pre-norm, GELU of width 1,536, 128 learnt positions and one embedding of 30,522
words for input and output: 22.4 million parameters, from random weights. The text is the Python standard library of
the interpreter at hand, cut into words, numbers, white space and single signs; the 30,521 most frequent of them are
the vocabulary, and one token stands for all others. After 40 steps of AdamW come

* ``gradient``: of four batches;
* ``sgd``: the difference of ten SGD steps of rate 0.1;
* ``adamw``: the difference of ten more AdamW steps of rate 5e-4.

A batch is eight windows of 128 tokens. The layout is the model's own: one array a parameter.
"""

import re
import sysconfig
from collections import Counter
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

Arrays = tuple[np.ndarray[Any, np.dtype[np.float32]], ...]
_TOKEN = re.compile(r"[A-Za-z_]+|[0-9]+|\n *|[ \t]+|[^A-Za-z_0-9\s]")


class Block(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        batch, length, width = x.shape
        parts = self.qkv(self.norm1(x)).view(batch, length, 3, self.heads, width // self.heads)
        q, k, v = (parts[:, :, i].transpose(1, 2) for i in range(3))
        mixed = nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(mixed.transpose(1, 2).reshape(batch, length, width))
        return x + self.down(nn.functional.gelu(self.up(self.norm2(x))))


class LanguageModel(nn.Module):
    def __init__(self, vocabulary: int, width: int, layers: int, length: int) -> None:
        super().__init__()
        self.embedding, self.positions = nn.Embedding(vocabulary, width), nn.Embedding(length, width)
        self.blocks = nn.Sequential(*(Block(width, width // 64) for _ in range(layers)))
        self.norm = nn.LayerNorm(width)
        for embedding in (self.embedding, self.positions):
            nn.init.normal_(embedding.weight, std=0.02)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        x = self.embedding(tokens) + self.positions.weight[: tokens.shape[1]]
        return self.norm(self.blocks(x)) @ self.embedding.weight.T


def updates(*, small: bool = False, seed: int = 1) -> dict[str, Arrays]:
    """Return the three updates by name; ``small``: two layers of width 64 and 2,000 words, in seconds."""
    torch.manual_seed(seed)
    vocabulary, width, layers, length = (2000, 64, 2, 32) if small else (30522, 384, 6, 128)
    tokens = _tokens(vocabulary, most_files=20 if small else 10_000)
    model = LanguageModel(vocabulary, width, layers, length)
    rng = np.random.default_rng(seed)

    def loss() -> torch.Tensor:
        starts = rng.integers(len(tokens) - length - 1, size=8)
        windows = torch.from_numpy(np.stack([tokens[s : s + length + 1] for s in starts]))
        logits = model(windows[:, :-1])
        return nn.functional.cross_entropy(logits.reshape(-1, vocabulary), windows[:, 1:].reshape(-1))

    def steps(optimiser: torch.optim.Optimizer, count: int) -> Arrays:
        before = [p.detach().clone() for p in model.parameters()]
        for _ in range(count):
            optimiser.zero_grad()
            loss().backward()
            optimiser.step()
        return tuple((p.detach() - b).numpy() for p, b in zip(model.parameters(), before, strict=True))

    adamw = torch.optim.AdamW(model.parameters(), lr=5e-4)
    steps(adamw, 40)
    start, made = deepcopy(model.state_dict()), {}
    model.zero_grad()
    for _ in range(4):
        (loss() / 4).backward()
    made["gradient"] = tuple(p.grad.numpy().copy() for p in model.parameters() if p.grad is not None)
    made["sgd"] = steps(torch.optim.SGD(model.parameters(), lr=0.1), 10)
    model.load_state_dict(start)
    made["adamw"] = steps(adamw, 10)
    return made


def stored(folder: Path | None, *, small: bool = False) -> dict[str, Arrays]:
    """Return ``updates``, from ``folder`` if they lie there, else made anew and laid there; None: always anew."""
    path = folder / ("transformer-small.npz" if small else "transformer.npz") if folder else None
    if path is not None and path.exists():
        with np.load(path) as file:
            names = sorted(file.files, key=lambda name: int(name.rpartition(" ")[2]))
            return {
                kind: tuple(file[name] for name in names if name.startswith(f"{kind} "))
                for kind in ("gradient", "sgd", "adamw")
            }
    made = updates(small=small)
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(path, **{f"{kind} {i}": array for kind, arrays in made.items() for i, array in enumerate(arrays)})
    return made


def _tokens(vocabulary: int, *, most_files: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    files = sorted(Path(sysconfig.get_paths()["stdlib"]).glob("*.py"))[:most_files]
    files += sorted(Path(sysconfig.get_paths()["stdlib"]).glob("*/*.py"))[: max(0, most_files - len(files))]
    files = [path for path in files if "site-packages" not in path.parts]
    words = [word for path in files for word in _TOKEN.findall(path.read_text(encoding="utf-8", errors="replace"))]
    number = {word: n for n, (word, _) in enumerate(Counter(words).most_common(vocabulary - 1), 1)}
    return np.array([number.get(word, 0) for word in words], np.int64)
