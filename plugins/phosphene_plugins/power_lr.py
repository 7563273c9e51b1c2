"""``power-lr``: logistic regression on the power of each channel.

The simplest decoder that works, and a warning: in a block design it scores nearly what the paper's
network does (36 % against 41 %; arXiv 2309.07149, Table 1), because all it needs is slow drift.
"""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from phosphene import (
    Context,
    Decoder,
    DecoderConfig,
    Decoding,
    Epochs,
    PhospheneError,
    TrainingSet,
    hookimpl,
)

Array = NDArray[np.float64]
ROUNDING = 1e-9
"""Standard deviation of a log power that is rounding noise."""


class PowerLRConfig(DecoderConfig, frozen=True):
    """Multinomial logistic regression on the log of each channel's mean power."""

    c: float = 0.1
    """Inverse strength of the L2 penalty on standardised features."""

    def __post_init__(self) -> None:
        if not self.c > 0:
            raise ValueError(f"c must be above 0; found {self.c}")

    def fit(self, training_set: TrainingSet, context: Context) -> Decoder:
        """Return the fitted decoder."""
        from sklearn.linear_model import LogisticRegression

        features = log_power(training_set.epochs)
        mean, scale = features.mean(axis=0), features.std(axis=0)
        scale[scale < ROUNDING] = np.inf  # A dead channel says nothing, also once it is alive.
        model = LogisticRegression(C=self.c, max_iter=1000)
        model.fit((features - mean) / scale, training_set.wnids)
        coefficients, intercept = _for_each_class(model.coef_, model.intercept_)
        classes = tuple(str(wnid) for wnid in model.classes_)
        return PowerLR(classes, mean, scale, coefficients, intercept)

    def load(self, folder: Path, context: Context) -> Decoder:
        """Return the decoder that was saved; ``PhospheneError`` if the files do not fit."""
        classes = tuple(json.loads((folder / "classes.json").read_text()))
        weights = folder / "weights.npz"
        with weights.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            return PowerLR(classes, **arrays)


@hookimpl
def decoder() -> Mapping[str, type[DecoderConfig]]:
    """Offer ``power-lr``."""
    return {"power-lr": PowerLRConfig}


class PowerLR:
    """A fitted ``power-lr``."""

    def __init__(
        self,
        classes: tuple[str, ...],
        mean: Array,
        scale: Array,
        coefficients: Array,
        intercept: Array,
    ) -> None:
        _check(len(classes), mean, scale, coefficients, intercept)
        self.classes = classes
        self._mean, self._scale = mean, scale
        self._coefficients, self._intercept = coefficients, intercept

    def decode(self, epochs: Epochs) -> Decoding:
        """Return probabilities, shape (n, n_classes)."""
        features = log_power(epochs)
        if features.shape[1] != len(self._mean):
            raise PhospheneError(
                f"power-lr was trained on {len(self._mean)} channels; found {features.shape[1]}"
            )
        scores = (features - self._mean) / self._scale @ self._coefficients.T + self._intercept
        odds = np.exp(scores - scores.max(axis=1, keepdims=True))
        return Decoding(odds / odds.sum(axis=1, keepdims=True))

    def save(self, folder: Path) -> None:
        """Write ``weights.npz`` and ``classes.json``."""
        np.savez(
            folder / "weights.npz",
            mean=self._mean,
            scale=self._scale,
            coefficients=self._coefficients,
            intercept=self._intercept,
        )
        (folder / "classes.json").write_text(json.dumps(self.classes))


def _check(n_classes: int, mean: Array, scale: Array, weights: Array, intercept: Array) -> None:
    n_channels = mean.size
    expected = (
        ("weights", weights, (n_classes, n_channels)),
        ("intercept", intercept, (n_classes,)),
        ("mean", mean, (n_channels,)),
        ("scale", scale, (n_channels,)),
    )
    for name, array, shape in expected:
        if array.shape != shape:
            raise PhospheneError(
                f"power-lr: {name} of shape {array.shape} for {n_classes} classes "
                f"and {n_channels} channels"
            )
    if not all(np.isfinite(array).all() for array in (mean, weights, intercept)):
        raise PhospheneError("power-lr: mean, weights and intercept must be finite")
    if not (scale > 0).all():  # Infinite for a channel that was dead.
        raise PhospheneError("power-lr: scale must be above 0 for every channel")


def log_power(epochs: Epochs) -> Array:
    """Return the log of each channel's mean power, shape (n, n_channels), float64.

    In the time domain that is the mean square; of a spectrogram the mean over frequencies and
    frames. ``PhospheneError`` for samples that are not finite, and for what is not power.
    """
    data = epochs.data
    power: Array
    if data.ndim == 3:
        power = np.einsum("nct,nct->nc", data, data, dtype=np.float64) / data.shape[2]
    else:
        power = data.mean(axis=(2, 3), dtype=np.float64)
    if not np.isfinite(power).all():
        raise PhospheneError("power-lr: an epoch holds samples that are not finite")
    if (power < 0).any():
        raise PhospheneError(
            "power-lr: a spectrogram below zero is no power; standardise before it, not after, "
            "and leave its log off"
        )
    return np.log(power + np.finfo(np.float64).tiny)


def _for_each_class(coefficients: Array, intercept: Array) -> tuple[Array, Array]:
    """Return weights by class also for two classes, where scikit-learn has one row."""
    if len(coefficients) > 1:
        return coefficients, intercept
    return np.concatenate((-coefficients, coefficients)) / 2, np.append(-intercept, intercept) / 2
