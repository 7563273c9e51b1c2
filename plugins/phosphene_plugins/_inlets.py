"""Open streams of the lab streaming layer: of signals at a rate, and of markers."""

import logging
import time
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import numpy as np
from numpy.typing import NDArray

from phosphene import Markers, PhospheneError, Signal
from phosphene_plugins._channels import ChannelSettings, Described, describe

if TYPE_CHECKING:
    from pylsl import StreamInfo

ANSWER = 10.0
"""Seconds that a stream has to answer once it is found."""
CHUNK = 0.01
"""Seconds of signal that are worth waking up for."""
BUFFER = 1.0
"""Seconds of signal that one read returns at most."""
OFFSET_INTERVAL = 5.0
"""Seconds between two looks at the clock offset; liblsl measures it about as often."""

log = logging.getLogger(__name__)


class StreamSettings(ChannelSettings, frozen=True):
    """Which stream to read; of name, type and source_id, what is given must match."""

    name: str | None = None
    type: str | None = None
    source_id: str | None = None
    channels: int | None = None
    """Number of channels that the stream must have."""
    sfreq: float | None = None
    """Nominal rate in Hz that the stream must have."""


class _Connection:
    """A stream that is open, and the offset of its clock."""

    def __init__(self, found: "StreamInfo", config: StreamSettings) -> None:
        from pylsl import StreamInlet

        self.words = f"LSL stream {found.name()!r} on {found.hostname()}"
        for field, its in (("channels", found.channel_count()), ("sfreq", found.nominal_srate())):
            if (expected := getattr(config, field)) not in (None, its):
                raise PhospheneError(f"{self.words}: expected {field} {expected:g}, found {its:g}")
        if not found.source_id():
            log.warning("%s has no source_id: if it breaks off, LSL cannot resume it", self.words)
        self.inlet = StreamInlet(found)
        try:
            self.info = self.inlet.info(ANSWER)
            self.inlet.open_stream(ANSWER)
            self._offset = float(self.inlet.time_correction(ANSWER))
        except RuntimeError as error:
            self.close()
            raise PhospheneError(f"{self.words} does not answer: {error}") from None
        self._next_offset = time.perf_counter() + OFFSET_INTERVAL

    def pull(
        self, timeout: float, buffer: NDArray[Any] | None = None, n_times: int | None = None
    ) -> tuple[Any, Any]:
        """Return samples and stamps once there are ``n_times``; after ``timeout`` what there is."""
        most = 1024 if buffer is None else len(buffer)
        as_numpy = buffer is not None
        try:
            return self.inlet.pull_chunk(  # type: ignore[no-any-return]
                timeout, most, buffer, n_times, as_numpy=as_numpy
            )
        except RuntimeError as error:
            raise PhospheneError(f"{self.words} broke off: {error}") from None

    def offset(self) -> float:
        """Return what to add to a stamp to get seconds on our clock."""
        now = time.perf_counter()
        if now >= self._next_offset:
            self._next_offset = now + OFFSET_INTERVAL
            try:
                # liblsl measures in a thread of its own; 0 s asks for what it has.
                self._offset = float(self.inlet.time_correction(0.0))
            except RuntimeError as error:
                log.info("%s: the clock offset stays %g s: %s", self.words, self._offset, error)
        return self._offset

    def close(self) -> None:
        self.inlet.close_stream()
        del self.inlet


class Inlet:
    """One stream of signals: raw stamps, samples in volts."""

    def __init__(self, found: "StreamInfo", config: StreamSettings) -> None:
        self.name = found.name()
        self._connection = _Connection(found, config)
        try:
            described = self._describe(config)
        except BaseException:
            self.close()
            raise
        self.spec = described.spec
        self._gains = described.gains
        self._chunk = max(1, round(CHUNK * self.spec.sfreq))
        n_times = max(self._chunk, round(BUFFER * self.spec.sfreq))
        self._buffer = np.empty((n_times, self.spec.n_channels), self._connection.inlet.np_dtype)

    def _describe(self, config: StreamSettings) -> Described:
        words = self._connection.words
        if self._connection.inlet.np_dtype is None:
            raise PhospheneError(f"{words} carries text, not samples")
        return describe(_parsed(self._connection.info.as_xml(), words), config, words)

    def read(self, timeout: float) -> Signal | None:
        """Return what has arrived since the last call, if possible 10 ms of signal, or None.

        A stream with a source_id that breaks off is silent until it returns; ``PhospheneError``
        if it has none.
        """
        samples, stamps = self._connection.pull(min(timeout, CHUNK), self._buffer, self._chunk)
        if len(stamps) == 0 and timeout > CHUNK:
            samples, stamps = self._connection.pull(timeout - CHUNK, self._buffer, 1)
        if len(stamps) == 0:
            return None
        data = np.empty((self.spec.n_channels, len(stamps)), np.float32)
        np.multiply(samples.T, self._gains, out=data, casting="same_kind")
        return Signal(data, stamps.copy(), self._connection.offset())

    def close(self) -> None:
        """Disconnect."""
        self._connection.close()


class MarkerInlet:
    """One stream without a rate, of texts or of numbers, which become texts."""

    def __init__(self, found: "StreamInfo", config: StreamSettings) -> None:
        self.name = found.name()
        self._connection = _Connection(found, config)

    def read(self) -> Markers | None:
        """Return what has arrived since the last call, or None."""
        samples, stamps = self._connection.pull(0.0)
        if not stamps:
            return None
        texts = tuple(" ".join(map(_text, sample)) for sample in samples)
        return Markers(texts, np.array(stamps), self._connection.offset())

    def close(self) -> None:
        """Disconnect."""
        self._connection.close()


def _text(value: str | float) -> str:
    return value if isinstance(value, str) else f"{value:.10g}"


def _parsed(xml: str, words: str) -> ET.Element:
    try:
        return ET.fromstring(xml)  # noqa: S314 (expat limits the expansion of entities)
    except ET.ParseError as error:
        raise PhospheneError(f"{words} has broken metadata: {error}") from None
