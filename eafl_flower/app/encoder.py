"""Make a small text encoder from text sets that no federated task uses."""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eafl_flower.core.threads import one_thread
from eafl_flower.data.texts.corpus import Corpus, corpus_of
from eafl_flower.data.texts.files import TEXT_SETS, load_texts, read_texts
from eafl_flower.data.texts.rows import TextRows
from eafl_flower.errors import ConfigError
from eafl_flower.models.encoder.settings import EncoderSettings
from eafl_flower.models.encoder.store import RECORD, folder_of, keep
from eafl_flower.models.extras import require

if TYPE_CHECKING:
    from eafl_flower.models.encoder.pretraining import Pass

CORPUS = ("subj", "customer_reviews", "snips_intents", "atis_intents")
APART = ("trec", "sst2", "ag_news")
_VERSIONS = ("eafl-flower", "torch", "transformers", "tokenizers", "numpy")


def require_transformers(what: str) -> None:
    """Import torch, transformers and tokenizers, with one thread.

    Raises
    ------
    ModuleNotFoundError
        If one is not installed; says what needs it and how to install it.
    """
    require(what, "torch", "transformers", "tokenizers", extra="lora")
    one_thread()


def corpus_from(names: Sequence[str], *, apart: Sequence[str], data_dir: str = "") -> Corpus:
    """Load the sets of a corpus, and take out what is also in those that are kept apart.

    Parameters
    ----------
    names, apart
        Names of sets that we know, or paths of CSV files with the columns ``text`` and ``label``.
    data_dir
        Folder of the data; ``EAFL_DATA_DIR`` if empty.

    Raises
    ------
    ConfigError
        If a name is unknown, there twice or in both, or nothing of a set is left.
    DataError
        If a file is missing or damaged.
    """
    if not names:
        raise ConfigError("the corpus has no text set; expected one at least")
    for given in (names, apart):
        if twice := [name for name in dict.fromkeys(given) if list(given).count(name) > 1]:
            raise ConfigError(f"{', '.join(twice)}: given twice")
    return corpus_of([_load(name, data_dir) for name in names], apart=[_load(name, data_dir) for name in apart])


def make_encoder(
    corpus: Corpus,
    settings: EncoderSettings,
    *,
    seed: int,
    apart: Sequence[str],
    on_pass: Callable[[int, "Pass"], None] = lambda number, done: None,
) -> Path:
    """Return the folder of the encoder of this corpus, settings and seed; it is trained unless it is there already.

    Parameters
    ----------
    corpus
        What it learns from.
    settings, seed
        Size, training and randomness.
    apart
        Names of the sets that the corpus has nothing of, for the record.
    on_pass
        Is told the number of each pass, from 1, and what it was like.

    Raises
    ------
    ModuleNotFoundError
        If transformers is not installed.
    ConfigError
        If the corpus has more word pieces of one letter than the vocabulary has room for.
    """
    path = folder_of(seed, settings, corpus.sha256)
    if (path / RECORD).is_file():
        return path
    require_transformers("eafl encoder make")
    from eafl_flower.models.encoder.pretraining import LabelledTexts, pretrain
    from eafl_flower.models.encoder.tokenizer import make_tokenizer

    tokenizer = make_tokenizer(corpus.texts, vocabulary=settings.vocabulary, positions=settings.positions)
    sets = [LabelledTexts(texts=rows.texts, labels=rows.labels, classes=len(rows.class_names)) for rows in corpus.sets]
    encoder, passes = pretrain(sets, tokenizer, settings, seed=seed, on_pass=on_pass)

    def save(folder: Path) -> None:
        encoder.save_pretrained(folder)
        tokenizer.save_pretrained(folder)

    training: dict[str, Any] = {
        "seed": seed,
        "settings": settings.values(),
        "corpus": {
            rows.name: {
                "texts": len(rows),
                "classes": len(rows.class_names),
                "left_out": asdict(rows.left_out),
                "same_as_kept_apart": corpus.same[rows.name],
                "like_kept_apart": corpus.like[rows.name],
            }
            for rows in corpus.sets
        },
        "kept_apart": list(apart),
        "corpus_sha256": corpus.sha256,
        "vocabulary": len(tokenizer),
        "weights": sum(weights.numel() for weights in encoder.parameters()),
        "passes": [asdict(one) for one in passes],
        "versions": {name: version(name) for name in _VERSIONS},
    }
    keep(path, save, training)
    return path


def _load(name: str, data_dir: str) -> TextRows:
    if name in TEXT_SETS:
        return load_texts(name, data_dir)
    if "." in name or "/" in name:
        return read_texts(name, data_dir=data_dir)
    raise ConfigError(f'"{name}" is no text set that we know ({", ".join(TEXT_SETS)}) and no path of a CSV file')
