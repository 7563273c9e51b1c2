"""The training loop: seeded, stopped early, and interrupted without losing the best so far."""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from phosphene import Context, PhospheneError
from phosphene_plugins._calibration import fit_temperature
from phosphene_plugins._distillation.settings import TrainingSettings

State = dict[str, Tensor]
Loss = Callable[[Tensor, Tensor], Tensor]
"""From logits and the indices of their trials to the mean loss."""

EVALUATION_BATCH = 256


@dataclass(frozen=True)
class Task:
    """What is to be learnt, and what it is tried on; inputs are on the device that trains."""

    inputs: Tensor
    loss: Loss
    validation_inputs: Tensor
    validation_labels: NDArray[np.intp]


@dataclass
class Progress:
    """How far training has come, and the best network so far."""

    epochs: int = 0
    best_epoch: int = 0
    loss: float = math.inf
    """Mean over the trials of the last epoch."""
    validation_loss: float = math.inf
    """Of the best epoch, in nats, after calibration."""
    validation_accuracy: float | None = None
    """Of the best epoch; None without validation trials."""
    temperature: float = 1.0
    """Calibrates the best network's probabilities."""
    interrupted: bool = False
    state: State = field(default_factory=dict)


def train(network: nn.Module, task: Task, settings: TrainingSettings, context: Context) -> Progress:
    """Train the network and leave it as it was in its best epoch; return what came of it.

    The best epoch has the lowest calibrated validation loss: on few trials it is steadier than
    accuracy. Without validation trials it is the last one. ``KeyboardInterrupt`` ends training
    as soon as there is a network to keep. Raises ``PhospheneError`` if the very first epoch ends
    in numbers that are not finite; later ones only end training.
    """
    progress = Progress()
    try:
        _run(network, task, settings, context, progress)
    except KeyboardInterrupt:
        if not progress.state:
            raise
        progress.interrupted = True
    if not progress.state:
        raise PhospheneError(
            f"training diverged at learning_rate {settings.learning_rate:g}; choose a lower one"
        )
    network.load_state_dict(progress.state)
    return progress


def find_device(name: str) -> torch.device:
    """Return a device; ``PhospheneError`` if this computer has none of that name."""
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise PhospheneError(f"device {name!r} cannot be used: {error}") from None
    return device


@contextmanager
def reproducible(seed: int, threads: int, device: torch.device) -> Iterator[None]:
    """Seed torch and set its threads for a while; afterwards both are as they were."""
    with torch.random.fork_rng([device] if device.type == "cuda" else []), use_threads(threads):
        torch.manual_seed(seed)
        yield


@contextmanager
def use_threads(count: int) -> Iterator[None]:
    """Let torch use so many CPU threads for a while."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def predict(network: nn.Module, inputs: Tensor) -> NDArray[np.float64]:
    """Return logits, shape (n, n_classes)."""
    if network.training:  # Asking is cheaper than telling every layer again.
        network.eval()
    with torch.inference_mode(), mixed_precision(inputs.device):
        logits = [network(batch).float().cpu() for batch in torch.split(inputs, EVALUATION_BATCH)]
    return torch.cat(logits).double().numpy()


def mixed_precision(device: torch.device) -> torch.autocast:
    """Return the context in which a GPU computes in 16 bits; on CPU it changes nothing."""
    return torch.autocast(device.type, _half(), enabled=device.type == "cuda")


def _run(
    network: nn.Module,
    task: Task,
    settings: TrainingSettings,
    context: Context,
    progress: Progress,
) -> None:
    rng, start = context.rng(*b"batches"), time.perf_counter()
    step = _stepper(network, settings, _batches_an_epoch(task, settings))
    for epoch in range(1, settings.epochs + 1):
        network.train()
        total = 0.0
        for batch in _batches(task, settings, rng):
            with mixed_precision(batch.device):
                value = task.loss(network(task.inputs[batch]).float(), batch)
            step(value)
            total += float(value.detach()) * len(batch)
        if not math.isfinite(total):
            return
        progress.epochs, progress.loss = epoch, total / len(task.inputs)
        _judge(network, task, progress)
        left = (time.perf_counter() - start) / epoch * (settings.epochs - epoch)
        context.progress(epoch / settings.epochs, _words(progress, settings, left))
        if epoch - progress.best_epoch >= settings.patience:
            return


def _stepper(
    network: nn.Module, settings: TrainingSettings, n_batches: int
) -> Callable[[Tensor], None]:
    optimizer = torch.optim.AdamW(
        network.parameters(), settings.learning_rate, weight_decay=settings.weight_decay
    )
    # One step more than there are: a schedule of one step would divide by zero.
    total = settings.epochs * n_batches + 1
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, settings.learning_rate, total_steps=total
    )
    on_gpu = next(network.parameters()).is_cuda
    scaler = torch.amp.GradScaler("cuda", enabled=on_gpu and _half() is torch.float16)

    def step(loss: Tensor) -> None:
        optimizer.zero_grad()
        torch.autograd.backward(scaler.scale(loss))
        scaler.step(optimizer)
        scaler.update()
        schedule.step()

    return step


def _judge(network: nn.Module, task: Task, progress: Progress) -> None:
    """Keep the network if it is the best so far."""
    labels = task.validation_labels
    temperature, found, accuracy = 1.0, -math.inf, None
    if len(labels):
        logits = predict(network, task.validation_inputs)
        temperature, found = fit_temperature(logits, labels)
        accuracy = float((logits.argmax(axis=1) == labels).mean())
    if found < progress.validation_loss or not len(labels):
        progress.best_epoch = progress.epochs
        progress.validation_loss, progress.validation_accuracy = found, accuracy
        progress.temperature = temperature
        progress.state = {k: v.detach().clone() for k, v in network.state_dict().items()}


def _batches(task: Task, settings: TrainingSettings, rng: np.random.Generator) -> Iterator[Tensor]:
    """Yield the indices of all trials in random order, in batches of nearly equal size."""
    order = rng.permutation(len(task.inputs))
    for batch in np.array_split(order, _batches_an_epoch(task, settings)):
        yield torch.from_numpy(batch).to(task.inputs.device)


def _batches_an_epoch(task: Task, settings: TrainingSettings) -> int:
    return -(-len(task.inputs) // settings.batch_size)


def _words(progress: Progress, settings: TrainingSettings, left: float) -> str:
    accuracy = progress.validation_accuracy
    best = "" if accuracy is None else f", validation accuracy {accuracy:.1%}"
    return (
        f"epoch {progress.epochs} of {settings.epochs}: loss {progress.loss:.3f}{best}, "
        f"{left:.0f} s left"
    )


def _half() -> torch.dtype:
    """Return the 16-bit type that the GPU is fast in."""
    fast = torch.cuda.is_available() and torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.bfloat16 if fast or not torch.cuda.is_available() else torch.float16
