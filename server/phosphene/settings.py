"""The settings of a session, validated as a whole before anything starts."""

import json
import platform
import re
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import version
from itertools import pairwise
from os import environ
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, get_args, get_type_hints

import msgspec
from msgspec import structs

from phosphene.choice import Chosen, choose, plain
from phosphene.conversion import FieldError, convert, to_plain, under
from phosphene.errors import SettingsError
from phosphene.interfaces import (
    DecoderConfig,
    EpochStepConfig,
    GeneratorConfig,
    ParadigmConfig,
    SourceConfig,
    StimulusSetConfig,
    StreamStepConfig,
)
from phosphene.registry import Registry
from phosphene.session_file import FORMAT, Section, Sections, preprocessing, read_sections
from phosphene.strict_yaml import read_yaml
from phosphene.suggestions import choices

__all__ = [
    "Chosen",
    "EpochSettings",
    "PhaseName",
    "ScreenSettings",
    "Settings",
    "choose",
    "load_settings",
    "plain",
    "read_resolved",
    "write_resolved",
]

PhaseName = Literal["record", "train", "feedback", "report"]
PHASES: tuple[PhaseName, ...] = get_args(PhaseName)


class EpochSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How epochs are cut and what is done to them."""

    tmin: float
    """Seconds from onset to the first sample."""
    tmax: float
    """Seconds from onset to the end of the epoch (exclusive)."""
    steps: tuple[Chosen[EpochStepConfig], ...] = ()

    def __post_init__(self) -> None:
        if not self.tmin < self.tmax:
            raise ValueError(f"tmax must be above tmin; found {self.tmin} to {self.tmax} s")


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

    def __post_init__(self) -> None:
        if self.refresh_rate is not None and not self.refresh_rate > 0:
            raise ValueError(f"refresh_rate must be above 0 Hz; found {self.refresh_rate}")
        if min(self.size) < 1:
            raise ValueError(f"size must be at least 1 x 1 pixel; found {self.size}")
        if not 0 < self.image_size <= 1:
            raise ValueError(f"image_size must be above 0 and at most 1; found {self.image_size}")
        if not self.lag >= 0:
            raise ValueError(f"lag must be 0 s or more; found {self.lag}")


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
