"""The commands ``eafl data``: look at files, and make the tables that loaders read."""

from pathlib import Path
from typing import Annotated

import typer

from eafl_flower.cli.chosen import in_typed_words
from eafl_flower.cli.documented import documented
from eafl_flower.cli.shared import reported
from eafl_flower.results.views.terminal import new_console, say

data_app = typer.Typer(help="Look at data files before anyone trains.", no_args_is_help=True)
prepare_app = typer.Typer(help="Make the table that a loader reads from a publisher's files.", no_args_is_help=True)
data_app.add_typer(prepare_app, name="prepare")

Debug = Annotated[bool, typer.Option("--debug", help="Show a traceback if it fails.")]
Csv = Annotated[Path | None, typer.Option("--csv", help="A CSV file of your own, plain or .gz.", show_default=False)]
Label = Annotated[str, typer.Option("--label", help="Its column with the class.", show_default=False)]
Client = Annotated[str, typer.Option("--client", help="Its column that says whose a row is.", show_default=False)]
Time = Annotated[str, typer.Option("--time", help="Its column with the time.", show_default=False)]
Features = Annotated[
    str, typer.Option("--features", metavar="A,B,...", help="Its features.", show_default="all columns of numbers")
]


@documented(
    data_app,
    "eafl data check --csv mine.csv --label kind --client vehicle --time when",
    "eafl data check UNSW_NB15_training-set.csv",
)
@reported
def check(
    file: Annotated[Path | None, typer.Argument(help="A data file of a kind we know.", show_default=False)] = None,
    csv: Csv = None,
    label: Label = "",
    client: Client = "",
    time: Time = "",
    features: Features = "",
    debug: Debug = False,
) -> None:
    """Print rows, classes, clients and leaks of a data file, of a kind we know or (--csv with --label) of your own.

    A leak is a column that alone names the class of rows it has not seen. What a run would refuse is an error
    here, too.
    """
    from eafl_flower.data.leaks.check import check_csv, check_file
    from eafl_flower.data.sets.own_table import find_csv
    from eafl_flower.data.tables.columns import Columns
    from eafl_flower.errors import DataError

    if (file is None) == (csv is None):
        raise typer.BadParameter("give either FILE, of a kind we know, or --csv FILE --label COLUMN")
    if csv is None and (label or client or time or features):
        raise typer.BadParameter("--label, --client, --time and --features name columns of a --csv")
    if csv is not None and not label:
        raise typer.BadParameter("--csv needs --label, the column with the class")
    if csv is not None:
        names = tuple(name.strip() for name in features.split(",") if name.strip())
        with in_typed_words({"data.csv.file": str(csv)}):
            report = check_csv(find_csv(csv), Columns(label=label, client=client, time=time, features=names))
    else:
        assert file is not None
        report = check_file(file)
    console = new_console()
    for line in report.lines():
        say(console, line, "yellow" if line.startswith("warning:") else "", wrap=console.is_terminal)
    if report.refusal:
        msg = f"a run would refuse this file: {report.refusal}"
        raise DataError(msg)


@documented(data_app, "eafl data sample rows rsu-0,rsu-1")
@reported
def sample(
    folder: Annotated[Path, typer.Argument(help="Where the files go.", show_default=False)],
    units: Annotated[str, typer.Argument(metavar="A,B,...", help="Names of the files.", show_default=False)],
    seconds: Annotated[int, typer.Option(min=10, max=3600, help="Rows of each vehicle.")] = 60,
    seed: Annotated[int, typer.Option(help="Seed of the traffic.")] = 1,
    debug: Debug = False,
) -> None:
    """Generate rows for a trial: of each of several road-side units a file, with the traffic that it sees.

    The class to be learnt is in the column manoeuvre, the time in time_s.
    """
    from eafl_flower.deployment.sample_rows import write_sample

    names = [name.strip() for name in units.split(",") if name.strip()]
    for path in write_sample(folder, names, seconds=seconds, seed=seed):
        say(new_console(), str(path))


@documented(data_app, "eafl data fleet vans.csv")
@reported
def fleet(
    file: Annotated[Path, typer.Argument(help="The CSV file to write.", show_default=False)],
    vans: Annotated[int, typer.Option(min=1, max=1000, help="How many there are.")] = 12,
    seed: Annotated[int, typer.Option(help="Seed of the fleet.")] = 1,
    debug: Debug = False,
) -> None:
    """Generate a file for a trial: a working day of several electric vans, a row each five minutes.

    The class to be learnt is in the column consumption, whose a row is in van, the time in time.
    """
    from eafl_flower.deployment.sample_fleet import write_fleet

    rows = write_fleet(file, vans=vans, seed=seed)
    say(new_console(), f"{file}: {rows:,} rows of {vans} vans, generated")


@documented(prepare_app, "eafl data prepare geolife Geolife-1.3.zip geolife.csv.gz", name="geolife")
@reported
def prepare_geolife(
    source: Annotated[Path, typer.Argument(help="GeoLife's folder or zip file, as the publisher has it.")],
    out: Annotated[Path, typer.Argument(help="The table to write, .csv or .csv.gz.")],
    debug: Debug = False,
) -> None:
    """Join GeoLife's trajectories and labels to one table of labelled points, and say what was skipped.

    The licence of GeoLife forbids to pass the table on.
    """
    from eafl_flower.data.sets.geolife_prepare import prepare_geolife as prepare

    console = new_console()
    for line in prepare(source, out).lines():
        say(console, line)
    say(console, f"Table: {out}")
