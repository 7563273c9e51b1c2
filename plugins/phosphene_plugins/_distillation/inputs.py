"""From epochs to what a network sees, with statistics of the training trials alone."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Protocol, Self

import numpy as np

from phosphene import Epochs
from phosphene_plugins._epochs import Values, check_spectrogram

FRAMES = 2
"""Neighbouring frames that are averaged: the windows of the preset ``paper`` overlap by half, so
that nothing is lost; the estimate is calmer (Welch 1967) and the network twice as fast."""


class Inputs(Protocol):
    """A kind of epochs, and its statistics in the training trials."""

    axes: ClassVar[tuple[str, ...]]
    """What an epoch's axes count, for messages."""

    @staticmethod
    def check(epochs: Epochs, name: str) -> Values:
        """Return the data; ``PhospheneError`` if it is of another kind, or not finite."""
        ...

    @classmethod
    def fitted(cls, data: Values) -> Self:
        """Return the statistics of training data."""
        ...

    @classmethod
    def restored(cls, arrays: Mapping[str, Values], shape: tuple[int, ...]) -> Self:
        """Return the statistics of epochs of a shape; ``ValueError`` if they do not fit it."""
        ...

    def __call__(self, data: Values) -> Values:
        """Return what the network sees."""
        ...

    def arrays(self) -> Mapping[str, Values]:
        """Return the statistics by name."""
        ...


@dataclass(frozen=True)
class Scaler:
    """Log power, standardised; each statistic has shape (n_channels, n_freqs, 1)."""

    axes: ClassVar[tuple[str, ...]] = ("channels", "frequencies", "frames")

    reference: Values
    """Mean power, against which the logarithm is taken; empty if the input is no power."""
    mean: Values
    scale: Values

    @staticmethod
    def check(epochs: Epochs, name: str) -> Values:
        """Return the data of spectrograms; ``PhospheneError`` if they are none, or not finite."""
        return check_spectrogram(epochs, name)

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

    @classmethod
    def restored(cls, arrays: Mapping[str, Values], shape: tuple[int, ...]) -> "Scaler":
        """Return the scaler of saved statistics; ``ValueError`` for another shape."""
        is_power = arrays.get("reference", np.zeros(1)).size > 0
        check_shapes(arrays, ("mean", "scale", *["reference"] * is_power), (*shape[:2], 1))
        return cls(arrays["reference"], arrays["mean"], arrays["scale"])

    def __call__(self, data: Values) -> Values:
        """Return the network's input, shape (n, n_channels, n_freqs, half as many frames)."""
        values = _relative(_averaged(data), self.reference)
        values -= self.mean
        values /= self.scale
        return values

    def arrays(self) -> Mapping[str, Values]:
        """Return the statistics by name."""
        return {"reference": self.reference, "mean": self.mean, "scale": self.scale}


def check_shapes(
    arrays: Mapping[str, Values], names: tuple[str, ...], shape: tuple[int, ...]
) -> None:
    """Raise ``ValueError`` if a statistic is missing or has another shape."""
    found = {name: arrays[name].shape if name in arrays else None for name in names}
    if set(found.values()) != {shape}:
        raise ValueError(f"input statistics must have shape {shape}; found {found}")


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
