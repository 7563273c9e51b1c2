"""``lda``: shrinkage linear discriminant analysis of the waveform's means in short windows.

The usual and best simple decoder of evoked responses: Blankertz, Lemm, Treder, Haufe and Müller,
"Single-trial analysis and classification of ERP components - a tutorial", NeuroImage 56, 2011.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np

from phosphene import Context, Decoder, DecoderConfig, Epochs, PhospheneError, TrainingSet, hookimpl
from phosphene_plugins._epochs import check_time_domain
from phosphene_plugins._linear.decoder import Card, load_linear
from phosphene_plugins._linear.fitting import Method, fit_linear
from phosphene_plugins._linear.model import Array, Labels, Samples


class LDAConfig(DecoderConfig, frozen=True):
    """Shrinkage LDA on means of each channel in short windows. For ``preprocessing: evoked``."""

    windows: int = 10
    """Equal parts of the epoch, of which the means are the features; with ``evoked`` 50 ms each."""
    components: int = 1500
    """Principal components that are kept of more features than that."""

    def __post_init__(self) -> None:
        for field in ("windows", "components"):
            if (found := getattr(self, field)) < 1:
                raise ValueError(f"{field} must be at least 1; found {found}")

    def check(self, epochs: Epochs) -> None:
        """Raise ``PhospheneError`` for spectrograms, and for fewer samples than windows."""
        check_time_domain(epochs, "lda")
        if self.windows > (n_times := epochs.data.shape[2]):
            raise PhospheneError(
                f"lda: windows must be at most the {n_times} samples of an epoch; "
                f"found {self.windows}"
            )

    def fit(self, training_set: TrainingSet, context: Context) -> Decoder:
        """Return the fitted decoder."""
        self.check(training_set.epochs)
        method = Method("lda", lambda _: WindowMeans(self.windows), self._classify)
        return fit_linear(method, self, training_set, context)

    def load(self, folder: Path, context: Context) -> Decoder:
        """Return the decoder that was saved; ``PhospheneError`` if the files do not fit."""
        return load_linear("lda", folder, _restore)

    def _classify(self, features: Array, labels: Labels) -> tuple[Array, Array]:
        axes = _principal_axes(features, self.components)
        coefficients, intercept = discriminants(features @ axes, labels)
        return coefficients @ axes.T, intercept


@hookimpl
def decoder() -> Mapping[str, type[DecoderConfig]]:
    """Offer ``lda``."""
    return {"lda": LDAConfig}


@dataclass(frozen=True)
class WindowMeans:
    """Means of each channel in equal parts of the epoch; samples that are left over go first."""

    windows: int

    def __call__(self, data: Samples) -> Array:
        """Return features, shape (n, n_channels * windows)."""
        edges = np.linspace(0, data.shape[2], self.windows + 1).astype(np.intp)
        sums = np.add.reduceat(data, edges[:-1], axis=2, dtype=np.float64)
        return np.asarray((sums / np.diff(edges)).reshape(len(data), -1))

    def arrays(self) -> Mapping[str, Array]:
        """Return nothing: these features learn nothing."""
        return {}


def discriminants(features: Array, labels: Labels) -> tuple[Array, Array]:
    """Return coefficients and intercept of Gaussian classes that share a covariance.

    The covariance within classes is pooled before it is shrunk (Ledoit & Wolf 2004), as Blankertz
    et al. do; scikit-learn's LDA shrinks that of each class, for which 50 trials are few.
    """
    from sklearn.covariance import ledoit_wolf

    counts = np.bincount(labels)
    means = np.stack([features[labels == label].mean(axis=0) for label in range(len(counts))])
    covariance, _ = ledoit_wolf(features - means[labels], assume_centered=True)
    coefficients = means @ np.linalg.pinv(covariance, hermitian=True)
    intercept = np.log(counts / len(labels)) - (coefficients * means).sum(axis=1) / 2
    return coefficients, intercept


def _principal_axes(features: Array, components: int) -> Array:
    """Return the axes that keep most variance, shape (n_features, at most ``components``)."""
    n_features = features.shape[1]
    if n_features <= components:
        return np.eye(n_features)
    _, vectors = np.linalg.eigh(features.T @ features)
    return np.asarray(vectors[:, -components:])


def _restore(card: Card, _arrays: Mapping[str, Array]) -> WindowMeans:
    return WindowMeans(msgspec.convert(card.settings, LDAConfig).windows)
