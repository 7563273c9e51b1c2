"""Figure 2 of the paper: pictures by target class and subject, chosen by a rule and not by eye."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from phosphene.analysis.feedback import decisions, read_feedback
from phosphene.analysis.metrics import CONFOUNDED, Accuracy
from phosphene.dataset.study import SessionFolder
from phosphene.errors import PhospheneError
from phosphene.feedback_table import FeedbackTrial
from phosphene.registry import Registry
from phosphene.settings import read_resolved

MOST_CLASSES = 6
"""Rows of the paper's figure. Which classes they are is left to the data and to ``--classes``."""
RULE = (
    "Each cell is the first trial of the class with true feedback that ended in a picture: nobody "
    "chose it. Pictures are made from what was decoded; they are no reconstruction."
)


@dataclass(frozen=True)
class Column:
    """One session in the figure."""

    folder: SessionFolder
    first: Mapping[str, FeedbackTrial]
    """By target class."""
    missing: Mapping[str, str]
    """Why there is no picture, by target class that was shown."""
    accuracy: Accuracy | None
    """Of its decisions."""


def read_column(folder: SessionFolder, registry: Registry, *, unblind: bool) -> Column:
    """Return a session's part; ``PhospheneError`` if it is sealed and not unblinded."""
    settings = read_resolved(folder.settings_file, registry)
    found = read_feedback(folder, settings, unblind=unblind)
    if found.sealed:
        raise PhospheneError(f"{folder.title} has sham feedback; --unblind shows it all the same")
    trials = [trial for trial in found.trials if trial.arm == "true"]
    if not trials:
        raise PhospheneError(f"{folder.title} has no trial with true feedback")
    first: dict[str, FeedbackTrial] = {}
    missing: dict[str, str] = {}
    for trial in trials:
        if trial.outcome == "shown":
            first.setdefault(trial.wnid, trial)
        missing.setdefault(trial.wnid, trial.outcome)
    confounded = found.prospect is not None and bool(found.prospect.label)
    accuracy = decisions(trials, CONFOUNDED if confounded else "")
    return Column(folder, first, missing, accuracy)


def default_classes(columns: Sequence[Column]) -> list[str]:
    """Return the classes that most sessions have a picture of, at most six."""
    counts: dict[str, int] = {}
    for column in columns:
        for wnid in column.first:
            counts[wnid] = counts.get(wnid, 0) + 1
    return sorted(counts, key=lambda wnid: (-counts[wnid], wnid))[:MOST_CLASSES]


def draw_gallery(
    columns: Sequence[Column], classes: Sequence[str], names: Mapping[str, str], path: Path
) -> None:
    """Write the figure: a row for each target class, a column for each session."""
    from matplotlib.figure import Figure
    from matplotlib.image import imread

    figure = Figure(figsize=(1.5 + 1.7 * len(columns), 2.0 * len(classes) + 1.6))
    grid = figure.subplots(len(classes), len(columns), squeeze=False)
    for row, wnid in enumerate(classes):
        for axes, column in zip(grid[row], columns, strict=True):
            axes.set_xticks([])
            axes.set_yticks([])
            if trial := column.first.get(wnid):
                axes.imshow(imread(column.folder.pictures / f"{trial.picture}.png"))
                mark = "✓" if trial.answer == wnid else "✗"
                axes.set_xlabel(f"{names.get(trial.answer, trial.answer)} {mark}", fontsize=8)
            else:
                why = column.missing.get(wnid, "not shown")
                axes.text(0.5, 0.5, why, ha="center", va="center", fontsize=8)
        grid[row][0].set_ylabel(names.get(wnid, wnid), fontsize=9)
    for axes, column in zip(grid[0], columns, strict=True):
        axes.set_title(f"sub-{column.folder.subject}\nses-{column.folder.session}", fontsize=9)
    figure.supxlabel(caption(columns), fontsize=7, wrap=True)
    figure.tight_layout()
    figure.savefig(path, dpi=150)


def caption(columns: Sequence[Column]) -> str:
    """Return the rule, and each session's accuracy."""
    lines = [f"{column.folder.title}: {column.accuracy}" for column in columns if column.accuracy]
    return "\n".join([RULE, *lines])
