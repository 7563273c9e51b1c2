"""What a session file can set for the networks; imported at discovery, so it imports no torch."""

from importlib.util import find_spec
from pathlib import Path
from typing import Literal

import msgspec

from phosphene import DecoderConfig, PhospheneError


class TrainingSettings(DecoderConfig, frozen=True):
    """How a network is trained."""

    epochs: int = 20
    """Passes over the training trials at most."""
    patience: int = 10
    """Passes without a better validation loss after which training ends."""
    batch_size: int = 32
    learning_rate: float = 2e-3
    """Highest of the one-cycle schedule (Smith & Topin 2019)."""
    weight_decay: float = 0.01
    threads: int = 1
    """CPU threads in training; more of them rarely pay for so small a network."""

    def __post_init__(self) -> None:
        for field in ("epochs", "patience", "batch_size", "threads"):
            at_least(field, getattr(self, field), 1)
        between("learning_rate", self.learning_rate, 1e-6, 1)
        between("weight_decay", self.weight_decay, 0, 10)


class NetworkSettings(TrainingSettings, frozen=True):
    """The residual CNN and its training, the same with and without a teacher."""

    widths: tuple[int, int] = (96, 128)
    """Maps of the first and of the second half of the network."""
    dropout: float = 0.4

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least("widths", min(self.widths), 1)
        between("dropout", self.dropout, 0, 0.95)


class ImageFeatures(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where image features come from: an open_clip model, or a file of precomputed ones."""

    model: str = ""
    """Architecture in open_clip's words, e.g. ``ViT-L-14``."""
    pretrained: str = ""
    """Weights by open_clip's tag, e.g. ``openai``; looked for in the cache of Hugging Face."""
    checkpoint: Path | None = None
    """Weights in a file, or a folder that also holds ``open_clip_config.json``."""
    npz: Path | None = None
    """Precomputed: ``ids`` (n_images,) and ``features`` (n_images, n_dimensions)."""

    def __post_init__(self) -> None:
        from_model = bool(self.model or self.pretrained or self.checkpoint)
        if from_model == bool(self.npz):
            raise ValueError(
                "features are 'descriptor', {npz: FILE} or a model; found both or none"
            )
        if from_model and not (self.checkpoint or (self.model and self.pretrained)):
            raise ValueError(
                "model: name the architecture and its pretrained weights, or a checkpoint"
            )


class DistillationSettings(NetworkSettings, frozen=True):
    """The teacher, and how the network listens to it."""

    features: Literal["descriptor"] | ImageFeatures = "descriptor"
    """What the teacher sees of an image; ``descriptor`` is built in and needs no weights."""
    teacher: Literal["cross-fitted", "class-mean", "shuffled"] = "cross-fitted"
    """The method, or a control: the same soft labels for all images of a class, or the wrong
    classes' probabilities shuffled, so that nothing about likeness is left."""
    mode: Literal["kd+ce", "kd-only"] = "kd+ce"
    """The paper's sum of both losses, or soft labels alone."""
    alpha: float = 0.5
    """Weight of the hard labels' cross-entropy in ``kd+ce``; the paper does not tell its own."""
    temperature: float | Literal["auto"] = "auto"
    """Of the soft labels; ``auto`` gives them the mean entropy that ``entropy`` asks for."""
    entropy: float = 0.5
    """Mean entropy of the soft labels as a share of the greatest possible."""

    def __post_init__(self) -> None:
        super().__post_init__()
        between("alpha", self.alpha, 0, 1)
        between("entropy", self.entropy, 0.01, 0.99)
        if self.temperature != "auto":
            between("temperature", self.temperature, 0.01, 1000)


def need(extra: str, *modules: str) -> None:
    """Raise ``PhospheneError`` if a library is missing, and say how to install it."""
    if missing := [module for module in modules if find_spec(module) is None]:
        raise PhospheneError(
            f"{' and '.join(missing)} not installed; install: pip install 'phosphene[{extra}]'"
        )


def at_least(field: str, value: float, low: float) -> None:
    """Raise ``ValueError`` for a value below ``low``."""
    if value < low:
        raise ValueError(f"{field} must be at least {low}; found {value}")


def between(field: str, value: float, low: float, high: float) -> None:
    """Raise ``ValueError`` for a value outside ``low`` to ``high``."""
    if not low <= value <= high:
        raise ValueError(f"{field} must be {low:g} to {high:g}; found {value}")
