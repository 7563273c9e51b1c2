"""Draw the README's picture from the newest session of the demo: ``make picture``."""

import csv
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import imread
from numpy.typing import NDArray

from phosphene.dataset.study import SessionFolder
from phosphene.dataset.xdf import Segment, read_segment
from phosphene.roles.catalogue import House

TRIALS = 4
CHANNELS = ("Fz", "Cz", "Pz", "O1", "Oz", "O2")
BEFORE, AFTER = 0.2, 2.0
BLUE, GREY = "#2458a6", "#b9c0ca"


def main(study: Path) -> None:
    """Draw the first trials of the first feedback session found in a study."""
    folder = next(
        SessionFolder.at(path.parent)
        for path in sorted((study / "sourcedata").glob("sub-*/ses-*/settings.json"))
        if SessionFolder.at(path.parent).decodings_file.exists()
    )
    house = House.of(folder.path)
    names = house.stimuli.classes
    recording = read_segment(folder.segments("feedback")[0])
    with folder.decodings_file.open(newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))[:TRIALS]
    figure = Figure(figsize=(11, 1.9 * TRIALS), layout="constrained")
    axes = figure.subplots(TRIALS, 4, width_ratios=(1, 3.2, 1.9, 1), squeeze=False)
    for line, row in zip(axes, rows, strict=True):
        shown, eeg, decoded, answer = line
        _image(shown, imread(house.stimuli.path(row["image"])), names[row["wnid"]])
        _eeg(eeg, recording, float(row["onset"]))
        winner = _probabilities(decoded, row, names)
        _image(answer, imread(folder.pictures / f"{_stem(row)}.png"), names[winner])
    titles = ("shown", "EEG around the onset", "decoded", "shown back")
    for axis, title in zip(axes[0], titles, strict=True):
        axis.set_title(title, fontsize=13, pad=10)
    figure.savefig(Path(__file__).with_name("loop.png"), dpi=110, facecolor="white")


def _image(axis: Axes, pixels: NDArray[np.generic], name: str) -> None:
    axis.imshow(pixels)
    axis.set_xticks([])
    axis.set_yticks([])
    axis.set_xlabel(name, fontsize=10)


def _eeg(axis: Axes, recording: Segment, onset: float) -> None:
    signals = list(recording.signals())
    times = np.concatenate([signal.times for signal in signals]) - onset
    near = (times >= -BEFORE) & (times <= AFTER)
    data = np.concatenate([signal.data for signal in signals], axis=1)[:, near]
    present = [name for name in CHANNELS if name in recording.spec.channels]
    for row, name in enumerate(present):
        trace = data[recording.spec.channels.index(name)] * 1e6
        axis.plot(times[near], (trace - trace.mean()) / 60 - row, color=BLUE, linewidth=0.6)
    axis.axvspan(0, 0.5, color="#f3d9a0", alpha=0.6, linewidth=0)
    axis.axvspan(1.5, AFTER, color="#cfe3cf", alpha=0.6, linewidth=0)
    axis.set_yticks(-np.arange(len(present)), present, fontsize=8)
    axis.set_xlim(-BEFORE, AFTER)
    axis.set_xlabel("s", fontsize=8, labelpad=0)
    axis.tick_params(labelsize=8)
    axis.spines[["top", "right"]].set_visible(False)


def _probabilities(axis: Axes, row: dict[str, str], names: Mapping[str, str]) -> str:
    by_wnid = {wnid: float(row[wnid]) for wnid in names if wnid in row}
    ranked = sorted(by_wnid, key=lambda wnid: -by_wnid[wnid])[:5]
    colours = [BLUE if wnid == row["wnid"] else GREY for wnid in ranked]
    axis.barh(range(len(ranked)), [by_wnid[wnid] for wnid in ranked], color=colours)
    labels = [names[wnid] for wnid in ranked]
    axis.set_yticks(range(len(ranked)), labels, fontsize=8)
    axis.invert_yaxis()
    axis.set_xlim(0, 1)
    axis.tick_params(labelsize=8)
    axis.spines[["top", "right"]].set_visible(False)
    return ranked[0]


def _stem(row: dict[str, str]) -> str:
    numbers = {name: int(row[name]) for name in ("run", "block", "attempt", "trial")}
    return "run-{run:02d}_block-{block:02d}_attempt-{attempt:02d}_trial-{trial:03d}".format(
        **numbers
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
