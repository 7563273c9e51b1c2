"""What it costs to acquire, filter and keep 128 channels at 1 kHz, beside others who do it.

Three comparisons, all with chunks of 10 ms and ratios against a peer in the same run:

* processor time of a process that reads an LSL stream, filters it and keeps it in a ring, beside
  mne-lsl's ``StreamLSL`` with the same filters (goal: 5 times less) and beside a bare pylsl inlet
  that keeps nothing (goal: at most 1.5 times);
* one filtered chunk, beside ``scipy.signal.sosfilt`` with its state and beside the inner loop of
  mne-lsl (goals: 10 and 20 times), the same in float64 to 1e-12 of the largest sample;
* a durable write of one chunk, beside h5py with a flush (goal: 40 times).

Run with ``make benchmark-acquisition``; on a busy machine the figures mean little.
"""

import os
import resource
import statistics
import subprocess
import sys
import time
import timeit
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from scipy.signal import butter, sosfilt, sosfilt_zi
from simulation import pressure

from phosphene import Context, Signal, SignalSpec, StimulusSet
from phosphene.dataset.xdf import XdfWriter
from phosphene.ring import Ring
from phosphene_plugins.filters import BandpassConfig, Filter, NotchConfig
from phosphene_plugins.lsl import LslConfig

N_CHANNELS, SFREQ, CHUNK = 128, 1000.0, 10
WAKE_UP = CHUNK / SFREQ
NAME = f"benchmark-{os.getppid()}"
WARM_UP, SECONDS = 2.0, 10.0
BUFFER = 8.0
ROUNDS = 3
SPEC = SignalSpec(tuple(f"E{n}" for n in range(N_CHANNELS)), ("eeg",) * N_CHANNELS, SFREQ)
CONTEXT = Context(StimulusSet(Path(), {}, ()))


def joined_filter() -> Filter:
    """Return notch and band-pass of the preset ``paper``, joined as the pipeline joins them."""
    notch, bandpass = (config.build(SPEC, CONTEXT) for config in (NotchConfig(), BandpassConfig()))
    assert isinstance(notch, Filter)
    joined = notch.joined(bandpass)
    assert isinstance(joined, Filter)
    return joined


# Processor time of a whole process. Each role is this file, started with its name.


def send() -> None:
    """Stream noise, a chunk every 10 ms, until the parent is gone."""
    import pylsl

    info = pylsl.StreamInfo(NAME, "EEG", N_CHANNELS, SFREQ, "float32", NAME)
    info.set_channel_labels(list(SPEC.channels))
    info.set_channel_types("EEG")
    info.set_channel_units("microvolts")
    outlet = pylsl.StreamOutlet(info, chunk_size=CHUNK)
    data = np.random.default_rng(0).standard_normal((CHUNK, N_CHANNELS)).astype(np.float32)
    due, parent = time.perf_counter(), os.getppid()
    while os.getppid() == parent:
        outlet.push_chunk(data)
        due += WAKE_UP
        time.sleep(max(0.0, due - time.perf_counter()))


def measured(turn: Callable[[], object]) -> float:
    """Return the share of a core that ``turn`` takes, called again and again, warmed up."""
    end = time.perf_counter() + WARM_UP
    while time.perf_counter() < end:
        turn()
    began, before = time.perf_counter(), _cpu()
    while time.perf_counter() < began + SECONDS:
        turn()
    return (_cpu() - before) / (time.perf_counter() - began)


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def phosphene() -> float:
    """Read, filter and keep as acquisition and decoder do."""
    source, step = LslConfig(name=NAME).build(CONTEXT), joined_filter()
    ring = Ring(N_CHANNELS, round(BUFFER * SFREQ), np.float32)

    def turn() -> None:
        if (signal := source.read(WAKE_UP)) is not None:
            ring.append(step(signal).data)

    return measured(turn)


def mne_lsl() -> float:
    """Let mne-lsl do the same."""
    from mne_lsl.stream import StreamLSL

    stream = StreamLSL(BUFFER, name=NAME).connect(acquisition_delay=WAKE_UP)
    stream.notch_filter(50.0, iir_params={"order": 2, "ftype": "butter", "output": "sos"})
    stream.filter(14.0, 70.0, iir_params={"order": 4, "ftype": "butter", "output": "sos"})
    return measured(lambda: time.sleep(WAKE_UP))


def pylsl() -> float:
    """Pull chunks and drop them."""
    from pylsl import StreamInlet, resolve_byprop

    inlet = StreamInlet(resolve_byprop("name", NAME, timeout=10)[0])
    buffer = np.empty((1000, N_CHANNELS), np.float32)
    return measured(lambda: inlet.pull_chunk(WAKE_UP, len(buffer), buffer, CHUNK, as_numpy=True))


ROLES = {"send": send, "phosphene": phosphene, "mne-lsl": mne_lsl, "pylsl": pylsl}


def processes() -> None:
    """Compare whole processes, in turns."""
    shares: dict[str, list[float]] = {name: [] for name in ROLES if name != "send"}
    with subprocess.Popen([sys.executable, __file__, "send"]) as sender:
        try:
            for _ in range(ROUNDS):
                for name, each in shares.items():
                    done = subprocess.run(
                        [sys.executable, __file__, name], stdout=subprocess.PIPE, check=True
                    )
                    each.append(float(done.stdout.split()[-1]))
        finally:
            sender.terminate()
    share = {name: statistics.median(each) for name, each in shares.items()}
    print("acquire + filter + ring, share of a core")
    for name, value in share.items():
        print(f"  {name:<12}{value:7.2%}   x {value / share['phosphene']:5.2f}")
    print(f"  goals: mne-lsl at least x 5; phosphene at most 1.5 times pylsl, found "
          f"{share['phosphene'] / share['pylsl']:.2f}")  # fmt: skip


# One chunk.


def chunks() -> None:
    """Compare one filtered chunk, in turns."""
    data = (1e-5 * np.random.default_rng(0).standard_normal((N_CHANNELS, CHUNK))).astype(np.float32)
    signal, step = Signal(data, np.arange(CHUNK) / SFREQ), joined_filter()
    sos = [
        butter(2, (49, 51), "bandstop", fs=SFREQ, output="sos"),
        butter(4, (14, 70), "bandpass", fs=SFREQ, output="sos"),
    ]
    both = np.concatenate(sos)
    state = {"scipy": np.zeros((len(both), N_CHANNELS, 2))}
    by_filter = [np.zeros((len(each), 2, N_CHANNELS)) for each in sos]
    rows, picks = data.T.astype(np.float64), np.arange(N_CHANNELS)

    def scipy() -> None:
        _, state["scipy"] = sosfilt(both, data.astype(np.float64), axis=1, zi=state["scipy"])

    def inner_loop() -> None:
        # As in mne_lsl/stream/stream_lsl.py: each filter on the picked channels, in place.
        found = rows.copy()
        for number, each in enumerate(sos):
            found[:, picks], by_filter[number] = sosfilt(
                each, found[:, picks], axis=0, zi=by_filter[number]
            )

    microseconds = compared(
        {"phosphene": lambda: step(signal), "scipy": scipy, "mne-lsl": inner_loop}
    )
    table("one filtered chunk", microseconds, "scipy x 10, mne-lsl x 20")
    print(f"  largest difference from scipy, of the largest sample: {difference(both):.1e}")


def difference(sos: np.ndarray) -> float:
    """Return how far the filter is from scipy's, before the cast to float32, over ten seconds."""
    data = np.random.default_rng(1).standard_normal((N_CHANNELS, 10_000))
    recursion = joined_filter().recursion
    state = np.outer(recursion.steady_state, data[:, 0])
    found = np.empty_like(data)
    for start in range(0, data.shape[1], CHUNK):
        block = data[:, start : start + CHUNK].T
        out = recursion.matrix(CHUNK) @ np.concatenate((state, block))
        state, found[:, start : start + CHUNK] = (
            out[: recursion.n_state],
            out[recursion.n_state :].T,
        )
    zi = sosfilt_zi(sos)[:, np.newaxis, :] * data[np.newaxis, :, :1]
    expected, _ = sosfilt(sos, data, axis=1, zi=zi)
    return float(np.abs(found - expected).max() / np.abs(expected).max())


def writes() -> None:
    """Compare one durable write, in turns."""
    import h5py

    data = np.random.default_rng(0).standard_normal((N_CHANNELS, CHUNK)).astype(np.float32)
    signal = Signal(data, np.arange(CHUNK) / SFREQ)
    with TemporaryDirectory() as folder:
        writer = XdfWriter(Path(folder, "a.xdf"), SPEC)
        with h5py.File(Path(folder, "a.h5"), "w") as file:
            rows = file.create_dataset(
                "eeg", (0, N_CHANNELS), "f4", maxshape=(None, N_CHANNELS), chunks=(1000, N_CHANNELS)
            )

            def hdf5() -> None:
                rows.resize(len(rows) + CHUNK, axis=0)
                rows[-CHUNK:] = data.T
                file.flush()

            times = compared({"phosphene": lambda: writer.write_signal(signal), "h5py": hdf5})
        writer.close()
    table("one chunk on disk (in the kernel's hands)", times, "h5py x 40")


def compared(candidates: dict[str, Callable[[], object]]) -> dict[str, float]:
    """Return the median microseconds of each, measured in turns."""
    found: dict[str, list[float]] = {name: [] for name in candidates}
    for _ in range(15):
        for name, act in candidates.items():
            found[name].append(timeit.timeit(act, number=200) / 200 * 1e6)
    return {name: statistics.median(each) for name, each in found.items()}


def table(title: str, microseconds: dict[str, float], goals: str) -> None:
    """Print times and ratios."""
    print(f"{title}, us")
    for name, value in microseconds.items():
        print(f"  {name:<12}{value:9.1f}   x {value / microseconds['phosphene']:5.1f}")
    print(f"  goals: {goals}")


def main() -> None:
    if len(sys.argv) > 1:
        print(ROLES[sys.argv[1]]())
        return
    print(f"busy at the start: {pressure()}")
    chunks()
    writes()
    processes()
    print(f"busy at the end: {pressure()}")


if __name__ == "__main__":
    main()
