"""The commands ``eafl latents``: what encoders make of images, kept in files, and how spaces compare."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from eafl_flower.cli.data import Debug
from eafl_flower.cli.documented import documented
from eafl_flower.cli.shared import reported
from eafl_flower.results.views.terminal import new_console, say

if TYPE_CHECKING:
    from rich.console import Console

    from eafl_flower.data.latents.images import ImageRows, ImageSet
    from eafl_flower.data.latents.values import Latents
    from eafl_flower.models.latents.frozen import FrozenEncoder

latents_app = typer.Typer(help="Latents of images, of several encoders.", no_args_is_help=True)

Out = Annotated[Path | None, typer.Option(help="Folder of the files.", show_default="latents/IMAGES")]
DataDir = Annotated[str, typer.Option(help="Folder of the data.", show_default="EAFL_DATA_DIR")]
Seed = Annotated[int, typer.Option(min=0, help="Decides which images are for what, and trains.")]
Threads = Annotated[int, typer.Option(min=1, help="Threads of torch; more may change last bits.")]
Batch = Annotated[int, typer.Option("--batch-size", min=1, help="Images that an encoder sees at a time.")]
Share = Annotated[float, typer.Option(help="Share of images that train encoders and are in no split.")]
IMAGES_HELP = "digits (of scikit-learn) or cifar10."
_LONG_S = 2.0  # of what is told before
_POINTS = 15  # above raw pixels, that a classifier on latents should be


@documented(latents_app, "eafl latents make", "eafl latents make --encoders cnn-32,mlp-64-2 --out mine")
@reported
def make(
    images: Annotated[str, typer.Option(help=IMAGES_HELP)] = "digits",
    encoders: Annotated[
        str, typer.Option(metavar="A,B,...", help="FAMILY-WIDTH[-SEED] of cnn, mlp, vit.", show_default="8 to 10")
    ] = "",
    out: Out = None,
    seed: Seed = 1,
    encoder_share: Share = 0.5,
    batch_size: Batch = 100,
    threads: Threads = 1,
    data_dir: DataDir = "",
    debug: Debug = False,
) -> None:
    """Train small, different encoders on the images at hand, and write the latents of images they have not seen.

    The first encoder is the access point's. Encoders go to the user's cache folder and are not made again.
    """
    from eafl_flower.app.latents import ENCODERS, made_encoders, use_threads
    from eafl_flower.data.latents.images import load_image_set, split_images

    use_threads(threads)
    console = new_console()
    found = load_image_set(images, data_dir)
    rows = split_images(found, seed=seed, encoder_share=encoder_share)
    names = _names(encoders or ENCODERS[images])
    made = made_encoders(names, found, rows, seed=seed, on_training=lambda name: say(console, f"{name}: is trained"))
    _written(console, list(made), found, rows, out=out or Path("latents") / images, seed=seed, batch_size=batch_size)


@documented(latents_app, "eafl latents extract resnet20 mobilenet --images cifar10")
@reported
def extract(
    encoders: Annotated[
        list[str],
        typer.Argument(
            metavar="ENCODER...",
            help="resnet20, resnet32, resnet44, resnet56 or mobilenet of the data folder, timm:NAME, timm:NAME=FILE or "
            "timm:local-dir:FOLDER of timm, or a folder or hub name of transformers.",
        ),
    ],
    images: Annotated[str, typer.Option(help=IMAGES_HELP)] = "cifar10",
    out: Out = None,
    seed: Seed = 1,
    encoder_share: Share = 0.0,
    features: Annotated[str, typer.Option(help="auto, cls, mean or pooler, of transformers.")] = "auto",
    side: Annotated[int, typer.Option(min=0, help="Rows of the images that it gets.", show_default="its own")] = 0,
    batch_size: Batch = 100,
    threads: Threads = 1,
    data_dir: DataDir = "",
    debug: Debug = False,
) -> None:
    """Write the latents of images by encoders that others have trained.

    To align them with those of `eafl latents make`, give its seed and encoder share: the images are then the same.
    """
    from eafl_flower.app.latents import refuse_same_files, use_threads
    from eafl_flower.data.latents.images import load_image_set, split_images

    if features not in ("auto", "cls", "mean", "pooler"):
        raise typer.BadParameter(f'--features "{features}": expected auto, cls, mean or pooler')
    use_threads(threads)
    from eafl_flower.models.latents.encoders import open_encoder

    console = new_console()
    found = load_image_set(images, data_dir)
    rows = split_images(found, seed=seed, encoder_share=encoder_share)
    folder = out or Path("latents") / images
    opened = [
        open_encoder(name, data_dir=data_dir, features=features, side=side)  # type: ignore[arg-type]  # checked above
        for name in encoders
    ]
    refuse_same_files(folder, [encoder.name for encoder in opened])
    _written(console, opened, found, rows, out=folder, seed=seed, batch_size=batch_size)


@documented(latents_app, "eafl latents show latents/digits/vit-64.safetensors latents/digits/mlp-64.safetensors")
@reported
def show(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Files of latents; first the access point's.")],
    seed: Annotated[int, typer.Option(min=0, help="Seed of the classifiers.")] = 1,
    threads: Threads = 1,
    debug: Debug = False,
) -> None:
    """Say what files of latents hold, whether they are of the same images, and how the spaces compare."""
    from eafl_flower.app.latents import use_threads

    use_threads(threads)
    from eafl_flower.models.latents import read_latents

    console = new_console()
    several = [read_latents(file) for file in files]
    for latents in several:
        counts = ", ".join(f"{split} {len(rows):,}" for split, rows in latents.splits.items())
        about = f" of {latents.data}" if latents.data else ""
        say(
            console,
            f"{latents.encoder}: {latents.size} numbers{about}; {counts}; trained on {latents.trained_on or '?'}",
        )
    _table(console, several, seed=seed)


def _written(
    console: "Console",
    encoders: "Sequence[FrozenEncoder]",
    images: "ImageSet",
    rows: "ImageRows",
    *,
    out: Path,
    seed: int,
    batch_size: int,
) -> None:
    from eafl_flower.app.latents import file_of
    from eafl_flower.data.latents.files import write_latents
    from eafl_flower.data.latents.pixels import pixel_accuracy
    from eafl_flower.models.latents.extraction import extract as latents_of

    several, total = [], len(rows.train) + len(rows.val) + len(rows.test)
    for encoder in encoders:
        latents = latents_of(
            encoder,
            images,
            rows,
            batch_size=batch_size,
            on_estimate=lambda time_s, name=encoder.name: _wait(console, name, total, time_s),  # type: ignore[misc]
        )
        write_latents(file_of(out, encoder.name), latents)
        several.append(latents)
    say(
        console,
        f"{images.name}: {len(rows.encoders):,} images train encoders of ours, {len(rows.train):,} are pilots, "
        f"{len(rows.val):,} validate, {len(rows.test):,} test",
    )
    for trained_on in dict.fromkeys(latents.trained_on for latents in several):
        names = [latents.encoder for latents in several if latents.trained_on == trained_on]
        say(console, f"{', '.join(names)} trained on: {trained_on}")
    _table(console, several, seed=seed, pixels=pixel_accuracy(images, rows))
    say(console, f"Latents: {out}")


def _wait(console: "Console", name: str, images: int, time_s: float) -> None:
    from eafl_flower.results.views.quantities import time_text

    if time_s > _LONG_S:
        say(console, f"{name}: {images:,} images, about {time_text(time_s)}")


def _table(console: "Console", several: "Sequence[Latents]", *, seed: int, pixels: float | None = None) -> None:
    from eafl_flower.app.latents import compared

    width = max(len("encoder"), *(len(latents.encoder) for latents in several))
    above = "  above pixels" if pixels is not None else ""
    say(console, f"{'encoder':{width}}  numbers  own classifier{above}  CKA with the first")
    below = []
    for scores in compared(several, seed=seed):
        points = 100 * (scores.accuracy - pixels) if pixels is not None else 0.0
        more = f"  {points:+12.1f}" if pixels is not None else ""
        right = f"{100 * scores.accuracy:12.1f} %"
        say(console, f"{scores.encoder:{width}}  {scores.size:7}  {right}{more}  {scores.likeness:18.3f}")
        below += [scores.encoder] if points < _POINTS else []
    if pixels is None:
        return
    why = ""
    if below:
        room = 100 * (1 - pixels)
        why = (
            f"; {_POINTS} points above it do not exist, there are {room:.1f}"
            if room < _POINTS
            else f"; less than {_POINTS} points above it, for what they were trained on: {', '.join(below)}"
        )
    say(console, f"raw pixels, by a linear classifier on the pilots: {100 * pixels:.1f} %{why}")


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())
