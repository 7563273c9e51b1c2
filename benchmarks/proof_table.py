"""The cells of the proof: what was expected, what was found, and whether chance explains it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from scipy.stats import beta

Expected = Literal["fires", "silent", "not applicable", "weak", "any"]
"""``weak``: fires if there is enough of it; ``any``: the rules do not say."""
ALPHA, POWER = 0.05, 0.8
"""How often a silent audit may fire, and how often one that must fire has to."""
CONFIDENCE = 0.999
"""Of the bounds that a cell is judged by: of some 300 cells less than one fails by accident."""
LETTERS = {"fires": "F", "silent": "s", "not applicable": "–"}


@dataclass(frozen=True)
class Cell:
    """One audit of one subject under one design."""

    subject: str
    design: str
    audit: str
    expected: Expected
    found: dict[str, int]
    """Recordings by verdict."""

    @property
    def n(self) -> int:
        """Recordings."""
        return sum(self.found.values())

    @property
    def fired(self) -> int:
        """Recordings in which it fired."""
        return self.found.get("fires", 0)

    @property
    def bounds(self) -> tuple[float, float]:
        """One-sided lower and upper bound of how often it fires (Clopper and Pearson, 1934)."""
        n, k, tail = self.n, self.fired, 1 - CONFIDENCE
        low = float(beta.ppf(tail, k, n - k + 1)) if k else 0.0
        high = float(beta.ppf(1 - tail, k + 1, n - k)) if k < n else 1.0
        return low, high

    @property
    def failed(self) -> bool:
        """Whether chance cannot explain what was found."""
        low, high = self.bounds
        unused = self.found.get("not applicable", 0)
        match self.expected:
            case "not applicable":
                return unused < self.n
            case "silent":
                return unused > 0 or low > ALPHA
            case "fires":
                return unused > 0 or high < POWER
        return False

    def __str__(self) -> str:
        if self.found.get("not applicable", 0) == self.n:
            return "–"
        return f"{self.fired}/{self.n}" + (" !" if self.failed else "")


def summary(cells: Sequence[Cell]) -> str:
    """Return how many cells were as expected, and each that was not."""
    wrong = [cell for cell in cells if cell.failed]
    lines = [f"{len(cells) - len(wrong)} of {len(cells)} cells as expected"]
    for cell in wrong:
        place = f"{cell.subject} x {cell.design} x {cell.audit}"
        lines.append(f"{place}: expected {cell.expected}, found {cell.found}")
    return "\n".join(lines)
