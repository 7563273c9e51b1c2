"""The pieces that an evaluation is made of when several processes share it.

An order is JSON, and what it needs lies in files: whoever can read the session's folder and its
cache can carry it out, as often as it takes, with the same result.
"""

import socket
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from threadpoolctl import threadpool_limits

from phosphene.analysis.evaluation import collect_session
from phosphene.analysis.folding import tested
from phosphene.analysis.splits import Fold
from phosphene.dataset.study import SessionFolder
from phosphene.errors import PhospheneError
from phosphene.events import Onset
from phosphene.interfaces import Context, TrainingSet
from phosphene.pipeline import Pipeline
from phosphene.registry import Registry, load_registry
from phosphene.settings import Settings, read_resolved
from phosphene.signals import Epochs, SignalSpec
from phosphene.stimulus import StimulusSet

Result = dict[str, Any]
"""Of an order; it holds ``problem`` and nothing else if a ``PhospheneError`` came of it."""
EPOCHS, CARD = "epochs.npy", "epochs.json"


class CutOrder(msgspec.Struct, frozen=True):
    """Cut the epochs of a session's recording, and put them into a folder."""

    session: str
    settings: str
    """File of the resolved settings to do it with."""
    folder: str


class FoldOrder(msgspec.Struct, frozen=True):
    """Train on some of the epochs in a folder, and decode others."""

    settings: str
    folder: str
    train: list[int]
    test: list[int]
    name: str


class Cut(msgspec.Struct, frozen=True):
    """What lies beside the epochs."""

    trials: tuple[Onset, ...]
    spec: SignalSpec
    tmin: float
    n_incomplete: int


def cut_epochs(order: bytes) -> Result:
    """Carry out a ``CutOrder``; nothing is returned but a problem."""
    try:
        _cut(msgspec.json.decode(order, type=CutOrder))
    except PhospheneError as error:
        return {"problem": str(error)}
    return {}


def decode_fold(order: bytes) -> Result:
    """Carry out a ``FoldOrder``; return the fields of ``Tested``."""
    try:
        # One thread: as many processes as cores run at once, and sums have one order everywhere.
        with threadpool_limits(1):
            return _decode(msgspec.json.decode(order, type=FoldOrder))
    except PhospheneError as error:
        return {"problem": str(error)}


def read_cut(folder: Path) -> Cut:
    """Return what lies beside the epochs in a folder; ``PhospheneError`` if it is not there."""
    return msgspec.json.decode(_content(folder / CARD), type=Cut)


def _cut(order: CutOrder) -> None:
    settings, folder = _settings(Path(order.settings)), Path(order.folder)
    context = _context(settings, Path(order.settings))
    data, incomplete = collect_session(SessionFolder.at(Path(order.session)), settings, context)
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / EPOCHS, data.epochs.data)
    card = Cut(data.trials, data.epochs.spec, data.epochs.tmin, len(incomplete))
    (folder / CARD).write_bytes(msgspec.json.encode(card))


def _decode(order: FoldOrder) -> Result:
    settings = _settings(Path(order.settings))
    context = _context(settings, Path(order.settings))
    data = _read_epochs(Path(order.folder), context.stimuli)
    # What was collected has passed the stream steps.
    pipeline = Pipeline((), settings.epochs, data.epochs.spec, context)
    fold = Fold(np.array(order.train, np.intp), np.array(order.test, np.intp), order.name)
    return tested(data, pipeline, settings.decoder.config, context, fold)._asdict()


def _read_epochs(folder: Path, stimuli: StimulusSet) -> TrainingSet:
    """Return the epochs, of which only what is looked at comes into memory."""
    card = read_cut(folder)
    data = np.asarray(np.load(folder / EPOCHS, mmap_mode="r", allow_pickle=False))
    return TrainingSet(Epochs(data, card.spec, card.tmin), card.trials, stimuli)


def _settings(file: Path) -> Settings:
    _content(file)
    return read_resolved(file, _registry())


def _content(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise PhospheneError(
            f"{file} cannot be read on {socket.gethostname()} ({error.strerror}); the session and "
            "its cache must lie in folders that all computers of the cluster see"
        ) from None


@cache
def _registry() -> Registry:
    return load_registry()


def _context(settings: Settings, file: Path) -> Context:
    return Context(_stimuli(file), settings.seed, settings.cache)


@cache
def _stimuli(file: Path) -> StimulusSet:
    """Return the image set of some settings; made once in a process."""
    settings = _settings(file)
    return settings.stimuli.config.build(settings.cache)
