"""Is each preset of the simulated subject as decodable as it says? ``make calibration``.

What every cell must measure stands here, written down before these subjects were simulated: the
paper's accuracies for a drift in its block design, Purdue's for a weak code, nothing for nothing.
``--small`` runs 8 channels and 5 classes only; ``--write`` puts the tables into
docs/simulated-subject.md.
"""

import argparse
import re
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from simulation import make_context, raw

from phosphene import Context, Epochs, Signal, SignalSpec, TrainingSet
from phosphene.analysis.audits.frames import Piece
from phosphene.analysis.crossvalidation import evaluate
from phosphene.analysis.metrics import Accuracy, accuracy
from phosphene.choice import choose
from phosphene.epochs import Cut
from phosphene.pipeline import Pipeline
from phosphene.processing import read_preprocessing
from phosphene.registry import Registry, load_registry

CHUNK = 500
"""Samples that the pipeline is fed at a time."""
FIRST_SEED = 1000
"""Of the subjects that are measured; the presets were tuned on others."""
BEGIN, END = "<!-- calibration -->", "<!-- end of calibration -->"
DOCS = Path(__file__).parents[1] / "docs" / "simulated-subject.md"


@dataclass(frozen=True)
class Cell:
    """A preset under a design, and the accuracy in % that it must have."""

    preset: str
    design: str
    low: float
    high: float
    decoder: str = "power-lr"
    preprocessing: str = "paper"
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Of the subject, where the preset's own are for more electrodes and classes."""


@dataclass(frozen=True)
class Scale:
    """An experiment's size, and what is expected of it."""

    name: str
    classes: int
    channels: int
    sfreq: float
    n_subjects: int
    designs: Mapping[str, Mapping[str, Any]]
    cells: tuple[Cell, ...]


EVOKED = ("lda", "evoked")
FULL = Scale(
    "40 classes, 2000 trials, 128 channels at 1 kHz, one subject",
    40,
    128,
    1000.0,
    1,
    {"brain2image": {"images": 50, "runs": 4}, "interleaved": {"runs": 5, "blocks": 10}},
    (
        Cell("null", "brain2image", 1.5, 3.5),
        Cell("null", "interleaved", 1.5, 3.5),
        # The paper's 36 to 41 %, +- 8.
        Cell("confounded", "brain2image", 28, 49),
        Cell("confounded", "interleaved", 1.5, 3.5),
        # What Purdue's randomised data gave.
        Cell("realistic", "interleaved", 6, 8),
        Cell("realistic-evoked", "interleaved", 6, 8, *EVOKED),
        Cell("genuine", "interleaved", 34, 46),
        Cell("genuine-evoked", "interleaved", 34, 46, *EVOKED),
        Cell("easy", "interleaved", 90, 100),
    ),
)
SMALL = Scale(
    "5 classes, 200 trials, 8 channels at 250 Hz, four subjects",
    5,
    8,
    250.0,
    4,
    {"brain2image": {"images": 40, "runs": 1}, "interleaved": {"runs": 4, "blocks": 10}},
    (
        Cell("null", "brain2image", 15, 25),
        Cell("null", "interleaved", 15, 25),
        Cell("confounded", "brain2image", 34, 50, settings={"drift": 0.1}),
        Cell("confounded", "interleaved", 15, 25, settings={"drift": 0.1}),
        Cell("realistic", "interleaved", 25, 37, settings={"strength": 0.27}),
        Cell("realistic-evoked", "interleaved", 25, 37, *EVOKED, {"strength": 0.13}),
        Cell("genuine", "interleaved", 42, 58, settings={"strength": 0.4}),
        Cell("genuine-evoked", "interleaved", 42, 58, *EVOKED, {"strength": 0.2}),
        Cell("easy", "interleaved", 90, 100, settings={"strength": 1.0}),
    ),
)
"""Fewer electrodes and blocks see less of a code and of a drift: both are larger here."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--small", action="store_true", help="8 channels and 5 classes only")
    parser.add_argument("--only", help="one preset")
    parser.add_argument("--write", action="store_true", help="write docs/simulated-subject.md")
    options = parser.parse_args()
    registry = load_registry()
    tables = []
    for scale in [SMALL] if options.small else [SMALL, FULL]:
        cells = [cell for cell in scale.cells if options.only in (None, cell.preset)]
        rows = list(_rows(registry, scale, cells))
        tables.append((scale, rows))
    if options.write:
        _write(tables)
    return int(not all(row.met for _scale, rows in tables for row in rows))


@dataclass(frozen=True)
class Row:
    """What was measured."""

    cell: Cell
    found: Accuracy
    """Of the trials of all subjects."""

    @property
    def met(self) -> bool:
        """Whether it is what was asked for."""
        return self.cell.low <= 100 * self.found.fraction <= self.cell.high

    def __str__(self) -> str:
        cell = self.cell
        given = ", ".join(f"{name} {value:g}" for name, value in cell.settings.items())
        name = f"`{cell.preset}`" + (f", {given}" if given else "")
        how = f"{cell.preprocessing}, {cell.decoder}"
        found = str(self.found) + ("" if self.met else " (**not met**)")
        return f"| {name} | {cell.design} | {how} | {cell.low:g} to {cell.high:g} | {found} |"


def _rows(registry: Registry, scale: Scale, cells: Sequence[Cell]) -> Iterator[Row]:
    for cell in cells:
        row = Row(cell, measure(registry, scale, cell))
        print(row, flush=True)
        yield row


def measure(registry: Registry, scale: Scale, cell: Cell) -> Accuracy:
    """Return the cross-validated top-1 accuracy over the trials of all subjects."""
    seeds = range(FIRST_SEED, FIRST_SEED + scale.n_subjects)
    found = [_of_subject(registry, scale, cell, seed) for seed in seeds]
    if len(found) == 1:
        return found[0]
    n_correct, n_trials = sum(one.n_correct for one in found), sum(one.n_trials for one in found)
    return accuracy(n_correct, n_trials, found[0].chance, label=found[0].label)


def _of_subject(registry: Registry, scale: Scale, cell: Cell, seed: int) -> Accuracy:
    with tempfile.TemporaryDirectory() as cache:
        context = make_context(registry, scale.classes, seed, Path(cache))
        training_set, pipeline = recorded(registry, context, scale, cell)
        decoder = choose(registry, "decoder", cell.decoder)
        return evaluate(training_set, pipeline, decoder, context)[0].top[0]


def recorded(
    registry: Registry, context: Context, scale: Scale, cell: Cell
) -> tuple[TrainingSet, Pipeline]:
    """Return the raw epochs of a whole experiment, and the pipeline that cut them."""
    size = {"channels": scale.channels, "sfreq": scale.sfreq}
    subject = {f"simulated-{cell.preset}": {**size, **cell.settings}}
    recording = raw(registry, context, subject, {cell.design: scale.designs[cell.design]})
    (piece,) = recording.pieces
    channels = tuple(str(number) for number in range(len(piece.data)))
    spec = SignalSpec(channels, recording.types, scale.sfreq)
    stream, epochs = read_preprocessing(cell.preprocessing, registry)
    pipeline = Pipeline(stream, epochs, spec, context)
    pipeline.open_segment()
    for onset in piece.onsets:
        pipeline.mark(onset)
    cuts = [cut for chunk in _chunks(piece) for cut in _fed(pipeline, chunk)]
    data = Epochs(np.stack([cut.data for cut in cuts]), pipeline.spec, pipeline.tmin)
    return TrainingSet(data, tuple(cut.onset for cut in cuts), context.stimuli), pipeline


def _chunks(piece: Piece) -> Iterator[Signal]:
    for start in range(0, piece.data.shape[1], CHUNK):
        part = slice(start, start + CHUNK)
        yield Signal(piece.data[:, part], piece.times[part])


def _fed(pipeline: Pipeline, chunk: Signal) -> list[Cut]:
    pipeline.feed(chunk)
    return pipeline.cuts()


def _write(tables: Sequence[tuple[Scale, Sequence[Row]]]) -> None:
    """Put the tables between the marks in the document."""
    text = "\n\n".join(_table(scale, rows) for scale, rows in tables)
    document = DOCS.read_text(encoding="utf-8")
    marked = re.sub(f"(?<={BEGIN}\n).*(?={END})", lambda _: f"\n{text}\n\n", document, flags=re.S)
    DOCS.write_text(marked, encoding="utf-8")


def _table(scale: Scale, rows: Sequence[Row]) -> str:
    lines = [
        f"{scale.name}:",
        "",
        "| preset | design | preprocessing, decoder | must be, % | measured |",
        "|---|---|---|---|---|",
    ]
    return "\n".join([*lines, *map(str, rows)])


if __name__ == "__main__":
    sys.exit(main())
