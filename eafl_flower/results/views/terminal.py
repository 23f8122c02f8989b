"""Where results are printed: a console, and texts that are no markup."""

import os
import sys

from rich.console import Console
from rich.text import Text

from eafl_flower.core.words import message

UNLIMITED = 10_000  # columns; no table of ours is as wide


def new_console() -> Console:
    """Return a console for results; what is read from a pipe or a file is not cut to the width of a terminal.

    Nothing moves the cursor of what is no terminal, even where colours are asked for (``FORCE_COLOR``). A notebook gets
    plain lines, as a pipe does.
    """
    is_interactive = sys.stdout.isatty() and os.environ.get("TERM") not in ("dumb", "unknown")

    class OurConsole(Console):
        def on_broken_pipe(self) -> None:
            """Leave it to who prints: Rich would end the process."""
            raise

    result = OurConsole(highlight=False, force_interactive=is_interactive, force_jupyter=False)
    if not sys.stdout.isatty():
        result.width = UNLIMITED
    return result


def say(console: Console, text: str, style: str = "", *, wrap: bool = False) -> None:
    """Print a text that is no markup, whatever names are in it; by default not wrapped, for people copy paths."""
    console.print(Text(message(text), style=style), soft_wrap=not wrap)
