"""The decoder that audits use: fast, linear, and open to both ways in which a class can show.

One linear discriminant, whose covariance within classes is shrunk (Ledoit and Wolf, Journal of
Multivariate Analysis 88:365, 2004), reads the power of each channel, another one the waveform;
their log posteriors add up, as if the two were independent given the class.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from phosphene.analysis.audits.frames import Array, Features
from phosphene.analysis.splits import Fold

Labels = NDArray[np.str_]
FLOOR = 1e-6
"""Variance added within classes, of 1: a class of a single trial has none."""


@dataclass(frozen=True)
class Decoded:
    """What the reference decoder made of tested rows."""

    rows: NDArray[np.intp]
    classes: tuple[str, ...]
    scores: Array
    """Log posteriors but for a constant by row, (n_rows, n_classes)."""

    @property
    def labels(self) -> Labels:
        """The likeliest class by row."""
        return np.asarray(np.array(self.classes)[self.scores.argmax(axis=1)])


def score(train: Features, labels: Sequence[str], test: Features) -> tuple[tuple[str, ...], Array]:
    """Return classes and log posteriors, (n_test, n_classes), after fitting on ``train``."""
    classes = tuple(sorted(set(labels)))
    total = np.zeros((len(test[0]), len(classes)))
    for seen, unseen in zip(train, test, strict=True):
        total += _log_posteriors(seen, np.asarray(labels), unseen)
    return classes, total


def cross_decode(features: Features, labels: Sequence[str], folds: Sequence[Fold]) -> Decoded:
    """Return the decodings of every row that a fold tests; those of no fold are left out.

    Rows with a NaN neither train nor are tested.
    """
    known = ~np.any([np.isnan(each).any(axis=1) for each in features], axis=0)
    every = tuple(sorted(set(labels)))
    named = np.asarray(labels)
    rows, scores = [], []
    for fold in folds:
        train, test = fold.train[known[fold.train]], fold.test[known[fold.test]]
        if len(set(named[train])) < 2 or not len(test):
            continue
        classes, found = score(
            tuple(each[train] for each in features),
            named[train].tolist(),
            tuple(each[test] for each in features),
        )
        aligned = np.full((len(test), len(every)), -np.inf)
        aligned[:, [every.index(wnid) for wnid in classes]] = found
        rows.append(test)
        scores.append(aligned)
    if not rows:
        return Decoded(np.zeros(0, np.intp), every, np.zeros((0, len(every))))
    return Decoded(np.concatenate(rows), every, np.concatenate(scores))


def _log_posteriors(train: Array, labels: Labels, test: Array) -> Array:
    """Return log posteriors with equal priors, (n_test, n_classes)."""
    from sklearn.covariance import ledoit_wolf

    mean, spread = train.mean(axis=0), train.std(axis=0)
    scale = np.where(spread > 0, spread, 1.0)
    seen, unseen = (train - mean) / scale, (test - mean) / scale
    classes, index = np.unique(labels, return_inverse=True)
    means = np.stack([seen[index == number].mean(axis=0) for number in range(len(classes))])
    within, _ = ledoit_wolf(seen - means[index], assume_centered=True)
    weights = np.linalg.solve(within + FLOOR * np.eye(len(within)), means.T)
    found = unseen @ weights - (means.T * weights).sum(axis=0) / 2
    centred: Array = found - found.max(axis=1, keepdims=True)
    return np.asarray(centred - np.log(np.exp(centred).sum(axis=1, keepdims=True)))
