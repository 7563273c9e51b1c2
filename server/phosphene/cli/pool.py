"""The pictures that wait to be shown: ``phosphene pool``."""

from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from phosphene.cli.control import ConnectionFile

app = typer.Typer(no_args_is_help=True, help="Look at the pictures that wait to be shown.")


@app.command("list")
def list_pictures(connection: ConnectionFile = None) -> None:
    """List the pictures that wait, and say where their files are."""
    from phosphene.client import Client

    with Client(connection) as client:
        pool = client.pool()
    console = Console()
    table = Table("picture", "class", box=None)
    for picture, wnid in pool.pictures.items():
        table.add_row(picture, wnid)
    console.print(table)
    console.print(f"files: {pool.folder}/PICTURE.png", soft_wrap=True, highlight=False)


@app.command()
def reject(
    picture: Annotated[str, typer.Argument(help="Its id, e.g. picture-0007.")],
    connection: ConnectionFile = None,
) -> None:
    """Take a picture out: it is never shown, and another one is made in its place."""
    from phosphene.client import Client

    with Client(connection) as client:
        client.reject(picture)
