"""What the projector sees: waveforms averaged in time, their noise made alike in all directions."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from phosphene import Epochs
from phosphene_plugins._distillation.inputs import check_shapes
from phosphene_plugins._epochs import Values
from phosphene_plugins._waveforms import FLAT, Waveforms

Array = NDArray[np.float64]

BINS = 25
"""At most; of 20 ms each in the half second of the preset ``evoked``."""
SHRINKAGE = 0.05
"""Share of the unit matrix in the channels' correlations: an average reference, or a channel that
was flat, leaves directions without variance."""


@dataclass(frozen=True)
class Whitened:
    """Multivariate noise normalisation (Guggenmos et al. 2018), as in NICE."""

    axes: ClassVar[tuple[str, ...]] = Waveforms.axes

    mean: Values
    """The response to all images alike, (n_channels, n_bins)."""
    whitening: Values
    """(n_channels, n_channels); 0 for a channel that was flat, also once it is alive."""

    @staticmethod
    def check(epochs: Epochs, name: str) -> Values:
        """Return the data; ``PhospheneError`` for spectrograms, or if it is not finite."""
        return Waveforms.check(epochs, name)

    @classmethod
    def fitted(cls, data: Values) -> "Whitened":
        """Return the statistics of training data, shape (n, n_channels, n_times)."""
        averaged = _averaged(data)
        mean = averaged.mean(axis=0, dtype=np.float64)
        # What the images do differently is taken for noise: it is small beside it.
        noise = np.moveaxis(averaged - mean, 1, 0).reshape(len(mean), -1)
        scale = noise.std(axis=1)
        flat = scale <= FLAT * np.abs(mean).max(axis=1)
        gain = np.divide(1, scale, where=~flat, out=np.zeros_like(scale))
        noise *= gain[:, np.newaxis]
        whitening = _inverse_root(noise @ noise.T / noise.shape[1]) * gain
        return cls(mean.astype(np.float32), whitening.astype(np.float32))

    @classmethod
    def restored(cls, arrays: Mapping[str, Values], shape: tuple[int, ...]) -> "Whitened":
        """Return saved statistics; ``ValueError`` for another shape."""
        check_shapes(arrays, ("mean",), (shape[0], n_bins(shape[1])))
        check_shapes(arrays, ("whitening",), (shape[0], shape[0]))
        return cls(arrays["mean"], arrays["whitening"])

    def __call__(self, data: Values) -> Values:
        """Return the network's input, shape (n, n_channels, n_bins)."""
        values: Values = self.whitening @ (_averaged(data) - self.mean)
        return values

    def arrays(self) -> Mapping[str, Values]:
        """Return the statistics by name."""
        return {"mean": self.mean, "whitening": self.whitening}


def n_bins(n_times: int) -> int:
    """Return how many averages the network sees of an epoch."""
    return min(BINS, n_times)


def _averaged(data: Values) -> Values:
    edges = np.linspace(0, data.shape[2], n_bins(data.shape[2]) + 1).astype(int)
    averaged: Values = np.add.reduceat(data, edges[:-1], axis=2)
    averaged /= np.diff(edges).astype(np.float32)
    return averaged


def _inverse_root(correlation: Array) -> Array:
    """Return the symmetric inverse square root of a correlation matrix, shrunk before."""
    shrunk = (1 - SHRINKAGE) * correlation + SHRINKAGE * np.eye(len(correlation))
    variances, axes = np.linalg.eigh(shrunk)
    root: Array = axes / np.sqrt(variances) @ axes.T
    return root
