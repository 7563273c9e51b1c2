"""When the stimuli of a recording appeared, by the best evidence that it holds."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from phosphene.dataset.xdf_reader import Segment
from phosphene.readback import Evidence, ReadBack, find_pulses, read_back
from phosphene.recording import RecordingSettings


@dataclass(frozen=True)
class OnsetEvidence:
    """Of one recording."""

    by_seq: Mapping[int, Evidence]
    """By number of the onset."""
    remarks: tuple[str, ...] = ()
    """What a lab should look at."""


def onset_evidence(
    recording: Segment, lag: float, channels: RecordingSettings | None = None
) -> OnsetEvidence:
    """Return the evidence for each onset; ``lag`` is the one from flip to light that is in use."""
    chosen = channels or RecordingSettings()
    light = _read(recording, chosen.photodiode)
    trigger = _read(recording, chosen.trigger)
    remarks = light.remarks(str(chosen.photodiode), lag) if light else []
    remarks += trigger.remarks(str(chosen.trigger)) if trigger else []
    found = {
        onset.seq: Evidence(
            onset,
            lag,
            light.times.get(onset.seq) if light else None,
            trigger.times.get(onset.seq) if trigger else None,
        )
        for onset in recording.onsets
    }
    return OnsetEvidence(found, tuple(remarks))


def _read(recording: Segment, channel: str | None) -> ReadBack | None:
    if channel is None or not recording.onsets:
        return None
    if channel in recording.markers:
        told = [each.times for each in recording.marks(channel)]
        return read_back(recording.onsets, np.sort(np.concatenate([np.empty(0), *told])))
    for name, spec in [(None, recording.spec), *recording.beside.items()]:
        if channel in spec.channels:
            row = spec.channels.index(channel)
            chunks = [(each.times, each.data[row]) for each in recording.signals(name)]
            if chunks:
                times, values = (
                    np.concatenate(each).astype(np.float64) for each in zip(*chunks, strict=True)
                )
                steady = np.maximum.accumulate(times)
                pulses = find_pulses(recording.onsets, steady, np.nan_to_num(values))
                return read_back(recording.onsets, pulses)
    return None
