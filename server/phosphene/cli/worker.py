"""Lend this machine to a server: ``phosphene worker``."""

from typing import Annotated

import typer
from rich.console import Console

EVERY_ADDRESS = ("tcp://0.0.0.0:", "tcp://*:")

app = typer.Typer(no_args_is_help=True, help="Serve a hook to a server on another machine.")


@app.callback()
def worker() -> None:
    """Keep ``generator`` a command of its own: other hooks may follow."""


@app.command()
def generator(
    connect: Annotated[
        str, typer.Option(help="Where the server waits: worker.bind of its session file.")
    ],
    server_key: Annotated[
        str, typer.Option(help="The server's public key, or the file that has it.")
    ],
    key: Annotated[str, typer.Option(help="Name of this machine's own key.")] = "worker",
    choice: Annotated[
        str | None,
        typer.Option(
            "--generator",
            metavar="GENERATOR",
            help="Serve this instead of the server's choice: NAME or '{NAME: {setting: value}}'.",
        ),
    ] = None,
) -> None:
    """Make pictures for sessions on another machine, one after the other, until Ctrl-C."""
    import signal
    from datetime import datetime
    from pathlib import Path

    from phosphene.choice import choose
    from phosphene.closed_loop import checked_endpoint
    from phosphene.conversion import under
    from phosphene.keys import own_pair, public_key
    from phosphene.registry import load_registry
    from phosphene.session_file import Section, defaults
    from phosphene.strict_yaml import read_yaml
    from phosphene.worker import Address, Worker

    console = Console()

    def say(text: str) -> None:
        now = datetime.now().astimezone()
        console.print(f"{now:%H:%M:%S} {text}", markup=False, highlight=False, soft_wrap=True)

    try:
        checked_endpoint(connect)
    except ValueError as error:
        raise typer.BadParameter(f"--connect: {error}") from None
    if connect.startswith(EVERY_ADDRESS):
        raise typer.BadParameter(
            f"--connect: {connect} is every address of a computer; name the one that leads to the "
            "server"
        )
    registry = load_registry()
    chosen = None
    if choice is not None:
        value = read_yaml(choice.encode(), "--generator").value
        with under("--generator"):
            path = Section("generator", value, "--generator", Path.cwd()).existing_path
            chosen = choose(registry, "generator", value, path)
    address = Address(connect, public_key(server_key), own_pair(key))
    cache = defaults()["cache"]
    serving = Worker(address, registry, cache.path(str(cache.value)), say, chosen)
    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, serving.quit)
    serving.run()
    say("ended")
