"""From spectrograms to what the network sees: log power, standardised on the training trials."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from phosphene import Epochs, PhospheneError

Values = NDArray[np.float32]

FRAMES = 2
"""Neighbouring frames that are averaged: the windows of the preset ``paper`` overlap by half, so
that nothing is lost; the estimate is calmer (Welch 1967) and the network twice as fast."""


@dataclass(frozen=True)
class Scaler:
    """Statistics of the training trials, each of shape (n_channels, n_freqs, 1)."""

    reference: Values
    """Mean power, against which the logarithm is taken; empty if the input is no power."""
    mean: Values
    scale: Values

    @classmethod
    def fitted(cls, data: Values) -> "Scaler":
        """Return the scaler of training data, shape (n, n_channels, n_freqs, n_frames)."""
        is_power = bool((data >= 0).all())
        reference = data.mean(axis=(0, 3))[..., np.newaxis] if is_power else np.zeros(0, np.float32)
        values = _relative(_averaged(data), reference)
        mean = values.mean(axis=(0, 3), dtype=np.float64)[..., np.newaxis]
        scale = values.std(axis=(0, 3), dtype=np.float64)[..., np.newaxis]
        scale[scale < 1e-6] = 1  # A flat channel tells nothing, and must not divide by zero.
        return cls(reference, mean.astype(np.float32), scale.astype(np.float32))

    def __call__(self, data: Values) -> Values:
        """Return the network's input, shape (n, n_channels, n_freqs, half as many frames)."""
        values = _relative(_averaged(data), self.reference)
        values -= self.mean
        values /= self.scale
        return values

    def arrays(self) -> Mapping[str, Values]:
        """Return the statistics by name."""
        return {"reference": self.reference, "mean": self.mean, "scale": self.scale}


def check_spectrogram(epochs: Epochs, name: str) -> Values:
    """Return the data of spectrograms; ``PhospheneError`` if they are none, or not finite."""
    if epochs.data.ndim != 4:
        raise PhospheneError(
            f"{name} decodes spectrograms, found epochs in the time domain; add the step "
            "'spectrogram' to epochs.steps, or choose preprocessing: paper"
        )
    if not np.isfinite(epochs.data).all():
        raise PhospheneError(f"{name}: an epoch holds samples that are not finite")
    return epochs.data


def _averaged(data: Values) -> Values:
    starts = np.arange(0, data.shape[3], FRAMES)
    counts = np.diff(np.append(starts, data.shape[3])).astype(np.float32)
    averaged: Values = np.add.reduceat(data, starts, axis=3)
    averaged /= counts
    return averaged


def _relative(power: Values, reference: Values) -> Values:
    """Return log(1 + power / reference): like the log, without its long tail towards zero."""
    if not reference.size:
        return power
    power /= np.maximum(reference, np.finfo(np.float32).tiny)
    np.maximum(power, 0, out=power)
    np.log1p(power, out=power)
    return power
