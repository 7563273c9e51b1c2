"""Second thoughts about a run: ``phosphene redo`` and ``phosphene exclude``."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.console import Console

from phosphene.cli.control import ConnectionFile

if TYPE_CHECKING:
    from phosphene.client import Client

Run = Annotated[int, typer.Argument(help="Number of the planned run, from 1.")]
Reason = Annotated[str, typer.Option(help="Why; kept in the journal and on record.")]
SessionFolder = Annotated[
    Path | None,
    typer.Option("--session", help="Folder in sourcedata of a session that is over."),
]
PhaseOption = Annotated[
    Literal["record", "feedback"], typer.Option(help="Of a session that is over: which phase.")
]


def redo(
    run: Run,
    reason: Reason,
    session: SessionFolder = None,
    phase: PhaseOption = "record",
    connection: ConnectionFile = None,
) -> None:
    """Let a run not count, and record it again: now, or when the session goes on (--resume)."""
    if session is not None:
        _over(session, phase, run, reason, again=True)
    else:
        with _client(connection) as client:
            client.redo(run, reason)


def exclude(
    run: Run,
    reason: Reason,
    session: SessionFolder = None,
    phase: PhaseOption = "record",
    connection: ConnectionFile = None,
) -> None:
    """Let a run not count; what is left of it is not shown. Its data are kept and marked."""
    if session is not None:
        _over(session, phase, run, reason, again=False)
    else:
        with _client(connection) as client:
            client.exclude(run, reason)


def _client(connection: Path | None) -> "Client":
    from phosphene.client import Client

    return Client(connection)


def _over(
    session: Path, phase: Literal["record", "feedback"], run: int, reason: str, *, again: bool
) -> None:
    from phosphene import tasks
    from phosphene.history import set_run_aside
    from phosphene.messages import Export
    from phosphene.roles.catalogue import House

    house = House.of(session)
    with house.folder.lock():
        n_blocks = set_run_aside(house.folder, phase, run, reason, again=again)
        for segment in house.folder.segments(phase, run):
            tasks.export(house.settings, house.folder, Export(str(segment)))
    then = "`phosphene run ... --resume` shows them again; then" if again else "Then"
    Console().print(
        f"{n_blocks} blocks of run {run} do not count any more. {then} train, evaluate and report "
        "anew: what was made of them before is as it was.",
        highlight=False,
    )
