"""The decoder of one session on another: what is tested, and what no cell leaves out."""

import re
from collections.abc import Mapping
from pathlib import Path
from shutil import copytree

import msgspec
import numpy as np
import pytest
import typer
from typer.testing import CliRunner, Result

from phosphene import Context, Epochs, PhospheneError
from phosphene.analysis.crossvalidation import evaluate as cross_validate
from phosphene.analysis.evaluation import collect_session
from phosphene.analysis.metrics import CONFOUNDED
from phosphene.analysis.transfer import (
    SAME_ORDER,
    Cell,
    Recorded,
    Transfer,
    describe,
    evaluate_transfer,
)
from phosphene.bundle import load_bundle
from phosphene.cli.evaluate import evaluate
from phosphene.dataset.study import SessionFolder
from phosphene.dataset.xdf_reader import read_segment
from phosphene.launch import run_virtual
from phosphene.messages import Train
from phosphene.pipeline import Pipeline
from phosphene.registry import load_registry
from phosphene.roles.catalogue import House
from phosphene.settings import load_settings
from phosphene.states import State
from phosphene.tasks import train

SESSION = """
format: 1
protocol: [record]
stimuli: {{standin: {{classes: 4, images: 10, gallery: 2, size: 32}}}}
acquisition: {{simulated: {{channels: {channels}, sfreq: 250, strength: 0.8, seed: {brain}}}}}
{processing}
decoder: power-lr
paradigm: {{{paradigm}}}
screen: {{kind: headless, refresh_rate: 60}}
clock: virtual
output: {output}
cache: {cache}
"""
WAVEFORMS = """
stream: [{bandpass: {low: 14, high: 70, order: 4}}]
epochs: {tmin: 0.02, tmax: 0.5, steps: [standardise]}
"""
INTERLEAVED = "interleaved: {runs: 2, blocks: 5, "
USUAL = {"channels": 16, "processing": WAVEFORMS, "paradigm": INTERLEAVED}
SHAPE = "duration: 0.5, pause: 1, cue: 0.5}"
NESTED = "brain2image: {images: 10, runs: 2, "
LAST_TWO = "interleaved: {classes: [%s, %s], runs: 2, blocks: 5, "


def session_of(
    place: Path, name: str, brain: int, seed: int = 1, study: str = "study", **changes: object
) -> Path:
    """Record a session of a simulated subject, called e.g. A1: session 1 of subject A."""
    values: Mapping[str, object] = {**USUAL, **changes}
    paradigm = f"{values['paradigm']}{SHAPE}"
    folders = {"output": place / study, "cache": place / "cache"}
    file = place / "session.yaml"
    file.write_text(SESSION.format(**{**values, **folders, "paradigm": paradigm}, brain=brain))
    registry, who = load_registry(), {"subject": name[0], "session": name[1], "seed": seed}
    status = run_virtual(load_settings(file, registry, who), registry, lambda _message: None)
    assert status.state is State.FINISHED, status.problem
    return Path(status.folder)


def recorded(folder: Path) -> Recorded:
    house = House.of(folder)
    return Recorded(house.folder, house.settings, house.context)


def title(name: str) -> str:
    return f"sub-{name[0]} ses-{name[1]}"


def cell(found: Transfer, trained: str, tested: str) -> Cell:
    pair = (title(trained), title(tested))
    cells = {(each.trained_on, each.tested_on): each for row in found.cells for each in row}
    return cells[pair]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("transfer")


@pytest.fixture(scope="module")
def sessions(place: Path) -> dict[str, Path]:
    """Two sessions of subject A, and one each of others who saw or were something else."""
    found = {
        "A1": session_of(place, "A1", 1),
        "A2": session_of(place, "A2", 1, seed=2),
        "B1": session_of(place, "B1", 5, processing="preprocessing: paper"),
    }
    wnids = House.of(found["A1"]).stimuli.classes
    last_two = LAST_TWO % tuple(list(wnids)[2:])
    return found | {
        "N1": session_of(place, "N1", 3, paradigm=NESTED),
        "F1": session_of(place, "F1", 1, paradigm="interleaved: {classes: 2, runs: 2, blocks: 5, "),
        "L1": session_of(place, "L1", 1, paradigm=last_two),
        "W1": session_of(place, "W1", 1, channels=32),
        "O1": session_of(place, "O1", 1, paradigm="interleaved: {runs: 1, blocks: 1, "),
    }


@pytest.fixture(scope="module")
def found(sessions: dict[str, Path]) -> Transfer:
    return evaluate_transfer([recorded(folder) for folder in sessions.values()])


# What is tested


def test_a_decoder_works_in_another_session_of_its_subject_and_not_on_somebody_else(
    found: Transfer,
) -> None:
    for trained, tested in (("A1", "A2"), ("A2", "A1")):
        again = cell(found, trained, tested)
        assert (again.same_subject, again.verdict) == (True, "above chance")
    for trained, tested in (("A2", "B1"), ("B1", "A2")):
        other = cell(found, trained, tested)
        assert (other.same_subject, other.verdict) == (False, "not above")


def test_rows_are_trained_on_and_columns_tested_on(
    found: Transfer, sessions: dict[str, Path]
) -> None:
    titles = [title(name) for name in sessions]
    assert list(found.decoders) == titles
    for row, trained in zip(found.cells, titles, strict=True):
        assert [(each.trained_on, each.tested_on) for each in row] == [
            (trained, tested) for tested in titles
        ]


@pytest.mark.parametrize("name", ["A1", "B1", "N1"])
def test_on_itself_a_session_is_cross_validated(
    found: Transfer, sessions: dict[str, Path], name: str
) -> None:
    session = recorded(sessions[name])
    data, _ = collect_session(session.folder, session.settings, session.context)
    steps = Pipeline((), session.settings.epochs, data.epochs.spec, session.context)
    expected, _ = cross_validate(data, steps, session.settings.decoder, session.context)
    own = cell(found, name, name)
    assert own.accuracy == expected.top[0]
    assert own.tested == f"split {expected.split}"


@pytest.mark.parametrize(("trained", "tested"), [("A1", "B1"), ("B1", "A1"), ("A2", "N1")])
def test_elsewhere_it_decodes_what_its_bundle_decodes_whatever_the_preprocessing_there(
    found: Transfer, sessions: dict[str, Path], trained: str, tested: str
) -> None:
    house, context = House.of(sessions[trained]), Context(House.of(sessions[tested]).stimuli)
    order = Train(str(house.folder.path))
    folder = Path(train(house.settings, house.context, order).bundle)
    bundle = load_bundle(folder, load_registry(), context)
    right = n = 0
    for path in SessionFolder.at(sessions[tested]).segments("record"):
        recording = read_segment(path)
        pipeline = bundle.pipeline(recording.spec)
        for onset in recording.onsets:
            pipeline.mark(onset)
        for signal in recording.signals():
            pipeline.feed(signal)
        for cut in pipeline.cuts():
            epochs = Epochs(cut.data[np.newaxis], pipeline.spec, pipeline.tmin)
            best = bundle.decoder.decode(pipeline.transform(epochs)).probabilities.argmax()
            right += bundle.decoder.classes[best] == cut.onset.wnid
            n += 1
    accuracy = cell(found, trained, tested).accuracy
    assert accuracy is not None
    assert (accuracy.n_correct, accuracy.n_trials) == (right, n)


def test_only_classes_that_both_have_are_tested_and_chance_is_theirs(found: Transfer) -> None:
    few = cell(found, "A1", "F1").accuracy
    assert few is not None
    assert (few.n_trials, few.chance) == (20, 0.5)
    half = cell(found, "F1", "A2")
    assert half.accuracy is not None
    assert (half.accuracy.n_trials, half.accuracy.chance, half.n_left_out) == (20, 0.5, 20)
    assert half.verdict == "above chance"
    assert "20 trials left out" in str(half)


def test_interrupted_blocks_are_left_out(sessions: dict[str, Path], tmp_path: Path) -> None:
    study = copytree(SessionFolder.at(sessions["A1"]).study_root, tmp_path / "study")
    parts = [study / "sourcedata" / f"sub-{n[0]}" / f"ses-{n[1]}" for n in ("A1", "A2")]
    journal = parts[1] / "journal.jsonl"
    lines = journal.read_text().splitlines(keepends=True)
    last = next(line for line in reversed(lines) if '"BlockDone"' in line)
    journal.write_text("".join(line for line in lines if line is not last))
    again = evaluate_transfer([recorded(part) for part in parts])
    assert [c.accuracy.n_trials for row in again.cells for c in row if c.accuracy] == [40, 36] * 2


# The label


def test_every_cell_of_a_nested_session_is_labelled_and_no_other(found: Transfer) -> None:
    for row in found.cells:
        for each in row:
            if each.accuracy is None:
                continue
            involved = title("N1") in (each.trained_on, each.tested_on)
            assert each.accuracy.label == (CONFOUNDED if involved else "")
            assert (each.verdict == "confounded") == involved
            assert str(each.accuracy) in str(each)
    assert cell(found, "N1", "N1").accuracy
    assert cell(found, "N1", "A1").accuracy
    assert cell(found, "A1", "N1").accuracy


def test_no_line_has_an_accuracy_without_its_chance_and_interval(found: Transfer) -> None:
    lines = [line for line in describe(found) if "%" in line]
    assert len(lines) == sum(each.accuracy is not None for row in found.cells for each in row)
    for line in lines:
        assert re.search(r"[\d.]+ % of \d+ trials \(chance [\d.]+ %, 95 % interval .* %\)", line)


def test_sessions_that_showed_the_classes_in_the_same_order_are_told(
    found: Transfer, sessions: dict[str, Path]
) -> None:
    assert cell(found, "A1", "B1").same_order
    assert not cell(found, "A1", "A2").same_order
    assert SAME_ORDER in found.notes
    pair = evaluate_transfer([recorded(sessions[name]) for name in ("A1", "A2")])
    assert SAME_ORDER not in pair.notes


def test_it_says_what_a_failure_to_transfer_does_not_show(found: Transfer) -> None:
    said = " ".join(describe(found))
    assert (
        "shows that this decoder did not work on that recording, not that no decoder could" in said
    )
    assert "No amplifier took part" in said


# What cannot be tested


def test_another_signal_leaves_its_cells_empty_with_the_reason_and_the_rest_goes_on(
    found: Transfer,
) -> None:
    for pair, expected in ((("A1", "W1"), 16), (("W1", "A1"), 32)):
        empty = cell(found, *pair)
        assert (empty.accuracy, empty.verdict) == (None, "-")
        assert empty.problem.startswith(f"it is another EEG signal: expected {expected} channels")
        assert "not tested: it is another EEG signal" in str(empty)
    assert cell(found, "W1", "W1").accuracy


def test_sessions_without_a_class_in_common_are_not_tested(found: Transfer) -> None:
    assert cell(found, "F1", "L1").problem == (
        "a test needs 2 classes that the decoder knows; found 0"
    )


def test_a_recording_too_short_to_learn_from_can_still_be_tested(found: Transfer) -> None:
    assert "needs at least 2 blocks" in cell(found, "O1", "O1").problem
    assert "two trials or more of each class" in cell(found, "O1", "A1").problem
    tested = cell(found, "A1", "O1").accuracy
    assert tested is not None
    assert tested.n_trials == 4


def test_a_session_without_a_recording_empties_its_row_and_its_column(
    sessions: dict[str, Path], tmp_path: Path
) -> None:
    study = copytree(SessionFolder.at(sessions["A1"]).study_root, tmp_path / "study")
    parts = [study / "sourcedata" / f"sub-{n[0]}" / f"ses-{n[1]}" for n in ("A1", "A2")]
    for path in parts[1].glob("*.xdf"):
        path.unlink()
    again = evaluate_transfer([recorded(part) for part in parts])
    assert [bool(each.accuracy) for row in again.cells for each in row] == [True, *[False] * 3]
    assert cell(again, "A1", "A2").problem == "sub-A ses-2 has no recording of the phase 'record'"
    assert cell(again, "A2", "A1").problem.startswith("no stimulus was recorded")


def test_one_session_is_no_transfer(sessions: dict[str, Path]) -> None:
    with pytest.raises(PhospheneError, match="needs at least 2 sessions; found 1"):
        evaluate_transfer([recorded(sessions["A1"])])


def test_sessions_of_two_studies_are_refused(sessions: dict[str, Path], tmp_path: Path) -> None:
    study = copytree(SessionFolder.at(sessions["A1"]).study_root, tmp_path / "elsewhere")
    other = study / "sourcedata" / "sub-B" / "ses-1"
    with pytest.raises(PhospheneError, match=r"must be of one study; found .*elsewhere"):
        evaluate_transfer([recorded(sessions["A1"]), recorded(other)])


# Files and the command


def test_it_is_json_in_the_study_that_reads_back(sessions: dict[str, Path], tmp_path: Path) -> None:
    parts = [recorded(sessions[name]) for name in ("A1", "N1")]
    pair = evaluate_transfer(parts)
    file = SessionFolder.at(sessions["A1"]).study_root / "derivatives/phosphene/transfer.json"
    assert msgspec.json.decode(file.read_bytes(), type=Transfer) == pair
    assert file.read_text().count(CONFOUNDED) == 3


def phosphene_evaluate(*arguments: str) -> Result:
    app = typer.Typer()
    app.command()(evaluate)
    return CliRunner().invoke(app, arguments)


@pytest.fixture(scope="module")
def pair(place: Path, sessions: dict[str, Path]) -> Path:
    """A study of two sessions that can be tested, and one of which nothing is left."""
    study = place / "pair"
    for name in ("A1", "A2", "B1"):
        part = Path("sourcedata", f"sub-{name[0]}", f"ses-{name[1]}")
        copytree(sessions[name], study / part)
    for path in (study / "sourcedata/sub-B/ses-1").glob("*.xdf"):
        path.unlink()
    (study / "derivatives" / "phosphene").mkdir(parents=True)
    return study


def test_a_study_stands_for_its_sessions_with_a_recording(pair: Path) -> None:
    run = phosphene_evaluate("--transfer", str(pair), "--json")
    assert run.exit_code == 0, run.output
    found = msgspec.json.decode(run.stdout, type=Transfer)
    assert list(found.decoders) == ["sub-A ses-1", "sub-A ses-2"]


def test_the_command_prints_the_matrix_and_every_accuracy_in_full(pair: Path) -> None:
    run = phosphene_evaluate(
        "--transfer",
        *(str(pair / f"sourcedata/sub-A/ses-{n}") for n in (1, 2)),
        "--decoder",
        "lda",
    )
    assert run.exit_code == 0, run.output
    lines = run.output.splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("trained on \\ tested on"))
    assert lines[start + 1].split()[:2] == ["sub-A", "ses-1"]
    assert lines.count("lda trained on sub-A ses-1, tested") == 1
    assert sum("95 % interval" in line for line in lines) == 4
    assert lines[-1] == f"file: {pair}/derivatives/phosphene/transfer.json"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--transfer", "STUDY", "--decoder", "lda", "--decoder", "power-lr"], "one decoder"),
        (["--transfer", "STUDY", "--split", "paper"], "the splits of the designs"),
    ],
)
def test_options_that_do_not_go_together_are_refused(
    pair: Path, arguments: list[str], words: str
) -> None:
    run = phosphene_evaluate(*(str(pair) if each == "STUDY" else each for each in arguments))
    assert run.exit_code == 2
    assert words in " ".join(run.output.split())


def test_a_folder_without_sessions_is_named(tmp_path: Path) -> None:
    run = phosphene_evaluate("--transfer", str(tmp_path))
    assert str(run.exception) == f"{tmp_path} is not a session; sessions in it: none"
