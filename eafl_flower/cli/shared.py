"""What every command of ``eafl`` shares: how arguments are read and how failures are told."""

import functools
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import typer

from eafl_flower.cli.documented import fit_help
from eafl_flower.core.stopping import Stopped, stops_raised
from eafl_flower.core.words import forgive_standard_streams, message
from eafl_flower.errors import EAFLError

INTERRUPTED = 130  # what shells report for a process that ended by SIGINT
_SMALLER = "use fewer clients, a smaller model or a smaller file, or a machine with more memory"


def reported(command: Callable[..., None]) -> Callable[..., None]:
    """End a command that fails on purpose with one clear message and exit status 1.

    One that a signal stops has the exit status that shells report for it. The command has a parameter ``debug``, which
    lets the traceback through.
    """

    @functools.wraps(command)
    def wrapped(*args: Any, debug: bool = False, **kwargs: Any) -> None:
        try:
            command(*args, debug=debug, **kwargs)
        except BrokenPipeError:
            raise
        except Stopped as stop:
            tell(str(stop))
            raise typer.Exit(exit_status(stop)) from stop
        except (EAFLError, OSError, ImportError) as error:
            if debug or not _explains_itself(error):
                raise
            typer.secho(message(f"error: {error}"), fg="red", err=True)
            raise typer.Exit(1) from error
        except MemoryError as error:
            if debug:
                raise
            typer.secho(message(f"error: out of memory ({error or 'no details'}): {_SMALLER}"), fg="red", err=True)
            raise typer.Exit(1) from error

    return wrapped


def start(commands: typer.Typer, name: str, arguments: Sequence[str] | None) -> None:
    """Run the command line, by default the process's own, under a program name."""
    given = with_every_set(sys.argv[1:] if arguments is None else arguments)
    fit_help(commands)
    colours = {"color": False} if os.environ.get("NO_COLOR") else {}
    forgive_standard_streams()
    try:
        with stops_raised():
            commands(given, prog_name=name, **colours)
    except BrokenPipeError:  # as in `eafl compare ... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(1) from None


def exit_status(stop: KeyboardInterrupt) -> int:
    """Return what shells report for a process that ended by the signal behind ``stop``."""
    return int(stop.args[0]) if isinstance(stop, Stopped) else INTERRUPTED


def tell(text: str) -> None:
    """Write a line about the end of a command to stderr, if there is still anybody who reads it."""
    with suppress(OSError):  # as when the terminal was closed
        typer.secho(message(text), fg="yellow", err=True)


def with_every_set(arguments: Sequence[str]) -> list[str]:
    """Return the arguments with ``--set a=1 b=2`` written as ``--set a=1 --set b=2``.

    Examples
    --------
    >>> with_every_set(["run", "--set", "seed=2", "name=x", "emam"])
    ['run', '--set', 'seed=2', '--set', 'name=x', 'emam']
    """
    result: list[str] = []
    inside = False
    for argument in arguments:
        if inside and result[-1] != "--set":
            inside = "=" in argument and not argument.startswith("-")
            if inside:
                result.append("--set")
        inside = inside or argument == "--set"
        result.append(argument)
    return result


def is_given(ctx: typer.Context, name: str) -> bool:
    """Whether a parameter stands on the command line."""
    source = ctx.get_parameter_source(name)
    return source is not None and source.name not in ("DEFAULT", "DEFAULT_MAP")


def _explains_itself(error: Exception) -> bool:
    # A missing extra says what to install; any other failing import is a bug and keeps its traceback.
    return not isinstance(error, ImportError) or "pip install" in str(error)
