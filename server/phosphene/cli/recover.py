"""Make a BIDS dataset again from its recordings: ``phosphene recover``."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from phosphene.errors import PhospheneError


def recover(
    study: Annotated[Path, typer.Argument(help="A study, or a session's folder in sourcedata.")],
) -> None:
    """Make the BIDS dataset again from ``sourcedata`` alone, whatever became of the rest."""
    from phosphene import tasks
    from phosphene.dataset.study import SessionFolder
    from phosphene.messages import Export
    from phosphene.roles.catalogue import House

    console, failed = Console(), 0
    for folder in SessionFolder.all_at(study):
        house = House.of(folder.path)
        with folder.lock():
            folder.study.describe(folder.subject)
            for segment in folder.segments():
                try:
                    found = tasks.export(house.settings, folder, Export(str(segment))).path
                except PhospheneError as error:
                    found, failed = str(error), failed + 1
                console.print(found, soft_wrap=True, markup=False, highlight=False)
    if failed:
        raise PhospheneError(f"{failed} recordings could not be filed; see above")
