"""Recordings to audit: our own sessions, BIDS datasets, whatever else MNE reads."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from msgspec import structs

from phosphene.analysis.audits.events_table import numbered, read_events
from phosphene.analysis.audits.frames import AFTER, BEFORE, HOP, Frames, Piece
from phosphene.analysis.audits.material import Material, gather
from phosphene.analysis.predictions import Predictions
from phosphene.dataset.study import SessionFolder
from phosphene.dataset.xdf_reader import Segment, read_segment
from phosphene.errors import PhospheneError
from phosphene.events import Onset
from phosphene.journal import set_aside
from phosphene.stimulus import StimulusSet
from phosphene.training import block_of

if TYPE_CHECKING:
    import mne

GAP = 0.02
"""Seconds between two samples beyond which a recording is two pieces."""
BETWEEN_FILES = 60.0
"""Seconds put between files whose times are not comparable."""
EXTENSIONS = (".vhdr", ".edf", ".bdf", ".set", ".fif")


@dataclass(frozen=True)
class Recording:
    """One session of one subject, as it was recorded."""

    name: str
    pieces: tuple[Piece, ...]
    types: tuple[str, ...]
    """MNE's channel types."""

    def material(
        self,
        seed: int = 0,
        stimuli: StimulusSet | None = None,
        predictions: Predictions | None = None,
    ) -> Material:
        """Return what the audits need of it; ``PhospheneError`` if it cannot be audited."""
        return gather(self.pieces, self.types, seed, stimuli, predictions)


def of_session(folder: SessionFolder, lag: float = 0.0) -> Recording:
    """Return what the ``record`` phase recorded: its complete blocks.

    ``lag`` is the time from flip to light. Raises ``PhospheneError`` if nothing was recorded.
    """
    aborted = set_aside(folder.journal_file)
    segments = [read_segment(path) for path in folder.segments("record")]
    if not segments:
        raise PhospheneError(f"{folder.title} has no recording of the phase 'record'")
    pieces: list[Piece] = []
    for segment in segments:
        shown = [o for o in segment.onsets if o.event == "stimulus" and block_of(o) not in aborted]
        pieces += _pieces(segment, [structs.replace(o, time=o.time + lag) for o in shown])
    return Recording(folder.title, tuple(pieces), segments[0].spec.types)


def of_bids(root: Path, classes: str | None = None) -> Iterator[Recording]:
    """Yield the sessions of a BIDS dataset; ``classes`` is the column of ``events.tsv``.

    Raises ``PhospheneError`` if there is none, or a file is damaged.
    """
    files = sorted(p for p in root.glob("sub-*/**/*_eeg.*") if p.suffix in EXTENSIONS)
    if not files:
        raise PhospheneError(f"{root}: found no EEG; expected sub-*/eeg/*_eeg{EXTENSIONS[0]}")
    for folder, runs in groupby(files, key=lambda path: path.parent):
        name = "_".join(folder.relative_to(root).parts[:-1])
        yield _joined(name, [_bids_run(path, classes, n) for n, path in enumerate(runs, 1)])


def of_raw(path: Path, events: Path, classes: str | None = None) -> Recording:
    """Return a file that MNE reads, with a table of events: see ``read_events``."""
    return _joined(path.name, [(_read_raw(path), read_events(events, classes))])


def read_epochs(path: Path) -> "mne.BaseEpochs":
    """Return epochs that MNE saved; ``PhospheneError`` if it cannot read them."""
    import mne

    try:
        return mne.read_epochs(path, verbose="error")
    except (OSError, ValueError, RuntimeError) as error:
        raise PhospheneError(f"{path}: MNE cannot read it: {error}") from None


def of_epochs(epochs: "mne.BaseEpochs", classes: str | None = None, seed: int = 0) -> Material:
    """Return what the audits need of epochs, which are taken as they are: filter them before.

    The class is the event's name, or what the metadata say in the column ``classes``; ``image``,
    ``run`` and ``block`` are taken from the metadata if they are there.
    """
    trials = _trials(epochs, classes)
    order = np.argsort([trial.time for trial in trials], kind="stable")
    known = numbered([trials[i] for i in order], known_blocks=_column(epochs, "block") is not None)

    def frames(kind: str) -> Frames:
        return _cut_frames(epochs.get_data(picks=kind)[order], epochs.times)

    eyes = frames("eog") if "eog" in epochs.get_channel_types() else None
    return Material(known, frames("eeg"), seed, eyes=eyes)


def _trials(epochs: "mne.BaseEpochs", classes: str | None) -> list[Onset]:
    """Return what was shown in each epoch, in the order of the epochs."""
    if classes and _column(epochs, classes) is None:
        raise PhospheneError(f"the epochs' metadata have no column {classes!r}")
    names = {code: name for name, code in epochs.event_id.items()}
    wnids = _column(epochs, classes or "") or [names[code] for code in epochs.events[:, 2]]
    runs, blocks, images = (_column(epochs, name) for name in ("run", "block", "image"))
    times = epochs.events[:, 0] / epochs.info["sfreq"]
    return [
        Onset(
            seq=index,
            event="stimulus",
            time=time,
            planned=time,
            duration=max(float(epochs.tmax), 1 / epochs.info["sfreq"]),
            phase="record",
            run=int(float(runs[index])) if runs else 1,
            block=int(float(blocks[index])) if blocks else 0,
            attempt=1,
            trial=0,
            wnid=wnids[index],
            image=images[index] if images else f"epoch {index}",
            sha256="",
        )
        for index, time in enumerate(times.tolist())
    ]


def _column(epochs: "mne.BaseEpochs", name: str) -> list[str] | None:
    """Return a column of the metadata; None if there is none of that name."""
    data = epochs.metadata
    return None if data is None or name not in data else list(map(str, data[name]))


def _pieces(segment: Segment, onsets: Sequence[Onset]) -> list[Piece]:
    """Return a recording in stretches without a gap; what was shown in a gap belongs to none."""
    signals = list(segment.signals())
    if not signals:
        return []
    data = np.hstack([signal.data for signal in signals])
    times = np.concatenate([signal.times for signal in signals])
    edges = [0, *(np.flatnonzero(np.abs(np.diff(times)) > GAP) + 1).tolist(), len(times)]
    found = []
    for first, last in pairwise(edges):
        within = [o for o in onsets if times[first] <= o.time <= times[last - 1]]
        if last - first > 1 and within:
            found.append(Piece(data[:, first:last], times[first:last], tuple(within)))
    return found


def _read_raw(path: Path) -> "mne.io.BaseRaw":
    import mne

    try:
        return mne.io.read_raw(path, verbose="error")
    except (OSError, ValueError, RuntimeError) as error:
        raise PhospheneError(f"{path}: MNE cannot read it: {error}") from None


def _bids_run(
    path: Path, classes: str | None, run: int
) -> tuple["mne.io.BaseRaw", tuple[Onset, ...]]:
    from mne_bids import get_bids_path_from_fname, read_raw_bids

    events = path.with_name(path.name.rpartition("_eeg")[0] + "_events.tsv")
    try:
        raw = read_raw_bids(get_bids_path_from_fname(path), verbose="error")
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        raise PhospheneError(f"{path}: it cannot be read as BIDS: {error!r}") from None
    return raw, read_events(events, classes, run=run)


def _joined(name: str, runs: Sequence[tuple["mne.io.BaseRaw", tuple[Onset, ...]]]) -> Recording:
    """Return runs as one recording, one after the other."""
    pieces, start = [], 0.0
    types = runs[0][0].get_channel_types()
    for raw, onsets in runs:
        if raw.get_channel_types() != types:
            raise PhospheneError(f"{name}: its files have different channels")
        times = raw.times + start
        moved = tuple(structs.replace(onset, time=onset.time + start) for onset in onsets)
        pieces.append(Piece(raw.get_data().astype(np.float32), times, moved))
        start = float(times[-1]) + BETWEEN_FILES
    return Recording(name, tuple(pieces), tuple(types))


def _cut_frames(data: np.ndarray, times: np.ndarray) -> Frames:
    """Return the frames of epochs, NaN where an epoch does not reach."""
    n_frames = round((BEFORE + AFTER) / HOP)
    power = np.full((*data.shape[:2], n_frames), np.nan, np.float32)
    waveform = power.copy()
    centred = data - data.mean(axis=2, keepdims=True)
    for frame in range(n_frames):
        start = -BEFORE + frame * HOP
        first, last = np.searchsorted(times, (start - 1e-6, start + HOP - 1e-6))
        if times[0] <= start + 1e-6 and first < last < len(times) + (times[-1] >= start + HOP / 2):
            power[:, :, frame] = (centred[:, :, first:last] ** 2).mean(axis=2)
            waveform[:, :, frame] = data[:, :, first:last].mean(axis=2)
    return Frames(-BEFORE, power, waveform)
