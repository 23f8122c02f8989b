"""The commands ``eafl encoder``: make a small text encoder, find it, and measure what its training takes."""

import json
from pathlib import Path
from typing import Annotated

import typer

from eafl_flower.cli.data import Debug
from eafl_flower.cli.documented import documented
from eafl_flower.cli.shared import reported
from eafl_flower.results.views.terminal import new_console, say

encoder_app = typer.Typer(help="A small text encoder that needs no download.", no_args_is_help=True)

Seed = Annotated[int, typer.Option(help="Seed of its weights and its training.")]
Layers = Annotated[int, typer.Option(help="Layers.")]
Width = Annotated[int, typer.Option(help="Length of a token's vector.")]
Heads = Annotated[int, typer.Option(help="Heads of attention; divides the width.")]
Vocabulary = Annotated[int, typer.Option(help="Most word pieces.")]
Passes = Annotated[int, typer.Option(help="Passes over the corpus.")]
Sets = Annotated[
    str,
    typer.Option(
        metavar="A,B,...",
        help="Text sets, or CSV files with the columns text and label.",
        show_default="subj, customer_reviews, snips_intents, atis_intents",
    ),
]


@documented(encoder_app, "eafl encoder make", "eafl encoder make --corpus mine.csv --layers 2 --width 64")
@reported
def make(
    seed: Seed = 1,
    corpus: Sets = "subj,customer_reviews,snips_intents,atis_intents",
    not_like: Annotated[str, typer.Option(metavar="A,B,...", help="Sets of which it must not know a text.")] = (
        "trec,sst2,ag_news"
    ),
    layers: Layers = 4,
    width: Width = 128,
    heads: Heads = 4,
    vocabulary: Vocabulary = 8000,
    passes: Passes = 12,
    data_dir: Annotated[str, typer.Option(help="Folder of the data.", show_default="EAFL_DATA_DIR")] = "",
    debug: Debug = False,
) -> None:
    """Train a small BERT on masked words and on the classes of text sets, and print its folder.

    It goes to the user's cache folder and is not made again. No text of the sets in --not-like is learnt from, nor is
    the vocabulary made of one: texts that are the same or have seven words in a row in common are taken out.
    """
    from eafl_flower.app.encoder import corpus_from, make_encoder
    from eafl_flower.models.encoder import EncoderSettings
    from eafl_flower.results.views.quantities import time_text

    settings = EncoderSettings(layers=layers, width=width, heads=heads, vocabulary=vocabulary, passes=passes)
    console = new_console()
    apart = _names(not_like)
    texts = corpus_from(_names(corpus), apart=apart, data_dir=data_dir)
    for note in texts.notes:
        say(console, note)
    path = make_encoder(
        texts,
        settings,
        seed=seed,
        apart=apart,
        on_pass=lambda number, done: say(
            console,
            f"pass {number} of {passes}: loss of words {done.words_loss:.3f}, of classes {done.labels_loss:.3f} "
            f"({done.labels_right:.1%} right), {time_text(done.time_s)}",
        ),
    )
    say(console, str(path))


@documented(encoder_app, "eafl encoder list", name="list")
@reported
def list_made(debug: Debug = False) -> None:
    """List the encoders that were made here."""
    from eafl_flower.models.encoder import made_encoders

    console = new_console()
    found = made_encoders()
    for made in found:
        settings, corpus = made.training["settings"], made.training["corpus"]
        size = f"{settings['layers']} x {settings['width']}, seed {made.training['seed']}, {', '.join(corpus)}"
        say(console, f"{made.path}  ({size})")
    if not found:
        say(console, "no encoder has been made here: eafl encoder make")


@documented(encoder_app, "eafl encoder path --seed 1", name="path")
@reported
def print_path(
    seed: Seed = 1,
    layers: Layers = 4,
    width: Width = 128,
    heads: Heads = 4,
    vocabulary: Vocabulary = 8000,
    passes: Passes = 12,
    debug: Debug = False,
) -> None:
    """Print the folder of an encoder that was made here."""
    from eafl_flower.models.encoder import EncoderSettings, encoder_path

    settings = EncoderSettings(layers=layers, width=width, heads=heads, vocabulary=vocabulary, passes=passes)
    say(new_console(), str(encoder_path(seed, settings=settings)))


@documented(encoder_app, "eafl encoder calibrate --ranks 4,8,16")
@reported
def calibrate(
    out: Annotated[Path, typer.Option(help="The table to write.")] = Path("finetuning.json"),
    ranks: Annotated[str, typer.Option(metavar="A,B,...", help="Ranks to measure.")] = "4,8,16,32,64",
    batch_size: Annotated[int, typer.Option(min=1, help="Texts of a step.")] = 16,
    length: Annotated[int, typer.Option(min=1, max=512, help="Tokens of a text.")] = 32,
    repeats: Annotated[int, typer.Option(min=1, help="Steps that count, of each rank.")] = 60,
    debug: Debug = False,
) -> None:
    """Measure how long a training step with adapters takes on this machine, by rank, and fit a line through it."""
    from eafl_flower.app.adapter_times import measure_table
    from eafl_flower.core.durable import open_unlinked
    from eafl_flower.results.views.quantities import time_text

    console = new_console()
    table = measure_table(
        ranks=_ranks(ranks),
        batch_size=batch_size,
        length=length,
        repeats=repeats,
        on_shape=lambda title, entry: say(
            console,
            f"{title}: {time_text(entry['seconds_per_step'])} a step and {time_text(entry['seconds_per_rank'])} for "
            f"each rank (at most {entry['residual']:.1%} off); all weights {time_text(entry['whole_s'])}",
        ),
    )
    with open_unlinked(out, "w") as file:
        file.write(json.dumps(table, indent=2) + "\n")
    say(console, f"Table: {out}")


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _ranks(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in _names(text))
    except ValueError as error:
        msg = f'--ranks "{text}": expected integers separated by commas'
        raise typer.BadParameter(msg) from error
