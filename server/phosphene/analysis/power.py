"""How many trials it takes to see that an accuracy is above chance."""

from dataclasses import dataclass

ALPHA, POWER = 0.05, 0.8
LARGEST = 10**6
"""Test trials beyond which no session goes."""


@dataclass(frozen=True)
class Question:
    """What is to be shown, and how surely."""

    classes: int
    expected: float
    """True accuracy, a fraction."""
    power: float = POWER
    """Probability of seeing it."""
    alpha: float = ALPHA
    """Probability of seeing it where there is nothing, one-sided."""

    def __post_init__(self) -> None:
        """Refuse what has no answer."""
        if self.classes < 2:
            raise ValueError(f"classes must be at least 2; found {self.classes}")
        if not self.chance < self.expected < 1:
            raise ValueError(
                f"the expected accuracy must lie between chance, {self.chance:.4g}, and 1; found "
                f"{self.expected:g}"
            )
        for name, value in (("power", self.power), ("alpha", self.alpha)):
            if not 0 < value < 1:
                raise ValueError(f"{name} must lie between 0 and 1; found {value:g}")

    @property
    def chance(self) -> float:
        """Accuracy of guessing."""
        return 1 / self.classes


def power_of(question: Question, n: int) -> float:
    """Return the power of the exact binomial test with ``n`` independent test trials."""
    from scipy.stats import binom

    # The fewest hits that are significant: P(hits or more by chance) <= alpha.
    fewest = int(binom.isf(question.alpha, n, question.chance)) + 1
    return float(binom.sf(fewest - 1, n, question.expected))


def trials_needed(question: Question) -> int:
    """Return the fewest test trials from which on the power suffices.

    It rises in teeth, because hits are whole: from this number on no tooth falls below. Raises
    ``ValueError`` if a million would not do.
    """
    import numpy as np
    from scipy.stats import binom

    upper = 64
    while min(power_of(question, n) for n in (upper, upper + 1)) < 0.5 + question.power / 2:
        upper *= 2
        if upper > LARGEST:
            raise ValueError(f"more than {LARGEST} test trials would be needed")
    n = np.arange(1, upper + 1)
    fewest = binom.isf(question.alpha, n, question.chance) + 1
    weak = n[binom.sf(fewest - 1, n, question.expected) < question.power]
    return int(weak[-1]) + 1 if len(weak) else 1
