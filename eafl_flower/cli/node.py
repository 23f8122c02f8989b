"""The command ``eafl node``: a SuperNode in one process that keeps its model."""

from pathlib import Path
from typing import Annotated

import typer

from eafl_flower.cli.data import Debug
from eafl_flower.cli.shared import reported


@reported
def node(
    superlink: Annotated[str, typer.Option(metavar="HOST:PORT", help="Fleet API of the SuperLink.")] = "127.0.0.1:9092",
    root_certificates: Annotated[
        Path | None, typer.Option(help="PEM file that vouches for the SuperLink.", show_default="those of the system")
    ] = None,
    insecure: Annotated[bool, typer.Option("--insecure", help="Without TLS.")] = False,
    auth_supernode_private_key: Annotated[
        Path | None, typer.Option(help="ECDSA key in OpenSSH's format, registered before.", show_default="none")
    ] = None,
    node_config: Annotated[
        str, typer.Option(metavar="PAIRS", help='What the node is told of itself, "key=1 other=2", or a TOML file.')
    ] = "",
    max_retries: Annotated[
        int | None,
        typer.Option(min=0, metavar="N", help="Tries to reach a SuperLink that is away.", show_default="for ever"),
    ] = None,
    max_wait_time: Annotated[
        float | None,
        typer.Option(min=0, metavar="S", help="Seconds to wait for one that is away.", show_default="for ever"),
    ] = None,
    poll_s: Annotated[
        float,
        typer.Option(metavar="S", help="Seconds between two questions for work; ten times that while there is none."),
    ] = 0.1,
    debug: Debug = False,
) -> None:
    """Be a SuperNode in one process: it answers a SuperLink and keeps app, task and model in memory.

    Flower's own SuperNode starts a process for each message. The options are those of flower-supernode; it ends by
    Ctrl-C or SIGTERM.
    """
    from eafl_flower.node.bundles import Apps
    from eafl_flower.node.fleet import node_config_of
    from eafl_flower.node.link import Link
    from eafl_flower.node.serving import NodeAtWork

    link = Link(
        superlink=superlink,
        insecure=insecure,
        root_certificates=root_certificates,
        private_key=auth_supernode_private_key,
        max_retries=max_retries,
        max_wait_s=max_wait_time,
    )
    with Apps() as apps:
        NodeAtWork(node_config_of(node_config), apps, poll_s=poll_s).serve(link)
