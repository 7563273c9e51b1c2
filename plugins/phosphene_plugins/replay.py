"""A recording that plays as if it were an amplifier: any file that MNE reads, and XDF."""

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import numpy as np

from phosphene import Context, Signal, Source, SourceConfig, hookimpl
from phosphene_plugins._channels import ChannelSettings
from phosphene_plugins._recordings import Recording, is_xdf, open_recording

CHUNK = 0.01
"""Seconds of signal that are worth waking up for."""


@hookimpl
def acquisition() -> Mapping[str, type[SourceConfig]]:
    """Offer the source ``replay``."""
    return {"replay": ReplayConfig}


class ReplayConfig(ChannelSettings, frozen=True, kw_only=True):
    """Which recording to play; names, types and units can be given for XDF that lacks them."""

    live: ClassVar[bool] = False

    file: Path
    loop: bool = False
    """Begin again at the end, without a pause; otherwise nothing comes after it."""
    stream: str | None = None
    """Name of the XDF stream to play; needed if not exactly one is of type EEG."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for field in ("labels", "types", "units", "mapping", "cap", "stream"):
            if getattr(self, field) and not is_xdf(self.file):
                raise ValueError(f"{field} can be given for XDF only; {self.file.name} has its own")

    def build(self, context: Context) -> Source:
        """Open the file, whose first sample is now; ``PhospheneError`` if it cannot be read."""
        return Replay(open_recording(self.file, self.stream, self), context, loop=self.loop)


class Replay:
    """Plays a recording at its own pace on the session's clock."""

    def __init__(self, recording: Recording, context: Context, *, loop: bool = False) -> None:
        self.spec = recording.spec
        self._recording = recording
        self._loop = loop
        self._clock = context.clock
        self._start = context.clock.now()
        self._next = 0
        # The stamps of a recording may step back, time does not.
        self._due = np.maximum.accumulate(recording.times)

    def read(self, timeout: float) -> Signal | None:
        """Return what has become due; None for ever behind the end of the file."""
        if self._n_due() == self._next:
            now = self._clock.now()
            self._clock.sleep_until(min(now + timeout, self._next_due() + CHUNK))
        start, stop = self._next, self._n_due()
        if start == stop:
            return None
        stamps = self._start + self._recording.times[start:stop]
        self._next = stop
        if self._loop and stop == len(self._due):
            self._rewind()
        return Signal(self._recording.data(start, stop), stamps)

    def close(self) -> None:
        """Let go of the file."""
        self._recording.close()

    def _n_due(self) -> int:
        """Return how many samples of the recording are due; none is taken back."""
        elapsed = self._clock.now() - self._start
        return max(self._next, int(np.searchsorted(self._due, elapsed, side="right")))

    def _next_due(self) -> float:
        if self._next == len(self._due):
            return float("inf")
        return self._start + float(self._due[self._next])

    def _rewind(self) -> None:
        self._start += float(self._due[-1]) + 1 / self.spec.sfreq
        self._next = 0
