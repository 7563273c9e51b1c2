"""Standardise: each channel to mean 0 and standard deviation 1 over the training epochs."""

from collections.abc import Iterable, Mapping

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

FLAT = 1e-6
"""Below this share of the median channel's standard deviation there is only rounding noise."""


class StandardiseConfig(EpochStepConfig, frozen=True):
    """z-score by channel, or by channel and frequency for spectrograms.

    The statistics are those of the training epochs, frozen; the paper's "standardised across
    channels" is read as "each channel" (arXiv 2309.07149, preprocessing).
    """

    def build(self, spec: SignalSpec, context: Context) -> EpochStep:
        """Return the step, not fitted."""
        return Standardise(spec)


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
        with np.errstate(invalid="ignore"):  # What is not finite is named below.
            mean = _mean(epochs.data)
            scale = np.sqrt(_mean(np.square(epoch - mean) for epoch in epochs.data))
        good = scale > FLAT * np.median(np.nan_to_num(scale), axis=0)
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
        """Restore mean and scale; ``PhospheneError`` if they are not those of such a signal."""
        if state.keys() != {"mean", "scale"}:
            found = ", ".join(sorted(state)) or "nothing"
            raise PhospheneError(f"standardise: expected mean and scale, found {found}")
        mean, scale = state["mean"].astype(np.float32), state["scale"].astype(np.float32)
        _check_statistics(mean, scale, self._spec.n_channels)
        self._mean, self._scale = mean, scale


def _check_statistics(
    mean: NDArray[np.float32], scale: NDArray[np.float32], n_channels: int
) -> None:
    if mean.shape != scale.shape or mean.ndim not in {2, 3} or mean.shape[-1] != 1:
        raise PhospheneError(
            "standardise: expected mean and scale of shape (n_channels, 1) or "
            f"(n_channels, n_freqs, 1); found {mean.shape} and {scale.shape}"
        )
    if len(mean) != n_channels:
        raise PhospheneError(f"statistics of {len(mean)} channels; this signal has {n_channels}")
    if not (np.isfinite([mean, scale]).all() and (scale > 0).all()):
        raise PhospheneError("standardise: mean and scale must be finite, and scale above 0")


def _mean(epochs: Iterable[NDArray[np.floating]]) -> NDArray[np.float64]:
    """Return the mean over epochs and times, one by one: all in float64 would fill the memory."""
    means = [epoch.mean(axis=-1, keepdims=True, dtype=np.float64) for epoch in epochs]
    return np.asarray(np.mean(means, axis=0))
