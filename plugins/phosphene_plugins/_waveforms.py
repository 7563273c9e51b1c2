"""What a model of braindecode sees: waveforms of unit scale instead of microvolts in volts."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from phosphene import Epochs
from phosphene_plugins._distillation.inputs import check_shapes
from phosphene_plugins._epochs import Values, check_time_domain, finite

FLAT = 1e-6
"""Standard deviation, as a share of the mean, of a channel that only rounding moves."""


@dataclass(frozen=True)
class Waveforms:
    """Mean and standard deviation of each channel, shape (n_channels, 1)."""

    axes: ClassVar[tuple[str, ...]] = ("channels", "samples")

    mean: Values
    scale: Values
    """Infinite for a channel that was flat: it says nothing, also once it is alive."""

    @staticmethod
    def check(epochs: Epochs, name: str) -> Values:
        """Return the data; ``PhospheneError`` for spectrograms, or if it is not finite."""
        check_time_domain(epochs, name)
        return finite(epochs.data, name)

    @classmethod
    def fitted(cls, data: Values) -> "Waveforms":
        """Return the statistics of training data, shape (n, n_channels, n_times)."""
        mean = data.mean(axis=(0, 2), dtype=np.float64)[:, np.newaxis]
        scale = data.std(axis=(0, 2), dtype=np.float64)[:, np.newaxis]
        scale[scale <= FLAT * np.abs(mean)] = np.inf
        return cls(mean.astype(np.float32), scale.astype(np.float32))

    @classmethod
    def restored(cls, arrays: Mapping[str, Values], shape: tuple[int, ...]) -> "Waveforms":
        """Return saved statistics; ``ValueError`` for another shape."""
        check_shapes(arrays, ("mean", "scale"), (shape[0], 1))
        return cls(arrays["mean"], arrays["scale"])

    def __call__(self, data: Values) -> Values:
        """Return z-scores."""
        values: Values = (data - self.mean) / self.scale
        return values

    def arrays(self) -> Mapping[str, Values]:
        """Return the statistics by name."""
        return {"mean": self.mean, "scale": self.scale}
