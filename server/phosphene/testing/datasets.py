"""What is asked of every published data set."""

# ruff: noqa: D401 (the docstring of a demand states it)

from collections.abc import Iterator
from functools import cached_property
from itertools import islice, pairwise

import numpy as np

from phosphene.dataset.study import checked_id
from phosphene.events import Onset
from phosphene.interfaces import Dataset, DatasetConfig
from phosphene.signals import Signal
from phosphene.testing.demands import Demands, expect
from phosphene.testing.measuring import Measurement

PARTS = {"train", "val", "test"}
LOOKED_AT = 200
"""Trials of a subject."""


class DatasetCandidate:
    """A data set's settings, and the data set."""

    def __init__(self, config: DatasetConfig) -> None:
        self.config = config

    @cached_property
    def opened(self) -> Dataset:
        """The data set."""
        return self.config.open()

    @cached_property
    def trials(self) -> list[tuple[Onset, Signal]]:
        """The first trials of the first subject."""
        return list(islice(self.opened.trials(self.opened.subjects[0]), LOOKED_AT))

    def measurements(self) -> Iterator[Measurement]:
        """Yield how much was found."""
        yield Measurement("subjects", float(len(self.opened.subjects)), "")
        yield Measurement("images", float(len(self.opened.images)), "")


demands = Demands[DatasetCandidate]()


@demands()
def opens(candidate: DatasetCandidate) -> None:
    """It has subjects, who have trials."""
    expect(candidate.opened.subjects, "there is no subject in it")
    expect(candidate.trials, f"subject {candidate.opened.subjects[0]} has no trial")
    for subject in candidate.opened.subjects:
        checked_id(subject)


@demands(opens)
def signals_fit_the_spec(candidate: DatasetCandidate) -> None:
    """Signals are float32 in volts, with the spec's channels, and begin with their image."""
    n_channels = candidate.opened.spec.n_channels
    for onset, signal in candidate.trials:
        data = signal.data
        expect(data.dtype == np.float32, f"data must be float32; found {data.dtype}")
        expect(len(data) == n_channels, f"found {len(data)} channels; announced: {n_channels}")
        expect(abs(signal.stamps[0] - onset.time) < 1, f"signal and image {onset.image} are apart")


@demands(opens)
def in_order_of_time(candidate: DatasetCandidate) -> None:
    """Trials come in order of time, and their signals do not overlap."""
    for (before, signal), (after, later) in pairwise(candidate.trials):
        expect(before.time < after.time, f"{after.image} comes before {before.image}")
        expect(signal.stamps[-1] < later.stamps[0], f"the signal of {after.image} overlaps")


@demands(opens)
def images_by_name(candidate: DatasetCandidate) -> None:
    """Every trial shows an image of the list, of the class that the list says."""
    images = candidate.opened.images
    for onset, _ in candidate.trials:
        found = images.get(onset.image)
        expect(found == onset.wnid, f"{onset.image} is of {onset.wnid}; the list says {found}")
    expect(set(candidate.opened.parts.values()) <= PARTS, f"parts are {', '.join(sorted(PARTS))}")
