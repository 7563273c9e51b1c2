"""Export: one recorded segment becomes one BIDS run, in BrainVision files that anything reads.

The run is made in a folder of its own and then moved into the study, so that a crash leaves no
half run and what people edited in the study (participants, README) is not touched.
"""

import os
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from phosphene.dataset import sidecars
from phosphene.dataset.bids_events import EVENT_IDS, annotations
from phosphene.dataset.onset_evidence import onset_evidence
from phosphene.dataset.sidecars import RunInfo
from phosphene.dataset.study import SegmentName, SessionFolder
from phosphene.dataset.xdf_reader import Segment, read_segment
from phosphene.errors import PhospheneError
from phosphene.journal import BlockKey, Noted, SetAside
from phosphene.signals import Signal

if TYPE_CHECKING:
    import mne

__all__ = ["RunInfo", "export_segment"]

DRAFT = "segment"
MICROVOLTS = 1e6


def export_segment(
    folder: SessionFolder,
    segment: Path,
    info: RunInfo,
    aborted: Mapping[BlockKey, SetAside] = MappingProxyType({}),
    notes: Sequence[Noted] = (),
) -> Path:
    """Write the BIDS run of a recording, in place of an earlier export of it.

    Returns the ``.vhdr`` file. ``aborted`` says of attempts that do not count why. Raises
    ``PhospheneError`` if the recording is unreadable, holds no samples or is not the session's.
    """
    recording = read_segment(segment)
    if not recording.n_samples:
        raise PhospheneError(f"{segment} holds no samples; there is nothing to export")
    with TemporaryDirectory(prefix=".export-", dir=folder.path) as staging:
        evidence = onset_evidence(recording, info.screen_lag, info.recording)
        raw, times = _raw(recording, Path(staging))
        raw.info["line_freq"] = info.lab.power_line
        raw.set_annotations(annotations(recording, times, evidence, aborted, notes))
        made = _write_run(raw, folder, segment, Path(staging, "bids"))
        source = (folder.path / segment.name).relative_to(folder.study_root)
        sidecars.complete(made, recording, info, source, times)
        return _publish(made.parent, folder.bids / "eeg") / made.name


def bids_run(folder: SessionFolder, segment: Path) -> int:
    """Return the number of a BIDS run: the recordings of one task are counted from 1."""
    task = SegmentName.of(segment).task
    names = [path.name for path in folder.segments() if SegmentName.of(path).task == task]
    if segment.name not in names:
        raise PhospheneError(f"{segment} is not a recording of {folder.path}")
    return names.index(segment.name) + 1


def _write_run(raw: "mne.io.BaseRaw", folder: SessionFolder, segment: Path, root: Path) -> Path:
    from mne_bids import BIDSPath, write_raw_bids

    run = BIDSPath(
        subject=folder.subject,
        session=folder.session,
        task=SegmentName.of(segment).task,
        run=f"{bids_run(folder, segment):02d}",
        root=root,
        datatype="eeg",
    )
    with warnings.catch_warnings():
        # True of a recording that ended before its first onset, and no reason not to keep it.
        warnings.filterwarnings("ignore", "No events found or provided", RuntimeWarning)
        written = write_raw_bids(raw, run, event_id=EVENT_IDS, verbose="WARNING")
    return Path(written.fpath)


def _raw(recording: Segment, folder: Path) -> tuple["mne.io.BaseRaw", NDArray[np.float64]]:
    """Return the recording as BrainVision files that are read when needed, and its times."""
    import mne

    times = _write_brainvision(recording, folder)
    raw = mne.io.read_raw_brainvision(folder / f"{DRAFT}.vhdr", verbose="WARNING")
    specs = (recording.spec, *recording.beside.values())
    types = {name: kind for s in specs for name, kind in zip(s.channels, s.types, strict=True)}
    # Types that MNE does not measure in volts keep the volts that the source declared.
    raw.set_channel_types(types, on_unit_change="ignore", verbose="WARNING")
    return raw, times


def _write_brainvision(recording: Segment, folder: Path) -> NDArray[np.float64]:
    """Write the samples in microvolts; return their times in seconds on the LSL clock.

    The data file is a plain array, so all but the first chunk is appended to it: the recording
    is never in memory as a whole.
    """
    from pybv import write_brainvision  # type: ignore[import-untyped]

    signals = recording.signals()
    first = next(signals)
    beside = [_Held(recording, name) for name in recording.beside]
    channels = [name for each in beside for name in each.spec.channels]
    write_brainvision(
        data=_with(first, beside),
        sfreq=recording.spec.sfreq,
        ch_names=[*recording.spec.channels, *channels],
        fname_base=DRAFT,
        folder_out=folder,
        resolution=1.0,
    )
    times = [first.times]
    with (folder / f"{DRAFT}.eeg").open("ab") as file:
        for signal in signals:
            data = _with(signal, beside)
            file.write((data.T * np.float64(MICROVOLTS)).astype("<f4").tobytes())
            times.append(signal.times)
    return np.concatenate(times)


class _Held:
    """A stream beside the EEG at the EEG's times: at each its newest sample, before it the first.

    BIDS has one rate for all channels of a run; the recording keeps both streams as they were.
    """

    def __init__(self, recording: Segment, name: str) -> None:
        self.spec = recording.beside[name]
        chunks = list(recording.signals(name))
        self._times = np.concatenate([np.empty(0), *(chunk.times for chunk in chunks)])
        empty = np.empty((self.spec.n_channels, 0), np.float32)
        self._data = np.hstack([empty, *(chunk.data for chunk in chunks)])

    def at(self, times: NDArray[np.float64]) -> NDArray[np.float32]:
        if not len(self._times):
            return np.zeros((self.spec.n_channels, len(times)), np.float32)
        newest = np.searchsorted(self._times, times, side="right") - 1
        return self._data[:, np.maximum(newest, 0)]


def _with(signal: Signal, beside: Sequence[_Held]) -> NDArray[np.float32]:
    return np.vstack([signal.data, *(each.at(signal.times) for each in beside)])


def _publish(made: Path, place: Path) -> Path:
    place.mkdir(parents=True, exist_ok=True)
    for file in made.iterdir():
        os.replace(file, place / file.name)
    return place
