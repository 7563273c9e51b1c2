"""A bundle: everything a decoder process needs, in one folder, with a hash over all of it."""

import hashlib
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from phosphene.choice import choose, choose_steps, plain
from phosphene.errors import PhospheneError
from phosphene.interfaces import (
    Context,
    Decoder,
    DecoderConfig,
    EpochStepConfig,
    StreamStepConfig,
)
from phosphene.pipeline import Pipeline, State, pick_channels
from phosphene.registry import Registry
from phosphene.settings import EpochSettings, Settings
from phosphene.signals import SignalSpec
from phosphene.versions import versions

CARD = "bundle.json"
MAX_STATE = 2**28
"""Bytes of one step's state that are read; none comes near."""
POSITION_TOLERANCE = 0.01
"""Metres by which an electrode may have moved between two montages that count as the same."""


class BundleCard(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a bundle says about itself."""

    subject: str
    session: str
    spec: SignalSpec
    """The signal it was trained on, EEG channels only."""
    stream: list[dict[str, Any]]
    epochs: dict[str, Any]
    decoder: dict[str, Any]
    classes: tuple[str, ...]
    n_epochs: int
    data_sha256: str
    """Over the training epochs and their classes."""
    seed: int
    versions: dict[str, str] = msgspec.field(default_factory=versions)
    format: Literal[1] = 1


@dataclass(frozen=True)
class Bundle:
    """A bundle in memory."""

    card: BundleCard
    decoder: Decoder
    sha256: str
    _stream: tuple[Any, ...]
    _epochs: EpochSettings
    _states: tuple[State, ...]
    _context: Context

    def pipeline(self, spec: SignalSpec, lag: float = 0.0) -> Pipeline:
        """Return the fitted pipeline for a signal; ``PhospheneError`` if it is another one."""
        check_signal(self.card, spec)
        pipeline = Pipeline(self._stream, self._epochs, spec, self._context, lag)
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
    stream = choose_steps(registry, card.stream, StreamStepConfig)
    steps = choose_steps(registry, card.epochs["steps"], EpochStepConfig)
    epochs = EpochSettings(card.epochs["tmin"], card.epochs["tmax"], steps)
    states = tuple(_read_state(folder / "steps" / f"{name}.npz") for name in step_names(epochs))
    config: DecoderConfig = choose(registry, "decoder", card.decoder).config
    decoder = config.load(folder / "decoder", context)
    if decoder.classes != card.classes:
        raise PhospheneError(f"{folder}: the decoder's classes are not those of {CARD}")
    return Bundle(card, decoder, found, stream, epochs, states, context)


def read_card(folder: Path) -> BundleCard:
    """Return what a bundle says about itself; ``PhospheneError`` if there is none."""
    try:
        return msgspec.json.decode((folder / CARD).read_bytes(), type=BundleCard)
    except OSError:
        raise PhospheneError(f"{folder} is not a bundle: there is no {CARD} in it") from None
    except msgspec.MsgspecError as error:
        raise PhospheneError(f"{folder / CARD}: {error}") from None


def make_card(
    settings: Settings, spec: SignalSpec, classes: tuple[str, ...], n_epochs: int, data: str
) -> BundleCard:
    """Return the card of a bundle trained with these settings on a signal of ``spec``."""
    epochs = settings.epochs
    eeg = [i for i, kind in enumerate(spec.types) if kind == "eeg"]
    return BundleCard(
        subject=settings.subject,
        session=settings.session,
        spec=pick_channels(spec, eeg),
        stream=[plain(step) for step in settings.stream],
        epochs={
            "tmin": epochs.tmin,
            "tmax": epochs.tmax,
            "steps": [plain(step) for step in epochs.steps],
        },
        decoder=plain(settings.decoder),
        classes=classes,
        n_epochs=n_epochs,
        data_sha256=data,
        seed=settings.seed,
    )


def step_names(epochs: EpochSettings) -> list[str]:
    """Return a file name for each epoch step, in order."""
    return [f"{i}-{step.name}" for i, step in enumerate(epochs.steps)]


def check_signal(card: BundleCard, spec: SignalSpec) -> None:
    """Raise ``PhospheneError``, naming both, if a signal is not what the bundle was trained on."""
    live = pick_channels(spec, [i for i, kind in enumerate(spec.types) if kind == "eeg"])
    trained = card.spec
    if live.sfreq != trained.sfreq:
        raise PhospheneError(
            f"the decoder was trained at {trained.sfreq:g} Hz; this signal has {live.sfreq:g} Hz"
        )
    if live.channels != trained.channels:
        raise PhospheneError(
            f"the decoder was trained on {_names(trained)}; this signal has {_names(live)}"
        )
    moved = [
        name
        for name in _common(trained, live)
        if _distance(trained, live, name) > POSITION_TOLERANCE
    ]
    if moved:
        raise PhospheneError(
            f"the montage is another: {', '.join(moved)} lie more than "
            f"{POSITION_TOLERANCE * 100:.0f} cm from where they were in training"
        )


def hash_folder(folder: Path) -> str:
    """Return the SHA-256 over names and contents of all files, sorted by name."""
    digest = hashlib.sha256()
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        digest.update(f"{path.relative_to(folder).as_posix()}\0{content}\n".encode())
    return digest.hexdigest()


def _read_state(path: Path) -> Mapping[str, NDArray[np.generic]]:
    try:
        if path.stat().st_size > MAX_STATE:
            raise PhospheneError(f"{path} is larger than any step's state")
        with np.load(path, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}
    except (OSError, ValueError) as error:
        raise PhospheneError(f"{path} cannot be read: {error}") from None


def _common(one: SignalSpec, other: SignalSpec) -> list[str]:
    return [name for name in one.channels if name in one.positions and name in other.positions]


def _distance(one: SignalSpec, other: SignalSpec, name: str) -> float:
    difference = np.subtract(one.positions[name], other.positions[name])
    return float(np.linalg.norm(difference))


def _names(spec: SignalSpec) -> str:
    shown = ", ".join(spec.channels[:8]) + (", ..." if spec.n_channels > 8 else "")
    return f"{spec.n_channels} EEG channels ({shown})"
