"""Fit a decoder on a recorded session: ``phosphene train``."""

from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.console import Console

from phosphene.cli.other import OtherDecoder, OtherPreprocessing, other_settings


def train(
    session: Annotated[Path, typer.Argument(help="The session's folder in sourcedata.")],
    decoder: OtherDecoder = None,
    preprocessing: OtherPreprocessing = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Fit a decoder on what a session recorded, and write its bundle."""
    from phosphene import tasks
    from phosphene.cli.show import Display
    from phosphene.messages import Train
    from phosphene.roles.catalogue import House

    house = House.of(session)
    settings = other_settings(house, decoder, preprocessing)
    console = Console(stderr=as_json)
    with Display(console, house.folder.title) as display:
        context = house.reporting("train", display)
        trained = tasks.train(settings, context, Train(str(house.folder.path)))
    if as_json:
        Console().print_json(msgspec.json.encode(trained).decode())
        return
    for line in [*trained.audits, f"bundle: {trained.bundle}"]:
        console.print(line, soft_wrap=True, highlight=False, markup=False)
