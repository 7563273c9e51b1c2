"""Fit a decoder on a recorded session: ``phosphene train``."""

from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.console import Console


def train(
    session: Annotated[Path, typer.Argument(help="The session's folder in sourcedata.")],
    decoder: Annotated[
        str | None, typer.Option(help="Another decoder than the session file's.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Fit a decoder on what a session recorded, and write its bundle."""
    from phosphene import tasks
    from phosphene.choice import choose
    from phosphene.cli.show import Display
    from phosphene.messages import Train
    from phosphene.roles.catalogue import House

    house = House.of(session)
    settings = house.settings
    if decoder is not None:
        chosen = choose(house.registry, "decoder", decoder)
        settings = msgspec.structs.replace(settings, decoder=chosen)
    console = Console(stderr=as_json)
    with Display(console, house.folder.title) as display:
        context = house.reporting("train", display)
        trained = tasks.train(settings, context, Train(str(house.folder.path)))
    if as_json:
        Console().print_json(msgspec.json.encode(trained).decode())
    else:
        console.print(f"bundle: {trained.bundle}", soft_wrap=True, highlight=False)
