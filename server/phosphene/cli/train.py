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
    from phosphene.clock import RealClock
    from phosphene.dataset.study import SessionFolder
    from phosphene.messages import Train
    from phosphene.registry import load_registry
    from phosphene.roles.catalogue import House
    from phosphene.settings import read_resolved

    registry = load_registry()
    folder = SessionFolder.at(session)
    settings = read_resolved(folder.settings_file, registry)
    if decoder is not None:
        settings = msgspec.structs.replace(settings, decoder=choose(registry, "decoder", decoder))
    house = House(settings, registry, folder, RealClock())
    console = Console(stderr=as_json)
    with Display(console, f"sub-{folder.subject} ses-{folder.session}") as display:
        context = house.reporting("train", display)
        trained = tasks.train(settings, context, Train(str(folder.path)))
    if as_json:
        Console().print_json(msgspec.json.encode(trained).decode())
    else:
        console.print(f"bundle: {trained.bundle}", soft_wrap=True, highlight=False)
