"""Commands with examples in their help, which is told whole in any window."""

import inspect
import shutil
from collections.abc import Callable
from typing import Annotated, Any, Final, TypeVar, get_args, get_origin, get_type_hints

import click
import typer
from typer.core import TyperCommand

F = TypeVar("F", bound=Callable[..., Any])
HELP_OPTIONS: Final = {"help_option_names": ["-h", "--help"]}
LEAST_WIDTH: Final = 80  # columns below which boxes would cut options


class Command(TyperCommand):
    """A command whose paragraphs fill the window, and whose arguments have the help that was written for them.

    Typer 0.20 sets the help of an argument before click 8.5 sets it to nothing.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        paragraphs = inspect.cleandoc(self.help or "").split("\n\n")
        self.help = "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)
        if self.rich_markup_mode is None and self.epilog:
            title, *lines = self.epilog.split("\n\n")
            self.epilog = "\n  ".join([f"\b\n{title}", *lines])  # \b: click leaves the lines as they are
        written = _argument_texts(self.callback) if self.callback is not None else {}
        for parameter in self.params:
            if isinstance(parameter, click.Argument) and not getattr(parameter, "help", None):
                parameter.help = written.get(parameter.name or "")

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the help; without boxes Typer leaves marks in it that are meant for them."""
        super().format_help(ctx, formatter)
        formatter.buffer = [part.replace("\\[", "[") for part in formatter.buffer]

    def format_arguments(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write nothing: Typer lists arguments with the options, click 8.5 would list them once more."""


def documented(app: typer.Typer, *examples: str, name: str | None = None) -> Callable[[F], F]:
    """Return a decorator that adds a command to ``app``, with examples below its help."""
    epilog = "\n\n".join(["Examples:", *examples]) if examples else None
    return app.command(name, cls=Command, epilog=epilog, context_settings=HELP_OPTIONS)


def fit_help(app: typer.Typer) -> None:
    """Let help and errors be told without boxes where the window is narrow: these would cut what is long."""
    if shutil.get_terminal_size().columns < LEAST_WIDTH:
        app.rich_markup_mode = None


def _argument_texts(callback: Callable[..., Any]) -> dict[str, str]:
    """Return the help of a function's arguments, as their annotations have it."""
    hints = get_type_hints(inspect.unwrap(callback), include_extras=True)
    return {
        name: note.help
        for name, hint in hints.items()
        if get_origin(hint) is Annotated
        for note in get_args(hint)[1:]
        if isinstance(note, typer.models.ArgumentInfo) and note.help
    }
