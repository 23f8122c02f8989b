"""Folders for results, and what is said where there can be none."""

from pathlib import Path

from eafl_flower.errors import ConfigError


def make_results_folder(path: Path | str) -> None:
    """Make a folder for results, if needed; raises ``ConfigError`` if that cannot be."""
    try:
        Path(path).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise not_writable(path, error) from error


def not_writable(path: Path | str, error: OSError) -> ConfigError:
    """Return the error that says why nothing can be written to a folder, and what to do."""
    reason = error.strerror or type(error).__name__
    return ConfigError(
        f"the results folder {path} cannot be written ({reason}): choose another by --out or results.dir"
    )
