"""Onsets as rows of ``events.tsv``, and the description of its columns."""

from collections.abc import Collection
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from phosphene.dataset.xdf_reader import Segment
from phosphene.events import Onset
from phosphene.journal import BlockKey

if TYPE_CHECKING:
    import mne

EVENT_IDS = {"stimulus": 1, "picture": 2}
COLUMNS: dict[str, dict[str, object]] = {
    "onset": {"Description": "Start of the event after the first sample", "Units": "s"},
    "duration": {"Description": "Planned time on the screen", "Units": "s"},
    "trial_type": {
        "Description": "What appeared on the screen",
        "Levels": {
            "stimulus": "An image that the participant was asked to look at",
            "picture": "A generated picture that answered the image of the same trial",
        },
    },
    "value": {"Description": "Code of trial_type", "Levels": {"1": "stimulus", "2": "picture"}},
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
        "Description": "Whether this attempt at the block was completed",
        "Levels": {"complete": "It counts", "aborted": "It was broken off and does not count"},
    },
    "flip_time": {"Description": "When the screen flipped, on the clock of the LSL", "Units": "s"},
    "planned_time": {"Description": "When the plan wanted the flip, same clock", "Units": "s"},
    "late_frames": {"Description": "Screen frames missed since the block's previous onset"},
    "seq": {"Description": "Counts all onsets of the session, from 0"},
}


def annotations(
    segment: Segment,
    times: NDArray[np.float64],
    screen_lag: float,
    aborted: Collection[BlockKey],
) -> "mne.Annotations":
    """Return an annotation, with all columns, for each onset of which there are samples.

    ``times`` are those of the samples, ``screen_lag`` the seconds from flip to light.
    """
    import mne

    sfreq = segment.spec.sfreq
    seen = np.array([onset.time + screen_lag for onset in segment.onsets])
    inside = (times[0] - 1 / sfreq <= seen) & (seen <= times[-1] + 1 / sfreq)
    onsets = [onset for onset, kept in zip(segment.onsets, inside, strict=True) if kept]
    samples = nearest_samples(times, seen[inside])
    # MNE would cut what reaches beyond the last sample, and warn.
    durations = np.minimum([o.duration for o in onsets], (len(times) - samples) / sfreq)
    return mne.Annotations(
        onset=samples / sfreq,
        duration=durations,
        description=[onset.event for onset in onsets],
        extras=[_extras(onset, onset.key[:4] in aborted) for onset in onsets],
    )


def nearest_samples(times: NDArray[np.float64], wanted: NDArray[np.float64]) -> NDArray[np.intp]:
    """Return the index of the sample nearest to each wanted time.

    >>> nearest_samples(np.array([0.0, 1.0, 2.0]), np.array([-5.0, 0.6, 1.4, 9.0]))
    array([0, 1, 1, 2])
    """
    return np.searchsorted((times[1:] + times[:-1]) / 2, wanted)


def _extras(onset: Onset, aborted: bool) -> dict[str, str | int | float]:
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
        "status": "aborted" if aborted else "complete",
        "flip_time": onset.time,
        "planned_time": onset.planned,
        "late_frames": onset.late_frames,
        "seq": onset.seq,
    }
