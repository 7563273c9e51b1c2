"""How alike pictures and the images that were seen are, in numbers that carry their chance."""

from collections.abc import Iterator, Sequence
from math import comb

import msgspec
import numpy as np
from numpy.typing import NDArray

from phosphene.analysis.metrics import CONFIDENCE

Array = NDArray[np.float64]

WAYS = (2, 10, 50)
"""Candidates that others report; all classes of the trials are added."""
TOP_5 = 20
"""Candidates from which on top-5 says something."""
PERMUTATIONS = 10_000
TIE = 1e-9
"""Cosines closer than this are equal; they differ by the rounding of 64 bits alone."""


class Identification(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How often a picture finds the image that was seen among images of other classes."""

    n: int
    """Candidates: the image that was seen, and one image of each of ``n - 1`` other classes."""
    k: int
    """It is found if it is among the ``k`` that are most like the picture."""
    fraction: float
    """Mean over the pictures of the probability to find it: see ``identified``."""
    n_pictures: int
    chance: float
    """k / n."""
    shuffled: float
    """The fraction if all pictures of the session are shuffled over its trials, on average. It is
    ``chance`` where every class was seen equally often."""
    low: float
    """Lower end of the 95 % interval: see ``interval_of_fractions``."""
    high: float
    p: float | None
    """Share of the shuffles that reach the fraction; None for a part of the trials."""
    label: str = ""
    """``metrics.CONFOUNDED`` if the decoding is no evidence; part of the text."""

    def __str__(self) -> str:
        fraction, chance, shuffled, low, high = (
            f"{100 * value:.1f}"
            for value in (self.fraction, self.chance, self.shuffled, self.low, self.high)
        )
        text = (
            f"{self.n}-way top-{self.k} identification {fraction} % of {self.n_pictures} pictures "
            f"(chance {chance} %, shuffled over trials {shuffled} %, "
            f"95 % interval {low} to {high} %{_p(self.p)})"
        )
        return f"{text}: {self.label}" if self.label else text


class Similarity(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How alike pictures and the images that were seen are: mean cosine of their vectors."""

    mean: float
    n_pictures: int
    shuffled: float
    """The mean if all pictures of the session are shuffled over its trials: its chance level."""
    same_class: float | None
    """The mean cosine with other images of the class that was seen; None if none was shown. What
    lies above it is more than the class."""
    low: float
    """Lower end of the 95 % interval of the mean over pictures (Student's t)."""
    high: float
    p: float | None
    """Share of the shuffles that reach the mean; None for a part of the trials."""
    label: str = ""

    def __str__(self) -> str:
        class_ = "" if self.same_class is None else f"same class {self.same_class:.3f}, "
        text = (
            f"similarity {self.mean:.3f} over {self.n_pictures} pictures "
            f"(chance, shuffled over trials, {self.shuffled:.3f}, {class_}"
            f"95 % interval {self.low:.3f} to {self.high:.3f}{_p(self.p)})"
        )
        return f"{text}: {self.label}" if self.label else text


class PictureScores(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Both measures of some of the pictures."""

    identification: tuple[Identification, ...]
    similarity: Similarity


class Compared:
    """All pictures of a session compared with the images of all its trials.

    Distractors are images that other trials showed: seen and other images come from one pool, so
    that pictures that know nothing are at chance. From outside it they would be above, because
    the pictures are of the classes that were shown.
    """

    def __init__(
        self,
        wnids: Sequence[str],
        images: Sequence[str],
        cosines: Array,
        rng: np.random.Generator,
        label: str = "",
    ) -> None:
        """Take class and image by trial, and cosines of shape (trial's image, trial's picture)."""
        self._wnids, self._images = np.array(wnids), np.array(images)
        self._cosines, self._label = cosines, label
        ways = list(_ways(len(set(wnids))))
        closer = _closer(self._wnids, cosines, rng)
        scores = [_identified_by_count(len(set(wnids)) - 1, n, k)[closer] for n, k in ways]
        self._scores = dict(zip(ways, scores, strict=True))
        self._p = _permuted([*scores, cosines], rng)

    def scores(self, of: NDArray[np.bool_] | None = None) -> PictureScores:
        """Return both measures, of all trials or of some."""
        some = np.ones(len(self._wnids), bool) if of is None else of
        p_values: list[float | None] = [None if of is not None else p for p in self._p]
        identification = tuple(
            self._identification(n, k, some, p)
            for (n, k), p in zip(self._scores, p_values[:-1], strict=True)
        )
        return PictureScores(identification, self._similarity(some, p_values[-1]))

    def _identification(
        self, n: int, k: int, some: NDArray[np.bool_], p: float | None
    ) -> Identification:
        every = self._scores[n, k]
        own = np.diagonal(every)[some]
        low, high = interval_of_fractions(own)
        fraction, shuffled = float(own.mean()), float(every.mean())
        return Identification(n, k, fraction, len(own), k / n, shuffled, low, high, p, self._label)

    def _similarity(self, some: NDArray[np.bool_], p: float | None) -> Similarity:
        own = np.diagonal(self._cosines)[some]
        low, high = interval_of_cosines(own)
        alike = (self._wnids[:, np.newaxis] == self._wnids) & some
        alike &= self._images[:, np.newaxis] != self._images
        same_class = float(self._cosines[alike].mean()) if alike.any() else None
        mean, shuffled = float(own.mean()), float(self._cosines.mean())
        return Similarity(mean, len(own), shuffled, same_class, low, high, p, self._label)


def identified(n_closer: int, n_others: int, n: int, k: int) -> float:
    """Return the probability that an image is among the ``k`` likest of ``n`` candidates.

    ``n_closer`` of ``n_others`` distractors are at least as like the picture; ``n - 1`` of them
    are drawn without replacement, so that the closer ones among those follow the hypergeometric
    distribution. It is what the sampling that is usual converges to.
    """
    drawn, n_farther = n - 1, n_others - n_closer
    found = sum(comb(n_closer, j) * comb(n_farther, drawn - j) for j in range(min(k, n)))
    return found / comb(n_others, drawn)


def interval_of_fractions(values: Array) -> tuple[float, float]:
    """Return the 95 % interval of the mean of values from 0 to 1.

    Clopper and Pearson's (see ``metrics.accuracy``) with the sum of the values as the number of
    hits: exact if all are 0 or 1, else too wide, since no values of that mean vary more than hits.
    A bootstrap would call a few perfect pictures certain.
    """
    from scipy.stats import beta

    n, total, tail = len(values), float(values.sum()), (1 - CONFIDENCE) / 2
    low = beta.ppf(tail, total, n - total + 1) if total > 0 else 0.0
    high = beta.ppf(1 - tail, total + 1, n - total) if total < n else 1.0
    return float(low), float(high)


def interval_of_cosines(values: Array) -> tuple[float, float]:
    """Return the 95 % interval of the mean cosine (Student's t); -1 to 1 for a single one."""
    from scipy.stats import t

    n = len(values)
    if n < 2:
        return -1.0, 1.0
    half = t.ppf((1 + CONFIDENCE) / 2, n - 1) * values.std(ddof=1) / np.sqrt(n)
    return max(-1.0, float(values.mean() - half)), min(1.0, float(values.mean() + half))


def _ways(n_classes: int) -> Iterator[tuple[int, int]]:
    """Yield the n and k that so many classes allow."""
    for n in sorted({*WAYS, n_classes}):
        if n <= n_classes:
            yield n, 1
            if n >= TOP_5:
                yield n, 5


def _closer(wnids: NDArray[np.str_], cosines: Array, rng: np.random.Generator) -> NDArray[np.intp]:
    """Return how many other classes have an image at least as like the picture: (trial, picture).

    For each trial an image of each other class is drawn from the trials that showed one.
    """
    classes = {wnid: np.flatnonzero(wnids == wnid) for wnid in sorted(set(wnids.tolist()))}
    counts = []
    for trial, own in enumerate(wnids):
        others = [rng.choice(shown) for wnid, shown in classes.items() if wnid != own]
        counts.append((cosines[others] >= cosines[trial] - TIE).sum(axis=0))
    return np.stack(counts)


def _identified_by_count(n_others: int, n: int, k: int) -> Array:
    return np.array([identified(count, n_others, n, k) for count in range(n_others + 1)])


def _permuted(matrices: Sequence[Array], rng: np.random.Generator) -> list[float]:
    """Return the p of the mean diagonal of each matrix: pictures (columns) shuffled over trials.

    Phipson and Smyth, Stat. Appl. Genet. Mol. Biol. 9:39 (2010): the order that was found counts.
    """
    every = np.stack(matrices)
    trials = np.arange(every.shape[1])
    found = every[:, trials, trials].mean(axis=1)
    reached = np.ones(len(every))
    for _ in range(PERMUTATIONS):
        reached += every[:, trials, rng.permutation(trials)].mean(axis=1) >= found - TIE
    return [float(count) / (1 + PERMUTATIONS) for count in reached]


def _p(value: float | None) -> str:
    return "" if value is None else f", p = {value:.2g}"
