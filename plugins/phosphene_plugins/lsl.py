"""A live amplifier on the lab streaming layer (LSL).

``python -m phosphene_plugins.lsl`` lists the streams that this computer sees.
"""

import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from phosphene import Context, PhospheneError, Signal, Source, SourceConfig, hookimpl
from phosphene_plugins._inlets import Inlet, MarkerInlet, StreamSettings

if TYPE_CHECKING:
    from pylsl import StreamInfo

SEARCH = 1.0
"""Seconds in which the outlets of a network have answered."""
SAME_CLOCK = 1e-3
"""Seconds by which LSL's clock may differ from Python's."""


@hookimpl
def acquisition() -> Mapping[str, type[SourceConfig]]:
    """Offer the source ``lsl``."""
    return {"lsl": LslConfig}


class LslConfig(StreamSettings, frozen=True):
    """The stream with the EEG, and those that are recorded beside it."""

    type: str | None = "EEG"
    timeout: float = 10.0
    """Seconds to look for each stream."""
    beside: tuple[StreamSettings, ...] = ()
    """Auxiliary inputs, a photodiode, triggers, markers: recorded with their own stamps, never
    decoded."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.timeout < float("inf"):
            raise ValueError(f"timeout must be above 0 s; found {self.timeout}")

    def build(self, context: Context) -> Source:
        """Find and open the streams; ``PhospheneError`` lists the visible ones if it cannot."""
        _check_library()
        opened: list[Inlet | MarkerInlet] = []
        try:
            eeg = Inlet(_find(self, self.timeout), self)
            opened.append(eeg)
            for settings in self.beside:
                opened.append(_open(_find(settings, self.timeout), settings))
            return LslStreams(eeg, opened[1:]) if self.beside else eeg
        except BaseException:
            for each in opened:
                each.close()
            raise


def _open(found: "StreamInfo", settings: StreamSettings) -> Inlet | MarkerInlet:
    """Return an inlet for a stream beside the EEG, with or without a rate."""
    return Inlet(found, settings) if found.nominal_srate() else MarkerInlet(found, settings)


class LslStreams:
    """Several inlets; that with the EEG sets the pace."""

    def __init__(self, eeg: Inlet, others: Sequence[Inlet | MarkerInlet]) -> None:
        self._eeg, self._others = eeg, others
        self._signals = {each.name: each for each in others if isinstance(each, Inlet)}
        self._markers = {each.name: each for each in others if isinstance(each, MarkerInlet)}
        channels = [name for each in (eeg, *self._signals.values()) for name in each.spec.channels]
        names = [*channels, *self._markers]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise PhospheneError(
                f"channels of several streams have one name: {', '.join(twice)}; rename those of "
                "one with 'labels'"
            )
        told = {"EEG", "Markers", *self._signals, *self._markers}
        if len(told) < len(others) + 2:
            raise PhospheneError(
                "streams beside the EEG need names of their own, other than 'EEG' and 'Markers'"
            )
        self.spec = eeg.spec
        self.beside = {name: each.spec for name, each in self._signals.items()}
        self.markers = tuple(self._markers)

    def read(self, timeout: float) -> Signal | None:
        """Return what has arrived of the EEG, and with it what has arrived of the others."""
        signal = self._eeg.read(timeout)
        if signal is None:
            return None
        signals = {name: each.read(0.0) for name, each in self._signals.items()}
        markers = {name: each.read() for name, each in self._markers.items()}
        return replace(
            signal,
            beside={name: chunk for name, chunk in signals.items() if chunk is not None},
            markers={name: chunk for name, chunk in markers.items() if chunk is not None},
        )

    def close(self) -> None:
        """Disconnect."""
        self._eeg.close()
        for inlet in self._others:
            inlet.close()


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
        # The last search may be too short to see anything.
        visible = resolve_streams(min(SEARCH, left)) or visible
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
