"""Whole sessions on the virtual clock, in this process: repeatable, and feedback on its own."""

import csv
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from phosphene.dataset.study import SessionFolder
from phosphene.dataset.xdf import read_segment
from phosphene.errors import PhospheneError
from phosphene.feedback_table import read_trials
from phosphene.launch import run_virtual
from phosphene.messages import Message, Progress, Status
from phosphene.registry import load_registry
from phosphene.settings import load_settings
from phosphene.states import State

SESSION = """
format: 1
protocol: [record, train, feedback, report]
stimuli: {standin: {classes: 4, images: 20, gallery: 2, size: 32}}
acquisition: {simulated: {channels: 16, sfreq: 250, strength: 0.8}}
preprocessing: paper
decoder: power-lr
generator: retrieval
paradigm: {interleaved: {runs: 2, blocks: 5, duration: 0.5, pause: 1, cue: 0.5}}
feedback:
  feedback:
    {runs: 1, blocks: 1, trials: 4, duration: 0.5, gap: 1.0, picture: 0.5, pause: 1, cue: 0.5}
screen: {kind: headless, refresh_rate: 60}
clock: virtual
"""
ALONE = """
format: 1
extends: feedback
stimuli: {standin: {classes: 4, images: 20, gallery: 2, size: 32}}
feedback:
  feedback:
    {runs: 1, blocks: 1, trials: 4, duration: 0.5, gap: 1.0, picture: 0.5, pause: 1, cue: 0.5}
screen: {kind: headless, refresh_rate: 60}
clock: virtual
"""
SIMULATED = "acquisition: {{simulated: {{channels: {channels}, sfreq: {sfreq}, strength: 0.8}}}}\n"


def run(
    root: Path, text: str, study: str, published: list[Message] | None = None, **options: object
) -> Status:
    file = root / f"{study}.yaml"
    file.write_text(text + f"cache: {root / 'cache'}\noutput: {root / study}\n")
    registry = load_registry()
    given = {"subject": "01", "session": "01", "seed": 7} | options
    settings = load_settings(file, registry, given)
    watch = published.append if published is not None else lambda _message: None
    return run_virtual(settings, registry, watch)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("studies")


@pytest.fixture(scope="module")
def published() -> list[Message]:
    return []


@pytest.fixture(scope="module")
def session(place: Path, published: list[Message]) -> SessionFolder:
    status = run(place, SESSION, "first", published)
    assert (status.state, status.problem) == (State.FINISHED, "")
    return SessionFolder.at(Path(status.folder))


def test_the_loop_closes_and_watchers_see_it(
    session: SessionFolder, published: list[Message]
) -> None:
    states = [fact.state for fact in published if isinstance(fact, Status)]
    assert State.TRAINING in states
    assert states[-1] is State.FINISHED
    assert {fact.task for fact in published if isinstance(fact, Progress)} >= {"train", "assess"}
    onsets = read_segment(session.segments("feedback")[0]).onsets
    pictures = [onset for onset in onsets if onset.event == "picture"]
    assert len(pictures) == 4
    assert all(picture.wnid for picture in pictures)
    pictures = [trial.picture for trial in read_trials(session.feedback_file)]
    assert len(set(pictures)) == 4
    assert all((session.pictures / f"{picture}.png").exists() for picture in pictures)


def test_the_same_seed_gives_the_same_samples_events_and_decodings(
    place: Path, session: SessionFolder
) -> None:
    again = SessionFolder.at(Path(run(place, SESSION, "again").folder))
    for one, other in zip(session.segments(), again.segments(), strict=True):
        first, second = read_segment(one), read_segment(other)
        assert first.onsets == second.onsets
        assert first.n_samples == second.n_samples
        for a, b in zip(first.signals(), second.signals(), strict=True):
            assert a.data.tobytes() == b.data.tobytes()
            assert a.stamps.tobytes() == b.stamps.tobytes()
    assert session.decodings_file.read_bytes() == again.decodings_file.read_bytes()


def test_another_seed_gives_other_samples(place: Path, session: SessionFolder) -> None:
    other = SessionFolder.at(Path(run(place, SESSION, "other", seed=8).folder))
    first, second = (read_segment(folder.segments()[0]) for folder in (session, other))
    assert next(first.signals()).data.tobytes() != next(second.signals()).data.tobytes()


def test_feedback_alone_uses_a_bundle_trained_earlier(place: Path, session: SessionFolder) -> None:
    text = ALONE + SIMULATED.format(channels=16, sfreq=250)
    status = run(place, text, "alone", bundle=session.bundles()[0])
    assert (status.state, status.problem) == (State.FINISHED, "")
    folder = SessionFolder.at(Path(status.folder))
    with folder.decodings_file.open(newline="") as file:
        assert len(list(csv.DictReader(file, delimiter="\t"))) == 4
    assert folder.segments("record") == []


@pytest.mark.parametrize(
    ("channels", "sfreq", "words"), [(32, 250, "channel"), (16, 500, "500 Hz")]
)
def test_a_bundle_for_another_signal_is_refused_before_anything_is_shown(
    place: Path, session: SessionFolder, channels: int, sfreq: int, words: str
) -> None:
    text = ALONE + SIMULATED.format(channels=channels, sfreq=sfreq)
    status = run(place, text, f"refused-{channels}-{sfreq}", bundle=session.bundles()[0])
    assert status.state is State.FAILED
    assert words in status.problem
    assert status.trials_shown == 0


def test_a_session_is_never_recorded_over(place: Path, session: SessionFolder) -> None:
    with pytest.raises(PhospheneError, match="holds recordings already"):
        run(place, SESSION, "first")
    assert session.segments()


def test_onsets_are_those_of_the_light_where_a_photodiode_saw_it(place: Path) -> None:
    file = place / "diode.yaml"
    file.write_text(
        "format: 1\nprotocol: [record]\nstimuli: {standin: {classes: 4, images: 6, size: 32}}\n"
        "acquisition: {simulated: {channels: 16, sfreq: 500, photodiode: 0.032, trigger: true}}\n"
        "paradigm: {interleaved: {runs: 1, blocks: 2, pause: 1, cue: 0.5}}\n"
        "recording: {photodiode: Photodiode, trigger: Trigger}\n"
        "screen: {kind: headless}\nclock: virtual\n"
        f"output: {place}/diode\ncache: {place}/cache\n"
    )
    status = run_virtual(
        load_settings(file, load_registry(), {"subject": "01", "session": "01"}),
        load_registry(),
        lambda _message: None,
    )
    assert status.state is State.FINISHED
    assert "write 'screen: {lag: 0.03" in status.problem
    [table] = (place / "diode").rglob("*_events.tsv")
    header, *lines = table.read_text().splitlines()
    rows = [dict(zip(header.split("\t"), line.split("\t"), strict=True)) for line in lines]
    assert len(rows) == 8
    for row in rows:
        flip, light = float(row["flip_time"]), float(row["photodiode_time"])
        assert row["onset_source"] == "photodiode"
        assert light - flip == pytest.approx(0.032, abs=0.003)
        assert float(row["trigger_time"]) - flip == pytest.approx(0.0, abs=0.003)
        assert float(row["onset"]) - float(rows[0]["onset"]) == pytest.approx(
            light - float(rows[0]["photodiode_time"]), abs=0.0021
        )
    [channels] = (place / "diode").rglob("*_channels.tsv")
    assert "Photodiode\tMISC" in channels.read_text()
    assert "\tPhotodiode on the screen\t" in channels.read_text()
    assert "Trigger\tTRIG" in channels.read_text()


def replayed(folder: SessionFolder, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "phosphene", "replay", str(folder.path), *options]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_a_replay_decodes_what_was_decoded_live(session: SessionFolder) -> None:
    done = replayed(session)
    assert done.returncode == 0, done.stderr
    assert "4 of 4 decodings have the same epoch" in done.stdout


def test_another_decoder_runs_over_a_session_as_if_live(session: SessionFolder) -> None:
    done = replayed(session, "--decoder", "lda", "--preprocessing", "evoked")
    assert done.returncode == 0, done.stderr
    assert "of 4 images of 4 classes decoded correctly" in done.stdout
    with session.decodings_of("replay-lda").open(newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    with session.decodings_file.open(newline="") as file:
        live = list(csv.DictReader(file, delimiter="\t"))
    assert [row["image"] for row in rows] == [row["image"] for row in live]


def test_a_replay_that_finds_something_else_is_told(session: SessionFolder, tmp_path: Path) -> None:
    copy = SessionFolder(tmp_path / "study", session.subject, session.session)
    shutil.copytree(session.study_root, copy.study_root)
    text = session.journal_file.read_text()
    changed = re.sub(r'"first_sample":(\d+)', lambda m: f'"first_sample":{int(m[1]) + 1}', text)
    copy.journal_file.write_text(changed)
    done = replayed(copy)
    assert done.returncode == 1
    assert "0 of 4 decodings have the same epoch" in done.stdout
