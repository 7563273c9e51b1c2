"""A decoder in a distribution of its own: the class whose mean log power is nearest."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from phosphene import (
    Context,
    DecoderConfig,
    Decoding,
    Epochs,
    PhospheneError,
    TrainingSet,
    hookimpl,
)


def log_power(epochs: Epochs) -> NDArray[np.float32]:
    over_time = tuple(range(2, epochs.data.ndim))
    logs: NDArray[np.float32] = np.log((epochs.data**2).mean(axis=over_time) + 1e-30)
    if not np.isfinite(logs).all():
        raise PhospheneError("nearest-mean: an epoch holds samples that are not finite")
    return logs


class NearestMean:
    def __init__(self, classes: tuple[str, ...], means: NDArray[np.float32], scale: float) -> None:
        self.classes, self.means, self.scale = classes, means, scale

    def decode(self, epochs: Epochs) -> Decoding:
        features, n_channels = log_power(epochs), self.means.shape[1]
        if features.shape[1] != n_channels:
            raise PhospheneError(
                f"nearest-mean: trained on {n_channels} channels; found {features.shape[1]}"
            )
        distances = np.linalg.norm(features[:, None] - self.means, axis=-1)
        likelihoods = np.exp((distances.min(axis=1, keepdims=True) - distances) / self.scale)
        return Decoding(likelihoods / likelihoods.sum(axis=1, keepdims=True))

    def save(self, folder: Path) -> None:
        np.savez(folder / "means.npz", classes=self.classes, means=self.means)


class NearestMeanConfig(DecoderConfig, frozen=True):
    scale: float = 1.0

    def fit(self, training_set: TrainingSet, context: Context) -> NearestMean:
        features, wnids = log_power(training_set.epochs), np.array(training_set.wnids)
        means = [features[wnids == wnid].mean(axis=0) for wnid in training_set.classes]
        return NearestMean(training_set.classes, np.stack(means), self.scale)

    def load(self, folder: Path, context: Context) -> NearestMean:
        with np.load(folder / "means.npz") as saved:
            return NearestMean(tuple(saved["classes"].tolist()), saved["means"], self.scale)


@hookimpl
def decoder() -> dict[str, type[DecoderConfig]]:
    return {"nearest-mean": NearestMeanConfig}
