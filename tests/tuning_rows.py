"""Sentences whose first word says the class, and images whose brightness does."""

from tiny_encoders import VOCABULARY

from eafl_flower.core.rng import generator
from eafl_flower.tasks.finetune import image_rows, text_rows


def by_words(texts, *, truncation=True, max_length=128):
    """A tokenizer: 1 where a text begins, then each word by its bytes."""
    tokens = [[1, *(3 + sum(w.encode()) % (VOCABULARY - 3) for w in t.split())][:max_length] for t in texts]
    return {"input_ids": tokens}


def texts_of(count, seed=0, classes=3):
    rng = generator(seed, "sentences")
    labels = rng.integers(classes, size=count)
    words = [[chr(97 + 4 * y)] + [chr(109 + w) for w in rng.integers(9, size=rng.integers(1, 8))] for y in labels]
    return [" ".join(w) for w in words], labels


def sentences(count, seed=0, classes=3):
    texts, labels = texts_of(count, seed, classes)
    return text_rows(texts, labels, by_words)


def images(count, seed=0):
    rng = generator(seed, "images")
    labels = rng.integers(3, size=count)
    return image_rows(labels[:, None, None, None] - 1 + 0.1 * rng.standard_normal((count, 3, 16, 16)), labels)
