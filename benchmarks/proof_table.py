"""The cells of the proof: what was expected, what was found, and whether chance explains it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from scipy.stats import beta

Expected = Literal["fires", "silent", "quiet", "not applicable", "weak", "any"]
"""``quiet``: silent or, depending on what was decoded, not applicable; ``weak``: fires if there is
enough of it; ``any``: the rules do not say."""
ALPHA, POWER = 0.05, 0.8
"""How often a silent audit may fire, and how often one that must fire has to."""
CONFIDENCE = 0.999
"""Of the bounds that a cell is judged by: of some 300 cells less than one fails by accident."""
LETTERS: Mapping[Expected, str] = {
    "fires": "F", "silent": "s", "quiet": "s", "not applicable": "–", "weak": "w", "any": "?",
}  # fmt: skip


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
            case "quiet":
                return low > ALPHA
            case "fires":
                return high < POWER
        return False

    def __str__(self) -> str:
        letter, mark = LETTERS[self.expected], " **!**" if self.failed else ""
        if self.found.get("not applicable", 0) == self.n:
            return letter if letter == "–" else f"{letter} –{mark}"
        return f"{letter} {self.fired}/{self.n}{mark}"


def summary(cells: Sequence[Cell]) -> str:
    """Return how many cells were as expected, and each that was not."""
    wrong = [cell for cell in cells if cell.failed]
    lines = [f"{len(cells) - len(wrong)} of {len(cells)} cells as expected"]
    for cell in wrong:
        place = f"{cell.subject} x {cell.design} x {cell.audit}"
        lines.append(f"{place}: expected {cell.expected}, found {cell.found}")
    return "\n".join(lines)


def page(cells: Sequence[Cell], seeds: int, changed: str) -> str:
    """Return docs/proof.md; ``changed`` says what was expected otherwise at first, and why."""
    confidence = 100 * CONFIDENCE
    head = HEAD.format(seeds=seeds, summary=summary(cells), confidence=confidence, changed=changed)
    parts = [head]
    for design in dict.fromkeys(cell.design for cell in cells):
        parts.append(_table(design, [cell for cell in cells if cell.design == design]))
    return "\n".join(parts) + "\n"


def _table(design: str, cells: Sequence[Cell]) -> str:
    audits = sorted({cell.audit for cell in cells}, key=_place)
    found = {(cell.subject, cell.audit): str(cell) for cell in cells}
    lines = [f"## {design}", "", "| subject | " + " | ".join(audits) + " |"]
    lines.append("|---|" + "---|" * len(audits))
    for subject in dict.fromkeys(cell.subject for cell in cells):
        row = [found[subject, audit] for audit in audits]
        lines.append(f"| {subject} | " + " | ".join(row) + " |")
    return "\n".join([*lines, ""])


def _place(audit: str) -> tuple[int, str]:
    return (int(audit[1:]), "") if audit[1:].isdigit() else (99, audit)


HEAD = """# Proof of the audits

`make proof` writes this page: {seeds} recordings of each simulated subject under each design, 8
channels with EOG at 250 Hz, 5 classes, 200 trials, every audit of each. What each cell must be was
written down before the first run, in `benchmarks/proof_expected.py`; it follows from the rules of
the [audits](audits.md) and from what is in the [subjects](simulated-subject.md).

A cell says what was expected, and in how many recordings the audit fired: **F** it must fire (in
80 % or more), **s** it must be silent (fires in 5 % or fewer), **–** not applicable, **w** it fires
if there is enough of what it looks for, **?** the rules do not say. **!** marks a cell that chance
cannot explain: an exact binomial bound, one-sided, with {confidence:g} % confidence, lies on the
wrong side. The last column is any warning at all: the error of the whole family.

{changed}

{summary}
"""
