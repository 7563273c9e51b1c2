"""Evidence: the decodings of a trial's repetitions add up until they decide, or do not."""

from collections.abc import Sequence

import numpy as np

from phosphene.errors import PhospheneError
from phosphene.messages import Verdict

FLOOR = 1e-12
"""Least probability of one decoding: no single one may rule a class out for good."""


class Evidence:
    """Adds log posteriors of one trial's decodings, from equal odds for all its classes.

    With a threshold it is a sequential test with as many hypotheses as classes: the first one
    whose posterior reaches the threshold is decided for (Baum and Veeravalli, IEEE Trans. Inf.
    Theory 40:1994 (1994)); after ``repetitions`` without one there is no decision. Without a
    threshold the likeliest class after all ``repetitions`` is it, or none if several are equally
    likely: a decoder that knows nothing shall not seem to mean the first class.

    A prior that a decoder has learnt is in each of its decodings, and counts as often. It is not
    divided out: not every decoder has one, and what it is fitted on has every class equally often
    by design of ``record``. Feedback runs that end a trial early show more images of classes that
    are hard to decide; a decoder retrained on them is judged by its log score, prior and all.
    """

    def __init__(self, classes: Sequence[str], threshold: float | None, repetitions: int) -> None:
        self._classes = classes
        self._threshold = threshold
        self._repetitions = repetitions
        self._logs = np.zeros(len(classes))
        self.n = 0
        """Epochs so far, with those that were skipped."""

    @property
    def posterior(self) -> tuple[float, ...]:
        """Probability by class, in the order of ``classes``."""
        odds = np.exp(self._logs - self._logs.max())
        return tuple(float(p) for p in odds / odds.sum())

    def add(self, known: Sequence[str], probabilities: Sequence[float]) -> Verdict | None:
        """Take in one decoding, columns by ``known``; return the verdict once there is one.

        Raises ``PhospheneError`` for a class that the decoder does not know.
        """
        if lacking := [wnid for wnid in self._classes if wnid not in known]:
            raise PhospheneError(f"the decoder does not know the classes {', '.join(lacking)}")
        of = dict(zip(known, probabilities, strict=True))
        # In this order a NaN becomes the floor as well.
        self._logs += np.log([max(FLOOR, of[wnid]) for wnid in self._classes])
        self.n += 1
        return self._verdict()

    def skip(self) -> Verdict | None:
        """Take in an epoch that was rejected: it counts, and says nothing."""
        self.n += 1
        return self._verdict()

    def _verdict(self) -> Verdict | None:
        last = self.n >= self._repetitions
        if self._threshold is None and not last:
            return None
        posterior = self.posterior
        highest = max(posterior)
        enough = last if self._threshold is None else highest >= self._threshold
        decided = enough and posterior.count(highest) == 1
        if not (decided or last):
            return None
        wnid = self._classes[posterior.index(highest)] if decided else ""
        return Verdict(wnid, self.n, posterior)
