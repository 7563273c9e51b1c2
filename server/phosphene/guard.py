"""What must be true before a block may start; each check returns a problem in words, or ""."""

import shutil
from pathlib import Path

from phosphene.messages import Recording, SegmentClosed
from phosphene.signals import SignalSpec

STALE = 1.0
"""Seconds without a sample after which a signal counts as stopped."""

BYTES_PER_VALUE = 4
BYTES_PER_SAMPLE = 9
"""XDF 1.0: each sample carries a length byte and an eight-byte stamp."""
DISK_FACTOR = 3
"""The recording, its BIDS copy and room to work (reliability.md, fault 8)."""
RESERVE = 50e6
"""Bytes that journal, tables and the end of the files need."""
RATE_TOLD, RATE_REFUSED = 5e-4, 2e-2
"""Share by which an amplifier's rate may be off before it is told, and before it is refused."""


def signal_problem(
    recording: Recording | None, previous: Recording | None, now: float, sfreq: float
) -> str:
    """Say whether the EEG arrives, on time and at its rate, and its file grows."""
    if recording is None:
        return "no EEG has been recorded yet"
    silence = now - recording.last_sample
    if silence > STALE:
        return f"the EEG stopped {silence:.1f} s ago; check the amplifier and its stream"
    if silence < -STALE:
        return f"the EEG is stamped {-silence:.1f} s in the future; check the amplifier's clock"
    if recording.rate and abs(recording.rate / sfreq - 1) > RATE_REFUSED:
        return f"the amplifier sends {recording.rate:.1f} samples a second, but says {sfreq:g} Hz"
    if previous and recording.n_bytes <= previous.n_bytes:
        return "the recording does not grow; check the disk"
    return ""


def rate_remark(closed: SegmentClosed, sfreq: float) -> str:
    """Say whether a recording's rate was another than the amplifier says."""
    if not closed.rate or abs(closed.rate / sfreq - 1) <= RATE_TOLD:
        return ""
    return f"run {closed.run} has {closed.rate:.2f} samples a second instead of {sfreq:g}"


def disk_is_short(folder: Path, spec: SignalSpec, seconds: float) -> bool:
    """Return whether not even the raw signal of some seconds would fit on the disk."""
    free = shutil.disk_usage(folder).free
    return free < RESERVE + seconds * spec.sfreq * _bytes_by_sample(spec)


def disk_problem(folder: Path, spec: SignalSpec, seconds: float) -> str:
    """Say whether the disk has room for ``seconds`` more of this signal."""
    needed = RESERVE + DISK_FACTOR * seconds * spec.sfreq * _bytes_by_sample(spec)
    free = shutil.disk_usage(folder).free
    if free >= needed:
        return ""
    return (
        f"{folder} has {free / 1e9:.2f} GB free, but the rest of the session needs "
        f"{needed / 1e9:.2f} GB"
    )


def _bytes_by_sample(spec: SignalSpec) -> int:
    return spec.n_channels * BYTES_PER_VALUE + BYTES_PER_SAMPLE
