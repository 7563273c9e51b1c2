"""A recording that plays as if it were an amplifier: any file that MNE reads, and XDF."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Protocol
from xml.etree import ElementTree as ET

import numpy as np
from numpy.typing import NDArray

from phosphene import Context, PhospheneError, Signal, SignalSpec, Source, SourceConfig, hookimpl
from phosphene_plugins._channels import (
    TYPES,
    ChannelSettings,
    Position,
    describe,
    template_positions,
)

XDF = (".xdf", ".xdfz")
CHUNK = 0.01
"""Seconds of signal that are worth waking up for."""
BLOCK = 10.0
"""Seconds that are read from a file at a time."""


@hookimpl
def acquisition() -> Mapping[str, type[SourceConfig]]:
    """Offer the source ``replay``."""
    return {"replay": ReplayConfig}


class ReplayConfig(ChannelSettings, frozen=True, kw_only=True):
    """Which recording to play; labels, types and units are for XDF that lacks them."""

    live: ClassVar[bool] = False

    file: Path
    loop: bool = False
    """Begin again at the end, without a pause; otherwise nothing comes any more."""
    stream: str | None = None
    """Name of the XDF stream, if the file has several of type EEG."""

    def build(self, context: Context) -> Source:
        """Open the file; its first sample is now. ``PhospheneError`` if it cannot be read."""
        return Replay(_open(self), self.loop, context)


class Recording(Protocol):
    """A recording of known length."""

    spec: SignalSpec
    times: NDArray[np.float64]
    """Seconds since the first sample by sample."""

    def data(self, start: int, stop: int) -> NDArray[np.float32]:
        """Return samples in volts, shape (n_channels, stop - start)."""
        ...

    def close(self) -> None:
        """Let go of the file."""
        ...


class Replay:
    """Plays a recording at its own pace on the session's clock."""

    def __init__(self, recording: Recording, loop: bool, context: Context) -> None:
        self.spec = recording.spec
        self._recording = recording
        self._loop = loop
        self._clock = context.clock
        self._start = context.clock.now()
        self._next = 0
        # Stamps may step back, time does not.
        self._due = np.maximum.accumulate(recording.times)

    def read(self, timeout: float) -> Signal | None:
        """Return what has become due; None for ever behind the end."""
        if self._n_due() == self._next:
            now = self._clock.now()
            self._clock.sleep_until(min(now + timeout, self._next_due() + CHUNK))
        start, self._next = self._next, self._n_due()
        if start == self._next:
            return None
        stamps = self._recording.times[start : self._next] + self._start
        signal = Signal(self._recording.data(start, self._next), stamps)
        if self._loop and self._next == len(self._due):
            self._rewind()
        return signal

    def _n_due(self) -> int:
        elapsed = self._clock.now() - self._start
        return int(np.searchsorted(self._due, elapsed, side="right"))

    def _next_due(self) -> float:
        if self._next == len(self._due):
            return float("inf")
        return self._start + float(self._due[self._next])

    def _rewind(self) -> None:
        self._start += float(self._due[-1]) + 1 / self.spec.sfreq
        self._next = 0

    def close(self) -> None:
        """Let go of the file."""
        self._recording.close()


class MneFile:
    """A file that MNE reads, a few seconds of it in memory."""

    def __init__(self, path: Path) -> None:
        import mne

        self._raw = mne.io.read_raw(path, preload=False, verbose="WARNING")
        self.spec = _spec(self._raw)
        self.times = self._raw.n_times and np.arange(self._raw.n_times) / self.spec.sfreq
        self._block = np.empty((self.spec.n_channels, 0), np.float32)
        self._start = 0

    def data(self, start: int, stop: int) -> NDArray[np.float32]:
        """Return samples in volts, shape (n_channels, stop - start)."""
        if not self._start <= start < stop <= self._start + self._block.shape[1]:
            ahead = max(stop, start + round(BLOCK * self.spec.sfreq))
            self._block = self._raw.get_data(start=start, stop=ahead).astype(np.float32)
            self._start = start
        return self._block[:, start - self._start : stop - self._start].copy()

    def close(self) -> None:
        """Let go of the file."""
        self._raw.close()


class XdfStream:
    """A stream of an XDF file, as a whole in memory."""

    def __init__(self, config: ReplayConfig) -> None:
        import pyxdf

        path = str(config.file)
        stream_id = _pick(pyxdf.resolve_streams(path), config)
        (stream,), _header = pyxdf.load_xdf(path, [stream_id], dejitter_timestamps=False)
        described = describe(_element("info", stream["info"]), config, path)
        self.spec = described.spec
        self.times = stream["time_stamps"] - stream["time_stamps"][0]
        self._samples = stream["time_series"]
        self._gains = described.gains

    def data(self, start: int, stop: int) -> NDArray[np.float32]:
        """Return samples in volts, shape (n_channels, stop - start)."""
        volts = self._samples[start:stop].T * self._gains
        return np.ascontiguousarray(volts, np.float32)

    def close(self) -> None:
        """Forget the samples."""
        del self._samples
