"""Recordings made elsewhere can be audited: a table of events, any file MNE reads, BIDS, epochs."""

import json
from pathlib import Path

import mne
import numpy as np
import pytest
from numpy.typing import NDArray
from typer.testing import CliRunner

from phosphene.analysis.audits.events_table import read_events
from phosphene.cli import app
from phosphene.errors import PhospheneError

SFREQ = 100.0
CLASSES = ("cat", "dog", "owl")
N_BLOCKS = 8


def schedule(seed: int = 0) -> list[tuple[float, str, str]]:
    """Onset, class and image: blocks of every class twice, with pauses of 4 s."""
    rng = np.random.default_rng(seed)
    rows, time = [], 5.0
    for block in range(N_BLOCKS):
        for number, wnid in enumerate(rng.permutation([*CLASSES, *CLASSES]).tolist()):
            rows.append((time, wnid, f"{wnid}-{block}-{number}"))
            time += 0.5
        time += 4.0
    return rows


def recording(*, code: float, seed: int = 0) -> mne.io.RawArray:
    """Noise of 10 uV in 6 channels; each class raises the power of two of them by ``code``."""
    rng = np.random.default_rng(seed)
    shown = schedule()
    data = 1e-5 * rng.standard_normal((6, round((shown[-1][0] + 3) * SFREQ)))
    for onset, wnid, _ in shown:
        start = round(onset * SFREQ)
        rows = [2 * CLASSES.index(wnid), 2 * CLASSES.index(wnid) + 1]
        data[rows, start : start + 50] *= 1 + code
    info = mne.create_info([f"EEG{i}" for i in range(6)], SFREQ, "eeg")
    return mne.io.RawArray(data, info, verbose="error")


def write_events(path: Path, header: str = "onset\tduration\tclass\timage") -> Path:
    delimiter = "\t" if "\t" in header else ","
    rows = [delimiter.join(map(str, (onset, 0.5, *row))) for onset, *row in schedule()]
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return path


def audited(*arguments: str | Path) -> list[dict[str, object]]:
    result = CliRunner().invoke(app, ["audit", *map(str, arguments), "--json"])
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert isinstance(found, list)
    return found


def verdict(found: dict[str, object], audit: str) -> str:
    findings = found["findings"]
    assert isinstance(findings, list)
    [finding] = [each for each in findings if each["audit"] == audit]
    return str(finding["verdict"])


@pytest.mark.parametrize(("code", "expected"), [(1.0, "fires"), (0.0, "silent")])
def test_a_recording_with_a_table_of_events_is_audited(
    tmp_path: Path, code: float, expected: str
) -> None:
    recording(code=code).save(tmp_path / "own_eeg.fif", verbose="error")
    events = write_events(tmp_path / "events.csv", "onset,duration,class,image")
    [found] = audited(tmp_path / "own_eeg.fif", "--events", events)
    assert (found["n_trials"], found["n_classes"], found["nested"]) == (48, 3, False)
    assert found["split"] == "leave-one-block-out"
    assert verdict(found, "A10") == expected
    assert verdict(found, "A0") == "silent"


def test_epochs_are_audited_as_they_are(tmp_path: Path) -> None:
    shown = schedule()
    codes = {name: number for number, name in enumerate(CLASSES, start=1)}
    samples = [(round(onset * SFREQ), 0, codes[wnid]) for onset, wnid, _ in shown]
    epochs = mne.Epochs(
        recording(code=1.0), np.array(samples), codes, tmin=-0.2, tmax=0.6, baseline=None,
        verbose="error", preload=True,
    )  # fmt: skip
    epochs.save(tmp_path / "own-epo.fif", verbose="error")
    [found] = audited(tmp_path / "own-epo.fif")
    assert (found["n_trials"], found["split"]) == (48, "leave-one-block-out")
    assert verdict(found, "A10") == "fires"


def test_a_bids_dataset_is_audited_session_by_session(tmp_path: Path) -> None:
    from mne_bids import BIDSPath, write_raw_bids

    for subject in ("01", "02"):
        raw = recording(code=1.0, seed=int(subject))
        raw.info["line_freq"] = 50
        place = BIDSPath(subject=subject, task="look", root=tmp_path / "study", datatype="eeg")
        write_raw_bids(raw, place, allow_preload=True, format="BrainVision", verbose="error")
        folder = tmp_path / "study" / f"sub-{subject}" / "eeg"
        write_events(folder / f"sub-{subject}_task-look_events.tsv")
    found = audited(tmp_path / "study")
    assert [each["recording"] for each in found] == ["sub-01", "sub-02"]
    assert {verdict(each, "A10") for each in found} == {"fires"}


def test_a_design_of_one_block_a_class_is_never_given_a_number_without_its_label(
    tmp_path: Path,
) -> None:
    recording(code=1.0).save(tmp_path / "own_eeg.fif", verbose="error")
    rows = sorted((wnid, onset, image) for onset, wnid, image in schedule())
    times: NDArray[np.float64] = np.sort([onset for _, onset, _ in rows])
    lines = [f"{time}\t{row[0]}\t{row[2]}" for time, row in zip(times, rows, strict=True)]
    events = tmp_path / "events.tsv"
    events.write_text("\n".join(["onset\tclass\timage", *lines]), encoding="utf-8")
    [found] = audited(tmp_path / "own_eeg.fif", "--events", events)
    assert found["nested"]
    assert verdict(found, "A0") == "fires"
    assert verdict(found, "A10") == "not applicable"
    result = CliRunner().invoke(
        app, ["audit", str(tmp_path / "own_eeg.fif"), "--events", str(events)]
    )
    accuracies = [line for line in result.output.splitlines() if "accuracy" in line]
    assert accuracies
    assert all("confounded by design: not evidence of decoding" in line for line in accuracies)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("class\ncat\n", "no column 'onset'"),
        ("onset\tthing\n1\tcat\n", "no column 'wnid' or 'class'"),
        ("onset\tclass\nsoon\tcat\n", "line 2, onset: expected a number, found 'soon'"),
        ("onset\tclass\n1\tn/a\n", "no row has a class"),
        ("onset\tclass\n", "found no row"),
    ],
)
def test_a_table_that_cannot_be_used_is_refused_by_line_and_column(
    tmp_path: Path, text: str, says: str
) -> None:
    path = tmp_path / "events.tsv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(PhospheneError, match=says):
        read_events(path)


def test_a_pause_begins_a_block_where_the_table_does_not_say(tmp_path: Path) -> None:
    trials = read_events(write_events(tmp_path / "events.tsv"))
    assert {trial.block for trial in trials} == set(range(1, N_BLOCKS + 1))
    assert [trial.trial for trial in trials[:7]] == [1, 2, 3, 4, 5, 6, 1]


def test_a_recording_without_a_table_says_what_is_missing(tmp_path: Path) -> None:
    recording(code=0.0).save(tmp_path / "own_eeg.fif", verbose="error")
    result = CliRunner().invoke(app, ["audit", str(tmp_path / "own_eeg.fif")])
    assert result.exit_code != 0
    assert "--events" in str(result.exception)
