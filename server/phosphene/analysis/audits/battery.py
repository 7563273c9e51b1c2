"""All audits, in order, of one recording."""

from collections.abc import Callable

from phosphene.analysis.audits.clock import clock
from phosphene.analysis.audits.exemplars import exemplars
from phosphene.analysis.audits.finding import Finding, Measured, conclude
from phosphene.analysis.audits.material import Material
from phosphene.analysis.audits.permutation import permutation

AUDITS: tuple[Callable[[Material], Measured | Finding], ...] = (
    clock,
    exemplars,
    permutation,
)


def audit(material: Material) -> tuple[Finding, ...]:
    """Return what each audit found."""
    return conclude([each(material) for each in AUDITS], nested=material.nested)
