"""Export: one recorded segment becomes one BIDS run, in BrainVision files that anything reads.

The run is made in a folder of its own and then moved into the study, so that a crash leaves no
half run and what people edited in the study (participants, README) is not touched.
"""

import os
import warnings
from collections.abc import Collection, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from phosphene.dataset import sidecars
from phosphene.dataset.bids_events import EVENT_IDS, annotations
from phosphene.dataset.sidecars import RunInfo
from phosphene.dataset.study import SegmentName, SessionFolder
from phosphene.dataset.xdf_reader import Segment, read_segment
from phosphene.errors import PhospheneError
from phosphene.journal import BlockKey, Noted

if TYPE_CHECKING:
    import mne

__all__ = ["RunInfo", "export_segment"]

DRAFT = "segment"
MICROVOLTS = 1e6


def export_segment(
    folder: SessionFolder,
    segment: Path,
    info: RunInfo,
    aborted: Collection[BlockKey] = frozenset(),
    notes: Sequence[Noted] = (),
) -> Path:
    """Write the BIDS run of a recording, in place of an earlier export of it.

    Returns the ``.vhdr`` file. ``aborted`` holds the attempts that do not count. Raises
    ``PhospheneError`` if the recording is unreadable, holds no samples or is not the session's.
    """
    recording = read_segment(segment)
    if not recording.n_samples:
        raise PhospheneError(f"{segment} holds no samples; there is nothing to export")
    with TemporaryDirectory(prefix=".export-", dir=folder.path) as staging:
        raw, times = _raw(recording, Path(staging))
        raw.info["line_freq"] = info.power_line_freq
        raw.set_annotations(annotations(recording, times, info.screen_lag, aborted, notes))
        made = _write_run(raw, folder, segment, Path(staging, "bids"))
        source = (folder.path / segment.name).relative_to(folder.study_root)
        sidecars.complete(made, recording, info, source)
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
    types = dict(zip(recording.spec.channels, recording.spec.types, strict=True))
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
    write_brainvision(
        data=first.data,
        sfreq=recording.spec.sfreq,
        ch_names=recording.spec.channels,
        fname_base=DRAFT,
        folder_out=folder,
        resolution=1.0,
    )
    times = [first.times]
    with (folder / f"{DRAFT}.eeg").open("ab") as file:
        for signal in signals:
            file.write((signal.data.T * np.float64(MICROVOLTS)).astype("<f4").tobytes())
            times.append(signal.times)
    return np.concatenate(times)


def _publish(made: Path, place: Path) -> Path:
    place.mkdir(parents=True, exist_ok=True)
    for file in made.iterdir():
        os.replace(file, place / file.name)
    return place
