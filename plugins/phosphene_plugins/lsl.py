"""A live amplifier on the lab streaming layer (LSL).

``python -m phosphene_plugins.lsl`` lists the streams that this computer sees.
"""

import logging
import sys
import time
from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np

from phosphene import Context, PhospheneError, Signal, Source, SourceConfig, hookimpl
from phosphene_plugins._channels import ChannelSettings, Described, describe, parse

SEARCH = 1.0
"""Seconds in which every outlet of a network has answered."""
CHUNK = 0.01
"""Seconds of signal that are worth waking up for."""
BUFFER = 1.0
"""Seconds of signal that one read can return."""
OFFSET_INTERVAL = 5.0
"""Seconds between two looks at the clock offset; liblsl measures it as often."""
SAME_CLOCK = 1e-3
"""Seconds by which LSL's clock may differ from ours; they are one clock, read one after the other."""

log = logging.getLogger(__name__)


@hookimpl
def acquisition() -> Mapping[str, type[SourceConfig]]:
    """Offer the source ``lsl``."""
    return {"lsl": LslConfig}


class LslConfig(ChannelSettings, frozen=True):
    """Which stream to read: every one of name, type and source_id that is given must match."""

    name: str | None = None
    type: str = "EEG"
    source_id: str | None = None
    timeout: float = 10.0
    """Seconds to look for the stream."""
    channels: int | None = None
    """Expected number of channels."""
    sfreq: float | None = None
    """Expected nominal rate in Hz."""

    def __post_init__(self) -> None:
        if not 0 < self.timeout < float("inf"):
            raise ValueError(f"timeout must be above 0 s; found {self.timeout}")

    def build(self, context: Context) -> Source:
        """Find and open the stream; ``PhospheneError`` says what else is visible."""
        pylsl = _pylsl()
        _check_clock(pylsl)
        return LslSource(pylsl, _find(pylsl, self), self)


class LslSource:
    """One inlet: raw stamps, samples in volts."""

    # pylsl has no annotations of its own.
    def __init__(self, pylsl: Any, found: Any, config: LslConfig) -> None:  # noqa: ANN401
        self._pylsl = pylsl
        self._stream = f"LSL stream {_identity(found)}"
        self._inlet = pylsl.StreamInlet(found)
        described = self._open(config)
        self.spec = described.spec
        self._gains = described.gains
        self._chunk = max(1, round(CHUNK * self.spec.sfreq))
        n_times = max(self._chunk, round(BUFFER * self.spec.sfreq))
        self._buffer = np.empty((n_times, self.spec.n_channels), self._inlet.np_dtype)

    def _open(self, config: LslConfig) -> Described:
        try:
            info = self._inlet.info(config.timeout)
            described = self._check(info, config)
            self._inlet.open_stream(config.timeout)
            self._offset = self._inlet.time_correction(config.timeout)
        except (self._pylsl.util.TimeoutError, self._pylsl.util.LostError) as error:
            raise PhospheneError(f"{self._stream} is announced but sends nothing: {error}") from None
        self._next_offset = time.perf_counter() + OFFSET_INTERVAL
        return described

    def _check(self, info: Any, config: LslConfig) -> Described:  # noqa: ANN401
        if info.channel_format() == self._pylsl.cf_string:
            raise PhospheneError(f"{self._stream} carries text, not samples")
        for field, found in (("channels", info.channel_count()), ("sfreq", info.nominal_srate())):
            if (expected := getattr(config, field)) not in (None, found):
                raise PhospheneError(f"{self._stream}: {field} is {found}, expected {expected}")
        if not info.source_id():
            log.warning(
                "%s has no source_id: LSL cannot find it again after a lost connection",
                self._stream,
            )
        try:
            return describe(parse(info.as_xml()), config, self._stream)
        except ValueError as error:
            raise PhospheneError(f"{self._stream} has unreadable metadata: {error}") from None

    def read(self, timeout: float) -> Signal | None:
        """Return what has arrived: as soon as it is 10 ms of signal, or after ``timeout``.

        Raises ``PhospheneError`` if the stream is lost for good; one with a source_id is only
        silent until it returns.
        """
        try:
            samples, stamps = self._inlet.pull_chunk(
                timeout, len(self._buffer), self._buffer, self._chunk, as_numpy=True
            )
        except self._pylsl.util.LostError:
            raise PhospheneError(f"{self._stream} was lost and has no source_id to find it by") from None
        if len(stamps) == 0:
            return None
        data = np.empty((self.spec.n_channels, len(stamps)), np.float32)
        np.multiply(samples.T, self._gains, out=data, casting="same_kind")
        return Signal(data, stamps.copy(), self._current_offset())

    def _current_offset(self) -> float:
        now = time.perf_counter()
        if now >= self._next_offset:
            self._next_offset = now + OFFSET_INTERVAL
            try:
                # liblsl measures in a thread of its own; 0 s asks only for what it has.
                self._offset = self._inlet.time_correction(0.0)
            except self._pylsl.util.TimeoutError:
                log.info("%s: no new clock offset yet", self._stream)
        return float(self._offset)

    def close(self) -> None:
        """Disconnect."""
        self._inlet.close_stream()
        del self._inlet


def visible_streams() -> str:
    """Return one line for each LSL stream that this computer sees."""
    return _listed(_pylsl().resolve_streams(SEARCH))


def _pylsl() -> Any:  # noqa: ANN401
    try:
        import pylsl
    except ImportError:
        raise PhospheneError(
            "the source 'lsl' needs pylsl: pip install 'phosphene[lsl]'"
        ) from None
    except RuntimeError as error:
        raise PhospheneError(f"pylsl cannot load its library liblsl: {error}") from None
    return pylsl


def _check_clock(pylsl: Any) -> None:  # noqa: ANN401
    before, lsl, after = time.perf_counter(), pylsl.local_clock(), time.perf_counter()
    if not before - SAME_CLOCK <= lsl <= after + SAME_CLOCK:
        raise PhospheneError(
            f"LSL's clock says {lsl:.3f} s where Python's says {before:.3f} s: with this liblsl "
            f"({pylsl.library_info()}) onsets and samples cannot be brought together"
        )


def _find(pylsl: Any, config: LslConfig) -> Any:  # noqa: ANN401
    wanted = {field: getattr(config, field) for field in ("name", "type", "source_id")}
    wanted = {field: value for field, value in wanted.items() if value is not None}
    end = time.perf_counter() + config.timeout
    matching: list[Any] = []
    while not matching and (left := end - time.perf_counter()) > 0:
        visible = pylsl.resolve_streams(min(SEARCH, left))
        matching = [s for s in visible if all(getattr(s, f)() == v for f, v in wanted.items())]
    if len(matching) == 1:
        return matching[0]
    asked = " and ".join(f"{field} {value!r}" for field, value in wanted.items())
    if matching:
        raise PhospheneError(
            f"{len(matching)} LSL streams have {asked}; choose one by 'name' or 'source_id', "
            f"or stop the others:\n{_listed(matching)}"
        )
    raise PhospheneError(
        f"no LSL stream has {asked} (looked for {config.timeout:g} s). {_listed(visible)}"
    )


def _listed(streams: Any) -> str:  # noqa: ANN401
    ...


def _identity(info: Any) -> str:  # noqa: ANN401
    return f"{info.name()!r} on {info.hostname()}"
