"""Standardise: each channel to mean 0 and standard deviation 1 over the training epochs."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from phosphene import (
    Context,
    Epochs,
    EpochStep,
    EpochStepConfig,
    PhospheneError,
    SignalSpec,
    hookimpl,
)


class StandardiseConfig(EpochStepConfig, frozen=True):
    """z-score by channel, or by channel and frequency for spectrograms.

    The statistics are those of the training epochs, frozen; the paper's "standardised across
    channels" is read as "each channel" (arXiv 2309.07149, preprocessing).
    """

    def build(self, spec: SignalSpec, context: Context) -> EpochStep:
        """Return the step, not fitted."""
        return Standardise(spec)


FLAT = 1e-6
"""Below this share of the median channel's standard deviation there is only rounding noise."""


@hookimpl
def preprocessing() -> Mapping[str, type[EpochStepConfig]]:
    """Offer ``standardise``."""
    return {"standardise": StandardiseConfig}


class Standardise:
    """Subtracts the training mean and divides by the training standard deviation."""

    def __init__(self, spec: SignalSpec) -> None:
        self._spec = spec
        self._mean = self._scale = np.zeros(0, np.float32)

    def fit(self, epochs: Epochs) -> None:
        """Learn mean and standard deviation; ``PhospheneError`` names a flat channel."""
        # One epoch after the other: the whole in float64 would be twice the recording.
        n = len(epochs) * epochs.data.shape[-1]
        sums = sum(_sum(epoch) for epoch in epochs.data)
        mean = sums / n
        scale = np.sqrt(sum(_sum(np.square(epoch - mean)) for epoch in epochs.data) / n)
        good = scale > FLAT * np.median(scale, axis=0)
        flat = np.flatnonzero(~good.reshape(len(good), -1).all(axis=1))
        if len(flat):
            names = ", ".join(self._spec.channels[i] for i in flat)
            raise PhospheneError(f"standardise: flat or not finite in the training epochs: {names}")
        self._mean, self._scale = mean.astype(np.float32), scale.astype(np.float32)

    def __call__(self, epochs: Epochs) -> Epochs:
        """Return standardised epochs, same shape."""
        if not self._mean.size:
            raise PhospheneError("standardise was not fitted")
        data = epochs.data - self._mean
        data /= self._scale
        return Epochs(data, epochs.spec, epochs.tmin, epochs.freqs)

    def state(self) -> Mapping[str, NDArray[np.generic]]:
        """Return mean and scale."""
        return {"mean": self._mean, "scale": self._scale}

    def load(self, state: Mapping[str, NDArray[np.generic]]) -> None:
        """Restore mean and scale; ``PhospheneError`` if they are of another channel count."""
        mean, scale = state["mean"].astype(np.float32), state["scale"].astype(np.float32)
        if not len(mean) == len(scale) == self._spec.n_channels:
            raise PhospheneError(
                f"statistics of {len(mean)} channels; this signal has {self._spec.n_channels}"
            )
        self._mean, self._scale = mean, scale


def _sum(epoch: NDArray[np.floating]) -> NDArray[np.float64]:
    return epoch.sum(axis=-1, keepdims=True, dtype=np.float64)
