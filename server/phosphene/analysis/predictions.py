"""A decoder's probabilities for some trials as a table: of every fold, or as decoded live."""

import csv
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from phosphene.decodings import FIELDS, NOTHING
from phosphene.design import Shown
from phosphene.errors import PhospheneError
from phosphene.journal import BlockKey

LIVE_FIELDS = (
    *FIELDS,
    "onset",
    "decoded",
    "latency",
    "processing",
    "segment",
    "joined",
    "first_sample",
    "rejected",
)


class LiveTrial(msgspec.Struct, frozen=True):
    """A trial that was decoded while the session ran."""

    phase: str
    run: int
    block: int
    attempt: int
    trial: int
    wnid: str
    image: str
    latency: float
    """Seconds from onset to probabilities."""
    repetition: int = 1
    """Which of the trial's images it was."""
    processing: float = float("nan")
    """Seconds from the epoch's last sample, as it was received, to probabilities."""


@dataclass(frozen=True)
class Predictions:
    """What a decoder made of trials that it had not been trained on."""

    trials: Sequence[Shown]
    folds: Sequence[str]
    """By trial: the round of training and testing in which it was tested."""
    classes: tuple[str, ...]
    """wnids of the columns."""
    probabilities: NDArray[np.floating]
    """(n_trials, n_classes)"""
    rejected: tuple[tuple[Shown, str], ...] = ()
    """Trials that were not decoded because of artefacts, which are in none of the above, and the
    round in which they would have been tested."""

    @property
    def wnids(self) -> list[str]:
        """Class by trial."""
        return [trial.wnid for trial in self.trials]

    @property
    def decoded(self) -> list[str]:
        """Most probable class by trial."""
        return [self.classes[i] for i in self.probabilities.argmax(axis=1)]

    def write(self, path: Path) -> None:
        """Write a TSV file: the trial, its fold, the decoded class, a probability by wnid."""
        text = StringIO()
        writer = csv.writer(text, delimiter="\t", lineterminator="\n")
        writer.writerow([*FIELDS, "fold", "prediction", *self.classes])
        rows = zip(self.trials, self.folds, self.decoded, self.probabilities, strict=True)
        for trial, fold, decoded, row in rows:
            key = [getattr(trial, field) for field in FIELDS]
            writer.writerow([*key, fold, decoded, *(f"{p:.6g}" for p in row)])
        for trial, fold in self.rejected:
            key = [getattr(trial, field) for field in FIELDS]
            writer.writerow([*key, fold, *[NOTHING] * (1 + len(self.classes))])
        path.write_text(text.getvalue(), encoding="utf-8")


def read_decodings(path: Path, aborted: Collection[BlockKey] = ()) -> Predictions | None:
    """Return the live decodings that count; None if there are none.

    A last line that a crash cut off is left out. Raises ``PhospheneError`` for another damage.
    """
    if not path.exists():
        return None
    text = path.read_text(encoding="utf-8")
    reader = csv.DictReader(StringIO(text[: text.rfind("\n") + 1]), delimiter="\t")
    classes = tuple(name for name in reader.fieldnames or () if name not in LIVE_FIELDS)
    try:
        rows = [(_live_trial(row), _probabilities(row, classes)) for row in reader]
    except (KeyError, TypeError, ValueError) as error:
        raise PhospheneError(f"{path}, line {reader.line_num}: {error!r}") from None
    kept = [(t, p) for t, p in rows if (t.phase, t.run, t.block, t.attempt) not in aborted]
    trials = [trial for trial, found in kept if found]
    if not trials:
        return None
    every = tuple(sorted({*classes, *(trial.wnid for trial in trials)}))
    return Predictions(
        trials,
        ["live"] * len(trials),
        every,
        aligned(np.array([found for _, found in kept if found]), classes, every),
        tuple((trial, "live") for trial, found in kept if not found),
    )


def read_predictions(path: Path) -> Predictions | None:
    """Return what ``Predictions.write`` wrote; None if there is no file.

    Raises ``PhospheneError`` for a damaged one.
    """
    if not path.exists():
        return None
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file, delimiter="\t")
        columns = reader.fieldnames or ()
        classes = tuple(each for each in columns if each not in (*FIELDS, "fold", "prediction"))
        try:
            rows = [
                (
                    _live_trial({"latency": "nan", **row}),
                    row["fold"],
                    _probabilities(row, classes),
                )
                for row in reader
            ]
        except (KeyError, TypeError, ValueError) as error:
            raise PhospheneError(f"{path}, line {reader.line_num}: {error!r}") from None
    decoded = [each for each in rows if each[2]]
    if not decoded:
        return None
    trials, folds, probabilities = zip(*decoded, strict=True)
    rejected = tuple((trial, fold) for trial, fold, found in rows if not found)
    return Predictions(trials, folds, classes, np.array(probabilities), rejected)


def aligned(
    probabilities: NDArray[np.floating], columns: Sequence[str], classes: Sequence[str]
) -> NDArray[np.float64]:
    """Return probabilities by ``classes``; 0 for a class that has no column."""
    found = np.zeros((len(probabilities), len(classes)))
    found[:, [classes.index(wnid) for wnid in columns]] = probabilities
    return found


def _probabilities(row: dict[str, str], classes: Sequence[str]) -> list[float]:
    """Return the probability of each class; nothing for a trial that was rejected."""
    found = [row[wnid] for wnid in classes]
    return [] if NOTHING in found else [float(value) for value in found]


def _live_trial(row: dict[str, str]) -> LiveTrial:
    values = {name: row[name] for name in LiveTrial.__struct_fields__ if name in row}
    return msgspec.convert(values, LiveTrial, strict=False)
