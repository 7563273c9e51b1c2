"""A fitted linear decoder: features, linear scores, temperature; saved as npz beside a JSON card.

The file of weights also holds what the features learnt.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np

from phosphene import Decoding, Epochs, PhospheneError
from phosphene_plugins._calibration import softmax
from phosphene_plugins._epochs import finite
from phosphene_plugins._linear.model import Array, Features, Linear

CARD, WEIGHTS = "card.json", "weights.npz"
AXES = {2: ("channels", "samples"), 3: ("channels", "frequencies", "frames")}


class Validation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How well the held-out trials were decoded by a fit on the others."""

    n_trials: int
    """Trials that it was fitted on."""
    n_validation: int
    held_out: str
    """``run`` or ``images``."""
    accuracy: float | None
    """None if nothing could be held out."""
    loss: float | None
    """In nats, calibrated; slightly optimistic, as the temperature was fitted on these trials."""

    def metrics(self) -> dict[str, float]:
        """Return what was measured, by name."""
        found = {
            "n_validation": self.n_validation,
            "validation_accuracy": self.accuracy,
            "validation_loss": self.loss,
        }
        return {name: float(value) for name, value in found.items() if value is not None}


class Card(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The model card: what a decoder is, and what can be said of it."""

    decoder: str
    classes: tuple[str, ...]
    shape: tuple[int, ...]
    """Of an epoch."""
    temperature: float
    """Divides the scores: calibrates the probabilities."""
    validation: Validation
    label: str = ""
    """What stands beside the accuracy of the validation."""
    settings: dict[str, Any]
    versions: dict[str, str]
    format: Literal[1] = 1

    def __post_init__(self) -> None:
        if not (self.temperature > 0 and np.isfinite(self.temperature)):
            raise ValueError(f"temperature must be above 0; found {self.temperature}")
        if len(self.shape) not in AXES or min(self.shape) < 1:
            raise ValueError(f"shape must be that of an epoch; found {self.shape}")


Restore = Callable[[Card, Mapping[str, Array]], Features]
"""Makes the features of saved arrays; ``ValueError`` if those do not fit."""


class LinearDecoder:
    """A softmax of linear scores of features."""

    def __init__(self, card: Card, features: Features, linear: Linear) -> None:
        self.card, self.classes = card, card.classes
        self.metrics = card.validation.metrics() | {"temperature": card.temperature}
        self._features, self._linear = features, linear

    def decode(self, epochs: Epochs) -> Decoding:
        """Return calibrated probabilities; ``PhospheneError`` for epochs of another kind."""
        shape = epochs.data.shape[1:]
        if shape != self.card.shape:
            expected, found = _words(self.card.shape), _words(shape)
            raise PhospheneError(f"{self.card.decoder} was trained on {expected}; found {found}")
        data = finite(epochs.data, self.card.decoder)
        if not len(epochs):
            return Decoding(np.zeros((0, len(self.classes))))
        return Decoding(softmax(self._linear(self._features(data)) / self.card.temperature))

    def save(self, folder: Path) -> None:
        """Write ``weights.npz`` and ``card.json``."""
        arrays = self._linear.arrays() | dict(self._features.arrays())
        np.savez(folder / WEIGHTS, allow_pickle=False, **arrays)
        (folder / CARD).write_bytes(msgspec.json.format(msgspec.json.encode(self.card)) + b"\n")


def load_linear(name: str, folder: Path, restore: Restore) -> LinearDecoder:
    """Return a saved decoder; ``PhospheneError`` for another decoder's or damaged files."""
    card, arrays = _read_card(name, folder / CARD), _read_arrays(folder / WEIGHTS)
    try:
        linear = Linear.restored(arrays, len(card.classes))
        features = restore(card, {k: v for k, v in arrays.items() if k not in linear.names()})
        # Tried on noise: what does not fit must show now, not in the first trial.
        linear(features(np.random.default_rng(0).random((1, *card.shape), np.float32)))
    except (ValueError, msgspec.ValidationError) as error:
        raise PhospheneError(f"{folder / WEIGHTS} does not fit {CARD}: {error}") from None
    return LinearDecoder(card, features, linear)


def _read_card(name: str, path: Path) -> Card:
    try:
        card = msgspec.json.decode(path.read_bytes(), type=Card)
    except (OSError, msgspec.MsgspecError) as error:
        raise PhospheneError(f"{path} cannot be read: {error}") from None
    if card.decoder != name:
        raise PhospheneError(f"{path}: found decoder {card.decoder!r}, allowed: {name}")
    return card


def _read_arrays(path: Path) -> dict[str, Array]:
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            arrays = dict(archive)
    except Exception as error:  # A damaged archive makes zipfile and numpy raise almost anything.
        raise PhospheneError(f"{path} cannot be read: {error}") from error
    for name, array in arrays.items():
        if array.dtype != np.float64:
            raise PhospheneError(f"{path}: {name} must be float64; found {array.dtype}")
        # The scale of a feature that did not vary is infinite.
        if np.isnan(array).any() or (name != "scale" and np.isinf(array).any()):
            raise PhospheneError(f"{path}: {name} must be finite")
    return arrays


def _words(shape: tuple[int, ...]) -> str:
    return " x ".join(f"{n} {axis}" for n, axis in zip(shape, AXES[len(shape)], strict=True))
