"""All audits, in order, of one recording."""

from collections.abc import Callable

from phosphene.analysis.audits.clock import clock
from phosphene.analysis.audits.exemplars import exemplars
from phosphene.analysis.audits.eyes import eyes
from phosphene.analysis.audits.finding import Finding, Measured, conclude
from phosphene.analysis.audits.image_statistics import image_statistics
from phosphene.analysis.audits.lags import lags
from phosphene.analysis.audits.material import Material
from phosphene.analysis.audits.permutation import permutation
from phosphene.analysis.audits.prestimulus import prestimulus
from phosphene.analysis.audits.pseudo_blocks import pseudo_blocks
from phosphene.analysis.audits.random_split import random_split
from phosphene.analysis.audits.rest import rest
from phosphene.analysis.audits.sequence import sequence
from phosphene.analysis.audits.static_power import static_power

AUDITS: tuple[Callable[[Material], Measured | Finding], ...] = (
    clock,
    pseudo_blocks,
    random_split,
    rest,
    static_power,
    lags,
    prestimulus,
    exemplars,
    permutation,
    sequence,
    eyes,
    image_statistics,
)


def audit(material: Material) -> tuple[Finding, ...]:
    """Return what each audit found."""
    return conclude([each(material) for each in AUDITS], nested=material.nested)
