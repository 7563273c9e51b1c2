"""A5: when the class can be decoded, for a response begins after the image."""

import numpy as np
from numpy.typing import NDArray

from phosphene.analysis.audits.finding import Finding, Measured, not_applicable
from phosphene.analysis.audits.hits import blocks_are_pure, count
from phosphene.analysis.audits.material import Material
from phosphene.analysis.audits.reference import Decoded, cross_decode
from phosphene.analysis.metrics import accuracy, chance

STARTS = (-0.6, -0.4, -0.2, 0.0, 0.2, 0.4, 0.6)
"""Of the windows, in seconds from onset."""
WINDOW = 0.2
EARLY = slice(0, 3)
"""The windows that end before the image comes."""
LATE = slice(3, 5)
"""Those in which a response to it has its peak."""
SURE = 1.645
"""Standard errors by which it must be higher after the onset to be called so: one-sided 95 %."""

Curve = tuple[tuple[float, float, float, float], ...]


def lags(material: Material) -> Measured | Finding:
    """Return A5: the accuracy in windows of 200 ms around the onset.

    It fires if the class is decoded before the onset, and not better after it.
    """
    if material.nested or blocks_are_pure(material):
        return _unfit(
            "The images before and after are of the same class: their responses tell it at every "
            "lag, as a drift would."
        )
    windows = _decode(material)
    rows = windows[0].rows
    if not len(rows):
        return _unfit("No trial has a signal from 600 ms before its onset to 800 ms after it.")
    labels = np.array(material.wnids)[rows]
    right = np.array([window.labels == labels for window in windows])
    early = count(material, *windows[EARLY])
    locked = _clearly_positive(right[LATE].mean(axis=0) - right[EARLY].mean(axis=0))
    return Measured(
        "A5",
        "lags",
        "warning",
        "What is decoded is there before the image as much as after it: it is no response to it.",
        "The class is decoded better after the onset than before, as a response is."
        if locked
        else "The class is not decoded before the onset, nor clearly after it.",
        "accuracy before the onset",
        early.accuracy.fraction,
        early.accuracy.chance,
        early.accuracy.low,
        early.accuracy.high,
        1.0 if locked else early.p,
        curve=_curve(right, chance(labels.tolist())),
    )


def _unfit(reason: str) -> Finding:
    return not_applicable("A5", "lags", "warning", reason)


def _decode(material: Material) -> list[Decoded]:
    """Return the decodings of each window, all of the same trials."""
    absent = ~material.frames.covers(STARTS[0], STARTS[-1] + WINDOW)
    found = []
    for start in STARTS:
        features = material.frames.features(start, start + WINDOW)
        for each in features:
            each[absent] = np.nan
        found.append(cross_decode(features, material.wnids, material.folds))
    return found


def _clearly_positive(values: NDArray[np.float64]) -> bool:
    return bool(values.mean() > SURE * values.std() / np.sqrt(len(values)))


def _curve(right: NDArray[np.bool_], null: float) -> Curve:
    found = [accuracy(int(hits), right.shape[1], null) for hits in right.sum(axis=1)]
    return tuple(
        (start + WINDOW / 2, each.fraction, each.low, each.high)
        for start, each in zip(STARTS, found, strict=True)
    )
