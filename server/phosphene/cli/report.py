"""A session for a reader: ``phosphene report``."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console


def report(
    session: Annotated[Path, typer.Argument(help="The session's folder in sourcedata.")],
    unblind: Annotated[
        bool, typer.Option("--unblind", help="Show which feedback was sham; kept on record.")
    ] = False,
    reason: Annotated[str, typer.Option(help="Why it is unblinded; kept on record.")] = "",
) -> None:
    """Write a session's report, one HTML file, and its evaluation if there is none yet."""
    from phosphene.analysis.feedback import record_unblinding
    from phosphene.analysis.report import write_report
    from phosphene.cli.show import Display
    from phosphene.roles.catalogue import House

    house = House.of(session)
    console = Console()
    if unblind:
        record_unblinding(house.folder, reason)
    with Display(console, house.folder.title) as display:
        context = house.reporting("report", display)
        path = write_report(house.folder, house.registry, context, unblind=unblind)
    console.print(f"report: {path}", soft_wrap=True, highlight=False)
