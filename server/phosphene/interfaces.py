"""What a plugin implements: a config that is validated early, and the object it builds.

Configs are frozen structs read from the session file. An unknown field or a wrong type is refused
before anything starts; a config raises ``ValueError`` in ``__post_init__`` for a value that can
never work, and ``PhospheneError`` in ``build`` for one that this signal cannot carry.
"""

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ClassVar, Literal, Protocol, runtime_checkable

import msgspec
import numpy as np
from numpy.typing import NDArray

from phosphene.clock import Clock, RealClock
from phosphene.design import label_of
from phosphene.events import Block, Onset
from phosphene.signals import Epochs, Signal, SignalSpec
from phosphene.stimulus import StimulusSet


def _silent(_done: float, _text: str) -> None:
    """Report to nobody."""


@dataclass(frozen=True)
class Context:
    """What the rest of the house lends to a plugin object."""

    stimuli: StimulusSet
    """The classes of this session and their images."""
    seed: int = 0
    cache: Path = Path(".cache")
    """A folder for what is expensive to make and safe to delete."""
    clock: Clock = field(default_factory=RealClock)
    onsets: deque[Onset] = field(default_factory=deque)
    """Onsets as they happen, oldest first; a source that reacts to them pops them."""
    progress: Callable[[float, str], None] = _silent
    """Called with the fraction done (0 to 1) and a few words."""
    device: str = "cpu"

    def rng(self, *stream: int) -> np.random.Generator:
        """Return the random generator of this session's seed and the given stream numbers."""
        return np.random.default_rng((self.seed, *stream))

    def part(self, start: float, end: float, name: str = "") -> "Context":
        """Return the context of a part of a task; its 0 to 1 counts as ``start`` to ``end``."""

        def progress(done: float, text: str) -> None:
            self.progress(start + done * (end - start), ": ".join(filter(None, (name, text))))

        return replace(self, progress=progress)


class PluginConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Base of everything that a session file can choose by name."""


class Source(Protocol):
    """A running amplifier."""

    spec: SignalSpec

    def read(self, timeout: float) -> Signal | None:
        """Return what has arrived since the last call, or None; never an empty signal.

        ``timeout`` is how many seconds to wait for the first sample.
        """
        ...

    def close(self) -> None:
        """Let go of the device."""
        ...


@runtime_checkable
class SourceOfMany(Source, Protocol):
    """An amplifier with other streams beside the EEG: auxiliary inputs, triggers, a photodiode."""

    beside: Mapping[str, SignalSpec]
    """What each of them delivers, in ``Signal.beside``, by name."""


@runtime_checkable
class SourceWithMarkers(Source, Protocol):
    """An amplifier with streams that have no rate: a trigger box, a button."""

    markers: Sequence[str]
    """Their names; what they say comes in ``Signal.markers``."""


@runtime_checkable
class SourceWithImpedances(Source, Protocol):
    """An amplifier that measures how well its electrodes are connected."""

    def impedances(self) -> Mapping[str, float]:
        """Return the newest values in ohms, by electrode; nothing before there are any."""
        ...


class SourceConfig(PluginConfig, frozen=True):
    """Settings of a signal source."""

    live: ClassVar[bool] = True
    """False if the source can also run on a virtual clock."""

    def build(self, context: Context) -> Source:
        """Open the device; ``PhospheneError`` if it is not what the settings say."""
        raise NotImplementedError


class StreamStep(Protocol):
    """A causal, stateful operation on the running signal."""

    spec: SignalSpec
    """Of the signals that come out."""
    delay: float
    """Seconds by which the output lags; taken out when epochs are cut."""

    def __call__(self, signal: Signal) -> Signal:
        """Return the processed signal: (n_channels, n_times) to (n_channels', n_times').

        A step that lowers the rate may return an empty signal; none is ever given one.
        """
        ...

    def reset(self) -> None:
        """Forget the past: the next signal does not follow the previous one."""
        ...


@runtime_checkable
class JoinableStep(StreamStep, Protocol):
    """A step that can do the work of the one behind it as well, at once and with the same result.

    Two linear filters are one: it takes half the time.
    """

    def joined(self, following: StreamStep) -> StreamStep | None:
        """Return a step in place of both, as new; None if there is none."""
        ...


class StreamStepConfig(PluginConfig, frozen=True):
    """Settings of a stream step."""

    def build(self, spec: SignalSpec, context: Context) -> StreamStep:
        """Return the step; ``PhospheneError`` if ``spec`` cannot carry these settings."""
        raise NotImplementedError


class EpochStep(Protocol):
    """An operation on cut epochs; it may learn from training epochs."""

    def fit(self, epochs: Epochs) -> None:
        """Learn from training epochs only; called again for each fold."""
        ...

    def __call__(self, epochs: Epochs) -> Epochs:
        """Return the transformed epochs."""
        ...

    def state(self) -> Mapping[str, NDArray[np.generic]]:
        """Return what was learnt; empty if nothing."""
        ...

    def load(self, state: Mapping[str, NDArray[np.generic]]) -> None:
        """Restore what ``state`` returned."""
        ...


class EpochStepConfig(PluginConfig, frozen=True):
    """Settings of an epoch step."""

    def build(self, spec: SignalSpec, context: Context) -> EpochStep:
        """Return the step; ``PhospheneError`` if ``spec`` cannot carry these settings."""
        raise NotImplementedError


@dataclass(frozen=True)
class TrainingSet:
    """Epochs and what was seen in each."""

    epochs: Epochs
    trials: tuple[Onset, ...]
    """One stimulus onset for each epoch: class, image, run, block, attempt, trial, time."""
    stimuli: StimulusSet

    @property
    def wnids(self) -> tuple[str, ...]:
        """Class by epoch."""
        return tuple(trial.wnid for trial in self.trials)

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes that occur, sorted."""
        return tuple(sorted(set(self.wnids)))

    @property
    def label(self) -> str:
        """What stands beside every accuracy; "" unless class and time are one variable."""
        return label_of(self.trials)

    def select(self, index: NDArray[np.intp]) -> "TrainingSet":
        """Return the set reduced to some epochs."""
        return TrainingSet(self.epochs[index], tuple(self.trials[i] for i in index), self.stimuli)


@dataclass(frozen=True)
class Decoding:
    """What a decoder makes of some epochs."""

    probabilities: NDArray[np.floating]
    """(n_epochs, n_classes); rows sum to 1; columns in the order of the decoder's classes."""
    embedding: NDArray[np.floating] | None = None
    """(n_epochs, n_dimensions), if the decoder has one."""
    space: str = ""
    """Name of the embedding's space, e.g. ``ViT-L-14/openai``."""


class Decoder(Protocol):
    """A fitted decoder."""

    classes: tuple[str, ...]
    """wnids, in the order of the columns of its probabilities."""

    def decode(self, epochs: Epochs) -> Decoding:
        """Return probabilities for each epoch."""
        ...

    def save(self, folder: Path) -> None:
        """Write safetensors or npz, and JSON, into an existing empty folder; never a pickle."""
        ...


@runtime_checkable
class Measured(Protocol):
    """A decoder that knows how well it did on what it held out of its training trials."""

    metrics: Mapping[str, float]
    """By name, e.g. ``validation_accuracy``; they become part of the bundle's card."""


class DecoderConfig(PluginConfig, frozen=True):
    """Settings of a decoder."""

    def check(self, epochs: Epochs) -> None:
        """Raise ``PhospheneError`` if it could never decode epochs of this kind and shape.

        It is asked with noise before the first image is shown; whoever leaves it out is believed.
        """

    def fit(self, training_set: TrainingSet, context: Context) -> Decoder:
        """Return a decoder fitted on nothing but ``training_set``."""
        raise NotImplementedError

    def load(self, folder: Path, context: Context) -> Decoder:
        """Return the decoder that ``save`` wrote into ``folder``."""
        raise NotImplementedError


@dataclass(frozen=True)
class Picture:
    """A picture to show, and how it came to be."""

    pixels: NDArray[np.uint8]
    """(height, width, 3), sRGB."""
    wnid: str
    """The class it was made for."""
    provenance: Mapping[str, str | int | float] = field(default_factory=dict)
    """Prompt, model, image id, steps: whatever is needed to make it again."""


class Generator(Protocol):
    """A warmed-up source of pictures."""

    def generate(self, classes: Sequence[str], decoding: Decoding, *, seed: int) -> Picture:
        """Return one picture for a decoding of one epoch.

        ``classes`` are the wnids of the columns of ``decoding.probabilities``, shape (1, n).
        """
        ...


Uses = Literal["class", "probabilities", "embedding"]


class GeneratorConfig(PluginConfig, frozen=True):
    """Settings of a generator."""

    uses: ClassVar[Uses] = "probabilities"
    """What of a decoding makes a difference to the picture. If it is the likeliest class alone,
    pictures are made ahead, and shown at once. ``embedding`` asks for a decoder that has one: the
    generator then says in its attribute ``n_dimensions: int`` how many, and in ``space: str`` how
    the name of their space begins ("" if any will do)."""

    def build(self, context: Context) -> Generator:
        """Return the generator, warmed up."""
        raise NotImplementedError


class ImageEncoder(Protocol):
    """Puts images into a space in which alike ones are close."""

    space: str
    """Name of the space, e.g. ``ViT-L-14/openai``."""

    def embed(self, images: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """Return (n_images, n_dimensions), rows of unit length.

        An image is (height, width, 3), sRGB; they may differ in size.
        """
        ...


class ImageEncoderConfig(PluginConfig, frozen=True):
    """Settings of an image encoder: what pictures are compared with images by."""

    def build(self, context: Context) -> ImageEncoder:
        """Return the encoder; ``PhospheneError`` says which weights are missing."""
        raise NotImplementedError


class ParadigmConfig(PluginConfig, frozen=True):
    """Settings of a paradigm: what is shown, in which order, for how long."""

    def blocks(self, context: Context) -> Sequence[Block]:
        """Return the whole plan; the same for the same seed.

        Raises ``PhospheneError`` if the stimulus set has too few classes or images.
        """
        raise NotImplementedError


class StimulusSetConfig(PluginConfig, frozen=True):
    """Settings of an image set."""

    def build(self, cache: Path) -> StimulusSet:
        """Return the set; what has to be generated is kept in the folder ``cache``."""
        raise NotImplementedError


class Dataset(Protocol):
    """A published data set on this computer, opened."""

    spec: SignalSpec
    """Of every subject's signal."""
    images: Mapping[str, str]
    """Image id -> wnid. The id is the path of the image's file in the folder of all images."""
    subjects: Sequence[str]
    """Ids of letters and digits."""
    parts: Mapping[str, str]
    """Image id -> train, val or test, as published; empty if there is no such split."""
    notes: Sequence[str]
    """What an analyst must know: what was left out, and what is not known. Complete sentences."""

    def trials(self, subject: str) -> Iterator[tuple[Onset, Signal]]:
        """Yield a subject's trials in order of time, each with the signal that was published.

        Times are in seconds; what lies between two trials is unknown.
        """
        ...


class DatasetConfig(PluginConfig, frozen=True):
    """Where the files of a published data set are."""

    def open(self) -> Dataset:
        """Return the data set; ``PhospheneError`` says what is missing or not as published."""
        raise NotImplementedError
