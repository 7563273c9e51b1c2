"""``riemann-ts``: logistic regression in the tangent space of covariance matrices.

Barachant, Bonnet, Congedo and Jutten, "Multiclass brain-computer interface classification by
Riemannian geometry", IEEE Transactions on Biomedical Engineering 59, 2012. The features are those
of pyriemann's ``Covariances("oas")`` and ``TangentSpace``. They are spelled out here because a
process that decodes would need 5 s and 700 MB to import pyriemann; fitting takes it for the mean.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from phosphene import Context, Decoder, DecoderConfig, Epochs, PhospheneError, TrainingSet, hookimpl
from phosphene_plugins._distillation.settings import need
from phosphene_plugins._epochs import check_time_domain, finite
from phosphene_plugins._linear.decoder import Card, load_linear
from phosphene_plugins._linear.fitting import Method, fit_linear, logistic_regression
from phosphene_plugins._linear.model import Array, Samples

ROUNDING = 1e-10
"""Of the greatest variance: a principal component with less is what an average reference leaves."""
FLAT = 1e-12
"""Of the reference's variance: an epoch with less holds no signal."""


class RiemannTSConfig(DecoderConfig, frozen=True):
    """Tangent space and logistic regression on epochs in the time domain. Needs ``riemann``."""

    components: int = 30
    """Principal components of the channels that are kept."""
    c: float = 0.01
    """Inverse strength of the L2 penalty on standardised features."""

    def __post_init__(self) -> None:
        if self.components < 1:
            raise ValueError(f"components must be at least 1; found {self.components}")
        if not self.c > 0:
            raise ValueError(f"c must be above 0; found {self.c}")

    def check(self, epochs: Epochs) -> None:
        """Raise ``PhospheneError`` for spectrograms."""
        check_time_domain(epochs, "riemann-ts", hint="")

    def fit(self, training_set: TrainingSet, context: Context) -> Decoder:
        """Return the fitted decoder."""
        need("riemann", "pyriemann")
        _check_epochs(training_set.epochs)
        method = Method(
            "riemann-ts",
            lambda data: TangentVectors.fitted(data, self.components),
            logistic_regression(self.c),
            ("phosphene", "numpy", "scikit-learn", "pyriemann"),
        )
        return fit_linear(method, self, training_set, context)

    def load(self, folder: Path, context: Context) -> Decoder:
        """Return the decoder that was saved; ``PhospheneError`` if the files do not fit."""
        return load_linear("riemann-ts", folder, _restore)


@hookimpl
def decoder() -> Mapping[str, type[DecoderConfig]]:
    """Offer ``riemann-ts``."""
    return {"riemann-ts": RiemannTSConfig}


@dataclass(frozen=True)
class TangentVectors:
    """Where the covariance matrices of epochs lie, seen from their mean."""

    projection: Array
    """(n_components, n_channels)."""
    reference: Array
    """(n_components, n_components), the geometric mean of the training covariances."""

    @classmethod
    def fitted(cls, data: Samples, components: int) -> "TangentVectors":
        """Return the projection and the mean of training epochs."""
        from pyriemann.tangentspace import TangentSpace

        projection = principal_components(data, components)
        return cls(projection, TangentSpace().fit(covariances(data, projection)).reference_)

    def __call__(self, data: Samples) -> Array:
        """Return features, shape (n, n_components * (n_components + 1) / 2).

        Raises ``PhospheneError`` for an epoch without signal.
        """
        matrices = covariances(data, self.projection)
        variances = np.trace(matrices, axis1=1, axis2=2)
        _check_signal(variances, FLAT * float(np.trace(self.reference)))
        logs = _of_eigenvalues(self._whitening @ matrices @ self._whitening, np.log)
        rows, columns = np.triu_indices(len(self.reference))
        # Off the diagonal each is counted once for two, so that the norm is the matrix's.
        return np.asarray(logs[:, rows, columns] * np.where(rows == columns, 1.0, np.sqrt(2)))

    def arrays(self) -> Mapping[str, Array]:
        """Return projection and reference by name."""
        return {"projection": self.projection, "reference": self.reference}

    @cached_property
    def _whitening(self) -> Array:
        return _of_eigenvalues(self.reference, lambda values: values**-0.5)


def principal_components(data: Samples, components: int) -> Array:
    """Return the projection on the strongest, each of variance 1, shape (n_kept, n_channels).

    With variance 1 covariances are shrunk towards the mean one, and not towards a sphere.
    """
    total = np.mean([np.cov(epoch, dtype=np.float64, bias=True) for epoch in data], axis=0)
    values, vectors = np.linalg.eigh(np.atleast_2d(total))
    kept = values > ROUNDING * values[-1]
    kept[:-components] = False
    return np.asarray((vectors[:, kept] / np.sqrt(values[kept])).T)


def covariances(data: Samples, projection: Array) -> Array:
    """Return shrunk covariances of projected epochs, shape (n, n_components, n_components)."""
    return np.stack([shrunk_covariance(projection @ epoch) for epoch in data])


def shrunk_covariance(signal: Array) -> Array:
    """Return the oracle approximating shrinkage of a covariance (Chen et al. 2010, eq. 23).

    As scikit-learn has it, without the terms that vanish for many channels.
    """
    n_channels, n_times = signal.shape
    centred = signal - signal.mean(axis=1, keepdims=True)
    covariance = centred @ centred.T / n_times
    mean_square, mean_variance = np.mean(covariance**2), np.trace(covariance) / n_channels
    distance = (n_times + 1) * (mean_square - mean_variance**2 / n_channels)
    share = min(1.0, (mean_square + mean_variance**2) / distance) if distance > 0 else 1.0
    return np.asarray((1 - share) * covariance + share * mean_variance * np.eye(n_channels))


def _of_eigenvalues(matrices: Array, function: Callable[[Array], Array]) -> Array:
    """Return symmetric matrices, shape (..., n, n), with a function of their eigenvalues."""
    values, vectors = np.linalg.eigh(matrices)
    scaled = vectors * function(values)[..., np.newaxis, :]
    return np.asarray(scaled @ vectors.swapaxes(-1, -2))


def _check_epochs(epochs: Epochs) -> None:
    """Raise ``PhospheneError`` for training epochs that have no covariance matrix."""
    check_time_domain(epochs, "riemann-ts", hint="")
    finite(epochs.data, "riemann-ts")
    variances = np.array([epoch.var(axis=1, dtype=np.float64).sum() for epoch in epochs.data])
    _check_signal(variances, FLAT * float(np.median(variances)))


def _check_signal(variances: Array, least: float) -> None:
    """Raise ``PhospheneError`` that names the first epoch with no more than the least variance."""
    flat = variances <= least
    if flat.any():
        number = int(np.argmax(flat)) + 1
        raise PhospheneError(f"riemann-ts: epoch {number} of {len(flat)} is flat in all channels")


def _restore(_card: Card, arrays: Mapping[str, Array]) -> TangentVectors:
    if arrays.keys() != {"projection", "reference"}:
        raise ValueError(f"expected projection and reference, found {', '.join(sorted(arrays))}")
    projection, reference = arrays["projection"], arrays["reference"]
    if reference.shape != (len(projection), len(projection)):
        raise ValueError(f"reference of shape {reference.shape} for {len(projection)} components")
    if not (np.linalg.eigvalsh(reference) > 0).all():
        raise ValueError("reference must be positive definite")
    return TangentVectors(projection, reference)
