"""A session for a reader: ``phosphene report``."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console


def report(
    session: Annotated[Path, typer.Argument(help="The session's folder in sourcedata.")],
) -> None:
    """Write a session's report, one HTML file, and its evaluation if there is none yet."""
    from phosphene.analysis.report import write_report
    from phosphene.cli.show import Display
    from phosphene.roles.catalogue import House

    house = House.of(session)
    console = Console()
    with Display(console, house.folder.title) as display:
        path = write_report(house.folder, house.registry, house.reporting("report", display))
    console.print(f"report: {path}", soft_wrap=True, highlight=False)
