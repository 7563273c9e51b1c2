"""How well recorded sessions are decoded: ``phosphene evaluate``."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from phosphene.cli.other import OtherDecoder, OtherPreprocessing, other_settings

if TYPE_CHECKING:
    from phosphene.analysis.transfer import Transfer
    from phosphene.dataset.study import SessionFolder

Other = tuple[str | None, str | None]
"""Another decoder, another preprocessing."""


def evaluate(
    sessions: Annotated[
        list[Path],
        typer.Argument(
            metavar="SESSION",
            help="The session's folder in sourcedata. With --transfer several, or a study.",
        ),
    ],
    decoder: OtherDecoder = None,
    preprocessing: OtherPreprocessing = None,
    split: Annotated[
        str | None,
        typer.Option(
            help="leave-one-run-out, leave-one-block-out, or paper; by default what the design "
            "allows."
        ),
    ] = None,
    transfer: Annotated[
        bool,
        typer.Option("--transfer", help="Test each session's decoder on all the others as well."),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Cross-validate a decoder on what a session recorded, and count what was decoded live.

    Every accuracy comes with its chance level and interval. If class and time are one variable in
    the design, it is labelled: it is no evidence of decoding.
    """
    console = Console(stderr=as_json)
    if transfer:
        if split is not None:
            raise typer.BadParameter("--transfer takes the split that each design allows")
        _evaluate_transfer(sessions, (decoder, preprocessing), console, as_json)
    elif len(sessions) > 1:
        raise typer.BadParameter(f"found {len(sessions)} sessions; several need --transfer")
    else:
        _evaluate_session(sessions[0], (decoder, preprocessing), split, console, as_json)


def _evaluate_session(
    session: Path, other: Other, split: str | None, console: Console, as_json: bool
) -> None:
    import msgspec

    from phosphene.analysis.crossvalidation import describe_classes
    from phosphene.analysis.evaluation import evaluate_session, summary
    from phosphene.cli.show import Display
    from phosphene.roles.catalogue import House

    house = House.of(session)
    folder = house.folder
    with Display(console, house.folder.title) as display:
        context = house.reporting("evaluate", display)
        tested = other_settings(house, *other)
        found = evaluate_session(folder, house.registry, context, tested, split)
    if as_json:
        typer.echo(msgspec.json.encode(found).decode())
        return
    lines = summary(found)
    if found.cross_validation:
        lines += ["by class, top-1:", *describe_classes(found.cross_validation)]
    _print(console, [*lines, f"files: {folder.derivatives}"])


def _evaluate_transfer(places: list[Path], other: Other, console: Console, as_json: bool) -> None:
    import msgspec

    from phosphene.analysis.transfer import Recorded, describe, evaluate_transfer
    from phosphene.cli.show import Display
    from phosphene.roles.catalogue import House

    folders = dict.fromkeys(folder for place in places for folder in _recorded(place))
    sessions = []
    with Display(console, f"{len(folders)} sessions") as display:
        for folder in folders:
            house = House.of(folder.path)
            settings = other_settings(house, *other)
            sessions.append(Recorded(folder, settings, house.reporting("transfer", display)))
        found = evaluate_transfer(sessions)
    if as_json:
        typer.echo(msgspec.json.encode(found).decode())
        return
    console.print(_matrix(found))
    _print(console, [*describe(found), f"file: {sessions[0].folder.study.transfer_file}"])


def _recorded(place: Path) -> "list[SessionFolder]":
    """Return the session that is meant, or those of a study that have something to learn from."""
    from phosphene.dataset.study import SessionFolder

    found = SessionFolder.all_at(place)
    return found if len(found) == 1 else [each for each in found if each.segments("record")]


def _matrix(found: "Transfer") -> Table:
    """Return what each cell is evidence of; the accuracies follow, complete, on lines."""
    table = Table("trained on \\ tested on, top-1", *found.decoders, box=None, pad_edge=False)
    for session, row in zip(found.decoders, found.cells, strict=True):
        table.add_row(session, *(cell.verdict for cell in row))
    return table


def _print(console: Console, lines: list[str]) -> None:
    for line in lines:
        console.print(line, soft_wrap=True, markup=False, highlight=False)
