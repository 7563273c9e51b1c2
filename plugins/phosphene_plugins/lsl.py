"""A live amplifier on the lab streaming layer (LSL).

``python -m phosphene_plugins.lsl`` lists the streams that this computer sees.
"""

import logging
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import numpy as np
from numpy.typing import NDArray

from phosphene import Context, PhospheneError, Signal, Source, SourceConfig, hookimpl
from phosphene_plugins._channels import ChannelSettings, Described, describe

if TYPE_CHECKING:
    from pylsl import StreamInfo

SEARCH = 1.0
"""Seconds in which the outlets of a network have answered."""
ANSWER = 10.0
"""Seconds that a stream has to answer once it is found."""
CHUNK = 0.01
"""Seconds of signal that are worth waking up for."""
BUFFER = 1.0
"""Seconds of signal that one read returns at most."""
OFFSET_INTERVAL = 5.0
"""Seconds between two looks at the clock offset; liblsl measures it about as often."""
SAME_CLOCK = 1e-3
"""Seconds by which LSL's clock may differ from Python's."""

log = logging.getLogger(__name__)


@hookimpl
def acquisition() -> Mapping[str, type[SourceConfig]]:
    """Offer the source ``lsl``."""
    return {"lsl": LslConfig}


class StreamSettings(ChannelSettings, frozen=True):
    """Which stream to read; of name, type and source_id, what is given must match."""

    name: str | None = None
    type: str | None = None
    source_id: str | None = None
    channels: int | None = None
    """Number of channels that the stream must have."""
    sfreq: float | None = None
    """Nominal rate in Hz that the stream must have."""


class LslConfig(StreamSettings, frozen=True):
    """The stream with the EEG, and those that are recorded beside it."""

    type: str | None = "EEG"
    timeout: float = 10.0
    """Seconds to look for each stream."""
    beside: tuple[StreamSettings, ...] = ()
    """Auxiliary inputs, a photodiode, triggers: recorded with their own stamps, never decoded."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.timeout < float("inf"):
            raise ValueError(f"timeout must be above 0 s; found {self.timeout}")

    def build(self, context: Context) -> Source:
        """Find and open the streams; ``PhospheneError`` lists the visible ones if it cannot."""
        _check_library()
        opened: list[Inlet] = []
        try:
            for settings in (self, *self.beside):
                opened.append(Inlet(_find(settings, self.timeout), settings))
            eeg, *others = opened
            return LslStreams(eeg, others) if others else eeg
        except BaseException:
            for inlet in opened:
                inlet.close()
            raise


class LslStreams:
    """Several inlets; that with the EEG sets the pace."""

    def __init__(self, eeg: "Inlet", others: Sequence["Inlet"]) -> None:
        self._eeg = eeg
        self._others = {each.name: each for each in others}
        names = [channel for each in (eeg, *others) for channel in each.spec.channels]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise PhospheneError(
                f"channels of several streams have one name: {', '.join(twice)}; rename those of "
                "one with 'labels'"
            )
        if len(self._others) < len(others) or "EEG" in self._others:
            raise PhospheneError("streams beside the EEG need names of their own, other than 'EEG'")
        self.spec = eeg.spec
        self.beside = {name: each.spec for name, each in self._others.items()}

    def read(self, timeout: float) -> Signal | None:
        """Return what has arrived of the EEG, and with it what has arrived of the others."""
        signal = self._eeg.read(timeout)
        if signal is None:
            return None
        found = {name: each.read(0.0) for name, each in self._others.items()}
        beside = {name: chunk for name, chunk in found.items() if chunk is not None}
        return replace(signal, beside=beside)

    def close(self) -> None:
        """Disconnect."""
        for inlet in (self._eeg, *self._others.values()):
            inlet.close()


class Inlet:
    """One stream: raw stamps, samples in volts."""

    def __init__(self, found: "StreamInfo", config: StreamSettings) -> None:
        from pylsl import StreamInlet

        self.name = found.name()
        self._stream = f"LSL stream {found.name()!r} on {found.hostname()}"
        self._inlet = StreamInlet(found)
        try:
            described = self._open(config)
        except BaseException:
            self.close()
            raise
        self.spec = described.spec
        self._gains = described.gains
        self._chunk = max(1, round(CHUNK * self.spec.sfreq))
        n_times = max(self._chunk, round(BUFFER * self.spec.sfreq))
        self._buffer = np.empty((n_times, self.spec.n_channels), self._inlet.np_dtype)

    def _open(self, config: StreamSettings) -> Described:
        try:
            described = self._describe(self._inlet.info(ANSWER), config)
            self._inlet.open_stream(ANSWER)
            self._offset = float(self._inlet.time_correction(ANSWER))
        except RuntimeError as error:
            raise PhospheneError(f"{self._stream} does not answer: {error}") from None
        self._next_offset = time.perf_counter() + OFFSET_INTERVAL
        return described

    def _describe(self, info: "StreamInfo", config: StreamSettings) -> Described:
        if self._inlet.np_dtype is None:
            raise PhospheneError(f"{self._stream} carries text, not samples")
        for field, found in (("channels", info.channel_count()), ("sfreq", info.nominal_srate())):
            if getattr(config, field) not in (None, found):
                expected = getattr(config, field)
                raise PhospheneError(
                    f"{self._stream}: expected {field} {expected:g}, found {found:g}"
                )
        if not info.source_id():
            log.warning("%s has no source_id: if it breaks off, LSL cannot resume it", self._stream)
        try:
            xml = ET.fromstring(info.as_xml())  # noqa: S314 (expat limits the expansion of entities)
        except ET.ParseError as error:
            raise PhospheneError(f"{self._stream} has broken metadata: {error}") from None
        return describe(xml, config, self._stream)

    def read(self, timeout: float) -> Signal | None:
        """Return what has arrived since the last call, if possible 10 ms of signal, or None.

        A stream with a source_id that breaks off is silent until it returns; ``PhospheneError``
        if it has none.
        """
        samples, stamps = self._pull(min(timeout, CHUNK), self._chunk)
        if len(stamps) == 0 and timeout > CHUNK:
            samples, stamps = self._pull(timeout - CHUNK, 1)
        if len(stamps) == 0:
            return None
        data = np.empty((self.spec.n_channels, len(stamps)), np.float32)
        np.multiply(samples.T, self._gains, out=data, casting="same_kind")
        return Signal(data, stamps.copy(), self._current_offset())

    def _pull(self, timeout: float, n_times: int) -> tuple[NDArray[Any], NDArray[np.float64]]:
        """Return samples, shape (n_times, n_channels), and stamps once there are ``n_times``.

        After ``timeout`` it is what there is.
        """
        try:
            return self._inlet.pull_chunk(  # type: ignore[no-any-return]
                timeout, len(self._buffer), self._buffer, n_times, as_numpy=True
            )
        except RuntimeError as error:
            raise PhospheneError(f"{self._stream} broke off: {error}") from None

    def _current_offset(self) -> float:
        now = time.perf_counter()
        if now >= self._next_offset:
            self._next_offset = now + OFFSET_INTERVAL
            try:
                # liblsl measures in a thread of its own; 0 s asks for what it has.
                self._offset = float(self._inlet.time_correction(0.0))
            except RuntimeError as error:
                log.info("%s: the clock offset stays %g s: %s", self._stream, self._offset, error)
        return self._offset

    def close(self) -> None:
        """Disconnect."""
        self._inlet.close_stream()
        del self._inlet


def visible_streams() -> str:
    """Return one line for each LSL stream that this computer sees."""
    _check_library()
    from pylsl import resolve_streams

    return _visible(resolve_streams(SEARCH))


def _check_library() -> None:
    """Raise ``PhospheneError`` unless pylsl works and its clock is ours."""
    try:
        import pylsl
    except ImportError:
        raise PhospheneError("the source 'lsl' needs pylsl: pip install 'phosphene[lsl]'") from None
    except RuntimeError as error:
        raise PhospheneError(f"pylsl cannot load the library liblsl: {error}") from None
    before, now, after = time.perf_counter(), pylsl.local_clock(), time.perf_counter()
    if not before - SAME_CLOCK <= now <= after + SAME_CLOCK:
        raise PhospheneError(
            f"LSL's clock says {now:.3f} s and Python's {before:.3f} s: this liblsl "
            f"({pylsl.library_info()}) cannot time samples on the clock of the onsets"
        )


def _find(config: StreamSettings, timeout: float) -> "StreamInfo":
    from pylsl import resolve_streams

    asked = {field: getattr(config, field) for field in ("name", "type", "source_id")}
    asked = {field: value for field, value in asked.items() if value is not None}
    words = "".join(f" with {field} {value!r}" for field, value in asked.items())
    visible: list[StreamInfo] = []
    end = time.perf_counter() + timeout
    while (left := end - time.perf_counter()) > 0:
        visible = resolve_streams(min(SEARCH, left))
        matching = [each for each in visible if _has(each, asked)]
        if len(matching) == 1:
            return matching[0]
        if matching:
            raise PhospheneError(
                f"{len(matching)} LSL streams{words}; give the 'name' or 'source_id' of one, or "
                f"stop the others:\n{_listed(matching)}"
            )
    raise PhospheneError(f"no LSL stream{words} within {timeout:g} s. {_visible(visible)}")


def _has(info: "StreamInfo", asked: Mapping[str, str]) -> bool:
    # Some programs write the type in lower case: the same type.
    return all(
        getattr(info, field)().casefold() == value.casefold() for field, value in asked.items()
    )


def _visible(streams: Iterable["StreamInfo"]) -> str:
    if listed := _listed(streams):
        return f"Visible LSL streams:\n{listed}"
    return (
        "No LSL stream is visible: does the amplifier's program run, on this network, "
        "and does the firewall let it through?"
    )


def _listed(streams: Iterable["StreamInfo"]) -> str:
    return "\n".join(sorted(map(_line, streams)))


def _line(info: "StreamInfo") -> str:
    return (
        f"  name {info.name()!r}, type {info.type()!r}, source_id {info.source_id()!r}, "
        f"host {info.hostname()!r}, {info.channel_count()} channels, {info.nominal_srate():g} Hz"
    )


def main() -> None:
    """Print what can be seen."""
    try:
        sys.stdout.write(f"{visible_streams()}\n")
    except PhospheneError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
