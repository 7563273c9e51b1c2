"""A fitted network: decodes, and is saved as safetensors beside a model card in JSON."""

from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from phosphene import Context, Decoding, Epochs, PhospheneError
from phosphene_plugins._calibration import softmax
from phosphene_plugins._distillation.inputs import Scaler, Values, check_spectrogram
from phosphene_plugins._distillation.network import ResidualCNN
from phosphene_plugins._distillation.training import find_device, predict, use_threads

CARD, WEIGHTS = "card.json", "weights.safetensors"


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


class Card(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The model card: what the network is, and what can be said of it."""

    decoder: str
    classes: tuple[str, ...]
    shape: tuple[int, int, int]
    """Channels, frequencies and frames of an epoch."""
    freqs: tuple[float, ...]
    """In Hz."""
    widths: tuple[int, int]
    temperature: float
    """Divides the logits: calibrates the probabilities."""
    training: Training
    distillation: Distillation | None
    settings: dict[str, Any]
    versions: dict[str, str]
    format: Literal[1] = 1


class NetworkDecoder:
    """A fitted ``kd-stft`` or ``plain-stft``."""

    def __init__(
        self, card: Card, scaler: Scaler, network: ResidualCNN, device: torch.device
    ) -> None:
        self.card, self.classes = card, card.classes
        self._scaler = scaler
        self._network = on_device(network, device).eval()
        self._device = device
        # The first call compiles kernels; better now than within a trial.
        self._logits(np.ones((1, *card.shape), np.float32))

    def decode(self, epochs: Epochs) -> Decoding:
        """Return calibrated probabilities; ``PhospheneError`` if these are other spectrograms."""
        data = check_spectrogram(epochs, self.card.decoder)
        if data.shape[1:] != self.card.shape:
            expected, found = _words(self.card.shape), _words(data.shape[1:])
            raise PhospheneError(f"{self.card.decoder} was trained on {expected}; found {found}")
        if not len(data):
            return Decoding(np.zeros((0, len(self.classes))))
        return Decoding(softmax(self._logits(data) / self.card.temperature))

    def save(self, folder: Path) -> None:
        """Write ``weights.safetensors`` and ``card.json``."""
        weights = {k: v.cpu().contiguous().numpy() for k, v in self._network.state_dict().items()}
        inputs = {f"inputs.{name}": values for name, values in self._scaler.arrays().items()}
        save_file(weights | inputs, folder / WEIGHTS)
        (folder / CARD).write_bytes(msgspec.json.format(msgspec.json.encode(self.card)) + b"\n")

    def _logits(self, data: Values) -> NDArray[np.float64]:
        inputs = to_device(self._scaler(data), self._device)
        # One thread: a second one gains nothing on one trial, and the recorder may need the core.
        with use_threads(1):
            return predict(self._network, inputs)


def load_decoder(name: str, folder: Path, context: Context) -> NetworkDecoder:
    """Return what ``NetworkDecoder.save`` wrote; ``PhospheneError`` if the files do not fit."""
    try:
        card = msgspec.json.decode((folder / CARD).read_bytes(), type=Card)
        weights = load_file(folder / WEIGHTS)
    except (OSError, msgspec.MsgspecError, SafetensorError) as error:
        raise PhospheneError(f"{name}: {folder} cannot be read: {error}") from None
    if card.decoder != name:
        raise PhospheneError(f"{folder / CARD}: found decoder {card.decoder!r}, allowed: {name}")
    scaler = _scaler(weights, card, folder)
    network = ResidualCNN(card.shape[0], card.widths, len(card.classes), 0.0)
    try:
        network.load_state_dict({k: torch.from_numpy(v) for k, v in weights.items()})
    except RuntimeError as error:
        raise PhospheneError(f"{folder / WEIGHTS} does not fit {CARD}: {error}") from None
    return NetworkDecoder(card, scaler, network, find_device(context.device))


def on_device(network: ResidualCNN, device: torch.device) -> ResidualCNN:
    """Return the network on a device, in the memory layout that convolutions like best."""
    return network.to(device).to(memory_format=torch.channels_last)


def to_device(inputs: Values, device: torch.device) -> torch.Tensor:
    """Return network inputs on a device, in the same memory layout."""
    tensor = torch.from_numpy(inputs).to(device)
    return tensor.contiguous(memory_format=torch.channels_last)


def _scaler(weights: dict[str, Values], card: Card, folder: Path) -> Scaler:
    """Take the input statistics out of the weights; ``PhospheneError`` for another shape."""
    names = ("reference", "mean", "scale")
    scaler = Scaler(*(weights.pop(f"inputs.{name}", np.zeros(1, np.float32)) for name in names))
    shape = (*card.shape[:2], 1)
    allowed = {shape} if scaler.reference.size else {shape, (0,)}
    if not {values.shape for values in scaler.arrays().values()} <= allowed:
        raise PhospheneError(
            f"{folder / WEIGHTS} does not fit {CARD}: input statistics must have shape {shape}"
        )
    return scaler


def _words(shape: tuple[int, ...]) -> str:
    n_channels, n_freqs, n_frames = shape
    return f"{n_channels} channels x {n_freqs} frequencies x {n_frames} frames"
