"""What was shown in a recording made elsewhere: a table as BIDS has it, or one like it."""

import csv
from collections.abc import Mapping, Sequence
from itertools import pairwise
from math import inf, isfinite
from pathlib import Path
from statistics import median

from phosphene.errors import PhospheneError
from phosphene.events import Onset

CLASS_COLUMNS = ("wnid", "class", "label", "trial_type")
"""Where the class is looked for, in this order."""
NOTHING = ("", "n/a")
SET_ASIDE = ("aborted", "excluded")
DURATION = 0.5
"""Seconds that an image stays if the table does not say."""
PAUSE = 4.0
"""A new block begins where a gap is so many times the median time between images."""

Row = Mapping[str, str]


def read_events(path: Path, classes: str | None = None, *, run: int = 1) -> tuple[Onset, ...]:
    """Return the trials of a tab or comma separated table, in order of time.

    Needs ``onset`` (seconds after the first sample) and the column ``classes``; by default the
    first that there is of ``CLASS_COLUMNS``. ``duration``, ``image`` (or ``stim_file``),
    ``planned_run`` (or ``run``), ``block`` and ``attempt`` are read if they are there; without
    ``block`` a block ends where a pause begins. Rows without a class are no trials, nor are those
    of a block that was broken off (``status``). Where ``trial_type`` tells stimuli from
    the rest, or ``phase`` recording from feedback, only the former count.

    Raises ``PhospheneError`` that names file, line and column.
    """
    rows = _rows(path)
    column = _class_column(path, rows, classes)
    chosen = [(line, row) for line, row in enumerate(rows, start=2) if _is_trial(row, column, rows)]
    if not chosen:
        raise PhospheneError(f"{path}: no row has a class in the column {column!r}")
    trials = [_onset(path, line, row, column, run) for line, row in chosen]
    trials.sort(key=lambda trial: trial.time)
    return numbered(trials, known_blocks="block" in rows[0])


def numbered(trials: Sequence[Onset], *, known_blocks: bool) -> tuple[Onset, ...]:
    """Return trials, in order of time, numbered within their blocks; blocks found if not known."""
    from msgspec import structs

    steps = [second.time - first.time for first, second in pairwise(trials)]
    longest = PAUSE * median(steps) if steps else 0.0
    found: list[Onset] = []
    block = number = 0
    for index, trial in enumerate(trials):
        last = trials[index - 1] if index else None
        if known_blocks:
            new = last is None or _block(trial) != _block(last)
        else:
            new = last is None or trial.run != last.run or trial.time - last.time > longest
        block, number = block + new, 1 if new else number + 1
        shown = trial.block if known_blocks else block
        found.append(structs.replace(trial, seq=index, block=shown, trial=number))
    return tuple(found)


def _rows(path: Path) -> list[dict[str, str]]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise PhospheneError(f"{path}: cannot be read: {error}") from None
    delimiter = "\t" if "\t" in text.partition("\n")[0] else ","
    rows = list(csv.DictReader(text.splitlines(), delimiter=delimiter))
    if not rows:
        raise PhospheneError(f"{path}: found no row; expected a header and one row an event")
    if "onset" not in rows[0]:
        raise PhospheneError(f"{path}: there is no column 'onset'; found {', '.join(rows[0])}")
    return rows


def _class_column(path: Path, rows: Sequence[Row], asked: str | None) -> str:
    names = [asked] if asked else list(CLASS_COLUMNS)
    column = next((name for name in names if name in rows[0]), None)
    if column is None:
        raise PhospheneError(
            f"{path}: there is no column {' or '.join(map(repr, names))} with the class; "
            f"found {', '.join(rows[0])}"
        )
    return column


def _is_trial(row: Row, column: str, rows: Sequence[Row]) -> bool:
    if (row[column] or "") in NOTHING or row.get("status") in SET_ASIDE:
        return False
    told_apart = {"trial_type": "stimulus", "phase": "record"}
    return all(
        row.get(name) == wanted
        for name, wanted in told_apart.items()
        if name != column and any(each.get(name) == wanted for each in rows)
    )


def _onset(path: Path, line: int, row: Row, column: str, run: int) -> Onset:
    def number(default: float | None, *names: str) -> float:
        return _number(f"{path}, line {line}", row, names, default)

    time = number(None, "onset")
    return Onset(
        seq=0,
        event="stimulus",
        time=time,
        planned=time,
        duration=number(DURATION, "duration") or DURATION,
        phase=row.get("phase") or "record",
        run=int(number(run, "planned_run", "run")),
        block=int(number(0, "block")),
        attempt=int(number(1, "attempt")),
        trial=0,
        wnid=row[column],
        image=_first(row, ("image", "stim_file"))[1] or f"line {line}",
        sha256="",
    )


def _number(where: str, row: Row, names: Sequence[str], default: float | None) -> float:
    name, text = _first(row, names)
    if not text and default is not None:
        return default
    try:
        found = float(text)
    except ValueError:
        found = inf
    if not isfinite(found):
        raise PhospheneError(f"{where}, {name}: expected a number, found {text!r}")
    return found


def _first(row: Row, names: Sequence[str]) -> tuple[str, str]:
    """Return name and value of the first column that says something, or of the last one "" ."""
    for name in names:
        if (row.get(name) or "") not in NOTHING:
            return name, row[name]
    return names[-1], ""


def _block(trial: Onset) -> tuple[str, int, int, int]:
    return (trial.phase, trial.run, trial.block, trial.attempt)
