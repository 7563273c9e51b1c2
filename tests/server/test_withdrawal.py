"""A subject who withdraws leaves nothing behind but the fact."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from phosphene.cli import app
from phosphene.dataset.study import SessionFolder, Study
from phosphene.dataset.withdrawal import withdraw
from phosphene.errors import PhospheneError


@pytest.fixture
def study(tmp_path: Path) -> Study:
    """Two subjects of two sessions each, and a result over both."""
    root = tmp_path / "study"
    for subject in ("01", "02"):
        for session in ("a", "b"):
            folder = SessionFolder.create(root, subject, session)
            for place in (folder.path, folder.bids / "eeg", folder.pictures):
                place.mkdir(parents=True, exist_ok=True)
                (place / "file").write_bytes(b"12345")
    found = Study(root)
    found.comparison_file.write_text("{}")
    return found


def files(study: Study) -> set[str]:
    return {str(p.relative_to(study.root)) for p in study.root.rglob("*") if p.is_file()}


def test_everything_of_a_subject_goes_and_all_else_stays(study: Study) -> None:
    before = files(study)
    found = withdraw(study, "01")
    assert (found.n_sessions, found.n_files, found.n_bytes) == (2, 6, 30)
    gone = {name for name in before if "sub-01" in name}
    assert gone
    kept = before - gone - {"derivatives/phosphene/comparison.json"}
    assert files(study) == kept | {"sourcedata/withdrawals.jsonl"}
    participants = (study.root / "participants.tsv").read_text()
    assert ("sub-01" in participants, "sub-02" in participants) == (False, True)
    [line] = (study.root / "sourcedata" / "withdrawals.jsonl").read_text().splitlines()
    assert json.loads(line)["participant_id"] == "sub-01"
    assert [folder.subject for folder in study.sessions()] == ["02", "02"]


def test_what_cannot_be_withdrawn_says_why_and_stays(study: Study) -> None:
    before = files(study)
    with pytest.raises(PhospheneError, match="no subject '03'; there are 01, 02"):
        withdraw(study, "03")
    with pytest.raises(PhospheneError, match="an id is 1 to 32"):
        withdraw(study, "../x")
    session = study.sessions()[0]
    with session.lock(), pytest.raises(PhospheneError, match="in use"):
        withdraw(study, "01")
    assert before <= files(study)


def test_the_command_asks_before_it_deletes(study: Study) -> None:
    command = ["withdraw", str(study.root), "01"]
    asked = CliRunner().invoke(app, command, input="n\n")
    assert "Delete 2 sessions of subject 01: 6 files" in asked.output
    assert "sub-01" in (study.root / "participants.tsv").read_text()
    assert CliRunner().invoke(app, [*command, "--yes"]).exit_code == 0
    assert "sub-01" not in (study.root / "participants.tsv").read_text()
