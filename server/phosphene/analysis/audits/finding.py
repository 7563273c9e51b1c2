"""What an audit found, and what that amounts to when several are made of one recording."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import msgspec

from phosphene.analysis.metrics import CONFOUNDED

ALPHA = 0.05
"""Probability, over all tests of one recording together, that any of them fires by accident."""

Meaning = Literal["warning", "evidence", "information"]
"""What it is if an audit fires: a reason for doubt, a sign of decoding, or worth knowing."""
Verdict = Literal["fires", "silent", "not applicable"]


class Finding(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The result of one audit; as text it is complete."""

    audit: str
    """``A0`` to ``A14``."""
    name: str
    """In a word or two."""
    meaning: Meaning
    verdict: Verdict
    sentence: str
    """What was found, for somebody who has not read the documentation."""
    quantity: str = ""
    """What ``number`` is."""
    number: float | None = None
    null: float | None = None
    """What ``number`` would be if there were nothing to find."""
    low: float | None = None
    """Lower end of the 95 % interval of ``number``."""
    high: float | None = None
    p: float | None = None
    """Of this test alone."""
    p_corrected: float | None = None
    """After Holm's correction for all tests of the recording."""
    label: str = ""
    """``CONFOUNDED`` if ``number`` is an accuracy of a design in which class and time are one."""
    curve: tuple[tuple[float, float, float, float], ...] = ()
    """Where there is one: x, y and its interval."""

    def __str__(self) -> str:
        """Return verdict, sentence and numbers."""
        return " ".join(filter(None, [f"{self.audit} {self.name}: {self.verdict}.", *self._rest]))

    @property
    def _rest(self) -> list[str]:
        return [self.sentence, self.numbers, f"({self.label})" if self.label else ""]

    @property
    def numbers(self) -> str:
        """The number with everything that belongs to it, or nothing."""
        if self.number is None:
            return ""
        parts = [f"{self.quantity} {_three(self.number)}"]
        if self.null is not None:
            parts.append(f"null {_three(self.null)}")
        if self.low is not None and self.high is not None:
            parts.append(f"95 % interval {_three(self.low)} to {_three(self.high)}")
        if self.p is not None:
            parts.append(f"p {_small(self.p)}")
        if self.p_corrected is not None:
            parts.append(f"corrected {_small(self.p_corrected)}")
        return f"[{', '.join(parts)}]"


@dataclass(frozen=True)
class Measured:
    """An audit before the verdict, which depends on the others' p as well.

    Give ``p`` for a test, or else ``fires`` for what needs none.
    """

    audit: str
    name: str
    meaning: Meaning
    if_fires: str
    """Sentence."""
    if_silent: str
    quantity: str
    number: float
    null: float | None = None
    low: float | None = None
    high: float | None = None
    p: float | None = None
    fires: bool = False
    is_accuracy: bool = True
    """Whether ``number`` needs the label of a confounded design."""
    curve: tuple[tuple[float, float, float, float], ...] = ()


def not_applicable(audit: str, name: str, meaning: Meaning, reason: str) -> Finding:
    """Return the finding of an audit that this recording does not allow."""
    return Finding(audit, name, meaning, "not applicable", reason)


def conclude(results: Sequence[Measured | Finding], *, nested: bool) -> tuple[Finding, ...]:
    """Return findings in which all tests together fire by accident with probability ``ALPHA``.

    The correction is Holm's (Scandinavian Journal of Statistics 6:65, 1979), which holds however
    the tests depend on each other.
    """
    tests = [each for each in results if isinstance(each, Measured) and each.p is not None]
    values = _holm([float(each.p or 0.0) for each in tests])
    corrected = dict(zip(map(id, tests), values, strict=True))
    return tuple(
        each if isinstance(each, Finding) else _finding(each, corrected.get(id(each)), nested)
        for each in results
    )


def _finding(found: Measured, corrected: float | None, nested: bool) -> Finding:
    fires = found.fires if corrected is None else corrected <= ALPHA
    return Finding(
        found.audit,
        found.name,
        found.meaning,
        "fires" if fires else "silent",
        found.if_fires if fires else found.if_silent,
        found.quantity,
        _plain(found.number),
        _plain(found.null),
        _plain(found.low),
        _plain(found.high),
        _plain(found.p),
        corrected,
        CONFOUNDED if nested and found.is_accuracy else "",
        found.curve,
    )


def _plain(value: float | None) -> float | None:
    """Return what JSON can hold of numpy's numbers."""
    return None if value is None else float(value)


def _holm(values: Sequence[float]) -> list[float]:
    """Return corrected p values.

    >>> _holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    order = sorted(range(len(values)), key=values.__getitem__)
    corrected, highest = [0.0] * len(values), 0.0
    for rank, index in enumerate(order):
        highest = max(highest, min(1.0, (len(values) - rank) * values[index]))
        corrected[index] = highest
    return corrected


def _three(value: float) -> str:
    return f"{value:.3g}"


def _small(p: float) -> str:
    return "< 0.0001" if p < 1e-4 else f"= {p:.2g}"
