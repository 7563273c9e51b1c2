"""BIDS runs: the same samples and onsets as in the recording, in files that others accept."""

import json
import shutil
import subprocess
import sys
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import mne
import mne_bids
import numpy as np
import pytest
from numpy.typing import NDArray

from phosphene import Markers, Onset, PhospheneError, Signal, SignalSpec
from phosphene.dataset.bids import RunInfo, export_segment
from phosphene.dataset.study import SessionFolder
from phosphene.dataset.xdf import XdfWriter
from phosphene.dataset.xdf_reader import read_segment
from phosphene.journal import BlockKey, Noted, SetAside
from phosphene.lab import Lab
from phosphene.recording import RecordingSettings

SFREQ = 250.0
OFFSET = -12.5
EPSILON = float(np.finfo(np.float32).eps)
SPEC = SignalSpec(
    ("Fz", "Cz", "Oz", "Left eye", "Box", "Trigger"),
    ("eeg", "eeg", "eeg", "eog", "misc", "stim"),
    SFREQ,
    {
        "Fz": (0.0003122, 0.058512, 0.066462),
        "Cz": (0.0004009, -0.009167, 0.100244),
        "Oz": (0.0001076, -0.114892, 0.014657),
        "nasion": (0.0, 0.1, 0.0),
        "lpa": (-0.08, 0.0, 0.0),
        "rpa": (0.08, 0.0, 0.0),
    },
)
INFO = RunInfo(
    task_description="Look at images.",
    lab=Lab(reference="FCz", ground="AFz", placement="10-5", power_line=50),
    screen_software=("PsychoPy", "2026.1.0"),
    refresh_rate=60.0,
    resolution=(1024, 768),
)
NOBODY_CAN_KNOW = {
    # Of the dataset: a licence and authors are for people to add; no HED tags are used.
    ("JSON_KEY_RECOMMENDED", "License"),
    ("JSON_KEY_RECOMMENDED", "HEDVersion"),
    ("NO_AUTHORS", "Authors"),
    ("TOO_FEW_AUTHORS", None),
    # Of a run: these have no way to say that something is not known.
    ("SIDECAR_KEY_RECOMMENDED", "CogAtlasID"),
    ("SIDECAR_KEY_RECOMMENDED", "CogPOID"),
    ("SIDECAR_KEY_RECOMMENDED", "HeadCircumference"),
    ("SIDECAR_KEY_RECOMMENDED", "SubjectArtefactDescription"),
    # Of electrodes: fiducials are markers in an image of the head, of which there is none.
    ("JSON_KEY_RECOMMENDED", "FiducialsCoordinates"),
    ("JSON_KEY_RECOMMENDED", "FiducialsCoordinateSystem"),
    ("JSON_KEY_RECOMMENDED", "FiducialsCoordinateSystemDescription"),
    ("JSON_KEY_RECOMMENDED", "FiducialsCoordinateUnits"),
}


def onsets(phase: str = "record", start: float = 100.0) -> list[Onset]:
    """Return stimuli of two attempts at a block, each answered by a picture in feedback."""
    shown = []
    for n in range(8):
        time = start + OFFSET + 0.3 + 0.51 * n
        place = (phase, 1, 3, 1 + n // 4, 1 + n % 4)
        image = f"horse/{n}.png"
        shown.append(
            Onset(2 * n, "stimulus", time, time - 0.001, 0.25, *place, "n02389026", image, "a" * 64)
        )
        if phase == "feedback":
            time += 0.25
            shown.append(Onset(2 * n + 1, "picture", time, time, 0.2, *place, "", "", "b" * 64))
    return shown


def record(
    folder: SessionFolder,
    phase: str = "record",
    shown: Collection[Onset] | None = None,
    n_chunks: int = 50,
    spec: SignalSpec = SPEC,
) -> Path:
    path = folder.new_segment(phase, "interleaved", 1)
    writer = XdfWriter(path, spec, {"phase": phase, "run": "1"})
    rng = np.random.default_rng(0)
    for n in range(n_chunks):
        data = rng.standard_normal((spec.n_channels, 25), np.float32) * np.float32(1e-5)
        stamps = 100 + np.arange(25 * n, 25 * n + 25) / SFREQ
        writer.write_signal(Signal(data, stamps, OFFSET))
    for onset in onsets(phase) if shown is None else shown:
        writer.write_marker(onset)
    writer.close()
    return path


@dataclass(frozen=True)
class Study:
    root: Path
    segments: list[Path]
    runs: list[Path]


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """Two sessions, each with a run that was cut off, its repetition, and feedback."""
    root = tmp_path_factory.mktemp("study")
    segments, runs = [], []
    for session in ("01", "02"):
        folder = SessionFolder.create(root, "01", session)
        cut_off = record(folder)
        cut_off.write_bytes(cut_off.read_bytes()[:-500])
        for path in (cut_off, record(folder), record(folder, "feedback")):
            aborted: dict[BlockKey, SetAside] = {("record", 1, 3, 1): "aborted"}
            segments.append(path)
            runs.append(export_segment(folder, path, INFO, aborted))
        folder.settings_file.write_text("{}")
        folder.journal_file.write_text("")
        folder.report_file.write_text("<html></html>")
        folder.decodings_file.write_text("trial\twnid\n1\tn02389026\n")
        folder.new_bundle().mkdir(parents=True)
    return Study(root, segments, runs)


@pytest.fixture
def folder(tmp_path: Path) -> SessionFolder:
    return SessionFolder.create(tmp_path / "study", "01", "01")


def read(run: Path) -> mne.io.BaseRaw:
    return mne_bids.read_raw_bids(mne_bids.get_bids_path_from_fname(run), verbose="WARNING")


def events(run: Path) -> list[dict[str, str]]:
    text = run.with_name(run.name.replace("_eeg.vhdr", "_events.tsv")).read_text(encoding="utf-8")
    header, *rows = (line.split("\t") for line in text.splitlines())
    return [dict(zip(header, row, strict=True)) for row in rows]


def sidecar(run: Path, suffix: str = "eeg") -> Any:
    return json.loads(run.with_name(run.name.replace("_eeg.vhdr", f"_{suffix}.json")).read_text())


def samples(path: Path) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    signals = list(read_segment(path).signals())
    return np.concatenate([s.data for s in signals], 1), np.concatenate([s.times for s in signals])


def validate(root: Path) -> dict[str, set[tuple[str, str | None]]]:
    """Return the codes of the official validator's errors and warnings."""
    validator = Path(sys.executable).with_name("bids-validator-deno")
    command = [str(validator), str(root), "--format", "json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    found: dict[str, set[tuple[str, str | None]]] = {"error": set(), "warning": set()}
    for issue in json.loads(done.stdout)["issues"]["issues"]:
        found[issue["severity"]].add((issue["code"], issue.get("subCode")))
    return found


def test_the_official_validator_accepts_the_study(study: Study) -> None:
    found = validate(study.root)
    assert found["error"] == set()
    assert found["warning"] <= NOBODY_CAN_KNOW


def test_the_official_validator_accepts_the_derivatives(study: Study) -> None:
    found = validate(study.root / "derivatives/phosphene")
    assert found["error"] == set()
    assert found["warning"] <= NOBODY_CAN_KNOW


@pytest.mark.parametrize("index", range(6))
def test_a_run_has_the_samples_of_its_recording(study: Study, index: int) -> None:
    data, _ = samples(study.segments[index])
    raw = read(study.runs[index])
    assert raw.ch_names == list(SPEC.channels)
    assert raw.get_channel_types() == list(SPEC.types)
    assert raw.info["sfreq"] == SFREQ
    np.testing.assert_allclose(raw.get_data(), data, rtol=EPSILON, atol=0)


@pytest.mark.parametrize("index", range(6))
def test_a_run_has_the_onsets_of_its_recording(study: Study, index: int) -> None:
    segment = read_segment(study.segments[index])
    _, times = samples(study.segments[index])
    raw = read(study.runs[index])
    assert len(raw.annotations) == len(segment.onsets) > 0
    for annotation, onset in zip(raw.annotations, segment.onsets, strict=True):
        assert annotation["onset"] == pytest.approx(onset.time - times[0], abs=0.5001 / SFREQ)
        assert annotation["duration"] == pytest.approx(onset.duration)
        assert annotation["description"] == onset.event


def test_events_say_what_was_shown_and_where_in_the_plan(study: Study) -> None:
    expected = {
        "onset": "0.3",
        "trial_type": "stimulus",
        "sample": "75",
        "wnid": "n02389026",
        "image": "horse/0.png",
        "sha256": "a" * 64,
        "stim_file": "n/a",
        "phase": "feedback",
        "planned_run": "1",
        "block": "3",
        "attempt": "1",
        "trial": "1",
        "status": "complete",
        "flip_time": str(onsets()[0].time),
        "planned_time": str(onsets()[0].planned),
        "late_frames": "0",
        "seq": "0",
    }
    stimulus, picture, *_ = events(study.runs[2])
    assert stimulus == stimulus | expected
    assert (picture["trial_type"], picture["value"]) == ("picture", "2")
    assert (picture["wnid"], picture["image"], picture["sha256"]) == ("n/a", "n/a", "b" * 64)


def test_every_column_of_the_events_is_described(study: Study) -> None:
    descriptions = sidecar(study.runs[0], "events")
    for column in events(study.runs[0])[0]:
        assert descriptions[column]["Description"]
    assert "the time from there to light was not measured" in descriptions["onset"]["Description"]
    screen = descriptions["StimulusPresentation"]
    assert screen["OperatingSystem"]
    assert (screen["SoftwareName"], screen["SoftwareVersion"]) == ("PsychoPy", "2026.1.0")
    assert (screen["ScreenRefreshRate"], screen["ScreenResolution"]) == (60.0, [1024, 768])


def test_notes_of_the_operator_are_events(study: Study) -> None:
    folder, path = SessionFolder.at(study.segments[0].parent), study.segments[0]
    begin, end = samples(path)[1][[0, -1]]
    notes = [Noted(begin + 0.2, "coughs"), Noted(end + 60, "is gone")]
    rows = events(export_segment(folder, path, INFO, notes=notes))
    [row] = [row for row in rows if row["trial_type"] == "note"]
    assert (row["note"], row["value"], row["onset"], row["wnid"]) == ("coughs", "3", "0.2", "n/a")
    assert {each["note"] for each in rows if each is not row} == {"n/a"}
    assert validate(study.root)["error"] == set()
    export_segment(folder, path, INFO)


def test_attempts_that_were_aborted_are_marked(study: Study) -> None:
    status = {(row["attempt"], row["status"]) for row in events(study.runs[1])}
    assert status == {("1", "aborted"), ("2", "complete")}


def test_recordings_of_one_task_are_numbered_as_runs(study: Study) -> None:
    names = [run.name for run in study.runs[:3]]
    assert names == [f"sub-01_ses-01_task-interleaved_run-{n:02d}_eeg.vhdr" for n in (1, 2, 3)]
    assert {row["planned_run"] for run in study.runs for row in events(run)} == {"1"}
    for run, segment in zip(study.runs, study.segments, strict=True):
        assert study.root / sidecar(run)["SourceFile"] == segment


def test_the_run_says_how_it_was_recorded(study: Study) -> None:
    expected = {
        "TaskName": "interleaved",
        "TaskDescription": "Look at images.",
        "EEGReference": "FCz",
        "EEGGround": "AFz",
        "EEGPlacementScheme": "10-5",
        "PowerLineFrequency": 50.0,
        "SamplingFrequency": SFREQ,
        "SoftwareFilters": "n/a",
        "Manufacturer": "n/a",
        "EEGChannelCount": 3,
        "EOGChannelCount": 1,
        "MISCChannelCount": 1,
        "TriggerChannelCount": 1,
        "RecordingType": "continuous",
    }
    found = sidecar(study.runs[1])
    assert found == found | expected


def test_the_run_says_how_steady_its_time_stamps_were(folder: SessionFolder) -> None:
    path = folder.new_segment("record", "interleaved", 1)
    writer = XdfWriter(path, SPEC)
    wobble = np.random.default_rng(0).normal(0, 0.001, 1000)
    stamps = 100 + np.arange(1000) / (0.999 * SFREQ) + wobble
    stamps[600:] += 3  # A break does not count.
    writer.write_signal(Signal(np.zeros((SPEC.n_channels, 1000), np.float32), stamps))
    writer.close()
    found = sidecar(export_segment(folder, path, INFO))
    assert found["SamplingFrequency"] == SFREQ
    assert found["EffectiveSamplingFrequency"] == pytest.approx(0.999 * SFREQ, rel=1e-3)
    assert found["TimestampJitter"] == pytest.approx(0.001 * np.sqrt(2), rel=0.1)


def test_electrodes_lie_where_the_amplifier_said(study: Study) -> None:
    positions = read(study.runs[0]).get_montage().get_positions()
    assert positions["coord_frame"] == "head"
    for name in ("Fz", "Cz", "Oz"):
        np.testing.assert_allclose(positions["ch_pos"][name], SPEC.positions[name], atol=1e-9)
    system = json.loads(next(study.runs[0].parent.glob("*_coordsystem.json")).read_text())
    assert system["AnatomicalLandmarkCoordinates"]["NAS"] == [0.0, 0.1, 0.0]


def test_an_electrode_of_unknown_place_is_listed_as_such(folder: SessionFolder) -> None:
    spec = SignalSpec(SPEC.channels, SPEC.types, SFREQ, {"Cz": (0.0, 0.0, 0.1)})
    run = export_segment(folder, record(folder, spec=spec), INFO)
    table = next(run.parent.glob("*_electrodes.tsv")).read_text().splitlines()[1:]
    assert table == ["Fz\tn/a\tn/a\tn/a", "Cz\t0.0\t0.0\t0.1", "Oz\tn/a\tn/a\tn/a"]


def test_without_positions_there_are_no_electrodes(folder: SessionFolder) -> None:
    spec = SignalSpec(SPEC.channels, SPEC.types, SFREQ)
    run = export_segment(folder, record(folder, spec=spec), RunInfo())
    assert not list(run.parent.glob("*electrodes*"))
    assert sidecar(run)["PowerLineFrequency"] == "n/a"
    assert read(run).ch_names == list(SPEC.channels)


def test_a_measured_lag_moves_onsets_to_the_light(folder: SessionFolder) -> None:
    path = record(folder)
    row, *_ = events(export_segment(folder, path, RunInfo(screen_lag=0.02)))
    assert (row["onset"], row["flip_time"]) == ("0.32", "87.8")
    text = sidecar(export_segment(folder, path, RunInfo(screen_lag=0.02)), "events")
    assert "light: the flip of the screen plus a measured lag of 0.02 s" in str(text["onset"])


def test_an_export_may_be_repeated_and_leaves_nothing_behind(folder: SessionFolder) -> None:
    path = record(folder)
    export_segment(folder, path, INFO)
    before = {file.name: file.read_bytes() for file in (folder.bids / "eeg").iterdir()}
    aborted: dict[BlockKey, SetAside] = {("record", 1, 3, 2): "excluded"}
    run = export_segment(folder, path, INFO, aborted)
    after = {file.name: file.read_bytes() for file in (folder.bids / "eeg").iterdir()}
    changed = {name for name in after if after[name] != before[name]}
    assert changed == {run.name.replace("_eeg.vhdr", "_events.tsv")}
    assert {row["status"] for row in events(run)[4:]} == {"excluded"}
    assert list(folder.path.iterdir()) == [path]


def test_what_people_wrote_in_the_study_survives_an_export(folder: SessionFolder) -> None:
    participants = folder.study_root / "participants.tsv"
    participants.write_text("participant_id\tage\tsex\thand\nsub-01\t31\tF\tL\n")
    before = {file.name: file.read_bytes() for file in folder.study_root.glob("*.*")}
    export_segment(folder, record(folder), INFO)
    assert {file.name: file.read_bytes() for file in folder.study_root.glob("*.*")} == before


def test_a_recording_without_onsets_is_exported(folder: SessionFolder) -> None:
    path = record(folder, shown=[])
    raw = mne.io.read_raw_brainvision(export_segment(folder, path, INFO), verbose="WARNING")
    assert raw.n_times == len(samples(path)[1])


def test_onsets_of_which_there_are_no_samples_are_left_out(folder: SessionFolder) -> None:
    first, *_, last = onsets()
    path = record(folder, n_chunks=10)
    assert len(read_segment(path).onsets) == 8
    shown = events(export_segment(folder, path, INFO))
    assert [row["trial"] for row in shown] == ["1", "2"]
    early = record(folder, shown=onsets(start=99.0), n_chunks=50)
    assert events(export_segment(folder, early, INFO))[0]["trial"] == "3"
    assert (first.trial, last.trial) == (1, 4)


def test_a_duration_ends_with_the_recording(folder: SessionFolder) -> None:
    shown = events(export_segment(folder, record(folder, n_chunks=9), INFO))
    assert [row["duration"] for row in shown] == ["0.25", str((225 - 202) / SFREQ)]


def test_a_single_sample_is_a_recording(folder: SessionFolder) -> None:
    path = folder.new_segment("record", "interleaved", 1)
    writer = XdfWriter(path, SPEC)
    writer.write_signal(Signal(np.ones((6, 1), np.float32), np.array([100.0]), OFFSET))
    writer.write_marker(onsets(start=99.7)[0])
    writer.close()
    run = export_segment(folder, path, INFO)
    assert events(run)[0]["sample"] == "0"
    np.testing.assert_allclose(read(run).get_data(), 1.0)


def test_a_recording_without_samples_is_refused(folder: SessionFolder) -> None:
    with pytest.raises(PhospheneError, match="holds no samples"):
        export_segment(folder, record(folder, n_chunks=0), INFO)
    assert not (folder.bids / "eeg").exists()


def test_a_recording_of_another_session_is_refused(folder: SessionFolder) -> None:
    other = SessionFolder.create(folder.study_root, "02", "01")
    with pytest.raises(PhospheneError, match="is not a recording of"):
        export_segment(folder, record(other), INFO)


def test_faults_of_the_signal_are_annotated_where_the_file_has_them(study: Study) -> None:
    folder = SessionFolder.create(study.root, "02", "01")
    path = folder.new_segment("record", "interleaved", 1)
    writer = XdfWriter(path, SPEC)
    rng = np.random.default_rng(0)
    data = rng.standard_normal((SPEC.n_channels, 1000), np.float32) * np.float32(1e-5)
    data[SPEC.types.index("eeg"), 700:720] = np.nan
    stamps = 100 + np.arange(1000) / SFREQ
    stamps[500:] += 0.3
    for start in range(0, 1000, 10):
        piece = slice(start, start + 10)
        writer.write_signal(Signal(data[:, piece], stamps[piece], OFFSET))
    writer.close()
    run = export_segment(folder, path, INFO)
    found = [(row["trial_type"], row["sample"], row["note"]) for row in events(run)]
    assert found == [
        ("BAD_gap", "499", f"a gap of {0.3 + 1 / SFREQ:.3f} s"),
        ("BAD_nan", "700", "samples that are no numbers"),
    ]
    assert validate(study.root)["error"] == set()
    marked = [str(each) for each in read(run).annotations.description]
    assert marked == ["BAD_gap", "BAD_nan"]
    shutil.rmtree(study.root / "sub-02")
    shutil.rmtree(study.root / "sourcedata" / "sub-02")


def test_streams_of_markers_are_events_and_tell_of_onsets(study: Study) -> None:
    folder = SessionFolder.create(study.root, "02", "01")
    path = folder.new_segment("record", "interleaved", 1)
    writer = XdfWriter(path, SPEC, {}, markers=("box", "buttons"))
    data, stamps = np.zeros((SPEC.n_channels, 1250), np.float32), 100 + np.arange(1250) / SFREQ
    triggers = np.array([each.time + 0.0041 for each in onsets()])
    box = Markers(("S  1",) * len(triggers), triggers - 7, 7.0)
    buttons = Markers(("left\tright",), np.array([102.0]), OFFSET)
    writer.write_signal(Signal(data, stamps, OFFSET, markers={"box": box, "buttons": buttons}))
    for each in onsets():
        writer.write_marker(each)
    writer.close()
    recording = read_segment(path)
    assert recording.markers == ("box", "buttons")
    assert [each.texts for each in recording.marks("buttons")] == [("left\tright",)]
    kept = [each.times[0] for each in recording.marks("box")]
    np.testing.assert_array_equal(kept, box.times)
    info = replace(INFO, recording=RecordingSettings(trigger="box"))
    rows = events(export_segment(folder, path, info))
    said = sorted(row["note"] for row in rows if row["trial_type"] == "marker")
    assert said == [*["box: S 1"] * len(triggers), "buttons: left right"]
    shown = [row for row in rows if row["trial_type"] == "stimulus"]
    assert {row["onset_source"] for row in shown} == {"trigger"}
    assert [float(row["trigger_time"]) for row in shown] == pytest.approx(triggers)
    assert validate(study.root)["error"] == set()
    shutil.rmtree(study.root / "sub-02")
    shutil.rmtree(study.root / "sourcedata" / "sub-02")


def test_streams_beside_the_eeg_are_channels_of_the_run(folder: SessionFolder) -> None:
    other = SignalSpec(("AUX1",), ("misc",), 2 * SFREQ)
    path = folder.new_segment("record", "interleaved", 1)
    writer = XdfWriter(path, SPEC, {}, {"aux": other})
    values = np.arange(2000, dtype=np.float32) * 1e-6
    for start in range(0, 1000, 10):
        stamps = 100 + np.arange(start, start + 10) / SFREQ
        aux = slice(2 * start, 2 * start + 20)
        beside = Signal(values[np.newaxis, aux], 6.9999 + np.arange(2000)[aux] / SFREQ / 2, 93.0)
        eeg = np.zeros((SPEC.n_channels, 10), np.float32)
        writer.write_signal(Signal(eeg, stamps, 0.0, {"aux": beside}))
    writer.close()
    recording = read_segment(path)
    assert recording.beside == {"aux": other}
    kept = list(recording.signals("aux"))
    assert kept[0].offset == 93.0
    np.testing.assert_array_equal(np.hstack([each.data for each in kept])[0], values)
    exported = export_segment(folder, path, INFO)
    run = mne.io.read_raw_brainvision(exported, verbose="ERROR")
    assert run.ch_names == [*SPEC.channels, "AUX1"]
    np.testing.assert_allclose(run.get_data("AUX1")[0], values[::2], atol=1e-9)
    assert sidecar(exported)["MISCChannelCount"] == 2
