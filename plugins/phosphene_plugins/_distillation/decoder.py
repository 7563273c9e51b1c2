"""A fitted network: decodes, and is saved as safetensors beside a model card in JSON."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file
from torch import nn

from phosphene import Context, Decoding, Epochs, PhospheneError
from phosphene_plugins._calibration import softmax
from phosphene_plugins._distillation.inputs import Inputs, Scaler
from phosphene_plugins._distillation.network import ResidualCNN
from phosphene_plugins._distillation.training import find_device, predict, use_threads
from phosphene_plugins._epochs import Values

CARD, WEIGHTS = "card.json", "weights.safetensors"
STATISTICS = "inputs."
"""Begins the names of the inputs' statistics among the weights."""


class Training(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How training went."""

    n_trials: int
    n_validation: int
    held_out: str
    """``run`` or ``images``."""
    epochs: int
    best_epoch: int
    loss: float
    """Mean training loss of the last epoch."""
    validation_accuracy: float | None
    """Slightly optimistic: the same trials chose the epoch and the temperature."""
    validation_loss: float | None
    """In nats, calibrated."""
    interrupted: bool


class Card(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The model card: what a network is, and what can be said of it."""

    decoder: str
    classes: tuple[str, ...]
    shape: tuple[int, ...]
    """Of an epoch."""
    temperature: float
    """Divides the logits: calibrates the probabilities."""
    training: Training
    label: str = ""
    """What stands beside the accuracy of the validation."""
    settings: dict[str, Any]
    versions: dict[str, str]
    format: Literal[1] = 1

    def metrics(self) -> dict[str, float]:
        """Return what was measured, as far as it is a finite number."""
        training = self.training
        return numbers(
            validation_accuracy=training.validation_accuracy,
            validation_loss=training.validation_loss,
            n_validation=training.n_validation,
            temperature=self.temperature,
            epochs=training.epochs,
            best_epoch=training.best_epoch,
        )


class Distillation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the teacher was, and how the network listened."""

    features: str
    """Name of the image features; ``built-in descriptor`` is no deep network."""
    teacher: str
    teacher_accuracy: float
    """Of the soft labels' teacher on images that it did not see."""
    alpha: float
    """Weight of the hard labels; 0 for soft labels alone."""
    temperature: float
    target_entropy: float
    """Mean entropy of the soft labels in nats."""


class SpectrogramCard(Card, frozen=True, kw_only=True):
    """The card of ``kd-stft`` and ``plain-stft``."""

    shape: tuple[int, int, int]
    """Channels, frequencies and frames of an epoch."""
    freqs: tuple[float, ...]
    """In Hz."""
    widths: tuple[int, int]
    distillation: Distillation | None

    def metrics(self) -> dict[str, float]:
        """Return what was measured, the teacher included."""
        taught = self.distillation
        if taught is None:
            return super().metrics()
        return super().metrics() | numbers(
            teacher_accuracy=taught.teacher_accuracy,
            target_entropy=taught.target_entropy,
            alpha=taught.alpha,
            distillation_temperature=taught.temperature,
        )


class NetworkDecoder:
    """A fitted network and what prepares its inputs."""

    def __init__(
        self, card: Card, inputs: Inputs, network: nn.Module, device: torch.device
    ) -> None:
        self.card, self.classes, self.metrics = card, card.classes, card.metrics()
        self._scaler = inputs
        self._network = network.to(device).eval()
        self._device = device
        # The first call compiles kernels; better now than within a trial.
        self._logits(np.ones((1, *card.shape), np.float32))

    def decode(self, epochs: Epochs) -> Decoding:
        """Return calibrated probabilities; ``PhospheneError`` for epochs of another kind."""
        data = self._scaler.check(epochs, self.card.decoder)
        if data.shape[1:] != self.card.shape:
            expected, found = self._words(self.card.shape), self._words(data.shape[1:])
            raise PhospheneError(f"{self.card.decoder} was trained on {expected}; found {found}")
        if not len(data):
            return Decoding(np.zeros((0, len(self.classes))))
        logits = self._logits(data)
        if not np.isfinite(logits).all():
            raise PhospheneError(
                f"{self.card.decoder}: the network's outputs are not finite; the largest sample "
                f"is {np.abs(data).max():.3g}"
            )
        return Decoding(softmax(logits / self.card.temperature))

    def save(self, folder: Path) -> None:
        """Write ``weights.safetensors`` and ``card.json``."""
        weights = {k: v.cpu().contiguous().numpy() for k, v in self._network.state_dict().items()}
        statistics = {f"{STATISTICS}{name}": v for name, v in self._scaler.arrays().items()}
        save_file(weights | statistics, folder / WEIGHTS)
        (folder / CARD).write_bytes(msgspec.json.format(msgspec.json.encode(self.card)) + b"\n")

    def _logits(self, data: Values) -> NDArray[np.float64]:
        inputs = to_device(self._scaler(data), self._device)
        # One thread: a second one gains nothing on one trial, and the recorder may need the core.
        with use_threads(1):
            return predict(self._network, inputs)

    def _words(self, shape: tuple[int, ...]) -> str:
        return " x ".join(f"{n} {axis}" for n, axis in zip(shape, self._scaler.axes, strict=True))


C = TypeVar("C", bound=Card)


@dataclass(frozen=True)
class Saved(Generic[C]):
    """What ``NetworkDecoder.save`` wrote."""

    card: C
    inputs: Inputs
    weights: Mapping[str, Values]
    folder: Path

    def restore(self, network: nn.Module) -> None:
        """Give a network of the same architecture its weights; ``PhospheneError`` if of another."""
        try:
            network.load_state_dict({k: torch.from_numpy(v) for k, v in self.weights.items()})
        except RuntimeError as error:
            raise _misfit(self.folder, error) from None


def read(name: str, folder: Path, card_type: type[C], kind: type[Inputs]) -> Saved[C]:
    """Return what was saved; ``PhospheneError`` for another decoder's or damaged files."""
    try:
        card = msgspec.json.decode((folder / CARD).read_bytes(), type=card_type)
        arrays = load_file(folder / WEIGHTS)
    except (OSError, msgspec.MsgspecError, SafetensorError) as error:
        raise PhospheneError(f"{name}: {folder} cannot be read: {error}") from None
    if card.decoder != name:
        raise PhospheneError(f"{folder / CARD}: found decoder {card.decoder!r}, allowed: {name}")
    statistics = {k: arrays.pop(k) for k in list(arrays) if k.startswith(STATISTICS)}
    try:
        named = {key.removeprefix(STATISTICS): v for key, v in statistics.items()}
        inputs = kind.restored(named, card.shape)
    except ValueError as error:
        raise _misfit(folder, error) from None
    return Saved(card, inputs, arrays, folder)


def load_decoder(name: str, folder: Path, context: Context) -> NetworkDecoder:
    """Return a saved ``kd-stft`` or ``plain-stft``; ``PhospheneError`` if the files do not fit."""
    saved = read(name, folder, SpectrogramCard, Scaler)
    card = saved.card
    network = ResidualCNN(card.shape[0], card.widths, len(card.classes), 0.0)
    saved.restore(network)
    return NetworkDecoder(card, saved.inputs, in_layout(network), find_device(context.device))


def in_layout(network: ResidualCNN) -> ResidualCNN:
    """Return the network in the memory layout that convolutions like best."""
    return network.to(memory_format=torch.channels_last)


def to_device(inputs: Values, device: torch.device) -> torch.Tensor:
    """Return network inputs on a device, in the memory layout that convolutions like best."""
    tensor = torch.from_numpy(inputs).to(device)
    is_image = tensor.ndim == 4
    return tensor.contiguous(memory_format=torch.channels_last) if is_image else tensor


def numbers(**values: float | None) -> dict[str, float]:
    """Return those that are finite numbers."""
    return {k: float(v) for k, v in values.items() if v is not None and math.isfinite(v)}


def _misfit(folder: Path, error: Exception) -> PhospheneError:
    return PhospheneError(f"{folder / WEIGHTS} does not fit {CARD}: {error}")
