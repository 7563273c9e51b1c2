"""Who may come in from another machine: ``phosphene keys``."""

from typing import Annotated

import typer
from rich.console import Console

app = typer.Typer(
    no_args_is_help=True, help="Make keys, and say whose generator may serve this server."
)


@app.command()
def new(
    name: Annotated[
        str, typer.Argument(help="'server' for the server's own; for a worker any, e.g. 'worker'.")
    ],
) -> None:
    """Make a key pair, and print the public key. The secret one stays in this computer."""
    from phosphene.keys import SERVER, as_text, make_pair, public_file

    public = as_text(make_pair(name).public)
    _say(f"public key: {public}")
    _say(f"in the file {public_file(name)}")
    if name == SERVER:
        _say("next, on the worker: phosphene worker generator --connect ... --server-key")
        _say("with a copy of this file, or the key itself")
    else:
        _say(f"next, on the server: phosphene keys authorise {public} --name {name}")


@app.command()
def authorise(
    key: Annotated[str, typer.Argument(help="A worker's public key, or the file that has it.")],
    name: Annotated[
        str | None, typer.Option(help="By which it is listed and revoked; else the file's.")
    ] = None,
) -> None:
    """Let a worker in that proves itself by this key."""
    from pathlib import Path

    from phosphene.errors import PhospheneError
    from phosphene.keys import authorise, public_key

    public = public_key(key)
    chosen = name or (Path(key).stem if Path(key).is_file() else "")
    if not chosen:
        raise PhospheneError("a key that is no file needs a name: give --name")
    authorise(public, chosen)
    _say(f"{chosen} is authorised; undo it with: phosphene keys revoke {chosen}")


@app.command()
def revoke(name: Annotated[str, typer.Argument(help="As in 'phosphene keys list'.")]) -> None:
    """Let a worker in no more; one that is connected is cut off within a second."""
    from phosphene.keys import revoke

    revoke(name)
    _say(f"{name} is not authorised any more")


@app.command("list")
def list_keys() -> None:
    """List this computer's own keys, and those that it lets in."""
    from phosphene.keys import as_text, authorised, own_names, own_pair

    for name in own_names():
        _say(f"own         {name:<12} {as_text(own_pair(name).public)}")
    for key, name in authorised().items():
        _say(f"authorised  {name:<12} {as_text(key)}")


def _say(text: str) -> None:
    Console().print(text, markup=False, highlight=False, soft_wrap=True)
