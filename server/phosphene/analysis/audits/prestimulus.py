"""A6: whether the class is there before the image is."""

from phosphene.analysis.audits.finding import Finding, Measured, not_applicable
from phosphene.analysis.audits.hits import blocks_are_pure, count
from phosphene.analysis.audits.material import Material
from phosphene.analysis.audits.neighbours import shortest_gap
from phosphene.analysis.audits.reference import cross_decode

TMIN, TMAX = -0.2, 0.0
"""Seconds from onset. Nothing that comes later reaches back: the frames' filters are causal."""
TOLERANCE = 0.02
"""Seconds that a gap may be shorter, for flips come on whole frames."""


def prestimulus(material: Material) -> Measured | Finding:
    """Return A6: the class from the 200 ms before the onset.

    Without a gap these hold the response to the image before, which says in a mixed design only
    what is still to come; a guess that knows as much is what hits are compared with.
    """
    gap = shortest_gap(material.trials)
    alone = material.nested or blocks_are_pure(material)
    if alone and gap < TMAX - TMIN - TOLERANCE:
        return _unfit(
            "Each image comes right after another one of its class: before its onset there is the "
            "response to that."
        )
    decoded = cross_decode(material.frames.features(TMIN, TMAX), material.wnids, material.folds)
    if not len(decoded.rows):
        return _unfit("There is no signal from the 200 ms before the images.")
    found = count(material, decoded)
    return Measured(
        "A6",
        "prestimulus",
        "warning",
        "The class is there before the image is: something else than the response to it tells it.",
        "Before the image the class is not there.",
        "accuracy",
        found.accuracy.fraction,
        found.accuracy.chance,
        found.accuracy.low,
        found.accuracy.high,
        found.p,
    )


def _unfit(reason: str) -> Finding:
    return not_applicable("A6", "prestimulus", "warning", reason)
