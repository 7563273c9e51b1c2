"""What a lab and a participant say once is told wherever it belongs, and nowhere else."""

import json
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from phosphene.dataset.study import SessionFolder, Study
from phosphene.dataset.withdrawal import withdraw
from phosphene.errors import PhospheneError, SettingsError
from phosphene.lab import Lab, lab_file, read_lab, write_lab


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PHOSPHENE_LAB", str(tmp_path / "lab.json"))
    return tmp_path


def phosphene(*arguments: str, status: int = 0) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "phosphene", *arguments],
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == status, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout + done.stderr


def test_a_lab_is_asked_once_and_changed_one_by_one(home: Path) -> None:
    assert read_lab(lab_file()) == Lab()
    phosphene("lab", "reference=FCz", "power_line=50")
    said = phosphene("lab", "manufacturer=Brain Products")
    assert read_lab(lab_file()) == Lab(
        reference="FCz", power_line=50, manufacturer="Brain Products"
    )
    assert "reference         FCz" in said


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ("power_line=55", "Invalid enum value 55"),
        ("cap=x", "expected NAME=VALUE with one of institution"),
        ("reference=", "length >= 1"),
    ],
)
def test_what_cannot_be_is_refused(home: Path, given: str, problem: str) -> None:
    assert problem in " ".join(phosphene("lab", given, status=2).split())
    assert not lab_file().exists()


def test_a_damaged_file_is_named(home: Path) -> None:
    lab_file().write_text('{"reference": 3}')
    with pytest.raises(SettingsError, match=r"lab\.json: not the settings of a lab: .*reference"):
        read_lab(lab_file())


def test_what_is_written_is_read(home: Path) -> None:
    lab = Lab("Università", "Via 1", cap_model="R-Net", power_line=60)
    write_lab(lab, lab_file())
    assert read_lab(lab_file()) == lab


def columns(root: Path) -> dict[str, dict[str, str]]:
    header, *rows = (root / "participants.tsv").read_text().splitlines()
    names = header.split("\t")
    lines = [dict(zip(names, row.split("\t"), strict=True)) for row in rows]
    return {line["participant_id"]: line for line in lines}


def test_a_participant_is_described_where_bids_has_a_place_for_it(tmp_path: Path) -> None:
    root = tmp_path / "study"
    folder = SessionFolder.create(root, "01", "01")
    SessionFolder.create(root, "02", "01")
    phosphene("participant", str(root), "01", "--age", "27", "--sex", "F", "--consent", "C-117")
    phosphene("participant", str(root), "01", "--hand", "L")
    assert columns(root)["sub-01"] == {
        "participant_id": "sub-01", "age": "27", "sex": "F", "hand": "L"
    }  # fmt: skip
    assert columns(root)["sub-02"]["age"] == "n/a"
    private = folder.path.parent / "participant.json"
    assert json.loads(private.read_text())["consent"] == "C-117"
    assert stat.S_IMODE(private.stat().st_mode) == 0o600
    others = [path for path in root.rglob("*") if path.is_file() and path != private]
    assert not any("C-117" in path.read_text() for path in others)

    (root / "participants.tsv").unlink()
    Study(root).describe("01")
    assert columns(root)["sub-01"]["age"] == "27"
    withdraw(Study(root), "01")
    assert not private.exists()


def test_nobody_is_described_who_is_not_there(tmp_path: Path) -> None:
    SessionFolder.create(tmp_path, "01", "01")
    with pytest.raises(PhospheneError, match="has no subject 02"):
        Study(tmp_path).say_of("02", {"age": "3"})
