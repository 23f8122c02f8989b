"""The commands ``eafl credentials``: certificates and keys of a SuperLink and its nodes, for development."""

from pathlib import Path
from typing import Annotated

import typer

from eafl_flower.cli.data import Debug
from eafl_flower.cli.documented import documented
from eafl_flower.cli.shared import reported
from eafl_flower.results.views.terminal import new_console, say

credentials_app = typer.Typer(help="Certificates and keys of a SuperLink and its nodes.", no_args_is_help=True)

Folder = Annotated[Path, typer.Argument(help="Where they lie.", show_default=False)]
Nodes = Annotated[str, typer.Argument(metavar="A,B,...", help="Names of the nodes.", show_default=False)]
Owner = Annotated[
    int | None,
    typer.Option(metavar="UID", help="User that SuperLink and nodes run as; needs root.", show_default="you"),
]


@documented(credentials_app, "eafl credentials make federation rsu-0,rsu-1 --days 365")
@reported
def make(
    folder: Folder,
    nodes: Nodes,
    hosts: Annotated[
        str, typer.Option(metavar="A,B,...", help="What else than localhost and 127.0.0.1 the SuperLink is called.")
    ] = "",
    address: Annotated[str, typer.Option(help="Where flwr reaches the SuperLink.")] = "127.0.0.1:8000",
    days: Annotated[int, typer.Option(min=1, max=3650, help="How long the certificates last.")] = 30,
    owner: Owner = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what is there.")] = False,
    debug: Debug = False,
) -> None:
    """Make an authority, the SuperLink's certificate, a key for each node, and what flwr reads at FLWR_HOME.

    Nothing of it is for others to see, and git leaves it out. The authority is one for development: whoever reads
    FOLDER can sign as it does.
    """
    from eafl_flower.deployment.credentials import make_credentials

    make_credentials(
        folder,
        nodes=_names(nodes),
        hosts=_names(hosts),
        address=address,
        days=days,
        owner=owner,
        overwrite=overwrite,
    )
    say(new_console(), f"Certificates, keys and FLWR_HOME: {folder}/certs, {folder}/keys, {folder}/flwr")


@documented(credentials_app, "eafl credentials add federation rsu-2")
@reported
def add(folder: Folder, nodes: Nodes, owner: Owner = None, debug: Debug = False) -> None:
    """Make keys for further nodes of a deployment."""
    from eafl_flower.deployment.credentials import add_nodes

    add_nodes(folder, _names(nodes), owner=owner)
    say(new_console(), f"Keys: {', '.join(f'{folder}/keys/{name}' for name in _names(nodes))}")


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())
