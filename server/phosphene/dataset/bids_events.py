"""Onsets as rows of ``events.tsv``, and the description of its columns."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from phosphene.continuity import Fault
from phosphene.dataset.onset_evidence import OnsetEvidence
from phosphene.dataset.xdf_reader import Segment
from phosphene.journal import BlockKey, Noted, SetAside
from phosphene.readback import Evidence

if TYPE_CHECKING:
    import mne

FAULTS = {"BAD_gap": 4, "BAD_clock": 5, "BAD_repeated": 6, "BAD_nan": 7}
EVENT_IDS = {"stimulus": 1, "picture": 2, "note": 3, **FAULTS, "marker": 8}
LEVELS = {str(code): name for name, code in EVENT_IDS.items()}
COLUMNS: dict[str, dict[str, object]] = {
    "onset": {"Description": "Start of the event after the first sample", "Units": "s"},
    "duration": {"Description": "Planned time on the screen", "Units": "s"},
    "trial_type": {
        "Description": "What appeared on the screen, or was noted",
        "Levels": {
            "stimulus": "An image that the participant was asked to look at",
            "picture": "A generated picture that answered the image of the same trial",
            "note": "Words of the operator: see the column note",
            "marker": "A stream of markers said what stands in the column note",
            "BAD_gap": "Samples are missing here",
            "BAD_clock": "The amplifier's clock jumped back here",
            "BAD_repeated": "Samples came twice, or in the wrong order",
            "BAD_nan": "Samples of a channel are no numbers",
        },
    },
    "value": {"Description": "Code of trial_type", "Levels": LEVELS},
    "sample": {"Description": "Index of the sample nearest to the onset, from 0"},
    "stim_file": {"Description": "Always n/a: the images cannot be redistributed; see image"},
    "wnid": {
        "LongName": "WordNet id",
        "Description": (
            "Class of the image; of a picture, the class for which it was generated, or 'sealed' "
            "where that would tell true feedback from sham"
        ),
        "TermURL": "https://wordnet.princeton.edu/documentation/wndb5wn",
    },
    "image": {"Description": "Id of the image in its set; n/a for a picture"},
    "sha256": {"Description": "SHA-256 of the image file; of a picture, of its pixels"},
    "phase": {
        "Description": "Part of the session",
        "Levels": {
            "record": "Images only; data to train a decoder on",
            "feedback": "Images answered by generated pictures",
        },
    },
    "planned_run": {"Description": "Run of the plan, from 1; one run may be several BIDS runs"},
    "block": {"Description": "Block of the plan, from 1; counts through all runs of a phase"},
    "attempt": {"Description": "How often the block was begun, from 1"},
    "trial": {"Description": "Trial within the block, from 1"},
    "repetition": {
        "Description": "Which image of the trial, from 1; for a picture, how many were shown before"
    },
    "status": {
        "Description": "Whether this attempt at the block counts",
        "Levels": {
            "complete": "It counts",
            "aborted": "It was broken off and does not count",
            "excluded": "It does not count: its signal was lost, or the operator said so",
        },
    },
    "onset_source": {
        "Description": "What the onset rests on: the best evidence that there is",
        "Levels": {
            "photodiode": "A photodiode on the screen saw the light",
            "trigger": "The amplifier's trigger channel, plus the lag from flip to light",
            "flip": "The flip of the screen, plus the lag from flip to light",
        },
    },
    "photodiode_time": {
        "Description": "When a photodiode saw the light, on the clock of the LSL",
        "Units": "s",
    },
    "trigger_time": {
        "Description": "When the amplifier saw the trigger, on the clock of the LSL",
        "Units": "s",
    },
    "flip_time": {"Description": "When the screen flipped, on the clock of the LSL", "Units": "s"},
    "planned_time": {"Description": "When the plan wanted the flip, same clock", "Units": "s"},
    "late_frames": {"Description": "Screen frames missed since the block's previous onset"},
    "seq": {"Description": "Counts all onsets of the session, from 0"},
    "note": {
        "Description": "What the operator noted, a stream said, or what is wrong with the signal"
    },
}


Columns = dict[str, str | int | float]


class _Row(NamedTuple):
    """An event in the making."""

    time: float
    duration: float
    kind: str
    columns: Columns
    """Those that MNE does not write by itself."""


def annotations(
    segment: Segment,
    times: NDArray[np.float64],
    evidence: OnsetEvidence,
    aborted: Mapping[BlockKey, SetAside],
    notes: Sequence[Noted] = (),
) -> "mne.Annotations":
    """Return an annotation, with all columns, for each onset and note of which there are samples.

    ``times`` are those of the samples.
    """
    import mne

    sfreq = segment.spec.sfreq
    shown = [
        _Row(each.time, each.onset.duration, each.onset.event, _extras(each, aborted))
        for each in evidence.by_seq.values()
    ]
    said = [_Row(each.time, 0.0, "note", NO_ONSET | {"note": each.text}) for each in notes]
    said += [row for name in segment.markers for row in _markers(segment, name)]
    first, last = times[0] - 1 / sfreq, times[-1] + 1 / sfreq
    rows = [row for row in (*shown, *said) if first <= row.time <= last]
    samples = nearest_samples(times, np.array([row.time for row in rows]))
    bad = segment.faults()
    samples = np.concatenate((samples, [fault.sample - fault.is_break for fault in bad]))
    rows += [_fault(fault, sfreq) for fault in bad]
    # MNE would cut what reaches beyond the last sample, and warn.
    durations = np.minimum([row.duration for row in rows], (len(times) - samples) / sfreq)
    return mne.Annotations(
        onset=samples / sfreq,
        duration=durations,
        description=[row.kind for row in rows],
        extras=[row.columns for row in rows],
    )


def _markers(segment: Segment, name: str) -> Iterator[_Row]:
    for each in segment.marks(name):
        for time, text in zip(each.times, each.texts, strict=True):
            words = " ".join(text.split())  # The table has tabs and lines of its own.
            yield _Row(float(time), 0.0, "marker", NO_ONSET | {"note": f"{name}: {words}"})


def _fault(fault: Fault, sfreq: float) -> _Row:
    """Return the row of a fault; of a break the file has only the two samples at it."""
    duration = 2 / sfreq if fault.is_break else fault.stop - fault.start + 1 / sfreq
    return _Row(fault.start, duration, f"BAD_{fault.kind}", NO_ONSET | {"note": fault.words})


def nearest_samples(times: NDArray[np.float64], wanted: NDArray[np.float64]) -> NDArray[np.intp]:
    """Return the index of the sample nearest to each wanted time.

    >>> nearest_samples(np.array([0.0, 1.0, 2.0]), np.array([-5.0, 0.6, 1.4, 9.0]))
    array([0, 1, 1, 2])
    """
    # A clock that jumped back: the latest time so far counts, as when epochs are cut.
    times = np.maximum.accumulate(times)
    return np.searchsorted((times[1:] + times[:-1]) / 2, wanted)


def _extras(evidence: Evidence, aborted: Mapping[BlockKey, SetAside]) -> Columns:
    onset = evidence.onset
    return {
        "stim_file": "n/a",
        "wnid": onset.wnid or "n/a",
        "image": onset.image or "n/a",
        "sha256": onset.sha256 or "n/a",
        "phase": onset.phase,
        "planned_run": onset.run,
        "block": onset.block,
        "attempt": onset.attempt,
        "trial": onset.trial,
        "repetition": onset.repetition,
        "status": aborted.get(onset.key[:4], "complete"),
        "onset_source": evidence.source,
        "photodiode_time": "n/a" if evidence.photodiode is None else evidence.photodiode,
        "trigger_time": "n/a" if evidence.trigger is None else evidence.trigger,
        "flip_time": onset.time,
        "planned_time": onset.planned,
        "late_frames": onset.late_frames,
        "seq": onset.seq,
        "note": "n/a",
    }


NO_ONSET: Columns = dict.fromkeys(list(COLUMNS)[5:], "n/a")
"""Instead of the columns that MNE does not write by itself."""
