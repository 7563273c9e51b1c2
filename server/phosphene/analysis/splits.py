"""Which trials train and which test: never two sides of one run, one block or one image.

A design is *nested* if class and time are one variable in it. Whatever drifts then tells the class,
and no split can tell a drift from a response of the brain.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from phosphene.design import Shown, Unit, block_of, is_nested, run_of
from phosphene.errors import PhospheneError
from phosphene.events import Onset
from phosphene.suggestions import choices

__all__ = [
    "PUBLISHED",
    "Fold",
    "Shown",
    "default_split",
    "is_nested",
    "make_folds",
    "published_fold",
    "random_folds",
]

PUBLISHED = "published"
"""The split that came with an imported data set."""

N_TENTHS = 10
"""The paper trains on 80 % of the images, tests on 10 % and keeps 10 % for validation."""
NO_RANDOM = (
    "the split 'random' is for the audit of splits alone: it trains on trials right before and "
    "after the tested ones, so that whatever drifts is decoded together with the class, or against "
    "it; leave --split out for what the design allows"
)


class Fold(NamedTuple):
    """One round of training and testing."""

    train: NDArray[np.intp]
    """Indices of trials."""
    test: NDArray[np.intp]
    name: str


def default_split(trials: Sequence[Shown]) -> str:
    """Return the name of the split that a recording allows: by run, if not by block."""
    if is_nested(trials):
        return "paper"
    return "leave-one-run-out" if len(_units(trials, run_of)) > 1 else "leave-one-block-out"


def make_folds(name: str, trials: Sequence[Onset], seed: int = 0) -> tuple[Fold, ...]:
    """Return the folds of a split by name; ``PhospheneError`` if the design does not allow it."""
    if name == "random":
        raise PhospheneError(NO_RANDOM)
    if name not in SPLITS:
        raise PhospheneError(f"no split {name!r}{choices(name, SPLITS)}")
    return SPLITS[name](trials, seed)


def leave_one_run_out(trials: Sequence[Shown], _seed: int = 0) -> tuple[Fold, ...]:
    """Test each planned run on a decoder that saw neither the run nor any image of it.

    Raises ``PhospheneError`` for nested designs, for a single run, and if a class of the tested
    run would be missing from training.
    """
    return _leave_one_out(trials, "run", run_of)


def leave_one_block_out(trials: Sequence[Shown], _seed: int = 0) -> tuple[Fold, ...]:
    """Test each planned block on a decoder that saw neither it nor its images; errors as above."""
    return _leave_one_out(trials, "block", block_of)


def paper(trials: Sequence[Shown], seed: int = 0) -> tuple[Fold, ...]:
    """Test each tenth of every class's images on a decoder that saw eight others.

    This is the paper's one 80/10/10 split by image, repeated until every trial was tested once;
    the tenth behind the tested one is left out, as the paper left it out for validation.

    Raises ``PhospheneError`` if the design is not nested, or a class has fewer than 3 images.
    """
    if not is_nested(trials):
        raise PhospheneError(
            "the split 'paper' is for designs in which class and time are one variable; "
            f"this one allows {default_split(trials)!r}"
        )
    tenth = _tenths(trials, np.random.default_rng(seed))
    return tuple(
        Fold(
            np.flatnonzero((tenth != number) & (tenth != (number + 1) % N_TENTHS)),
            np.flatnonzero(tenth == number),
            f"part {number + 1}",
        )
        for number in sorted(set(tenth.tolist()))
    )


def random_folds(trials: Sequence[Shown], n_folds: int, seed: int = 0) -> tuple[Fold, ...]:
    """Deal the trials of each class out to folds at random, whatever their time and image.

    For the audit that shows what such a split makes of a drift; ``make_folds`` refuses it. Raises
    ``PhospheneError`` for fewer than two folds, or for a class with fewer than two trials.
    """
    counts = Counter(trial.wnid for trial in trials)
    if n_folds < 2 or min(counts.values(), default=0) < 2:
        raise PhospheneError(
            f"a random split needs at least 2 folds, and 2 trials of every class; found {n_folds} "
            f"folds, and {min(counts.values(), default=0)} trials of a class"
        )
    rng, wnids = np.random.default_rng(seed), np.array([trial.wnid for trial in trials])
    fold = np.empty(len(trials), np.intp)
    dealt = 0  # So that the folds are as large as each other, and not only of each class.
    for wnid in sorted(counts):
        rows = rng.permutation(np.flatnonzero(wnids == wnid))
        fold[rows] = (dealt + np.arange(len(rows))) % n_folds
        dealt += len(rows)
    return tuple(
        Fold(np.flatnonzero(fold != number), np.flatnonzero(fold == number), f"part {number + 1}")
        for number in sorted(set(fold.tolist()))
    )


def published_fold(trials: Sequence[Shown], parts: Mapping[str, str]) -> Fold:
    """Return the one round of a split by image that came with a data set.

    ``parts`` says ``train``, ``val`` or ``test`` by image. Raises ``PhospheneError`` if a part is
    empty.
    """
    found = np.array([parts.get(trial.image, "") for trial in trials])
    train, test = np.flatnonzero(found == "train"), np.flatnonzero(found == "test")
    if not (len(train) and len(test)):
        raise PhospheneError("no published split: import the data set with its file of splits")
    return Fold(train, test, "published split")


Split = Callable[[Sequence[Shown], int], tuple[Fold, ...]]
SPLITS: Mapping[str, Split] = {
    "leave-one-run-out": leave_one_run_out,
    "leave-one-block-out": leave_one_block_out,
    "paper": paper,
}


def _units(trials: Sequence[Shown], unit: Callable[[Shown], Unit]) -> list[Unit]:
    return sorted({unit(trial) for trial in trials})


def _leave_one_out(
    trials: Sequence[Shown], word: str, unit: Callable[[Shown], Unit]
) -> tuple[Fold, ...]:
    if is_nested(trials):
        raise PhospheneError(
            f"leave-one-{word}-out cannot be used here: some class was shown in one block or run "
            "only, so that it would be missing from training when that is left out; class and "
            "time are one variable in this design. Its only split is 'paper'"
        )
    units = _units(trials, unit)
    if len(units) < 2:
        raise PhospheneError(f"leave-one-{word}-out needs at least 2 {word}s; found {len(units)}")
    return tuple(_fold(trials, word, [unit(trial) == left for trial in trials]) for left in units)


def _fold(trials: Sequence[Shown], word: str, tested: Sequence[bool]) -> Fold:
    test = np.flatnonzero(tested)
    images = {trials[i].image for i in test}
    name = f"{word} {getattr(trials[test[0]], word)}"
    train = [i for i in np.flatnonzero(~np.array(tested)) if trials[i].image not in images]
    missing = {trials[i].wnid for i in test} - {trials[i].wnid for i in train}
    if missing:
        raise PhospheneError(
            f"{name} cannot be left out: elsewhere there is no other image of "
            f"{', '.join(sorted(missing))}; show every class, with different images, in at "
            f"least two {word}s"
        )
    return Fold(np.array(train, np.intp), test, name)


def _tenths(trials: Sequence[Shown], rng: np.random.Generator) -> NDArray[np.intp]:
    """Return the tenth of each trial, from 0: the images of each class dealt out at random."""
    images = defaultdict(list)
    for wnid, image in sorted({(trial.wnid, trial.image) for trial in trials}):
        images[wnid].append(image)
    if few := [wnid for wnid in images if len(images[wnid]) < 3]:
        raise PhospheneError(
            "the split 'paper' needs at least 3 images of every class; "
            f"found {len(images[few[0]])} of {few[0]}"
        )
    tenth = {
        image: number % N_TENTHS
        for dealt in images.values()
        for number, image in enumerate(rng.permutation(dealt).tolist())
    }
    return np.array([tenth[trial.image] for trial in trials], np.intp)
