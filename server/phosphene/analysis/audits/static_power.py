"""A4: how much of an accuracy power alone explains, without any course in time."""

import numpy as np
from numpy.typing import NDArray

from phosphene.analysis.audits.chance import binomial_p
from phosphene.analysis.audits.finding import Finding, Measured, not_applicable
from phosphene.analysis.audits.material import TMAX, TMIN, Material
from phosphene.analysis.audits.reference import cross_decode
from phosphene.analysis.metrics import accuracy, chance

MOST = 0.8
"""Share of a decoder's accuracy above chance that is most of it."""
N_RESAMPLES = 2000


def static_power(material: Material) -> Measured | Finding:
    """Return A4: accuracy above chance of one number a channel, over that of the decoder.

    The number is the log power of 14-70 Hz while the image is there; a linear discriminant reads
    it. In a mixed design power is as good a code as any; in a nested one it is what drifts. The
    interval is that of the ratio when trials are drawn again (percentile bootstrap).
    """
    trials, decoded = material.tested
    power = material.frames.features(TMIN, TMAX)[:1]
    static = cross_decode(power, material.wnids, material.folds)
    answers = {material.trials[row].seq: static.labels[i] for i, row in enumerate(static.rows)}
    both = [i for i, trial in enumerate(trials) if trial.seq in answers]
    shown = np.array([trials[i].wnid for i in both])
    ours = np.array([decoded[i] for i in both]) == shown
    plain = np.array([answers[trials[i].seq] for i in both]) == shown
    null = chance(shown.tolist()) if len(shown) else 1.0
    found = accuracy(int(ours.sum()), max(1, len(ours)), null)
    if not found.low > null:
        reason = "The decoder is not above chance: there is nothing to explain."
        return not_applicable("A4", "static power", "warning", reason)
    ratio = (plain.mean() - null) / (ours.mean() - null)
    low, high = _interval(plain, ours, null, material.rng("A4"))
    p = binomial_p(found.n_correct, found.n_trials, null) if ratio >= MOST else 1.0
    return Measured(
        "A4",
        "static power",
        "warning",
        "Power alone, one number a channel, explains most of the accuracy: it needs no response to "
        "an image, and drifts.",
        "Power alone explains part of the accuracy; in this design that is no fault."
        if not material.nested
        else "Power alone does not explain most of the accuracy.",
        "share of the accuracy above chance",
        float(ratio),
        None,
        low,
        high,
        p if material.nested else None,
        is_accuracy=material.nested,
    )


def _interval(
    plain: NDArray[np.bool_], ours: NDArray[np.bool_], null: float, rng: np.random.Generator
) -> tuple[float, float]:
    drawn = rng.integers(0, len(ours), (N_RESAMPLES, len(ours)))
    above = ours[drawn].mean(axis=1) - null
    ratios = (plain[drawn].mean(axis=1) - null) / np.where(above > 0, above, np.nan)
    low, high = np.nanpercentile(ratios, (2.5, 97.5))
    return float(low), float(high)
