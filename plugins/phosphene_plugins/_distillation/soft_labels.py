"""Soft labels: what a teacher that sees the images thinks of them, made soft by a temperature."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from phosphene import PhospheneError
from phosphene_plugins._calibration import softmax
from phosphene_plugins._distillation.settings import DistillationSettings

Array = NDArray[np.float64]
Index = NDArray[np.intp]

FOLDS = 5
C = 0.1
"""Inverse strength of the teacher's L2 penalty on standardised features."""
TEMPERATURES = (-10.0, 10.0)
"""Natural logarithm of the lowest and highest temperature that ``auto`` can find."""


@dataclass(frozen=True)
class SoftLabels:
    """Soft labels and where they come from."""

    probabilities: Array
    """(n_images, n_classes), at ``temperature``."""
    temperature: float
    accuracy: float
    """Of the teacher on images that it did not see."""

    @property
    def entropy(self) -> float:
        """Mean entropy in nats."""
        return mean_entropy(self.probabilities)


def make_soft_labels(
    features: Array, labels: Index, settings: DistillationSettings, rng: np.random.Generator
) -> SoftLabels:
    """Return the soft labels of images, from their features and their classes."""
    logits = cross_fitted_logits(features, labels, rng)
    accuracy = float((logits.argmax(axis=1) == labels).mean())
    temperature = settings.temperature
    if temperature == "auto":
        wanted = settings.entropy * np.log(logits.shape[1])
        temperature = find_temperature(logits, wanted)
    probabilities = softmax(logits / temperature)
    if settings.teacher == "class-mean":
        probabilities = class_means(probabilities, labels)
    if settings.teacher == "shuffled":
        probabilities = shuffled(probabilities, labels, rng)
    return SoftLabels(probabilities, temperature, accuracy)


def cross_fitted_logits(features: Array, labels: Index, rng: np.random.Generator) -> Array:
    """Return each image's logits from a linear softmax classifier that did not see it.

    ``PhospheneError`` if a class has a single image, which no other image could teach.
    """
    counts = np.bincount(labels)
    if counts.min() < 2:
        raise PhospheneError(
            "the teacher needs 2 different images or more of every class in training; found "
            f"{counts.min()} of one. Show more images, or choose the decoder plain-stft"
        )
    fold = _deal(labels, rng)
    logits = np.empty((len(labels), len(counts)))
    for number in np.unique(fold):
        test = fold == number
        logits[test] = _linear_softmax(features[~test], labels[~test], features[test])
    return logits


def find_temperature(logits: Array, entropy: float) -> float:
    """Return the temperature that gives the soft labels this mean entropy, by bisection."""
    low, high = TEMPERATURES
    for _ in range(60):
        middle = (low + high) / 2
        if mean_entropy(softmax(logits / np.exp(middle))) < entropy:
            low = middle
        else:
            high = middle
    return float(np.exp((low + high) / 2))


def mean_entropy(probabilities: Array) -> float:
    """Return the mean entropy of the rows, in nats."""
    logs = np.log(np.maximum(probabilities, np.finfo(np.float64).tiny))
    return float(-(probabilities * logs).sum(axis=1).mean())


def class_means(probabilities: Array, labels: Index) -> Array:
    """Return each image's class mean: what tells images of a class apart is gone."""
    means = np.stack([probabilities[labels == k].mean(axis=0) for k in range(labels.max() + 1)])
    return means[labels]


def shuffled(probabilities: Array, labels: Index, rng: np.random.Generator) -> Array:
    """Return the rows with the wrong classes' probabilities in random order.

    Entropy and confidence stay; what looks like what is gone.
    """
    result = probabilities.copy()
    for row, label in zip(result, labels, strict=True):
        wrong = np.arange(len(row)) != label
        row[wrong] = rng.permutation(row[wrong])
    return result


def of_trials(images: Sequence[str], trials: Sequence[str]) -> Index:
    """Return the row of each trial's image."""
    rows = {image: row for row, image in enumerate(images)}
    return np.array([rows[image] for image in trials], np.intp)


def _deal(labels: Index, rng: np.random.Generator) -> Index:
    """Return the fold of each image: the images of each class dealt out at random."""
    fold = np.empty(len(labels), np.intp)
    for label in np.unique(labels):
        members = rng.permutation(np.flatnonzero(labels == label))
        fold[members] = np.arange(len(members)) % FOLDS
    return fold


def _linear_softmax(features: Array, labels: Index, new: Array) -> Array:
    from sklearn.linear_model import LogisticRegression

    mean, scale = features.mean(axis=0), features.std(axis=0)
    scale[scale < 1e-12] = 1
    model = LogisticRegression(C=C, max_iter=2000).fit((features - mean) / scale, labels)
    scores: Array = model.decision_function((new - mean) / scale)
    # Of two classes scikit-learn gives the difference alone.
    return scores if scores.ndim == 2 else np.stack((-scores, scores), axis=1) / 2
