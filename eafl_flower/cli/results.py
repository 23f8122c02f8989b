"""Commands on runs that are there: ``eafl compare | report | predict``."""

import sys
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from eafl_flower.cli.data import Debug
from eafl_flower.cli.shared import reported
from eafl_flower.errors import CheckpointError
from eafl_flower.results.views.terminal import new_console, say

if TYPE_CHECKING:
    from eafl_flower.results.run_directory import RunDirectory


def _refuse_unfinished(run: "RunDirectory") -> None:
    """Raise ``CheckpointError`` with what to do, unless the run has ended."""
    if run.finished:
        return
    from eafl_flower.app.resumable import way_on

    msg = f"{run.path} has no summary.json: the run did not end; {way_on(run)}"
    raise CheckpointError(msg)


@reported
def compare(
    runs: Annotated[
        list[Path], typer.Argument(metavar="RUN...", help="Directories of finished runs, or folders of a sweep.")
    ],
    html: Annotated[Path | None, typer.Option(help="Also write a page with overlaid curves.")] = None,
    debug: Debug = False,
) -> None:
    """Put runs side by side, with the settings in which they differ.

    Of a sweep's folder its runs are taken: each combination of values has a row, with mean and standard deviation if
    it was run with several seeds. Of any other folder the runs in it are taken. Runs that are not finished are left
    out.
    """
    from eafl_flower.results.finding import runs_of
    from eafl_flower.results.report.comparison_page import comparison_page
    from eafl_flower.results.run_directory import RunDirectory
    from eafl_flower.results.views.comparison import (
        changed_configs,
        data_note,
        differing_settings,
        run_titles,
    )
    from eafl_flower.results.views.tables import comparison_table, settings_table, sweep_table

    cells = {run: values for path in runs for run, values in runs_of(path).items()}
    given = [RunDirectory.open(path) for path in cells]
    directories = [found for found in given if found.finished]
    if not directories:
        _refuse_unfinished(given[0])
    titles, values = run_titles(directories), [cells[found.path] for found in directories]
    console = new_console()
    summaries = [found.summary() for found in directories]
    notes = [data_note(directories), *changed_configs(directories)]
    if values[0] and all(one.keys() == values[0].keys() for one in values):
        if len({one.get("seed") for one in values}) > 1 and not any(key.startswith("data.") for key in values[0]):
            notes = notes[1:]  # other seeds, other data: that is what the deviation is of
        console.print(sweep_table(list(zip(values, summaries, strict=True)), width=console.width))
    else:
        rows = list(zip(titles, summaries, strict=True))
        console.print(comparison_table(rows, width=console.width))
        if different := differing_settings(directories):
            console.print()
            console.print(settings_table(titles, different, width=console.width))
    for note in filter(None, notes):
        console.print()
        say(console, note, "yellow", wrap=console.is_terminal)
    if unfinished := [str(found.path) for found in given if not found.finished]:
        say(console, f"\nLeft out, not finished: {', '.join(unfinished)}")
    if html is not None:
        _write(html, comparison_page(directories))
        say(console, f"\nPage: {html}")


@reported
def report(
    run_directory: Annotated[Path, typer.Argument(metavar="RUN", help="Directory of a run, or the folder of a sweep.")],
    out: Annotated[Path | None, typer.Option(help="The page to write.", show_default="RUN/report.html")] = None,
    debug: Debug = False,
) -> None:
    """Write one self-contained HTML page about a run, or about all runs of a sweep."""
    from eafl_flower.results.report.cells import is_sweep
    from eafl_flower.results.report.run_page import has_ended, run_page
    from eafl_flower.results.report.sweep_page import sweep_page
    from eafl_flower.results.run_directory import RunDirectory

    target = out or run_directory / "report.html"
    if is_sweep(run_directory):
        text = sweep_page(run_directory)
    else:
        found = RunDirectory.open(run_directory)
        if not has_ended(found.each_event()):
            _refuse_unfinished(found)
        text = run_page(found)
    _write(target, text)
    say(new_console(), f"Page: {target}")


@reported
def predict(
    run_directory: Annotated[Path, typer.Argument(metavar="RUN", help="Directory of a finished run, or a copy.")],
    file: Annotated[Path, typer.Argument(help="Rows of the client: CSV, plain or gzip; - reads standard input.")],
    client: Annotated[int | None, typer.Option(help="Number of the client.", show_default=False)] = None,
    name: Annotated[
        str, typer.Option(help="What the data call it: a user, a vehicle, a value of the client column.")
    ] = "",
    label: Annotated[str, typer.Option(help="Column with the true class; tells the accuracy.")] = "",
    fit: Annotated[
        Path | None, typer.Option(help="Labelled rows to fit a fresh head to, for a client without one; - as in FILE.")
    ] = None,
    state_dir: Annotated[
        Path | None, typer.Option(help="Where the client keeps its states.", show_default="RUN/state")
    ] = None,
    output: Annotated[Path | None, typer.Option(help="The table to write.", show_default="standard output")] = None,
    debug: Debug = False,
) -> None:
    """Classify rows of one client by the run's model with that client's own head.

    FILE has the columns of the data set's recordings, or of the model's features before scaling.
    """
    from eafl_flower.app.prediction import predictor_of, read_rows, reading_notes, write_predictions
    from eafl_flower.core.durable import open_unlinked
    from eafl_flower.core.threads import one_thread
    from eafl_flower.results.run_directory import RunDirectory
    from eafl_flower.results.views.quantities import percent_text

    if (client is None) == (not name):
        raise typer.BadParameter("give either --client, the client's number, or --name, what the data call it")
    if fit is not None and not label:
        msg = "--fit needs --label: the column with the true class of the rows to fit to"
        raise typer.BadParameter(msg)
    if str(fit) == str(file) == "-":
        raise typer.BadParameter("FILE and --fit cannot both be -: standard input holds one table")
    one_thread()
    found = RunDirectory.open(run_directory, events=False)
    if not found.description_path.exists():  # of a copy it may be all there is
        _refuse_unfinished(found)
    description = found.description()
    client = description.client_called(name) if client is None else client
    examples = None if fit is None else read_rows(fit, description, label=label)
    predictor = predictor_of(found, client, state_dir=state_dir, examples=examples)
    rows = read_rows(file, description, label=label, may_lack_label=fit is not None)
    read = [(file, rows), *([(fit, examples)] if fit is not None and examples is not None else [])]
    for note in dict.fromkeys(note for path, table in read for note in reading_notes(path, table, description)):
        typer.echo(note, err=True)
    if predictor.told:
        typer.echo(predictor.told, err=True)
    p = predictor.probabilities(rows)
    with nullcontext(sys.stdout) if output is None else open_unlinked(output, "w", newline="") as table:
        write_predictions(table, rows.numbers, p, description.class_names)
    if output is None and (escaped := _not_encoded(description.class_names)):
        typer.echo(
            f"classes with letters that {sys.stdout.encoding} lacks are written escaped ({escaped} of them): "
            "--output FILE writes them in UTF-8",
            err=True,
        )
    if rows.labels is not None:
        known = rows.labels >= 0
        right, scored = int((p.argmax(axis=1) == rows.labels).sum()), int(known.sum())
        share = percent_text(right / scored) if scored else "-"
        typer.echo(f"accuracy {share}, {right} of {scored} rows", err=True)


def _write(path: Path, text: str) -> None:
    from eafl_flower.core.durable import open_unlinked

    with open_unlinked(path, "w") as file:
        file.write(text)


def _not_encoded(names: Sequence[str]) -> int:
    def fits(name: str) -> bool:
        try:
            name.encode(sys.stdout.encoding or "utf-8")
        except UnicodeEncodeError:
            return False
        return True

    return sum(not fits(name) for name in names)
