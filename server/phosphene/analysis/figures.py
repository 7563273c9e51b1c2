"""Figures of an evaluation as files: decoders side by side, and confusion matrices."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from phosphene.analysis.comparison import Comparison
from phosphene.analysis.crossvalidation import Evaluation
from phosphene.analysis.drawing import ACCENT, INK, LINE, SECOND, SOFT, STYLE, set_title
from phosphene.analysis.metrics import Accuracy
from phosphene.analysis.plots import confusion_plot
from phosphene.analysis.subjects import PERCENT, OverSubjects

COLOURS = (ACCENT, "#7aa6c2", "#5b8c5a", "#8a6fa8", SOFT)
RESOLUTION = 150
"""Dots an inch."""
Bar = tuple[float, float, float]
"""Value and ends of its interval."""


def draw_all(found: Comparison, folder: Path) -> None:
    """Draw every session's decoders side by side, the confusions of each, and all over subjects."""
    for session in found.sessions:
        every = {name: each.cross_validation for name, each in session.decoders.items()}
        judged = {name: each for name, each in every.items() if each}
        if not judged:
            continue
        mark = session.session.replace(" ", "_")
        draw_comparison(folder / f"comparison_{mark}.svg", session.session, judged)
        for name, each in judged.items():
            draw_confusion(folder / f"confusion_{mark}_{name}.svg", each)
    if found.over_subjects:
        draw_over_subjects(folder / "comparison.svg", "Over subjects", found.over_subjects)


@dataclass(frozen=True)
class Chart:
    """What is drawn side by side."""

    bars: Mapping[str, Mapping[str, Bar]]
    """By decoder and measure."""
    chance: Mapping[str, float]
    """By measure."""
    label: str
    over: str
    """What the intervals are over."""


def draw_comparison(path: Path, title: str, found: Mapping[str, Evaluation]) -> None:
    """Draw top-1, 3 and 5 of several decoders with their intervals, and chance (SVG and PNG).

    ``path`` is that of the SVG file. It is the paper's figure 3 (arXiv 2309.07149) with intervals.
    """
    bars = {
        name: {f"top-{each.k}": _bar(each) for each in evaluation.top}
        for name, evaluation in found.items()
    }
    first = next(iter(found.values()))
    chance = {f"top-{each.k}": each.chance for each in first.top}
    label = next((each.label for each in found.values() if each.label), "")
    _draw_bars(path, title, Chart(bars, chance, label, "trials"))


def draw_over_subjects(path: Path, title: str, found: Mapping[str, Sequence[OverSubjects]]) -> None:
    """Draw the same over subjects."""
    kept = {name: [each for each in of if each.name in PERCENT] for name, of in found.items()}
    bars = {
        name: {each.name: (each.mean, each.low, each.high) for each in of}
        for name, of in kept.items()
    }
    first = next(iter(kept.values()))
    label = next((each.label for of in kept.values() for each in of if each.label), "")
    chance = {each.name: each.chance for each in first}
    _draw_bars(path, title, Chart(bars, chance, label, "subjects"))


def draw_confusion(path: Path, evaluation: Evaluation) -> None:
    """Draw a confusion matrix into an SVG file."""
    path.write_text(str(confusion_plot(evaluation)), encoding="utf-8")


def _bar(accuracy: Accuracy) -> Bar:
    return accuracy.fraction, accuracy.low, accuracy.high


def _draw_bars(path: Path, title: str, chart: Chart) -> None:
    bars, chance = chart.bars, chart.chance

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        for number, (name, values) in enumerate(bars.items()):
            _draw_decoder(axes, number, len(bars), name, [values[k] for k in chance])
        _draw_chance(axes, list(chance.values()))
        axes.set_xticks(range(len(chance)), list(chance))
        axes.set_ylabel(f"accuracy, 95 % interval over {chart.over}")
        axes.set_ylim(0, 1)
        axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0, symbol=" %"))
        axes.grid(axis="y", color=LINE, lw=0.7)
        axes.set_axisbelow(True)
        figure.legend(loc="outside lower left", ncols=4, fontsize=8.5)
        set_title(axes, title, chart.label)

    _save(path, draw)


def _draw_decoder(axes: Axes, number: int, n: int, name: str, values: Sequence[Bar]) -> None:
    """Draw one decoder's bar at each rank, beside those of the others."""
    width = 0.8 / n
    places = np.arange(len(values)) + (number - (n - 1) / 2) * width
    middle, low, high = np.array(values).T
    axes.bar(places, middle, width * 0.92, color=COLOURS[number % len(COLOURS)], label=name)
    axes.vlines(places, low, high, INK, lw=1.3)


def _draw_chance(axes: Axes, chance: Sequence[float]) -> None:
    places = np.arange(len(chance))
    axes.hlines(chance, places - 0.45, places + 0.45, SECOND, lw=2, label="chance")


def _save(path: Path, draw: Callable[[Figure], None]) -> None:
    with mpl.rc_context({**STYLE, "savefig.transparent": False}):
        figure = Figure(figsize=(7.2, 4.2), layout="constrained")
        draw(figure)
        figure.savefig(path, metadata={"Date": None, "Creator": None})
        figure.savefig(path.with_suffix(".png"), dpi=RESOLUTION, metadata={"Software": None})
