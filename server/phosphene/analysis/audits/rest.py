"""A3: whether the class of a block is there before the block."""

import numpy as np
from numpy.typing import NDArray

from phosphene.analysis.audits.finding import Finding, Measured, not_applicable
from phosphene.analysis.audits.frames import Features
from phosphene.analysis.audits.material import REST, RESTED, TMAX, TMIN, Material, Rests
from phosphene.analysis.audits.reference import score
from phosphene.analysis.permutation import AT_ONCE, N_PERMUTATIONS

MIN_PAUSES = 4
"""Fewer have too few orders for any of them to be surprising."""


def rest(material: Material) -> Measured | Finding:
    """Return A3: how often the end of a pause is decoded as the class that comes *next*.

    A decoder of all images decodes the last 5 s of each pause in pieces of 0.5 s. What an image
    leaves behind looks like the class before; only what changes slowly looks like the next. Pauses
    are the units: their next classes change places.
    """
    if not material.nested:
        reason = "Every block shows several classes, or every class has several blocks."
        return not_applicable("A3", "rest", "warning", reason)
    if material.rests is None:
        return not_applicable("A3", "rest", "warning", "There are no pauses to look at.")
    classes, answers = _decode(material, material.rests)
    known: NDArray[np.bool_] = answers.sum(axis=1) > 0
    if np.count_nonzero(known) < MIN_PAUSES:
        reason = f"It takes at least {MIN_PAUSES} pauses; there are {np.count_nonzero(known)}."
        return not_applicable("A3", "rest", "warning", reason)
    shares = answers[known] / answers[known].sum(axis=1, keepdims=True)
    column = {wnid: index for index, wnid in enumerate(classes)}
    following = np.array([column[wnid] for wnid in material.rests.after], np.intp)[known]
    hits = shares[np.arange(len(shares)), following]
    p, null = _exchanged(shares, following, material.rng("A3"))
    reach = _reach(hits)
    return Measured(
        "A3",
        "rest",
        "warning",
        "The pause before a block is decoded as the block's class, before any image of it: "
        "something that changes slowly is decoded.",
        "The pauses before the blocks do not tell what comes next; that exonerates nothing.",
        "accuracy of the next class",
        float(hits.mean()),
        null,
        max(0.0, float(hits.mean()) - reach),
        min(1.0, float(hits.mean()) + reach),
        p,
    )


def _decode(material: Material, rests: Rests) -> tuple[tuple[str, ...], NDArray[np.float64]]:
    """Return the classes, and how many pieces of each pause are decoded as each."""
    seen = material.frames.features(TMIN, TMAX)
    known = ~np.isnan(seen[0]).any(axis=1)
    labels = np.array(material.wnids)[known].tolist()
    train = tuple(each[known] for each in seen)
    answers = None
    for start in np.arange(-REST, -RESTED / 2, RESTED):
        piece = rests.frames.features(float(start), float(start) + RESTED)
        classes, counts = _answers(train, labels, piece)
        answers = counts if answers is None else answers + counts
    assert answers is not None  # noqa: S101  There are ten pieces.
    return classes, answers


def _answers(
    train: Features, labels: list[str], piece: Features
) -> tuple[tuple[str, ...], NDArray[np.float64]]:
    """Return 1 for the class that each pause's piece is decoded as; nothing where it has gaps."""
    known = np.asarray(~np.isnan(piece[0]).any(axis=1))
    counts = np.zeros((len(known), len(set(labels))))
    if not known.any():
        return tuple(sorted(set(labels))), counts
    classes, scores = score(train, labels, tuple(each[known] for each in piece))
    counts[np.flatnonzero(known), scores.argmax(axis=1)] = 1
    return classes, counts


def _exchanged(
    shares: NDArray[np.float64], following: NDArray[np.intp], rng: np.random.Generator
) -> tuple[float, float]:
    """Return p and mean of the hits when the next classes of the pauses change places."""
    rows = np.arange(len(shares))
    observed, found = shares[rows, following].sum(), []
    for start in range(0, N_PERMUTATIONS, AT_ONCE):
        n = min(AT_ONCE, N_PERMUTATIONS - start)
        mixed = rng.permuted(np.tile(following, (n, 1)), axis=1)
        found.append(shares[rows, mixed].sum(axis=1))
    every = np.concatenate(found)
    p = (1 + np.count_nonzero(every >= observed - 1e-9)) / (1 + len(every))
    return float(p), float(every.mean() / len(shares))


def _reach(hits: NDArray[np.float64]) -> float:
    """Return half the 95 % interval: Student's t over pauses."""
    from scipy.stats import t

    return float(t.ppf(0.975, len(hits) - 1) * hits.std(ddof=1) / np.sqrt(len(hits)))
