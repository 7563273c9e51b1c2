"""What must be true before a block may start; each check returns a problem in words, or ""."""

import shutil
from pathlib import Path

from phosphene.messages import Recording
from phosphene.signals import SignalSpec

STALE = 1.0
"""Seconds without a sample after which a signal counts as stopped."""

BYTES_PER_VALUE = 4
BYTES_PER_SAMPLE = 9
"""XDF 1.0: each sample carries a length byte and an eight-byte stamp."""
DISK_FACTOR = 3
"""The recording, its BIDS copy and room to work (reliability.md, fault 8)."""


def signal_problem(recording: Recording | None, previous: Recording | None, now: float) -> str:
    """Say whether the EEG arrives and its file grows."""
    if recording is None:
        return "no EEG has been recorded yet"
    silence = now - recording.last_sample
    if silence > STALE:
        return f"the EEG stopped {silence:.1f} s ago; check the amplifier and its stream"
    if previous and recording.n_bytes <= previous.n_bytes:
        return "the recording does not grow; check the disk"
    return ""


def disk_problem(folder: Path, spec: SignalSpec, seconds: float) -> str:
    """Say whether the disk has room for ``seconds`` more of this signal."""
    by_sample = spec.n_channels * BYTES_PER_VALUE + BYTES_PER_SAMPLE
    needed = DISK_FACTOR * seconds * spec.sfreq * by_sample
    free = shutil.disk_usage(folder).free
    if free >= needed:
        return ""
    return (
        f"{folder} has {free / 1e9:.2f} GB free, but the rest of the session needs "
        f"{needed / 1e9:.2f} GB"
    )
