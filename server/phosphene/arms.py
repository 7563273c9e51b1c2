"""The arms of an experiment with sham feedback: which blocks are answered by other decodings."""

from collections import deque
from collections.abc import Sequence
from typing import Literal

import numpy as np

from phosphene.feedback_table import Arm
from phosphene.messages import Verdict


def assign(n_blocks: int, sham: Literal["never", "blocks", "session"], seed: int) -> list[Arm]:
    """Return the arm of each block.

    Blocks are assigned in pairs of one true and one sham in random order, so that neither arm
    has the earlier blocks; a session is assigned as a whole by the toss of a coin.
    """
    rng = np.random.default_rng((seed, *b"arms"))
    pair: list[Arm] = ["true", "sham"]
    if sham == "never":
        return ["true"] * n_blocks
    if sham == "session":
        return [pair[rng.integers(2)]] * n_blocks
    pairs = [pair[i] for _ in range(0, n_blocks, 2) for i in rng.permutation(2)]
    return pairs[:n_blocks]


class Donors:
    """Whose verdicts answer the trials of a block that is not answered by its own.

    A shuffle of the very block that is running would need decodings that do not exist yet. So it
    is the last complete block with true feedback, shuffled: the same classes as often, the same
    repetitions, no relation to what is seen now. Before there is one, trials that were simulated
    from decodings of the recording stand in for it.
    """

    def __init__(self, classes: Sequence[str], repetitions: int, seed: int) -> None:
        self._rng = np.random.default_rng((seed, *b"donors"))
        self._classes = classes
        self._repetitions = repetitions
        self._simulated: Sequence[Verdict] = ()
        self._block: Sequence[Verdict] = ()

    def simulated(self, verdicts: Sequence[Verdict]) -> None:
        """Take in simulated trials."""
        self._simulated = verdicts

    def block(self, verdicts: Sequence[Verdict]) -> None:
        """Take in the verdicts of a complete block with true feedback."""
        self._block = verdicts or self._block

    def shuffled(self, n_trials: int) -> deque[Verdict]:
        """Return a verdict for each trial of a block."""
        source = self._block or self._simulated or [self._guess() for _ in range(n_trials)]
        order: list[int] = []
        while len(order) < n_trials:
            order += self._rng.permutation(len(source)).tolist()
        return deque(source[i] for i in order[:n_trials])

    def _guess(self) -> Verdict:
        even = (1 / len(self._classes),) * len(self._classes)
        wnid = self._classes[int(self._rng.integers(len(self._classes)))]
        return Verdict(wnid, self._repetitions, even)
