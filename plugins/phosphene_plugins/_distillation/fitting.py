"""What fitting a network has in common, with a teacher or without one."""

import platform
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from phosphene import Context, Onset, StimulusSet, TrainingSet
from phosphene_plugins._distillation.decoder import (
    Card,
    Distillation,
    NetworkDecoder,
    SpectrogramCard,
    Training,
    in_layout,
    to_device,
)
from phosphene_plugins._distillation.inputs import Inputs, Scaler
from phosphene_plugins._distillation.network import ResidualCNN
from phosphene_plugins._distillation.settings import NetworkSettings, TrainingSettings
from phosphene_plugins._distillation.training import (
    Loss,
    Progress,
    Task,
    find_device,
    reproducible,
    train,
)
from phosphene_plugins._epochs import class_columns
from phosphene_plugins._holdout import hold_out

LIBRARIES = ("phosphene", "torch", "numpy", "safetensors")


@dataclass(frozen=True)
class Fitting:
    """The trials that a network is trained on, without those held out for validation."""

    trials: tuple[Onset, ...]
    labels: NDArray[np.intp]
    stimuli: StimulusSet
    device: torch.device


Objective = Callable[[Fitting], tuple[Loss, Distillation | None]]
"""Makes the loss of one fit, and says what it did."""


@dataclass(frozen=True)
class Design:
    """A kind of network, and of the epochs that it decodes."""

    name: str
    inputs: type[Inputs]
    build: Callable[[tuple[int, ...], int], nn.Module]
    """From the shape of an epoch and the number of classes."""


@dataclass(frozen=True)
class Learnt:
    """A trained network with what a decoder needs besides."""

    network: nn.Module
    inputs: Inputs
    card: Card
    distillation: Distillation | None
    device: torch.device


def fit_network(
    name: str,
    settings: NetworkSettings,
    training_set: TrainingSet,
    context: Context,
    objective: Objective,
) -> NetworkDecoder:
    """Return a decoder of spectrograms whose network was trained to an objective."""

    def build(shape: tuple[int, ...], n_classes: int) -> nn.Module:
        return in_layout(ResidualCNN(shape[0], settings.widths, n_classes, settings.dropout))

    design = Design(name, Scaler, build)
    learnt = learn(design, settings, training_set, context, objective)
    card = SpectrogramCard(
        **msgspec.structs.asdict(learnt.card),
        freqs=training_set.epochs.freqs,
        widths=settings.widths,
        distillation=learnt.distillation,
    )
    return NetworkDecoder(card, learnt.inputs, learnt.network, learnt.device)


def learn(
    design: Design,
    settings: TrainingSettings,
    training_set: TrainingSet,
    context: Context,
    objective: Objective,
) -> Learnt:
    """Return a network trained to an objective on all but the held-out trials."""
    name, device = design.name, find_device(context.device)
    data = design.inputs.check(training_set.epochs, name)
    labels, classes = class_columns(training_set, name), training_set.classes
    trained, held, held_out = hold_out(training_set, context.rng(*b"hold out"))
    trials = tuple(training_set.trials[i] for i in trained)
    loss, distillation = objective(Fitting(trials, labels[trained], training_set.stimuli, device))
    inputs = design.inputs.fitted(data[trained])
    seen, unseen = (to_device(inputs(data[i]), device) for i in (trained, held))
    task = Task(seen, loss, unseen, labels[held])
    with reproducible(int(context.rng(*name.encode()).integers(2**63)), settings.threads, device):
        network = design.build(data.shape[1:], len(classes)).to(device)
        progress = train(network, task, settings, context)
    card = Card(
        decoder=name,
        classes=classes,
        shape=data.shape[1:],
        temperature=progress.temperature,
        training=_training(progress, task, held_out),
        label=training_set.label,
        settings=msgspec.to_builtins(settings, enc_hook=str),
        versions={"python": platform.python_version()} | {n: version(n) for n in LIBRARIES},
    )
    return Learnt(network, inputs, card, distillation, device)


def _training(progress: Progress, task: Task, held_out: str) -> Training:
    validated = len(task.validation_labels) > 0
    return Training(
        n_trials=len(task.inputs),
        n_validation=len(task.validation_labels),
        held_out=held_out,
        epochs=progress.epochs,
        best_epoch=progress.best_epoch,
        loss=progress.loss,
        validation_accuracy=progress.validation_accuracy,
        validation_loss=progress.validation_loss if validated else None,
        interrupted=progress.interrupted,
    )
