"""A bundle: everything a decoder process needs, in one folder, with a hash over all of it."""

import hashlib
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from numbers import Real
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from phosphene.choice import Chosen, choose, choose_steps, plain
from phosphene.design import label_of
from phosphene.errors import PhospheneError, SettingsError
from phosphene.events import Onset
from phosphene.interfaces import (
    Context,
    Decoder,
    DecoderConfig,
    EpochStepConfig,
    Measured,
    StreamStepConfig,
)
from phosphene.pipeline import REJECT, Pipeline, State, pick_channels
from phosphene.registry import Registry
from phosphene.rejection import RejectSettings
from phosphene.settings import EpochSettings, Settings
from phosphene.signals import SignalSpec, eeg_picks
from phosphene.versions import versions

CARD = "bundle.json"
FORMAT = 1
MAX_STATE = 2**28
"""Bytes of one step's state that are read; none comes near."""
POSITION_TOLERANCE = 0.01
"""Metres by which an electrode may have moved between two montages that count as the same."""


class EpochCard(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How the bundle cuts epochs, and its epoch steps."""

    tmin: float
    tmax: float
    steps: list[dict[str, Any]]
    reject: RejectSettings | None = None


class BundleCard(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a bundle says about itself."""

    subject: str
    session: str
    spec: SignalSpec
    """The signal it was trained on, EEG channels only."""
    stream: list[dict[str, Any]]
    epochs: EpochCard
    decoder: dict[str, Any]
    classes: tuple[str, ...]
    n_epochs: int
    """Rejected ones too."""
    data_sha256: str
    """Over the training epochs and their classes."""
    seed: int
    metrics: dict[str, float] = {}
    """What the decoder says of itself, on trials that it held out."""
    label: str = ""
    """What stands beside an accuracy among ``metrics``."""
    runs: dict[str, tuple[int, ...]] = {}
    """Planned runs, by phase, that the training epochs are from; empty in early bundles."""
    rejected: dict[str, int] = {}
    """Epochs that were not learnt from because of artefacts, by wnid."""
    versions: dict[str, str] = msgspec.field(default_factory=versions)
    format: int = FORMAT


@dataclass(frozen=True)
class Bundle:
    """A bundle in memory."""

    card: BundleCard
    decoder: Decoder
    sha256: str
    _stream: tuple[Chosen[StreamStepConfig], ...]
    _epochs: EpochSettings
    _states: tuple[State, ...]
    _context: Context

    def pipeline(self, spec: SignalSpec, lag: float = 0.0) -> Pipeline:
        """Return the fitted pipeline for a signal; ``PhospheneError`` if it is another one."""
        check_signal(self.card, spec)
        pipeline = Pipeline(self._stream, self._epochs, spec, self._context, lag)
        with _readable("the bundle's fitted steps"):
            pipeline.load_states(self._states)
        return pipeline


def save_bundle(
    folder: Path, card: BundleCard, states: list[tuple[str, State]], decoder: Decoder
) -> str:
    """Write a bundle into a new folder, whole or not at all; return its hash."""
    if folder.exists():
        raise PhospheneError(f"{folder} exists already; a bundle is never overwritten")
    draft = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(draft, ignore_errors=True)
    for part in ("steps", "decoder"):
        (draft / part).mkdir(parents=True)
    for name, state in states:
        np.savez(draft / "steps" / f"{name}.npz", **dict(state))  # type: ignore[arg-type]
        _read_state(draft / "steps" / f"{name}.npz")  # What cannot be read is not kept either.
    decoder.save(draft / "decoder")
    (draft / CARD).write_bytes(msgspec.json.format(msgspec.json.encode(card)))
    draft.rename(folder)
    return hash_folder(folder)


def load_bundle(
    folder: Path, registry: Registry, context: Context, sha256: str | None = None
) -> Bundle:
    """Return a bundle.

    Raises ``PhospheneError`` if it is missing, damaged, of another format or not the one with hash
    ``sha256``, or if a plugin that it needs is not installed.
    """
    card = read_card(folder)
    found = hash_folder(folder)
    if sha256 is not None and found != sha256:
        raise PhospheneError(f"{folder} has changed: expected hash {sha256}, found {found}")
    try:
        stream = choose_steps(registry, card.stream, StreamStepConfig)
        steps = choose_steps(registry, card.epochs.steps, EpochStepConfig)
        epochs = EpochSettings(card.epochs.tmin, card.epochs.tmax, steps, card.epochs.reject)
        config: DecoderConfig = choose(registry, "decoder", card.decoder).config
    except (PhospheneError, ValueError) as error:
        raise PhospheneError(f"{folder / CARD}: {error}") from None
    states = tuple(_read_state(folder / "steps" / f"{name}.npz") for name in step_names(epochs))
    with _readable(folder / "decoder"):
        decoder = config.load(folder / "decoder", context)
    if decoder.classes != card.classes:
        raise PhospheneError(f"{folder}: the decoder's classes are not those of {CARD}")
    return Bundle(card, decoder, found, stream, epochs, states, context)


def read_card(folder: Path) -> BundleCard:
    """Return what a bundle says about itself; ``PhospheneError`` if there is none."""
    path = folder / CARD
    try:
        content = path.read_bytes()
        found = msgspec.json.decode(content, type=_Format).format
        if found != FORMAT:
            raise PhospheneError(f"{path}: expected format {FORMAT}, found {found}")
        return msgspec.json.decode(content, type=BundleCard)
    except OSError:
        raise PhospheneError(f"{folder} is not a bundle: there is no {CARD} in it") from None
    except msgspec.MsgspecError as error:
        raise PhospheneError(f"{path}: {error}") from None


def make_card(  # noqa: PLR0913, PLR0917 (a card has many lines)
    settings: Settings,
    spec: SignalSpec,
    decoder: Decoder,
    trials: Sequence[Onset],
    data: str,
    rejected: Mapping[str, int],
) -> BundleCard:
    """Return the card of a bundle trained with these settings on a signal of ``spec``."""
    epochs = settings.epochs
    return BundleCard(
        subject=settings.subject,
        session=settings.session,
        spec=pick_channels(spec, eeg_picks(spec)),
        stream=[plain(step) for step in settings.stream],
        epochs=epoch_card(epochs),
        decoder=plain(settings.decoder),
        classes=decoder.classes,
        n_epochs=len(trials),
        data_sha256=data,
        seed=settings.seed,
        metrics=_metrics(decoder),
        label=label_of(trials),
        runs=_runs(trials),
        rejected=dict(rejected),
    )


def epoch_card(epochs: EpochSettings) -> EpochCard:
    """Return how epochs are cut, as a card says it."""
    steps = [plain(step) for step in epochs.steps]
    return EpochCard(epochs.tmin, epochs.tmax, steps, epochs.reject)


def _runs(trials: Sequence[Onset]) -> dict[str, tuple[int, ...]]:
    phases = sorted({trial.phase for trial in trials})
    return {
        phase: tuple(sorted({trial.run for trial in trials if trial.phase == phase}))
        for phase in phases
    }


def _metrics(decoder: Decoder) -> dict[str, float]:
    """Return what JSON can write of a decoder's metrics: it must not cost the training."""
    found = decoder.metrics.items() if isinstance(decoder, Measured) else ()
    return {
        str(name): float(value)
        for name, value in found
        if isinstance(value, Real) and np.isfinite(value)
    }


def step_names(epochs: EpochSettings) -> list[str]:
    """Return a file name for each epoch step, in order, and for the limits of rejection."""
    names = [f"{i}-{step.name}" for i, step in enumerate(epochs.steps)]
    return [*names, REJECT] if epochs.reject else names


def check_signal(card: BundleCard, spec: SignalSpec) -> None:
    """Raise ``PhospheneError``, naming both, if a signal is not what the bundle was trained on."""
    if problem := difference(card.spec, pick_channels(spec, eeg_picks(spec))):
        raise PhospheneError(f"the decoder was trained on another EEG signal: {problem}")


def check_subject(settings: Settings) -> None:
    """Raise ``SettingsError`` if the bundle is another subject's and the settings do not allow it.

    Raises ``PhospheneError`` if it is no bundle.
    """
    if settings.bundle is None:
        return
    subject = read_card(settings.bundle).subject
    if subject != settings.subject and not settings.other_subject:
        raise SettingsError(
            f"bundle: {settings.bundle} was trained on subject {subject}, and this is a session "
            f"of subject {settings.subject}; if that is meant, write 'other_subject: true' into "
            "the file or give --other-subject"
        )


def difference(expected: SignalSpec, found: SignalSpec) -> str:
    """Return in words how a signal differs from the expected one; nothing if it can replace it."""
    if found.sfreq != expected.sfreq:
        return f"expected {expected.sfreq:.9g} Hz, found {found.sfreq:.9g} Hz"
    if set(found.channels) != set(expected.channels):
        return (
            f"expected {expected.n_channels} channels, found {found.n_channels}; "
            f"missing: {_listed(_without(expected, found))}; "
            f"unknown: {_listed(_without(found, expected))}"
        )
    for row, (wanted, given) in enumerate(zip(_typed(expected), _typed(found), strict=True)):
        if wanted != given:
            return f"expected {wanted} as channel {row + 1}, found {given}"
    if moved := [name for name in found.channels if _moved(expected, found, name)]:
        return (
            f"expected {_placed(expected, moved[0])}, found {_placed(found, moved[0])}; "
            f"moved by more than {POSITION_TOLERANCE * 100:g} cm: {_listed(moved)}"
        )
    return ""


def hash_folder(folder: Path) -> str:
    """Return the SHA-256 over names and contents of all files, sorted by name."""
    digest = hashlib.sha256()
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        digest.update(f"{path.relative_to(folder).as_posix()}\0{content}\n".encode())
    return digest.hexdigest()


class _Format(msgspec.Struct):
    format: int


def _read_state(path: Path) -> State:
    try:
        # Opened here: numpy leaves the file open if it is damaged.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            size = sum(member.file_size for member in arrays.zip.infolist())
            if size > MAX_STATE:
                raise ValueError(f"found {size} bytes; allowed: {MAX_STATE}")
            return dict(arrays)
    except Exception as error:  # A damaged archive makes zipfile and numpy raise almost anything.
        raise PhospheneError(f"{path} cannot be read: {error}") from error


@contextmanager
def _readable(what: Path | str) -> Iterator[None]:
    try:
        yield
    except PhospheneError:
        raise
    except Exception as error:  # Whatever a plugin makes of damaged files.
        raise PhospheneError(f"{what} cannot be read: {error}") from error


def _typed(spec: SignalSpec) -> list[str]:
    return [f"{name} ({kind})" for name, kind in zip(spec.channels, spec.types, strict=True)]


def _without(spec: SignalSpec, other: SignalSpec) -> list[str]:
    return [name for name in spec.channels if name not in other.channels]


def _moved(expected: SignalSpec, found: SignalSpec, name: str) -> bool:
    if not (name in expected.positions and name in found.positions):
        return False
    distance = np.linalg.norm(np.subtract(expected.positions[name], found.positions[name]))
    return bool(distance > POSITION_TOLERANCE)


def _placed(spec: SignalSpec, name: str) -> str:
    x, y, z = spec.positions[name]
    return f"{name} at ({x:.3f}, {y:.3f}, {z:.3f}) m"


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - 8} more" if len(names) > 8 else ""
    return (", ".join(names[:8]) or "none") + more
