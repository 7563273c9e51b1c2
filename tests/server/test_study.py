"""The study's folders: sessions are added safely and found again."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from phosphene import PhospheneError
from phosphene.dataset.study import SegmentName, SessionFolder, Study


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "study"


@pytest.fixture
def folder(root: Path) -> SessionFolder:
    return SessionFolder.create(root, "01", "02")


def record(folder: SessionFolder, phase: str = "record", run: int = 1) -> Path:
    path = folder.new_segment(phase, "interleaved", run)
    path.touch()
    return path


def test_a_session_lies_in_sourcedata_and_derivatives(folder: SessionFolder, root: Path) -> None:
    assert folder.path == root / "sourcedata/sub-01/ses-02"
    assert folder.derivatives == root / "derivatives/phosphene/sub-01/ses-02"
    assert folder.path.is_dir()
    assert folder.derivatives.is_dir()
    files = [folder.settings_file, folder.journal_file, folder.onsets_file]
    assert {file.parent for file in files} == {folder.path}
    made = [folder.evaluation_file, folder.report_file, folder.decodings_file, folder.pictures]
    assert {file.parent for file in made} == {folder.derivatives}


def test_the_study_describes_itself_and_who_made_it(folder: SessionFolder, root: Path) -> None:
    for place, kind in ((root, "raw"), (root / "derivatives/phosphene", "derivative")):
        text = json.loads((place / "dataset_description.json").read_text())
        assert text["DatasetType"] == kind
        assert text["GeneratedBy"][0]["Name"] == "Phosphene"
        assert (place / "README.md").read_text()


def test_a_participant_is_listed_once_and_nothing_is_invented_about_them(root: Path) -> None:
    for subject, session in (("02", "01"), ("01", "01"), ("02", "02")):
        SessionFolder.create(root, subject, session)
    header, *rows = (root / "participants.tsv").read_text().splitlines()
    assert header.split("\t") == ["participant_id", "age", "sex", "hand"]
    assert [row.split("\t")[0] for row in rows] == ["sub-02", "sub-01"]
    assert {field for row in rows for field in row.split("\t")[1:]} == {"n/a"}


def test_what_a_person_wrote_stays(root: Path) -> None:
    SessionFolder.create(root, "01", "01")
    (root / "README.md").unlink()
    (root / "README").write_text("Ours.")
    (root / "dataset_description.json").write_text('{"Name": "Ours"}')
    (root / "participants.tsv").write_text("participant_id\tgroup\nsub-01\tcontrol\n")
    SessionFolder.create(root, "02", "01")
    assert not (root / "README.md").exists()
    assert (root / "dataset_description.json").read_text() == '{"Name": "Ours"}'
    expected = "participant_id\tgroup\nsub-01\tcontrol\nsub-02\tn/a\n"
    assert (root / "participants.tsv").read_text() == expected


def test_participants_without_ids_are_refused(root: Path) -> None:
    SessionFolder.create(root, "01", "01")
    (root / "participants.tsv").write_text("age\n30\n")
    with pytest.raises(PhospheneError, match="first column must be participant_id; found age"):
        SessionFolder.create(root, "02", "01")


def test_many_processes_may_add_sessions_at_once(root: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from phosphene.dataset.study import SessionFolder\n"
        "for n in range(20): SessionFolder.create(Path(sys.argv[1]), f'{sys.argv[2]}{n}', '1')"
    )
    command = [sys.executable, "-c", script, str(root)]
    children = [subprocess.Popen([*command, letter]) for letter in "ab"]
    assert [child.wait() for child in children] == [0, 0]
    rows = (root / "participants.tsv").read_text().splitlines()[1:]
    assert len(set(rows)) == len(rows) == len(Study(root).sessions()) == 40


def test_a_session_with_recordings_is_not_made_again(folder: SessionFolder, root: Path) -> None:
    assert SessionFolder.create(root, "01", "02") == folder
    record(folder)
    with pytest.raises(PhospheneError, match="ses-02 holds recordings already"):
        SessionFolder.create(root, "01", "02")


def test_a_session_that_is_running_says_so_when_it_is_to_be_made_again(
    folder: SessionFolder, root: Path
) -> None:
    record(folder)
    with folder.lock(), pytest.raises(PhospheneError, match=f"in use by process {os.getpid()}"):
        SessionFolder.create(root, "01", "02")


@pytest.mark.parametrize(
    "bad", ["", "..", "../x", "a/b", "a-b", "a_b", "ü", "a" * 33, "1\n", "\0", "sub 1"]
)
def test_an_id_is_letters_and_digits(root: Path, bad: str) -> None:
    for ids in ((bad, "01"), ("01", bad)):
        with pytest.raises(PhospheneError, match="1 to 32 letters and digits"):
            SessionFolder.create(root, *ids)
    assert not root.exists()


@pytest.mark.parametrize(
    "link",
    ["sourcedata", "sourcedata/sub-01", "sourcedata/sub-01/ses-01", "sub-01", "derivatives"],
)
def test_a_folder_that_leads_elsewhere_is_refused(tmp_path: Path, link: str) -> None:
    root, elsewhere = tmp_path / "study", tmp_path / "elsewhere"
    elsewhere.mkdir()
    (root / link).parent.mkdir(parents=True)
    (root / link).symlink_to(elsewhere)
    with pytest.raises(PhospheneError, match="symbolic link"):
        SessionFolder.create(root, "01", "01")
    assert not list(elsewhere.iterdir())


def test_the_study_itself_may_be_reached_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "data").symlink_to(tmp_path / "disk")
    folder = SessionFolder.create(tmp_path / "data", "01", "01")
    assert SessionFolder.at(folder.path) == folder


def test_a_session_is_found_by_its_folder_or_by_a_study_that_holds_no_other(
    folder: SessionFolder, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert SessionFolder.at(folder.path) == folder
    assert SessionFolder.at(root) == folder
    monkeypatch.chdir(root)
    assert SessionFolder.at(Path("sourcedata/../sourcedata/sub-01/ses-02")) == folder


def test_a_study_of_several_sessions_asks_which(folder: SessionFolder, root: Path) -> None:
    SessionFolder.create(root, "03", "01")
    with pytest.raises(PhospheneError, match="sub-01/ses-02, sourcedata/sub-03/ses-01"):
        SessionFolder.at(root)
    assert [found.subject for found in Study(root).sessions()] == ["01", "03"]


def test_what_is_not_a_session_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "nowhere", tmp_path / "sourcedata/sub-01/ses-01"):
        with pytest.raises(PhospheneError, match="not a session; sessions in it: none"):
            SessionFolder.at(path)


def test_segments_are_numbered_through_the_session_and_keep_their_order(
    folder: SessionFolder,
) -> None:
    runs = [("record", n) for n in range(1, 11)] + [("record", 10), ("feedback", 1)]
    paths = [record(folder, phase, run) for phase, run in runs]
    assert paths[0].name == "sub-01_ses-02_task-interleaved_phase-record_run-01_segment-01.xdf"
    assert folder.segments() == paths
    assert folder.segments("record") == paths[:-1]
    assert folder.segments("feedback") == paths[-1:]
    assert SegmentName.of(paths[-2]) == ("interleaved", "record", 10, 11)


def test_the_name_of_a_lost_segment_is_not_given_to_another(folder: SessionFolder) -> None:
    first, second = record(folder), record(folder)
    first.unlink()
    third = record(folder)
    assert SegmentName.of(third).number == 3
    assert folder.segments() == [second, third]


def test_a_task_that_cannot_be_part_of_a_name_is_refused(folder: SessionFolder) -> None:
    with pytest.raises(PhospheneError, match="found 'rest_1'"):
        folder.new_segment("record", "rest_1", 1)


def test_another_programs_recording_may_lie_beside_ours(folder: SessionFolder) -> None:
    ours = record(folder)
    (folder.path / "sub-01_ses-02_task-interleaved_run-01_eeg.xdf").touch()
    assert folder.segments() == [ours]


def test_a_recording_that_was_renamed_is_named(folder: SessionFolder) -> None:
    path = record(folder)
    path.rename(path.with_name(path.name.replace("_run-01", "")))
    with pytest.raises(PhospheneError, match="is not named like a recording"):
        folder.segments()


def test_bundles_are_kept_in_order_and_never_replaced(folder: SessionFolder) -> None:
    assert folder.bundles() == []
    made = []
    for _ in range(11):
        made.append(folder.new_bundle())
        made[-1].mkdir(parents=True)
    assert folder.bundles() == made
    assert len(set(made)) == 11


def test_a_session_is_used_by_one_process_at_a_time(folder: SessionFolder) -> None:
    script = (
        "import sys; from pathlib import Path; from phosphene.dataset.study import SessionFolder\n"
        "with SessionFolder.at(Path(sys.argv[1])).lock(): print('held', flush=True); input()"
    )
    command = [sys.executable, "-c", script, str(folder.path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(PhospheneError, match=f"in use by process {holder.pid}"):
            folder.lock().__enter__()
        holder.kill()
    with folder.lock():
        assert (folder.path / ".lock").read_text() == str(os.getpid())


def test_a_lock_is_free_again_when_its_block_is_left(folder: SessionFolder) -> None:
    for _ in range(2):
        with pytest.raises(RuntimeError, match="over"), folder.lock():
            raise RuntimeError("over")
