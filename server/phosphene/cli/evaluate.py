"""How well a recorded session is decoded: ``phosphene evaluate``."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console


def evaluate(
    session: Annotated[Path, typer.Argument(help="The session's folder in sourcedata.")],
    decoder: Annotated[
        str | None, typer.Option(help="Another decoder than the session file's.")
    ] = None,
    split: Annotated[
        str | None,
        typer.Option(
            help="leave-one-run-out, leave-one-block-out, or paper; by default what the design "
            "allows."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Cross-validate a decoder on what a session recorded, and count what was decoded live.

    Every accuracy comes with its chance level and interval. If class and time are one variable in
    the design, it is labelled: it is no evidence of decoding.
    """
    import msgspec

    from phosphene.analysis.crossvalidation import describe_classes
    from phosphene.analysis.evaluation import evaluate_session, summary
    from phosphene.cli.show import Display
    from phosphene.roles.catalogue import House

    house = House.of(session)
    folder = house.folder
    console = Console(stderr=as_json)
    with Display(console, house.title) as display:
        context = house.reporting("evaluate", display)
        found = evaluate_session(folder, house.registry, context, decoder, split)
    if as_json:
        typer.echo(msgspec.json.encode(found).decode())
        return
    lines = summary(found)
    if found.cross_validation:
        lines += ["by class, top-1:", *describe_classes(found.cross_validation)]
    for line in [*lines, f"files: {folder.derivatives}"]:
        console.print(line, soft_wrap=True, markup=False, highlight=False)
