"""Temperature scaling: probabilities that mean what they say (Guo et al. 2017)."""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

RANGE = (-3.0, 5.0)
"""Natural logarithm of the lowest and highest temperature that is tried."""


def fit_temperature(logits: Array, labels: NDArray[np.intp]) -> tuple[float, float]:
    """Return the temperature with the lowest mean negative log-likelihood, and that loss."""
    from scipy.optimize import minimize_scalar

    found = minimize_scalar(
        lambda log_t: log_loss(logits / np.exp(log_t), labels), bounds=RANGE, method="bounded"
    )
    return float(np.exp(found.x)), float(found.fun)


def log_loss(logits: Array, labels: NDArray[np.intp]) -> float:
    """Return the mean negative log-likelihood in nats."""
    chosen = log_softmax(logits)[np.arange(len(labels)), labels]
    return float(-chosen.mean())


def log_softmax(logits: Array) -> Array:
    """Return log probabilities by row."""
    shifted = logits - logits.max(axis=1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True)))


def softmax(logits: Array) -> Array:
    """Return probabilities by row."""
    return np.asarray(np.exp(log_softmax(logits)))
