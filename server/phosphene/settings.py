"""The session file: everything that differs from session to session, validated as a whole."""

from pathlib import Path
from typing import Generic, Literal, TypeVar

import msgspec

from phosphene.interfaces import (
    DecoderConfig,
    EpochStepConfig,
    GeneratorConfig,
    ParadigmConfig,
    PluginConfig,
    SourceConfig,
    StimulusSetConfig,
    StreamStepConfig,
)

C = TypeVar("C", bound=PluginConfig, covariant=True)
PhaseName = Literal["record", "train", "feedback", "report"]


class Chosen(msgspec.Struct, Generic[C], frozen=True):
    """A plugin chosen by name, with its validated settings.

    In the session file: ``decoder: power-lr`` or ``decoder: {power-lr: {c: 0.1}}``.
    """

    name: str
    config: C


class EpochSettings(msgspec.Struct, frozen=True):
    """How epochs are cut and what is done to them."""

    tmin: float
    """Seconds from onset to the first sample."""
    tmax: float
    """Seconds from onset to the end of the epoch (exclusive)."""
    steps: tuple[Chosen[EpochStepConfig], ...] = ()


class ScreenSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where the subject sees the images."""

    kind: Literal["psychopy", "headless"] = "psychopy"
    refresh_rate: float | None = None
    """Frames per second; stated for a screen without vertical sync, otherwise measured."""
    size: tuple[int, int] = (1024, 768)
    """Window size in pixels if not full screen."""
    fullscreen: bool = True
    image_size: float = 0.6
    """Height of an image as a fraction of the screen's height."""
    lag: float = 0.0
    """Measured seconds from flip to light; 0 says that onsets are flip times, not light."""


class Settings(msgspec.Struct, frozen=True):
    """A resolved session file: every plugin found, every value checked."""

    subject: str
    session: str
    protocol: tuple[PhaseName, ...]
    stimuli: Chosen[StimulusSetConfig]
    acquisition: Chosen[SourceConfig]
    paradigm: Chosen[ParadigmConfig] | None
    """Of the ``record`` phase."""
    feedback: Chosen[ParadigmConfig] | None
    """Of the ``feedback`` phase."""
    stream: tuple[Chosen[StreamStepConfig], ...]
    epochs: EpochSettings
    decoder: Chosen[DecoderConfig]
    generator: Chosen[GeneratorConfig] | None
    bundle: Path | None
    """A bundle trained earlier, for feedback without training."""
    screen: ScreenSettings
    clock: Literal["real", "virtual"]
    output: Path
    """The study's BIDS dataset."""
    cache: Path
    seed: int
