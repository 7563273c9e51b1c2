"""Whether an accuracy could be something else than decoding: ``phosphene audit``."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

if TYPE_CHECKING:
    from phosphene.analysis.audits.results import Audits


def audit(
    dataset: Annotated[
        Path,
        typer.Argument(
            help="A session's folder in sourcedata, a study, a BIDS dataset, epochs (-epo.fif), or "
            "a recording that MNE reads, with --events."
        ),
    ],
    events: Annotated[
        Path | None,
        typer.Option(
            help="What was shown in a recording made elsewhere: a table, tab or comma separated, "
            "with the columns onset (s) and the class; image, run and block if known."
        ),
    ] = None,
    classes: Annotated[
        str | None,
        typer.Option(
            help="The column with the class; by default wnid, class, label or trial_type."
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of random splits and permutations.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON array.")] = False,
) -> None:
    """Ask of a recording whether the class shows in the clock, the rests, the eyes, the order.

    Each audit gives a number, what it would be if there were nothing to find, an interval, a
    verdict and a sentence. Nothing is trained but a linear decoder of the audits' own.
    """
    import msgspec

    from phosphene.analysis.audits.results import describe

    console = Console(stderr=as_json)
    found = []
    for each in _audits(dataset, events, classes, seed):
        found.append(each)
        for line in describe(each):
            console.print(line, soft_wrap=True, markup=False, highlight=False)
    if as_json:
        typer.echo(msgspec.json.encode(found).decode())


def _audits(
    dataset: Path, events: Path | None, classes: str | None, seed: int
) -> "Iterator[Audits]":
    from phosphene.analysis.audits import recordings
    from phosphene.analysis.audits.results import audit_material
    from phosphene.errors import SettingsError

    if not dataset.exists():
        raise SettingsError(f"{dataset}: there is no such file or folder")
    if dataset.is_file():
        if dataset.name.endswith(("-epo.fif", "_epo.fif")):
            material = recordings.of_epochs(recordings.read_epochs(dataset), classes, seed)
            yield audit_material(material, dataset.name)
        elif events is None:
            raise SettingsError(f"{dataset}: a recording needs --events, a table of what was shown")
        else:
            recording = recordings.of_raw(dataset, events, classes)
            yield audit_material(recording.material(seed), recording.name)
    elif _is_ours(dataset):
        yield from _of_sessions(dataset)
    else:
        for recording in recordings.of_bids(dataset, classes):
            yield audit_material(recording.material(seed), recording.name)


def _is_ours(folder: Path) -> bool:
    from phosphene.dataset.study import SESSION_PATTERN

    return folder.absolute().match(SESSION_PATTERN) or any(folder.glob(SESSION_PATTERN))


def _of_sessions(place: Path) -> "Iterator[Audits]":
    """Audit our own sessions with everything that is known of them."""
    from phosphene.analysis.audits.results import audit_session
    from phosphene.analysis.predictions import read_predictions
    from phosphene.dataset.study import SessionFolder
    from phosphene.roles.catalogue import House

    for folder in SessionFolder.all_at(place):
        house = House.of(folder.path)
        predictions = read_predictions(folder.derivatives / "predictions.tsv")
        tested = (house.settings.decoder.name, predictions) if predictions else None
        yield audit_session(folder, house.settings, house.context, tested)
