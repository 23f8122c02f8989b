r"""Train a small BERT on masked words and on the classes of several sets at once.

For a text with tokens :math:`x`, of which a random share :math:`M` is hidden, in set :math:`d` with class :math:`y`,

.. math:: -\frac{1}{|M|} \sum_{i \in M} \log p(x_i \mid x_{\setminus M})
          - \frac{w}{2} \left[ \log p_d(y \mid \bar h) + \log p_d(y \mid c) \right]

where :math:`\bar h` is the mean of the tokens' vectors and :math:`c` the pooled vector of ``[CLS]``, each with a
linear head for every set: either can be built on later. Four fifths of the hidden tokens are replaced by ``[MASK]``,
a tenth by another token and a tenth by themselves. The word vectors are also the rows by which words are guessed. Heads
are thrown away in the end.

References
----------
Devlin et al., "BERT: pre-training of deep bidirectional transformers for language understanding", NAACL 2019.
Liu et al., "Multi-task deep neural networks for natural language understanding", ACL 2019 (classes of several sets).
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

from eafl_flower.core.rng import generator
from eafl_flower.models.encoder.settings import EncoderSettings
from eafl_flower.models.encoder.word_vectors import word_vectors

_SORTED_TOGETHER = 32  # batches whose texts are sorted by length, so that little of a batch is padding
_WARM_UP = 0.05
_WORDS_SCALE = 0.05  # of word vectors; places and kinds of text have vectors of 0.02
_LONGEST_STEP = 1.0  # of the gradient's length


@dataclass(frozen=True, kw_only=True)
class LabelledTexts:
    """Texts of one set with the class of each, ``(n,)``, of so many."""

    texts: Sequence[str]
    labels: NDArray[np.int64]
    classes: int


@dataclass(frozen=True, kw_only=True)
class Pass:
    """Means over a pass: loss of masked words and of classes, share of classes that were right; and its time [s]."""

    words_loss: float
    labels_loss: float
    labels_right: float
    time_s: float


def new_encoder(tokenizer: PreTrainedTokenizerFast, settings: EncoderSettings, seed: int) -> BertModel:
    """Return an untrained encoder; the process's random state stays as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(_seed(seed, "weights"))
        return BertModel(
            BertConfig(
                vocab_size=len(tokenizer),
                hidden_size=settings.width,
                num_hidden_layers=settings.layers,
                num_attention_heads=settings.heads,
                intermediate_size=4 * settings.width,
                max_position_embeddings=settings.positions,
                hidden_dropout_prob=settings.dropout,
                attention_probs_dropout_prob=settings.dropout,
                pad_token_id=tokenizer.pad_token_id,
            )
        )


def pretrain(
    sets: Sequence[LabelledTexts],
    tokenizer: PreTrainedTokenizerFast,
    settings: EncoderSettings,
    *,
    seed: int,
    on_pass: Callable[[int, Pass], None] = lambda number, done: None,
) -> tuple[BertModel, tuple[Pass, ...]]:
    """Return a trained encoder, and what each pass over all texts was like.

    The same arguments give the same weights on one machine with one thread of torch.

    Parameters
    ----------
    sets
        What is learnt from.
    tokenizer
        Cuts the texts to tokens.
    settings
        Size and training.
    seed
        Decides weights, order and masks.
    on_pass
        Is told the number of each pass, from 1, and what it was like.
    """
    rng = generator(seed, "encoder", "order")
    tokens = _tokens([text for rows in sets for text in rows.texts], tokenizer, settings)
    which = np.repeat(np.arange(len(sets)), [len(rows.texts) for rows in sets])
    labels = np.concatenate([rows.labels for rows in sets])
    with torch.random.fork_rng(devices=[]):
        encoder = new_encoder(tokenizer, settings, seed)
        if settings.start == "co-occurrence":
            _begin(encoder, tokens)
        torch.manual_seed(_seed(seed, "training"))
        model = _Learner(encoder, [rows.classes for rows in sets])
        optimizer = torch.optim.AdamW(_groups(model, settings.weight_decay), lr=settings.learning_rate)
        steps = settings.passes * -(-len(tokens) // settings.batch_size)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _rate(step, steps))
        model.train()
        passes = []
        for number in range(1, settings.passes + 1):
            began, sums, count = time.perf_counter(), np.zeros(3), 0
            for rows in _batches(tokens, settings.batch_size, rng):
                batch = tokenizer.pad({"input_ids": [tokens[row] for row in rows]}, return_tensors="pt")
                ids, mask = batch["input_ids"], batch["attention_mask"]
                hidden = _hidden(ids, mask, tokenizer, settings.mask_share)
                words, classes, right = model(
                    _masked(ids, hidden, tokenizer),
                    ids,
                    mask,
                    hidden,
                    torch.from_numpy(which[rows]),
                    torch.from_numpy(labels[rows]),
                )
                optimizer.zero_grad()
                (words + settings.label_weight * classes).backward()
                nn.utils.clip_grad_norm_(model.parameters(), _LONGEST_STEP)
                optimizer.step()
                schedule.step()
                sums += len(rows) * np.array([words.item(), classes.item(), right.item()])
                count += len(rows)
            mean = (sums / count).tolist()
            passes.append(
                Pass(words_loss=mean[0], labels_loss=mean[1], labels_right=mean[2], time_s=time.perf_counter() - began)
            )
            on_pass(number, passes[-1])
    model.eval()
    return encoder, tuple(passes)


def _begin(encoder: BertModel, tokens: Sequence[Sequence[int]]) -> None:
    """Give the word pieces the vectors that their neighbours in the texts make; those with exactly 0 keep theirs."""
    words = encoder.embeddings.word_embeddings.weight
    size, width = words.shape
    inner = [ids[1:-1] for ids in tokens]  # without [CLS] and [SEP]
    vectors = torch.from_numpy(_WORDS_SCALE * word_vectors(inner, vocabulary=size, width=width)).to(words.dtype)
    with torch.no_grad():
        known = vectors.any(dim=1)
        words[known] = vectors[known]


class _Learner(nn.Module):
    """The encoder with what it learns by: words, and classes of each set by the mean vector and by the pooled one."""

    def __init__(self, encoder: BertModel, classes: Sequence[int]) -> None:
        super().__init__()
        width, vectors = encoder.config.hidden_size, encoder.embeddings.word_embeddings.weight
        self.encoder = encoder
        self.transform = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.LayerNorm(width))
        self.bias = nn.Parameter(torch.zeros(len(vectors)))
        self.by_mean = nn.ModuleList(nn.Linear(width, number) for number in classes)
        self.by_pooled = nn.ModuleList(nn.Linear(width, number) for number in classes)

    def forward(
        self,
        shown: torch.Tensor,
        ids: torch.Tensor,
        mask: torch.Tensor,
        hidden: torch.Tensor,
        which: torch.Tensor,
        labels: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return loss of words, loss of classes, and the share of classes that are right by the mean vector."""
        out = self.encoder(input_ids=shown, attention_mask=mask)
        vectors = out.last_hidden_state  # (texts, tokens, width)
        guesses = functional.linear(
            self.transform(vectors[hidden]), self.encoder.embeddings.word_embeddings.weight, self.bias
        )
        words = functional.cross_entropy(guesses, ids[hidden])
        mean = mean_vector(vectors, mask)
        losses, right = torch.zeros(()), torch.zeros(())
        for number, (by_mean, by_pooled) in enumerate(zip(self.by_mean, self.by_pooled, strict=True)):
            if not (of := which == number).any():
                continue
            scores = by_mean(mean[of])
            for one in (scores, by_pooled(out.pooler_output[of])):
                losses = losses + functional.cross_entropy(one, labels[of], reduction="sum") / 2
            right = right + (scores.argmax(1) == labels[of]).sum()
        return words, losses / len(labels), right / len(labels)


def mean_vector(vectors: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Return the mean of the tokens' vectors ``(texts, tokens, width)`` that ``mask`` ``(texts, tokens)`` counts."""
    weight = mask.unsqueeze(2).to(vectors.dtype)
    return (vectors * weight).sum(1) / weight.sum(1)


def _tokens(texts: Sequence[str], tokenizer: PreTrainedTokenizerFast, settings: EncoderSettings) -> list[list[int]]:
    coded = tokenizer(list(texts), truncation=True, max_length=settings.positions)
    return list(coded["input_ids"])


def _batches(tokens: Sequence[Sequence[int]], size: int, rng: np.random.Generator) -> Iterator[NDArray[np.int64]]:
    """Yield numbers of texts of similar length, each text once, in random order."""
    length = np.array([len(ids) for ids in tokens])
    order = rng.permutation(len(tokens))
    batches = []
    for start in range(0, len(order), size * _SORTED_TOGETHER):
        some = order[start : start + size * _SORTED_TOGETHER]
        some = some[np.argsort(length[some], kind="stable")]
        batches += [some[first : first + size] for first in range(0, len(some), size)]
    for number in rng.permutation(len(batches)):
        yield batches[number]


def _hidden(ids: torch.Tensor, mask: torch.Tensor, tokenizer: PreTrainedTokenizerFast, share: float) -> torch.Tensor:
    """Draw which tokens are to be guessed: a share of those that are no special ones, one at least if there is one."""
    special = torch.tensor([tokenizer.cls_token_id, tokenizer.sep_token_id, tokenizer.pad_token_id])
    allowed = mask.bool() & ~torch.isin(ids, special)
    chance = torch.where(allowed, torch.rand(ids.shape), 2.0)
    hidden = chance < share
    if not hidden.any() and allowed.any():
        hidden.view(-1)[chance.argmin()] = True
    return hidden


def _masked(ids: torch.Tensor, hidden: torch.Tensor, tokenizer: PreTrainedTokenizerFast) -> torch.Tensor:
    how = torch.rand(ids.shape)
    others = torch.randint(len(tokenizer), ids.shape)
    shown = torch.where(hidden & (how < 0.8), tokenizer.mask_token_id, ids)
    return torch.where(hidden & (how >= 0.9), others, shown)


def _groups(model: nn.Module, weight_decay: float) -> list[dict[str, object]]:
    """Return matrices, which decay, and vectors, which do not."""
    weights = [p for p in model.parameters() if p.requires_grad]
    return [
        {"params": [p for p in weights if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in weights if p.ndim < 2], "weight_decay": 0.0},
    ]


def _rate(step: int, steps: int) -> float:
    warm = max(1, round(_WARM_UP * steps))
    return min((step + 1) / warm, max(steps - step, 0) / max(1, steps - warm))


def _seed(seed: int, purpose: str) -> int:
    return int(generator(seed, "encoder", purpose).integers(2**63))
