"""Pictures by class and subject, as in the paper's Figure 2: ``phosphene gallery``."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console


def gallery(
    places: Annotated[list[Path], typer.Argument(help="Studies, or sessions in sourcedata.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The PNG.")] = Path("gallery.png"),
    classes: Annotated[
        str,
        typer.Option(
            help="The rows, as wnids with commas; by default the six classes of which most "
            "sessions have a picture."
        ),
    ] = "",
    unblind: Annotated[
        bool, typer.Option("--unblind", help="Also sessions with sham; kept on record.")
    ] = False,
) -> None:
    """Draw the pictures of some sessions, as the paper's Figure 2: a column a session.

    A row is a class that was shown. Of each class and session it is the first trial with true
    feedback that ended in a picture.
    """
    from phosphene.analysis.feedback import record_unblinding
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
    from phosphene.suggestions import choices

    console = Console()
    columns: list[Column] = []
    names: dict[str, str] = {}
    for folder in [each for place in places for each in SessionFolder.all_at(place)]:
        house = House.of(folder.path)
        try:
            columns.append(read_column(folder, house.registry, unblind=unblind))
            if folder.sealed_feedback_file.exists():
                record_unblinding(folder, "phosphene gallery")
        except PhospheneError as error:
            console.print(f"left out: {error}", soft_wrap=True, highlight=False, markup=False)
            continue
        names.update(house.stimuli.classes)
    if not columns:
        raise PhospheneError("none of these sessions has a picture to show")
    rows = [wnid.strip() for wnid in classes.split(",") if wnid] or default_classes(columns)
    if unknown := [wnid for wnid in rows if wnid not in names]:
        known = choices(unknown[0], names)
        raise PhospheneError(f"--classes: no session has the class {unknown[0]!r}{known}")
    draw_gallery(columns, rows, names, output)
    console.print(caption(columns), soft_wrap=True, highlight=False, markup=False)
    console.print(f"gallery: {output}", soft_wrap=True, highlight=False)
