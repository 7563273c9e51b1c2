"""Scores that are linear in standardised features: what all linear decoders end in."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Samples = NDArray[np.float32]
"""Of epochs, (n, n_channels, n_times) or (n, n_channels, n_freqs, n_frames)."""
Labels = NDArray[np.intp]
Classifier = Callable[[Array, Labels], tuple[Array, Array]]
"""From standardised features and columns of the classes to coefficients and intercept."""

ROUNDING = 1e-9
"""Of a feature's size, or of the greatest spread: what varies less is rounding noise."""


class Features(Protocol):
    """What a decoder computes of epochs; it may have learnt from training epochs how."""

    def __call__(self, data: Samples) -> Array:
        """Return features, shape (n, n_features)."""
        ...

    def arrays(self) -> Mapping[str, Array]:
        """Return what was learnt, for the file of weights."""
        ...


@dataclass(frozen=True)
class Linear:
    """Scores of features."""

    mean: Array
    """(n_features,), of the training trials."""
    scale: Array
    """(n_features,); infinite for a feature that did not vary: it says nothing, also later."""
    coefficients: Array
    """(n_classes, n_features)."""
    intercept: Array
    """(n_classes,)."""

    @classmethod
    def fitted(cls, features: Array, labels: Labels, classifier: Classifier) -> "Linear":
        """Return the scores that a classifier learns from standardised features."""
        mean, scale = features.mean(axis=0), features.std(axis=0)
        scale[scale <= ROUNDING * np.maximum(np.abs(mean), scale.max())] = np.inf
        return cls(mean, scale, *classifier((features - mean) / scale, labels))

    @classmethod
    def restored(cls, arrays: Mapping[str, Array], n_classes: int) -> "Linear":
        """Return saved scores; ``ValueError`` if the arrays do not fit or hold what cannot be."""
        if missing := [name for name in cls.names() if name not in arrays]:
            raise ValueError(f"no {', '.join(missing)}")
        linear = cls(**{name: arrays[name] for name in cls.names()})
        linear._check(n_classes, linear.mean.size)
        return linear

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """Return the names of the arrays."""
        return tuple(field.name for field in fields(cls))

    def __call__(self, features: Array) -> Array:
        """Return scores, shape (n, n_classes)."""
        standardised = (features - self.mean) / self.scale
        return np.asarray(standardised @ self.coefficients.T + self.intercept)

    def arrays(self) -> dict[str, Array]:
        """Return the arrays by name."""
        return {name: getattr(self, name) for name in self.names()}

    def _check(self, n_classes: int, n_features: int) -> None:
        shapes = {"coefficients": (n_classes, n_features), "intercept": (n_classes,)}
        for name, array in self.arrays().items():
            if array.shape != shapes.get(name, (n_features,)):
                raise ValueError(
                    f"{name} of shape {array.shape} for {n_classes} classes and "
                    f"{n_features} features"
                )
        if not (self.scale > 0).all():
            raise ValueError("scale must be above 0")
