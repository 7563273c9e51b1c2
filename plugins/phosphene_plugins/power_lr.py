"""``power-lr``: logistic regression on the power of each channel.

The simplest decoder that works, and a warning: in a block design it scores nearly what the paper's
network does (36 % against 41 %; arXiv 2309.07149, Table 1), because all it needs is slow drift.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from phosphene import Context, Decoder, DecoderConfig, PhospheneError, TrainingSet, hookimpl
from phosphene_plugins._linear.decoder import Card, load_linear
from phosphene_plugins._linear.fitting import Method, fit_linear, logistic_regression
from phosphene_plugins._linear.model import Array, Samples


class PowerLRConfig(DecoderConfig, frozen=True):
    """Multinomial logistic regression on the log of each channel's mean power."""

    c: float = 0.1
    """Inverse strength of the L2 penalty on standardised features."""

    def __post_init__(self) -> None:
        if not self.c > 0:
            raise ValueError(f"c must be above 0; found {self.c}")

    def fit(self, training_set: TrainingSet, context: Context) -> Decoder:
        """Return the fitted decoder."""
        method = Method("power-lr", _features, logistic_regression(self.c))
        return fit_linear(method, self, training_set, context)

    def load(self, folder: Path, context: Context) -> Decoder:
        """Return the decoder that was saved; ``PhospheneError`` if the files do not fit."""
        return load_linear("power-lr", folder, _restore)


@hookimpl
def decoder() -> Mapping[str, type[DecoderConfig]]:
    """Offer ``power-lr``."""
    return {"power-lr": PowerLRConfig}


class LogPower:
    """The log of each channel's mean power.

    In the time domain that is the mean square; of a spectrogram the mean over frequencies and
    frames.
    """

    def __call__(self, data: Samples) -> Array:
        """Return features, shape (n, n_channels); ``PhospheneError`` for what is not power."""
        power: Array
        if data.ndim == 3:
            power = np.einsum("nct,nct->nc", data, data, dtype=np.float64) / data.shape[2]
        else:
            power = data.mean(axis=(2, 3), dtype=np.float64)
        if (power < 0).any():
            raise PhospheneError("power-lr was trained on power; found a spectrogram below zero")
        return np.log(power + np.finfo(np.float64).tiny)

    def arrays(self) -> Mapping[str, Array]:
        """Return nothing: these features learn nothing."""
        return {}


class MeanLogPower:
    """The mean over frames of a spectrogram that is logarithmic, or standardised, already.

    It is taken by channel and frequency: frequencies of different scale cannot be summed.
    """

    def __call__(self, data: Samples) -> Array:
        """Return features, shape (n, n_channels x n_freqs)."""
        return np.asarray(data.mean(axis=3, dtype=np.float64).reshape(len(data), -1))

    def arrays(self) -> Mapping[str, Array]:
        """Return the mark by which these features are told from the others."""
        return {"logarithmic": np.ones(1)}


def _features(data: Samples) -> LogPower | MeanLogPower:
    """Return the features of training epochs: power is never negative, its logarithm is."""
    return MeanLogPower() if data.ndim == 4 and (data < 0).any() else LogPower()


def _restore(card: Card, arrays: Mapping[str, Array]) -> LogPower | MeanLogPower:
    if "logarithmic" not in arrays:
        return LogPower()
    if len(card.shape) != 3:
        raise ValueError("only a spectrogram can be logarithmic")
    return MeanLogPower()
