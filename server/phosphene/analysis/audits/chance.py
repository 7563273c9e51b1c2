"""What audits need of blocks and of the binomial distribution."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from phosphene.design import block_of
from phosphene.events import Onset


def blocks_of(trials: Sequence[Onset]) -> NDArray[np.intp]:
    """Return the number of each trial's block, from 0 in order of appearance."""
    keys = list(map(block_of, trials))
    number = {key: index for index, key in enumerate(dict.fromkeys(keys))}
    return np.array([number[key] for key in keys], np.intp)


def binomial_p(hits: int, n: int, chance: float) -> float:
    """Return the probability of as many hits or more, trials taken as independent."""
    from scipy.stats import binomtest

    return float(binomtest(hits, n, min(chance, 1.0), alternative="greater").pvalue)
