"""Which trials a network is trained on, and which decide when to stop."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from phosphene import Onset, TrainingSet

SHARE = 0.1
"""Of each class's images, where no run can be held out: the paper's 80/10/10 split."""

Index = NDArray[np.intp]


def hold_out(training_set: TrainingSet, rng: np.random.Generator) -> tuple[Index, Index, str]:
    """Return the indices of training and of validation trials, and what was held out.

    That is the last run, together with its images, if every class is trained and validated without
    it; or else a tenth of the images of each class: where class is nested in block or run, a
    held-out run would lack its classes. It may be empty if no class has two images.
    """
    trials = training_set.trials
    by_run = None if training_set.label else _last_run(trials)
    if by_run is not None:
        return *_indices(by_run, trials), "run"
    return *_indices(_some_images(trials, rng), trials), "images"


def _last_run(trials: Sequence[Onset]) -> NDArray[np.bool_] | None:
    runs = [(trial.phase, trial.run) for trial in trials]
    if len(set(runs)) < 2:
        return None
    held = np.array([run == max(runs) for run in runs])
    train, validation = _indices(held, trials)
    wnids = np.array([trial.wnid for trial in trials])
    complete = set(wnids[train]) == set(wnids[validation]) == set(wnids)
    return held if complete else None


def _some_images(trials: Sequence[Onset], rng: np.random.Generator) -> NDArray[np.bool_]:
    held: set[str] = set()
    for wnid in sorted({trial.wnid for trial in trials}):
        images = sorted({trial.image for trial in trials if trial.wnid == wnid})
        count = max(1, round(SHARE * len(images))) if len(images) > 1 else 0
        held.update(rng.permutation(images)[:count].tolist())
    return np.array([trial.image in held for trial in trials])


def _indices(held: NDArray[np.bool_], trials: Sequence[Onset]) -> tuple[Index, Index]:
    """Return training and validation trials; no image is on both sides."""
    images = {trial.image for trial, out in zip(trials, held, strict=True) if out}
    train = [i for i, trial in enumerate(trials) if not held[i] and trial.image not in images]
    return np.array(train, np.intp), np.flatnonzero(held)
