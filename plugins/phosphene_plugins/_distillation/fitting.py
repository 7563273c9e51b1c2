"""What fitting a network has in common, with a teacher or without one."""

import platform
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray

from phosphene import Context, Onset, PhospheneError, StimulusSet, TrainingSet
from phosphene_plugins._distillation.decoder import (
    Card,
    Distillation,
    NetworkDecoder,
    Training,
    on_device,
    to_device,
)
from phosphene_plugins._holdout import hold_out
from phosphene_plugins._distillation.inputs import Scaler, check_spectrogram
from phosphene_plugins._distillation.network import ResidualCNN
from phosphene_plugins._distillation.settings import NetworkSettings
from phosphene_plugins._distillation.training import (
    Loss,
    Progress,
    Task,
    find_device,
    reproducible,
    train,
)

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


def fit_network(
    name: str,
    settings: NetworkSettings,
    training_set: TrainingSet,
    context: Context,
    objective: Objective,
) -> NetworkDecoder:
    """Return a decoder whose network was trained to an objective."""
    device = find_device(context.device)
    data = check_spectrogram(training_set.epochs, name)
    labels = _labels(training_set, name)
    trained, held, held_out = hold_out(training_set.trials, context.rng(*b"hold out"))
    trials = tuple(training_set.trials[i] for i in trained)
    fitting = Fitting(trials, labels[trained], training_set.stimuli, device)
    loss, distillation = objective(fitting)
    scaler = Scaler.fitted(data[trained])
    inputs, validation_inputs = (to_device(scaler(data[i]), device) for i in (trained, held))
    task = Task(inputs, loss, validation_inputs, labels[held])
    classes = training_set.classes
    with reproducible(int(context.rng(*name.encode()).integers(2**63)), settings.threads, device):
        layers = ResidualCNN(data.shape[1], settings.widths, len(classes), settings.dropout)
        network = on_device(layers, device)
        progress = train(network, task, settings, context)
    n_channels, n_freqs, n_frames = data.shape[1:]
    card = Card(
        decoder=name,
        classes=classes,
        shape=(n_channels, n_freqs, n_frames),
        freqs=training_set.epochs.freqs,
        widths=settings.widths,
        temperature=progress.temperature,
        training=_training(progress, task, held_out),
        distillation=distillation,
        settings=msgspec.to_builtins(settings, enc_hook=str),
        versions={"python": platform.python_version()} | {n: version(n) for n in LIBRARIES},
    )
    return NetworkDecoder(card, scaler, network, device)


def _labels(training_set: TrainingSet, name: str) -> NDArray[np.intp]:
    """Return the column of each trial's class."""
    classes = training_set.classes
    if len(classes) < 2:
        raise PhospheneError(f"{name} needs at least 2 classes; found {len(classes)}")
    return np.searchsorted(np.array(classes), np.array(training_set.wnids))


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
