"""An amplifier on LSL that does what it is told: ``python amplifier.py NAME [RATE]``.

It streams noise on eight electrodes and, as a ninth channel, the number of each sample, so that
whoever recorded it can be asked which samples are missing. Commands come on standard input, a
line each: ``silent SECONDS``, ``nan SECONDS``, ``jump SECONDS`` (of its clock, for two seconds),
``twice`` (sends the last chunk again), ``radio SECONDS`` (from now on each chunk is stamped when it
comes, up to so late).
"""

import sys
import threading
import time
from collections import deque

import numpy as np
import pylsl

SFREQ = 250.0
CHANNELS = ("Fp1", "Fp2", "C3", "C4", "Pz", "O1", "O2", "Oz", "COUNT")
CHUNK = 0.02
JUMPED = 2.0


def open_outlet(name: str) -> pylsl.StreamOutlet:
    """Return a stream that is found again after a restart."""
    info = pylsl.StreamInfo(name, "EEG", len(CHANNELS), SFREQ, "float32", f"source-{name}")
    info.set_channel_labels(list(CHANNELS))
    info.set_channel_types(["EEG"] * 8 + ["misc"])
    info.set_channel_units(["microvolts"] * 8 + [""])
    return pylsl.StreamOutlet(info)


class Amplifier:
    """Makes samples up to now, and spoils them as it was told."""

    def __init__(self, outlet: pylsl.StreamOutlet, rate: float) -> None:
        self._outlet, self._rate = outlet, rate
        self._start = time.perf_counter()
        self._sent = 0
        self._rng = np.random.default_rng(0)
        self._until = {"silent": 0.0, "nan": 0.0, "jump": 0.0}
        self._jump = self._late = 0.0
        self._last: tuple[np.ndarray, list[float]] | None = None

    def obey(self, command: str) -> None:
        """Take in a line of standard input."""
        name, _, value = command.partition(" ")
        now = time.perf_counter()
        if name == "twice":
            assert self._last
            self._outlet.push_chunk(*self._last)
        elif name == "jump":
            self._jump, self._until["jump"] = float(value), now + JUMPED
        elif name == "radio":
            self._late = float(value)
        else:
            self._until[name] = now + float(value)

    def send(self) -> None:
        """Send what is due."""
        now = time.perf_counter()
        first, self._sent = self._sent, int((now - self._start) * SFREQ * self._rate)
        if self._sent > first and now > self._until["silent"]:
            self._push(first, self._sent)

    def _push(self, first: int, stop: int) -> None:
        now = time.perf_counter()
        index = np.arange(first, stop)
        values = 1e1 * self._rng.standard_normal((len(index), len(CHANNELS)))
        values[:, -1] = index
        if now < self._until["nan"]:
            values[:, 2] = np.nan
        stamps = self._start + index / SFREQ / self._rate
        stamps += self._jump if now < self._until["jump"] else 0.0
        if self._late:
            stamps[:] = now + self._rng.uniform(0, self._late)
        self._last = values.astype(np.float32), stamps.tolist()
        self._outlet.push_chunk(*self._last)


def main(name: str, rate: str = "1") -> None:
    """Stream until standard input ends."""
    amplifier, commands = Amplifier(open_outlet(name), float(rate)), deque[str]()
    ended = threading.Event()

    def listen() -> None:
        for line in sys.stdin:
            commands.append(line.strip())
        ended.set()

    threading.Thread(target=listen, daemon=True).start()
    print("streaming", flush=True)  # noqa: T201
    while not ended.is_set():
        while commands:
            amplifier.obey(commands.popleft())
        amplifier.send()
        time.sleep(CHUNK)


if __name__ == "__main__":
    main(*sys.argv[1:])
