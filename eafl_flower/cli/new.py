"""The command ``eafl new``: a Flower app of one's own."""

import shlex
from pathlib import Path
from typing import Annotated

import typer

from eafl_flower.cli.data import Debug
from eafl_flower.cli.shared import reported
from eafl_flower.results.views.terminal import new_console, say
from eafl_flower.scaffold.app import Framework, default_framework, missing, write_app


@reported
def new(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="A new or empty folder; the app gets its name.", show_default=False)
    ],
    framework: Annotated[
        Framework | None,
        typer.Option(help="What its model is made with.", show_default="torch where it is installed, else sklearn"),
    ] = None,
    publisher: Annotated[str, typer.Option(help="Who publishes it, as Flower calls it.")] = "you",
    debug: Debug = False,
) -> None:
    """Write a Flower app of your own that is asynchronous and compressed.

    It is an app as Flower's templates have it, on images of digits that need no download. Comments mark the three
    lines that are eafl-flower's.
    """
    chosen = framework or default_framework()
    write_app(folder, framework=chosen, publisher=publisher)
    lacking = missing(chosen)
    lines = [
        f"An app with {chosen.library}, README.md says what is whose. Run it:",
        f"  cd {shlex.quote(str(folder))}",
        *(
            [f"  pip install -e .  # here {', '.join(lacking)} {'is' if len(lacking) == 1 else 'are'} missing"]
            * bool(lacking)
        ),
        "  export FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION=1",
        "  flwr run . --stream",
    ]
    console = new_console()
    for line in lines:
        say(console, line)
