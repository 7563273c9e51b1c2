"""A10: how often permuted labels do as well, under the same decodings."""

from phosphene.analysis.audits.finding import Finding, Measured, not_applicable
from phosphene.analysis.audits.hits import count_permuted
from phosphene.analysis.audits.material import Material


def permutation(material: Material) -> Measured | Finding:
    """Return A10: the accuracy of the decoder under test, and its p by permutation."""
    if material.nested:
        reason = (
            "No valid permutation exists: each class has one stretch of time, so that labels "
            "cannot move without taking their time along."
        )
        return not_applicable("A10", "permutation", "evidence", reason)
    found = count_permuted(*material.tested, material.rng("A10"))
    return Measured(
        "A10",
        "permutation",
        "evidence",
        "The classes are decoded better than permuted labels would be.",
        "Permuted labels are decoded as well: no evidence of decoding.",
        "accuracy",
        found.accuracy.fraction,
        found.accuracy.chance,
        found.accuracy.low,
        found.accuracy.high,
        found.p,
    )
