"""Pictures by class and subject, as in the paper's Figure 2: ``phosphene gallery``."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console


def gallery(
    places: Annotated[list[Path], typer.Argument(help="Studies, or sessions in sourcedata.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The PNG.")] = Path("gallery.png"),
    classes: Annotated[str, typer.Option(help="wnids of the rows, with commas.")] = "",
    unblind: Annotated[bool, typer.Option("--unblind", help="Also sessions with sham.")] = False,
) -> None:
    """Draw the pictures of some sessions: a row a target class, a column a session."""
    from phosphene.analysis.gallery import (
        Column,
        caption,
        default_classes,
        draw_gallery,
        read_column,
    )
    from phosphene.dataset.study import SessionFolder
    from phosphene.errors import PhospheneError
    from phosphene.roles.catalogue import House

    console = Console()
    columns: list[Column] = []
    names: dict[str, str] = {}
    for folder in [each for place in places for each in SessionFolder.all_at(place)]:
        house = House.of(folder.path)
        try:
            columns.append(read_column(folder, house.registry, unblind=unblind))
        except PhospheneError as error:
            console.print(f"left out: {error}", soft_wrap=True, highlight=False, markup=False)
            continue
        names.update(house.stimuli.classes)
    if not columns:
        raise PhospheneError("none of these sessions has a picture to show")
    rows = [wnid for wnid in classes.split(",") if wnid] or default_classes(columns)
    draw_gallery(columns, rows, names, output)
    console.print(caption(columns), soft_wrap=True, highlight=False, markup=False)
    console.print(f"gallery: {output}", soft_wrap=True, highlight=False)
