"""Fits, saves and loads models of braindecode."""

from importlib.metadata import version
from pathlib import Path

import msgspec
import torch
from torch import nn

from phosphene import Context, Decoding, Epochs, PhospheneError, TrainingSet
from phosphene_plugins._braindecode.models import Architecture, build, overheard
from phosphene_plugins._braindecode.names import check_names
from phosphene_plugins._braindecode.settings import BraindecodeSettings
from phosphene_plugins._distillation.decoder import Card, NetworkDecoder, read
from phosphene_plugins._distillation.fitting import Design, learn
from phosphene_plugins._distillation.inputs import Inputs
from phosphene_plugins._distillation.objectives import labels_alone
from phosphene_plugins._distillation.training import find_device, reproducible
from phosphene_plugins._waveforms import Waveforms

NAME = "braindecode"


class BraindecodeCard(Card, frozen=True, kw_only=True):
    """The card of a model of braindecode."""

    shape: tuple[int, int]
    """Channels and samples of an epoch."""
    architecture: Architecture
    notes: tuple[str, ...]
    """What the model warned of, e.g. that its kernels were shortened."""


class BraindecodeDecoder(NetworkDecoder):
    """A fitted model of braindecode."""

    def __init__(
        self, card: BraindecodeCard, inputs: Inputs, network: nn.Module, device: torch.device
    ) -> None:
        self._sfreq = card.architecture.sfreq
        with overheard([]):  # The card tells already.
            super().__init__(card, inputs, network, device)

    def decode(self, epochs: Epochs) -> Decoding:
        """Return calibrated probabilities; ``PhospheneError`` for epochs of another kind."""
        if epochs.spec.sfreq != self._sfreq:
            raise PhospheneError(
                f"braindecode was trained at {self._sfreq:g} Hz; found {epochs.spec.sfreq:g} Hz"
            )
        with overheard([]):
            return super().decode(epochs)


def fit_model(
    settings: BraindecodeSettings, training_set: TrainingSet, context: Context
) -> BraindecodeDecoder:
    """Return a decoder whose model was trained from random weights."""
    architecture = Architecture.of(settings.model, settings.settings, training_set.epochs.spec)
    notes: list[str] = []

    def make(shape: tuple[int, ...], n_classes: int) -> nn.Module:
        return build(architecture, shape[1], n_classes)

    design = Design(NAME, Waveforms, make)
    with overheard(notes):
        learnt = learn(
            design, settings, training_set, context, labels_alone(settings.label_smoothing)
        )
    common = msgspec.structs.asdict(learnt.card)
    common["versions"] |= {NAME: version(NAME)}
    card = BraindecodeCard(**common, architecture=architecture, notes=tuple(notes))
    return BraindecodeDecoder(card, learnt.inputs, learnt.network, learnt.device)


def load_model(folder: Path, context: Context) -> BraindecodeDecoder:
    """Return the decoder that was saved; ``PhospheneError`` if the files do not fit."""
    saved = read(NAME, folder, BraindecodeCard, Waveforms)
    card, architecture, device = saved.card, saved.card.architecture, find_device(context.device)
    try:
        check_names(architecture.model, architecture.settings)
    except ValueError as error:
        raise PhospheneError(f"{folder}: {error}") from None
    with overheard([]), reproducible(0, 1, device):
        network = build(architecture, card.shape[1], len(card.classes))
    saved.restore(network)
    return BraindecodeDecoder(card, saved.inputs, network, device)
