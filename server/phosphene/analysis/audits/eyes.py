"""A13: whether the eyes alone tell the class."""

from phosphene.analysis.audits.finding import Finding, Measured, not_applicable
from phosphene.analysis.audits.hits import count
from phosphene.analysis.audits.material import TMAX, TMIN, Material
from phosphene.analysis.audits.reference import cross_decode


def eyes(material: Material) -> Measured | Finding:
    """Return A13: the class from the EOG channels, decoded as the reference decoder does from EEG.

    Eyes that still look where the image before drew them tell a class as well: a guess that knows
    the block only is what hits are compared with. In nested designs a drift of the EOG channels
    fires, too.
    """
    if material.eyes is None:
        return not_applicable("A13", "eyes", "warning", "There is no EOG channel.")
    decoded = cross_decode(material.eyes.features(TMIN, TMAX), material.wnids, material.folds)
    if not len(decoded.rows):
        return not_applicable("A13", "eyes", "warning", "No trial has a whole EOG signal.")
    found = count(material, decoded, known="nothing")
    return Measured(
        "A13",
        "eyes",
        "warning",
        "The EOG channels alone tell the class: so may eye movements and blinks that reach the "
        "EEG, or brain activity that reaches the eyes.",
        "The EOG channels alone do not tell the class.",
        "accuracy",
        found.accuracy.fraction,
        found.accuracy.chance,
        found.accuracy.low,
        found.accuracy.high,
        found.p,
    )
