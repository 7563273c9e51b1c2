"""How well recorded sessions are decoded: ``phosphene evaluate``."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from phosphene.cli.other import OtherPreprocessing, other_settings

if TYPE_CHECKING:
    from phosphene.analysis.comparison import Comparison, Entry
    from phosphene.analysis.transfer import Transfer
    from phosphene.dataset.study import SessionFolder

Other = tuple[str | None, str | None]
"""Another decoder, another preprocessing."""


def evaluate(
    sessions: Annotated[
        list[Path],
        typer.Argument(
            metavar="SESSION...", help="Sessions' folders in sourcedata, or a study for all."
        ),
    ],
    decoders: Annotated[
        list[str] | None,
        typer.Option(
            "--decoder",
            help="Another decoder than the session's: NAME or '{NAME: {setting: value}}'. Several "
            "are put side by side.",
        ),
    ] = None,
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
    cluster: Annotated[
        str,
        typer.Option(
            help="Who does the work: local (processes of this computer), none (this process "
            "alone), or the address of a Dask scheduler, tcp://HOST:PORT."
        ),
    ] = "local",
    jobs: Annotated[
        int | None, typer.Option(min=1, help="Local processes; by default one for each core.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Cross-validate decoders on what sessions recorded, and count what was decoded live.

    Every accuracy comes with its chance level and interval. If class and time are one variable in
    the design, it is labelled: it is no evidence of decoding.
    """
    console = Console(stderr=as_json)
    if transfer:
        if split is not None or len(decoders or ()) > 1:
            raise typer.BadParameter("--transfer takes one decoder, and the splits of the designs")
        other = (decoders[0] if decoders else None, preprocessing)
        _evaluate_transfer(sessions, other, console, as_json)
        return
    others: list[Other] = [(each, preprocessing) for each in decoders or ()]
    others = others or [(None, preprocessing)]
    found, files = _compare(sessions, others, split, (cluster, jobs), console)
    _show(found, files, console, as_json)


def _compare(
    places: list[Path],
    others: list[Other],
    split: str | None,
    who: tuple[str, int | None],
    console: Console,
) -> "tuple[Comparison, Path]":
    """Evaluate, and file the comparison where there is something to compare."""
    from phosphene.analysis.comparison import compare
    from phosphene.analysis.parallel import workers
    from phosphene.cli.show import Display
    from phosphene.messages import Progress

    folders = list(dict.fromkeys(folder for place in places for folder in _recorded(place)))
    entries = [entry for folder in folders for entry in _entries(folder, others)]
    title = folders[0].title if len(folders) == 1 else f"{len(folders)} sessions"
    with workers(*who) as at_work, Display(console, title) as display:
        console.print(f"working {at_work.words}", highlight=False, markup=False)
        found = compare(
            entries,
            at_work,
            split,
            lambda done, text: display(Progress("evaluate", done, text)),
        )
    if len(folders) == 1 and len(others) == 1:
        return found, folders[0].derivatives
    return found, _file(found, folders)


def _entries(folder: "SessionFolder", others: list[Other]) -> "list[Entry]":
    from phosphene.analysis.comparison import Entry, names_of
    from phosphene.roles.catalogue import House

    house = House.of(folder.path)
    tested = [other_settings(house, *other) for other in others]
    names = names_of([each.decoder for each in tested])
    return [
        Entry(folder, house.settings, settings, name, house.context)
        for settings, name in zip(tested, names, strict=True)
    ]


def _file(found: "Comparison", folders: "list[SessionFolder]") -> Path:
    """Write table and figures; return their folder."""
    import msgspec

    from phosphene.analysis.figures import draw_all

    one = folders[0]
    file = one.study.comparison_file if len(folders) > 1 else one.derivatives / "comparison.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(msgspec.json.format(msgspec.json.encode(found), indent=2) + b"\n")
    draw_all(found, file.parent)
    return file.parent


def _show(found: "Comparison", files: Path, console: Console, as_json: bool) -> None:
    import msgspec

    from phosphene.analysis.comparison import describe_comparison
    from phosphene.analysis.crossvalidation import describe_classes
    from phosphene.analysis.evaluation import summary

    single = found.only
    if as_json:
        typer.echo(msgspec.json.encode(single or found).decode())
        return
    lines = summary(single) if single else describe_comparison(found)
    if single and single.cross_validation:
        lines += ["by class, top-1:", *describe_classes(single.cross_validation)]
    _print(console, [*lines, f"files: {files}"])


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
