"""Commands to a running server."""

from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.console import Console

ConnectionFile = Annotated[
    Path | None,
    typer.Option("--connection", help="Connection file; needed when several servers run."),
]


def status(
    connection: ConnectionFile = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Say where the running session is."""
    from phosphene.client import Client

    with Client(connection) as client:
        found = client.status()
    console = Console()
    if as_json:
        console.print_json(msgspec.json.encode(found).decode())
        return
    for name, value in msgspec.to_builtins(found).items():
        if name != "type":
            console.print(f"{name.replace('_', ' '):<14} {value}", highlight=False)


def start(connection: ConnectionFile = None) -> None:
    """Begin the session that is ready."""
    from phosphene.client import Client

    with Client(connection) as client:
        client.start()


def pause(connection: ConnectionFile = None) -> None:
    """Pause at the next trial boundary; the interrupted block will be repeated."""
    from phosphene.client import Client

    with Client(connection) as client:
        client.pause()


def resume(connection: ConnectionFile = None) -> None:
    """Go on after a pause."""
    from phosphene.client import Client

    with Client(connection) as client:
        client.resume()


def note(
    text: Annotated[str, typer.Argument(help="What you saw, e.g. 'coughs'.")],
    connection: ConnectionFile = None,
) -> None:
    """Write a note into the data, at this moment."""
    from phosphene.client import Client

    with Client(connection) as client:
        client.note(text)


def stop(
    connection: ConnectionFile = None,
    reason: Annotated[str, typer.Option(help="Why; kept in the journal.")] = "by the operator",
) -> None:
    """End the session; everything recorded so far is filed."""
    from phosphene.client import Client

    with Client(connection) as client:
        client.stop(reason)
