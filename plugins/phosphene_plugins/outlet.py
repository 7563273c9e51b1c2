"""The simulated subject as an amplifier on the lab streaming layer, in a process of its own.

``python -m phosphene_plugins.outlet --channels 32 --sfreq 500`` streams until it is stopped. It
listens to the LSL stream of markers and reacts to the images that they tell of. Markers must come
from this computer: their times are taken as they are.
"""

import argparse
import logging
import signal
import sys
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from threading import Event, Thread
from typing import TYPE_CHECKING, Literal, get_args, get_origin

import msgspec
import numpy as np

from phosphene import Context, Onset, PhospheneError, SignalSpec, Source, StimulusSet
from phosphene_plugins.simulated import SimulatedConfig

if TYPE_CHECKING:
    from pylsl import StreamInfo, StreamInlet, StreamOutlet

NAME = "Phosphene simulated amplifier"
SEARCH = 1.0
"""Seconds between two looks for the stream of markers."""
PATIENCE = 0.2
"""Seconds in which the outlet notices that it is to stop."""

log = logging.getLogger(__name__)


def stream(source: Source, name: str, stop: Event) -> None:
    """Stream a source in microvolts until ``stop`` is set."""
    outlet, types = _open_outlet(name, source.spec), source.spec.types
    gains = np.array([1.0 if kind in ("misc", "stim") else 1e6 for kind in types], np.float32)
    sys.stdout.write(
        f"{name}: streaming {source.spec.n_channels} channels at {source.spec.sfreq:g} Hz\n"
    )
    sys.stdout.flush()
    while not stop.is_set():
        if piece := source.read(PATIENCE):
            microvolts = np.ascontiguousarray(piece.data.T * gains)
            outlet.push_chunk(microvolts, float(piece.times[-1]))


class Listener(Thread):
    """Puts the onsets of a stream of markers into a feed, whenever that stream is there."""

    def __init__(self, onsets: deque[Onset], name: str | None, stop: Event) -> None:
        super().__init__(name="markers", daemon=True)
        self._onsets, self._stream_name, self._stopping = onsets, name, stop

    def run(self) -> None:
        """Look for the stream, follow it until it is lost, look again."""
        from pylsl import StreamInlet
        from pylsl.util import LostError

        while not self._stopping.is_set():
            if found := self._find():
                # Without recovery: a marker stream that comes back may be another one.
                inlet = StreamInlet(found, recover=False)
                try:
                    self._follow(inlet)
                except LostError:
                    log.info("%s is gone", found.name())

    def _find(self) -> "StreamInfo | None":
        from pylsl import resolve_byprop

        streams = resolve_byprop("type", "Markers", timeout=SEARCH)
        named = (s for s in streams if self._stream_name in (None, s.name()))
        return next(named, None)

    def _follow(self, inlet: "StreamInlet") -> None:
        while not self._stopping.is_set():
            sample, _stamp = inlet.pull_sample(PATIENCE)
            if sample:
                self._hear(sample[0])

    def _hear(self, text: str) -> None:
        try:
            self._onsets.append(msgspec.json.decode(text, type=Onset))
        except msgspec.MsgspecError as error:
            log.warning("a marker that is no onset: %r (%s)", text, error)


def _open_outlet(name: str, spec: SignalSpec) -> "StreamOutlet":
    from pylsl import StreamInfo, StreamOutlet

    # The same after a restart, so that whoever recorded it finds it again.
    source_id = f"phosphene-simulated-{name}"
    info = StreamInfo(name, "EEG", spec.n_channels, spec.sfreq, "float32", source_id)
    channels = info.desc().append_child("channels")
    for label, kind in zip(spec.channels, spec.types, strict=True):
        channel = channels.append_child("channel")
        channel.append_child_value("label", label)
        channel.append_child_value("type", kind.upper())
        channel.append_child_value("unit", "microvolts")
        if place := spec.positions.get(label):
            location = channel.append_child("location")
            for axis, metres in zip("XYZ", place, strict=True):
                location.append_child_value(axis, f"{1000 * metres:.3f}")
    return StreamOutlet(info)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m phosphene_plugins.outlet",
        description="A simulated subject as an LSL amplifier, streaming until it is stopped.",
    )
    parser.add_argument("--name", default=NAME, help="name of the stream")
    parser.add_argument("--markers", help="name of the stream of markers to react to")
    parser.add_argument("--stimuli", type=Path, help="image set; for --geometry features")
    for field in msgspec.structs.fields(SimulatedConfig):
        parser.add_argument(
            f"--{field.name}",
            default=argparse.SUPPRESS,
            choices=get_args(field.type) if get_origin(field.type) is Literal else None,
            help=f"as in the settings of the source 'simulated' (default: {field.default})",
        )
    return parser


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    parser = _parser()
    given = vars(parser.parse_args(arguments))
    name, markers, stimuli = (given.pop(key) for key in ("name", "markers", "stimuli"))
    stop = Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda _number, _frame: stop.set())
    try:
        config = msgspec.convert(given, SimulatedConfig, strict=False)
        images = StimulusSet.read(stimuli) if stimuli else StimulusSet(Path(), {}, ())
        context = Context(images)
        source = config.build(context)
        Listener(context.onsets, markers, stop).start()
        stream(source, name, stop)
    except (msgspec.ValidationError, PhospheneError) as error:
        parser.exit(1, f"{parser.prog}: {error}\n")


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    main()
