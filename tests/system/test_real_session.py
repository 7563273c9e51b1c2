"""Real processes, the real clock, LSL in, a PsychoPy window: record, train, close the loop."""

import csv
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import mne
import mne_bids
import msgspec
import numpy as np
import pytest

from phosphene.dataset.study import SessionFolder
from phosphene.dataset.xdf import read_segment
from phosphene.events import Onset
from phosphene.roles.catalogue import House
from phosphene.training import collect
from phosphene_stimuli.standin import StandinConfig

pytest.importorskip("psychopy", reason="the extra 'screen' is not installed")
pytest.importorskip("pylsl", reason="the extra 'lsl' is not installed")
pytestmark = [
    pytest.mark.skipif(shutil.which("Xvfb") is None, reason="needs Xvfb (Debian: xvfb)"),
    pytest.mark.timeout(400),
]

BLOCKS, CLASSES, FEEDBACK = 6, 4, 4
SESSION = """
format: 1
protocol: [record, train, feedback, report]
stimuli: {{folder: {{path: {images}}}}}
acquisition: {{lsl: {{name: {amplifier}, type: EEG, beside: {beside}}}}}
preprocessing: paper
decoder: power-lr
generator: retrieval
closed_loop: {{override_gate: true}}
paradigm: {{interleaved: {{runs: 2, blocks: 3, duration: 0.5, pause: 2, cue: 0.5}}}}
feedback:
  feedback:
    {{runs: 1, blocks: 1, trials: 4, duration: 0.5, gap: 1.5, picture: 0.5, pause: 2, cue: 0.5}}
screen: {{kind: psychopy, refresh_rate: 60, fullscreen: false, size: [320, 240]}}
output: {output}
cache: {cache}
"""


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    config = StandinConfig(classes=CLASSES, images=20, gallery=2, size=64)
    return config.build(tmp_path_factory.mktemp("images")).root


@contextmanager
def process(*command: str) -> Iterator[str]:
    """Run a program beside us; give its first line, which says that it is ready."""
    with subprocess.Popen(
        [sys.executable, *command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as running:
        assert running.stdout
        try:
            yield running.stdout.readline()
        finally:
            running.terminate()
            running.wait(10)


@pytest.fixture
def display() -> Iterator[str]:
    """A virtual screen; the X server chooses a free number."""
    reading, writing = os.pipe()
    with subprocess.Popen(
        ["Xvfb", "-displayfd", str(writing), "-screen", "0", "640x480x24", "-nolisten", "tcp"],
        pass_fds=[writing],
        stderr=subprocess.DEVNULL,
    ) as server:
        os.close(writing)
        with os.fdopen(reading) as pipe:
            yield f":{pipe.readline().strip()}"
        server.terminate()


def run_session(
    tmp_path: Path, images: Path, amplifier: str, display: str, beside: str = "[]"
) -> SessionFolder:
    file = tmp_path / "session.yaml"
    file.write_text(
        SESSION.format(
            images=images,
            amplifier=amplifier,
            beside=beside,
            output=tmp_path / "study",
            cache=tmp_path / "cache",
        )
    )
    done = subprocess.run(
        [sys.executable, "-m", "phosphene", "run", str(file), "--subject", "01", "--session", "01"],
        env={**os.environ, "DISPLAY": display}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    folder = tmp_path / "study" / "sourcedata" / "sub-01" / "ses-01"
    logs = "\n".join(log.read_text()[-2000:] for log in folder.glob("logs/*.log"))
    assert done.returncode == 0, done.stdout + done.stderr + logs
    return SessionFolder.at(folder)


def onsets_of(folder: SessionFolder, phase: str, event: str) -> list[Onset]:
    recordings = [read_segment(path) for path in folder.segments(phase)]
    return [o for recording in recordings for o in recording.onsets if o.event == event]


def check_complete(folder: SessionFolder) -> None:
    """Every image shown has its onset in the data and every epoch its samples."""
    shown = [
        msgspec.json.decode(line, type=Onset)
        for line in folder.onsets_file.read_bytes().splitlines()
    ]
    recorded = [
        onset
        for phase in ("record", "feedback")
        for event in ("stimulus", "picture")
        for onset in onsets_of(folder, phase, event)
    ]
    assert sorted(shown, key=lambda o: o.seq) == sorted(recorded, key=lambda o: o.seq)
    stimuli = onsets_of(folder, "record", "stimulus")
    assert Counter(o.wnid for o in stimuli) == dict.fromkeys({o.wnid for o in stimuli}, BLOCKS)
    assert len(stimuli) == BLOCKS * CLASSES
    assert len(onsets_of(folder, "feedback", "stimulus")) == FEEDBACK
    assert len(onsets_of(folder, "feedback", "picture")) == FEEDBACK

    house = House.of(folder.path)
    data, incomplete = collect(folder.segments("record"), house.settings, house.context)
    assert incomplete == []
    assert len(data.trials) == len(stimuli)
    assert np.isfinite(data.epochs.data).all()


def check_loop(folder: SessionFolder) -> None:
    """Every feedback trial was decoded, and its picture is of the decoded class, or absent."""
    with folder.decodings_file.open(newline="") as file:
        decoded = {int(row["trial"]): row for row in csv.DictReader(file, delimiter="\t")}
    assert sorted(decoded) == list(range(1, FEEDBACK + 1))
    pictures = onsets_of(folder, "feedback", "picture")
    for picture in pictures:
        probabilities = {k: float(v) for k, v in decoded[picture.trial].items() if k[0] == "n"}
        assert sum(probabilities.values()) == pytest.approx(1)
        assert picture.wnid in ("", max(probabilities, key=lambda wnid: probabilities[wnid]))
    assert any(picture.wnid for picture in pictures)
    assert folder.report_file.stat().st_size > 10_000
    command = [sys.executable, "-m", "phosphene", "replay", str(folder.path)]
    again = subprocess.run(command, capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stdout + again.stderr
    assert f"{FEEDBACK} of {FEEDBACK} decodings have the same epoch" in again.stdout


def check_bids(folder: SessionFolder) -> None:
    """The dataset is valid, and its events are the onsets of the recording."""
    validator = shutil.which("bids-validator-deno", path=os.path.dirname(sys.executable))
    assert validator
    subprocess.run([validator, str(folder.study_root)], check=True, capture_output=True)
    path = mne_bids.BIDSPath(
        subject="01", session="01", task="interleaved", run="01",
        datatype="eeg", root=folder.study_root,
    )  # fmt: skip
    raw = mne_bids.read_raw_bids(path, verbose="error")
    recording = read_segment(folder.segments("record")[0])
    assert raw.n_times == recording.n_samples
    assert raw.info["sfreq"] == recording.spec.sfreq
    written = sorted(a["onset"] for a in raw.annotations if "stimulus" in a["description"])
    assert len(written) == BLOCKS // 2 * CLASSES


BOX = """
import itertools, time
import pylsl
info = pylsl.StreamInfo("box", "Markers", 1, pylsl.IRREGULAR_RATE, "string", "box")
outlet = pylsl.StreamOutlet(info)
print("counting", flush=True)
for number in itertools.count():
    outlet.push_sample([str(number)])
    time.sleep(0.2)
"""


def check_box(folder: SessionFolder) -> None:
    """Nothing that the box said while EEG was recorded is missing."""
    for path in folder.segments():
        recording = read_segment(path)
        told = list(recording.marks("box"))
        numbers = [int(text) for each in told for text in each.texts]
        times = [time for each in told for time in each.times]
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
        seconds = recording.n_samples / recording.spec.sfreq
        assert times[-1] - times[0] == pytest.approx(seconds, abs=1)


def test_a_session_with_a_simulated_amplifier_on_lsl_and_a_window(
    tmp_path: Path, images: Path, display: str
) -> None:
    name = "amplifier of the system test"
    with process(
        "-m", "phosphene_plugins.outlet", "--stimuli", str(images), "--name", name,
        "--channels", "32", "--sfreq", "500", "--code", "power", "--seed", "3",
    ), process("-c", BOX):  # fmt: skip
        folder = run_session(tmp_path, images, name, display, "[{name: box}]")
    check_complete(folder)
    check_box(folder)
    check_loop(folder)
    check_bids(folder)
    spec = read_segment(folder.segments("record")[0]).spec
    assert (spec.n_channels, spec.sfreq) == (32, 500.0)


PLAYER = """
import sys, time
from mne_lsl.player import PlayerLSL
with PlayerLSL(sys.argv[1], chunk_size=10, name=sys.argv[2], source_id="player") as player:
    print("playing", flush=True)
    while True:
        time.sleep(1)
"""


@pytest.mark.slow
def test_a_session_with_a_file_played_by_mne_lsl(
    tmp_path: Path, images: Path, display: str
) -> None:
    montage = mne.channels.make_standard_montage("biosemi64")
    info = mne.create_info(montage.ch_names, 250.0, "eeg").set_montage(montage)
    noise = np.random.default_rng(1).normal(scale=1e-5, size=(64, 20_003))
    file = tmp_path / "noise_raw.fif"
    mne.io.RawArray(noise, info, verbose="error").save(file, verbose="error")
    name = "player of the system test"
    with process("-c", PLAYER, str(file), name):
        folder = run_session(tmp_path, images, name, display)
    check_complete(folder)
    check_loop(folder)
    check_bids(folder)
    spec = read_segment(folder.segments("record")[0]).spec
    assert (spec.n_channels, spec.sfreq) == (64, 250.0)
