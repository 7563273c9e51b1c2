"""Delete everything of a subject: ``phosphene withdraw``."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console


def withdraw(
    study: Annotated[Path, typer.Argument(help="The study.")],
    subject: Annotated[str, typer.Argument(help="The subject's pseudonym.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Delete a subject's data, decoders and pictures, and put on record that it was done."""
    from phosphene.dataset.study import Study
    from phosphene.dataset.withdrawal import survey
    from phosphene.dataset.withdrawal import withdraw as delete

    place = Study(study.absolute())
    found = survey(place, subject)
    what = f"{found.n_sessions} sessions of subject {subject}: {found.n_files} files, "
    what += f"{found.n_bytes / 1e6:.1f} MB; and every result over several subjects"
    if not yes:
        typer.confirm(f"Delete {what}? It cannot be undone.", abort=True)
    delete(place, subject)
    Console().print(f"deleted {what}", soft_wrap=True, highlight=False)
