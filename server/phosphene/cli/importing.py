"""Published data as a study of our own: ``phosphene import``."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console


def import_dataset(
    name: Annotated[str, typer.Argument(help="Which data set: eeg-cvpr40.")],
    file: Annotated[Path, typer.Argument(help="Its file, e.g. eeg_14_70_std.pth.")],
    output: Annotated[Path, typer.Option(help="Folder of the study that is written.")],
    images: Annotated[
        Path | None,
        typer.Option(help="Folder of the images, one folder a class, as ImageNet has them."),
    ] = None,
    splits: Annotated[
        Path | None, typer.Option(help="File of the published split, if there is one.")
    ] = None,
) -> None:
    """Write a published data set as a study, one session a subject.

    Classes and images are looked up by name. Nothing is downloaded, and no code that a file may
    hold is run.
    """
    import os

    from phosphene.choice import choose
    from phosphene.importing import import_dataset as write
    from phosphene.registry import load_registry

    registry = load_registry()
    given = {"file": str(file), **({"splits": str(splits)} if splits else {})}
    found = choose(registry, "dataset", {name: given}).config.open()
    study = Path(os.path.abspath(output))
    folders = write(found, name, study, images and Path(os.path.abspath(images)), registry)
    console = Console()
    lines = [
        *found.notes,
        f"{len(found.images)} images, {len(folders)} subjects",
        f"study: {study}",
    ]
    for line in lines:
        console.print(line, soft_wrap=True, markup=False, highlight=False)
