"""How surprising a count of hits is, when trials are exchangeable within blocks or only in blocks.

Decodings are fixed; only labels move. Whoever permutes labels across blocks of one class tests
whether blocks differ, which they always do.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from phosphene.events import Onset

N_PERMUTATIONS = 4999
"""So that p can be small enough to survive a correction for ten tests."""


def blocks_of(trials: Sequence[Onset]) -> NDArray[np.intp]:
    """Return the number of each trial's block, from 0 in order of appearance."""
    keys = [(trial.phase, trial.run, trial.block) for trial in trials]
    number = {key: index for index, key in enumerate(dict.fromkeys(keys))}
    return np.array([number[key] for key in keys], np.intp)


def blocks_are_pure(trials: Sequence[Onset]) -> bool:
    """Return whether every block shows one class only, so that the block is the unit."""
    shown: dict[int, set[str]] = {}
    for block, trial in zip(blocks_of(trials).tolist(), trials, strict=True):
        shown.setdefault(block, set()).add(trial.wnid)
    return all(len(wnids) == 1 for wnids in shown.values())


def permutation_p(
    labels: Sequence[str],
    decoded: Sequence[str],
    trials: Sequence[Onset],
    rng: np.random.Generator,
    n: int = N_PERMUTATIONS,
) -> tuple[float, float]:
    """Return p of as many hits or more, and the mean fraction of hits under permuted labels.

    Labels are permuted within each block; where every block has but one, whole blocks are permuted
    within their run. p counts the observed order as one of the permutations (Phipson and Smyth,
    Statistical Applications in Genetics and Molecular Biology 9:39, 2010).
    """
    shown, answered = _codes(labels, decoded)
    blocks, runs = blocks_of(trials), np.array([trial.run for trial in trials])
    observed = np.count_nonzero(shown == answered)
    draw = _permute_blocks if blocks_are_pure(trials) else _permute_within
    hits = np.array(
        [np.count_nonzero(draw(shown, blocks, runs, rng) == answered) for _ in range(n)]
    )
    p = (1 + np.count_nonzero(hits >= observed)) / (n + 1)
    return float(p), float(hits.mean() / len(shown))


def binomial_p(hits: int, n: int, chance: float) -> float:
    """Return the probability of as many hits or more, trials taken as independent."""
    from scipy.stats import binomtest

    return float(binomtest(hits, n, min(chance, 1.0), alternative="greater").pvalue)


def _codes(labels: Sequence[str], decoded: Sequence[str]) -> tuple[NDArray[np.intp], ...]:
    _, codes = np.unique(np.array([*labels, *decoded]), return_inverse=True)
    return codes[: len(labels)], codes[len(labels) :]


def _permute_within(
    shown: NDArray[np.intp],
    blocks: NDArray[np.intp],
    _runs: NDArray[np.intp],
    rng: np.random.Generator,
) -> NDArray[np.intp]:
    """Return labels permuted within blocks: sorted by block, and at random within."""
    order = np.argsort(blocks, kind="stable")
    mixed = np.lexsort((rng.random(len(blocks)), blocks))
    permuted = np.empty_like(shown)
    permuted[order] = shown[mixed]
    return permuted


def _permute_blocks(
    shown: NDArray[np.intp],
    blocks: NDArray[np.intp],
    runs: NDArray[np.intp],
    rng: np.random.Generator,
) -> NDArray[np.intp]:
    """Return the classes of whole blocks permuted within their runs."""
    _, first = np.unique(blocks, return_index=True)
    classes, run_of = shown[first], runs[first]
    mixed = np.empty_like(classes)
    mixed[np.argsort(run_of, kind="stable")] = classes[
        np.lexsort((rng.random(len(classes)), run_of))
    ]
    return np.asarray(mixed[blocks])
