"""Where results are printed: a console, and texts that are no markup."""

from rich.console import Console
from rich.text import Text

from eafl_flower.core.words import message

UNLIMITED = 10_000  # columns; no table of ours is as wide


def new_console() -> Console:
    """Return a console for results; what is read from a pipe or a file is not cut to the width of a terminal."""

    class OurConsole(Console):
        def on_broken_pipe(self) -> None:
            """Leave it to who prints: Rich would end the process."""
            raise

    result = OurConsole(highlight=False)
    return result if result.is_terminal else OurConsole(highlight=False, width=UNLIMITED)


def say(console: Console, text: str, style: str = "", *, wrap: bool = False) -> None:
    """Print a text that is no markup, whatever names are in it; by default not wrapped, for people copy paths."""
    console.print(Text(message(text), style=style), soft_wrap=not wrap)
