import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from uuid import uuid4

import msgspec
import numpy as np
import pylsl
import pytest
from numpy.typing import NDArray

from phosphene import Onset

QUIET = ["--noise", "1e-9", "--line", "0", "--blinks", "0"]
"""Nearly nothing but the responses."""
Start = Callable[..., subprocess.Popen[str]]


def run(*options: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "phosphene_plugins.outlet", *options]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ
    )


@pytest.fixture
def start() -> Iterator[Start]:
    """Start an amplifier; whatever happens, it is gone afterwards."""
    started = []

    def begin(*options: str) -> subprocess.Popen[str]:
        started.append(run(*options))
        return started[-1]

    yield begin
    for process in started:
        process.kill()
        process.communicate()


def open_inlet(name: str) -> pylsl.StreamInlet:
    found = pylsl.resolve_byprop("name", name, timeout=20)
    assert found, f"no stream {name}"
    inlet = pylsl.StreamInlet(found[0])
    inlet.open_stream(timeout=10)
    return inlet


def open_markers(name: str) -> pylsl.StreamOutlet:
    info = pylsl.StreamInfo(name, "Markers", 1, pylsl.IRREGULAR_RATE, "string", uuid4().hex)
    outlet = pylsl.StreamOutlet(info)
    assert outlet.wait_for_consumers(20)
    return outlet


def show(markers: pylsl.StreamOutlet, seq: int) -> float:
    """Return the time at which an image appeared."""
    now = float(pylsl.local_clock())
    onset = Onset(
        seq=seq,
        event="stimulus",
        time=now,
        planned=now,
        duration=0.5,
        phase="record",
        run=1,
        block=1,
        attempt=1,
        trial=seq + 1,
        wnid="n02389026",
        image="",
        sha256="",
    )
    markers.push_sample([msgspec.json.encode(onset).decode()], now)
    return now


def pull_until(
    inlet: pylsl.StreamInlet, end: float
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Return samples, shape (n_times, n_channels), and stamps up to ``end``."""
    samples: list[list[float]] = []
    stamps: list[float] = []
    deadline = time.monotonic() + 20
    while not (stamps and stamps[-1] >= end):
        assert time.monotonic() < deadline, "the stream stopped"
        chunk, times = inlet.pull_chunk(timeout=0.2)
        samples += chunk
        stamps += times
    return np.array(samples, dtype=np.float32), np.array(stamps)


def test_an_amplifier_streams_microvolts_and_says_which_channels_it_has(start: Start) -> None:
    name = f"amplifier {uuid4().hex}"
    process = start("--channels", "32", "--sfreq", "500", "--seed", "1", "--name", name)
    assert process.stdout is not None
    assert process.stdout.readline() == f"{name}: streaming 32 channels at 500 Hz\n"
    inlet = open_inlet(name)
    info = inlet.info()
    assert (info.type(), info.channel_count(), info.nominal_srate()) == ("EEG", 32, 500)
    assert info.source_id() == f"phosphene-simulated-{name}"
    assert info.get_channel_labels()[:2] == ["Fp1", "Fz"]
    assert set(info.get_channel_types()) == {"EEG"}
    assert set(info.get_channel_units()) == {"microvolts"}
    samples, stamps = pull_until(inlet, pylsl.local_clock() + 1)
    np.testing.assert_allclose(np.diff(stamps), 1 / 500, atol=1e-6)
    assert 3 < np.median(samples.std(axis=0)) < 40
    inlet.close_stream()
    del inlet


def test_it_reacts_to_images_of_a_marker_stream_that_comes_and_goes(start: Start) -> None:
    name = uuid4().hex
    start("--channels", "16", "--sfreq", "250", "--name", name, "--markers", f"m {name}", *QUIET)
    inlet = open_inlet(name)
    for seq in range(2):
        markers = open_markers(f"m {name}")
        markers.push_sample(["a marker of somebody else"])
        inlet.flush()
        shown = show(markers, seq)
        samples, stamps = pull_until(inlet, shown + 0.7)
        size = np.abs(samples).mean(axis=1)
        assert size[stamps < shown].max(initial=0) < 0.1
        assert size[(stamps > shown + 0.1) & (stamps < shown + 0.3)].max() > 1
        del markers
    inlet.close_stream()
    del inlet


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_cleanly_when_told_to(start: Start, number: signal.Signals) -> None:
    process = start("--channels", "16", "--sfreq", "250", "--name", uuid4().hex)
    assert process.stdout is not None
    assert "streaming" in process.stdout.readline()
    process.send_signal(number)
    _out, errors = process.communicate(timeout=10)
    assert process.returncode == 0
    assert "Traceback" not in errors


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--channels", "3"], "channels: found 3; allowed: 8 to 128"),
        (["--code", "gamma"], "invalid choice: 'gamma'"),
        (["--stimuli", "/nowhere"], "cannot read /nowhere/manifest.tsv"),
        (["--geometry", "features"], "at least 2 classes"),
    ],
)
def test_an_option_that_cannot_be_is_refused_in_one_line(
    start: Start, options: list[str], message: str
) -> None:
    process = start(*options)
    _out, errors = process.communicate(timeout=20)
    assert process.returncode != 0
    assert message in errors
    assert "Traceback" not in errors
