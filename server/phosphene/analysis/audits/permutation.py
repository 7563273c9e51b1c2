"""A10: how often permuted labels do as well, under the same decodings."""

from phosphene.analysis.audits.chance import permutation_p
from phosphene.analysis.audits.finding import Finding, Measured, not_applicable
from phosphene.analysis.audits.material import Material
from phosphene.analysis.metrics import accuracy


def permutation(material: Material) -> Measured | Finding:
    """Return A10: the accuracy of the decoder under test, and its p by permutation."""
    if material.nested:
        reason = (
            "No valid permutation exists: each class has one stretch of time, so that labels "
            "cannot move without taking their time along."
        )
        return not_applicable("A10", "permutation", "evidence", reason)
    trials, decoded = material.tested
    labels = [trial.wnid for trial in trials]
    p, null = permutation_p(labels, decoded, trials, material.rng("A10"))
    hits = sum(a == b for a, b in zip(labels, decoded, strict=True))
    found = accuracy(hits, len(labels), null)
    return Measured(
        "A10",
        "permutation",
        "evidence",
        "The classes are decoded better than permuted labels would be.",
        "Permuted labels are decoded as well: no evidence of decoding.",
        "accuracy",
        found.fraction,
        null,
        found.low,
        found.high,
        p,
    )
