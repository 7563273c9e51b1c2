"""Forward chaining: no decoder has seen what comes after; what they decoded is kept."""

import json
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import msgspec
import numpy as np
import pytest
from msgspec import structs
from numpy.typing import NDArray
from scipy.stats import binomtest
from typer.testing import CliRunner

from phosphene import (
    Context,
    DecoderConfig,
    Decoding,
    Epochs,
    Onset,
    PhospheneError,
    SignalSpec,
    StimulusSet,
    TrainingSet,
)
from phosphene.analysis import forward
from phosphene.analysis.crossvalidation import predict
from phosphene.analysis.forward import forward_folds, forward_of_bundle, forward_of_session
from phosphene.analysis.metrics import CONFOUNDED
from phosphene.analysis.predictions import Predictions
from phosphene.analysis.prospect import Rule, assess, prospect
from phosphene.analysis.splits import Fold, make_folds
from phosphene.bundle import make_card
from phosphene.choice import Chosen
from phosphene.cli import app
from phosphene.clock import RealClock
from phosphene.dataset.study import SessionFolder
from phosphene.manifest import Image
from phosphene.registry import Registry, load_registry
from phosphene.roles.catalogue import House
from phosphene.settings import Settings, load_settings

N_CHANNELS = 12
SPEC = SignalSpec(tuple(f"E{i}" for i in range(N_CHANNELS)), ("eeg",) * N_CHANNELS, 100.0)


class NearestMean:
    def __init__(self, classes: tuple[str, ...], means: np.ndarray) -> None:
        self.classes, self.means = classes, means

    def decode(self, epochs: Epochs) -> Decoding:
        logs = epochs.data[..., 0] @ self.means.T - (self.means**2).sum(axis=1) / 2
        odds = np.exp(logs - logs.max(axis=1, keepdims=True))
        return Decoding(odds / odds.sum(axis=1, keepdims=True))

    def save(self, folder: Path) -> None:
        raise NotImplementedError


class NearestMeanConfig(DecoderConfig, frozen=True):
    unused: int = 0

    def fit(self, training_set: TrainingSet, context: Context) -> NearestMean:
        wnids, data = np.array(training_set.wnids), training_set.epochs.data[..., 0]
        means = [data[wnids == wnid].mean(axis=0) for wnid in training_set.classes]
        return NearestMean(training_set.classes, np.stack(means))


class Untouched:
    def learn_rejection(self, epochs: Epochs) -> NDArray[np.bool_]:
        return np.ones(len(epochs), bool)

    def reasons(self, epochs: Epochs) -> list[str]:
        return [""] * len(epochs)

    def fit(self, epochs: Epochs) -> Epochs:
        return epochs

    def transform(self, epochs: Epochs) -> Epochs:
        return epochs


def shown(
    runs: int, blocks: int, classes: int, by_block: int = 1, *, nested: bool = False
) -> tuple[Onset, ...]:
    """Every class ``by_block`` times in every block; if nested in one block only."""
    planned = [
        (run, (run - 1) * blocks + block + 1, wnid)
        for run in range(1, runs + 1)
        for block in range(blocks)
        for wnid in range(classes)
        if not nested or wnid == block % classes
        for _ in range(by_block)
    ]
    return tuple(
        Onset(n, "stimulus", n / 2, n / 2, 0.5, "record", run, block, 1, n, f"n{c}", f"{n}.jpg", "")
        for n, (run, block, c) in enumerate(planned, start=1)
    )


def recording(trials: Sequence[Onset], seed: int = 1, code: float = 0.0) -> TrainingSet:
    """One sample an epoch: noise, and ``code`` times a pattern of the class."""
    rng = np.random.default_rng(seed)
    classes = sorted({trial.wnid for trial in trials})
    patterns = {wnid: code * rng.standard_normal(N_CHANNELS) for wnid in classes}
    data = rng.standard_normal((len(trials), N_CHANNELS))
    data += np.stack([patterns[trial.wnid] for trial in trials])
    names = StimulusSet(Path(), {wnid: f"name of {wnid}" for wnid in classes}, ())
    return TrainingSet(Epochs(data[..., None].astype(np.float32), SPEC, 0.0), tuple(trials), names)


def decoded(data: TrainingSet, folds: Sequence[Fold]) -> Predictions:
    found = predict(data, Untouched(), NearestMeanConfig(), Context(data.stimuli), folds)
    rows = np.flatnonzero(np.array(found.folds) != "")
    return Predictions(
        [found.trials[i] for i in rows],
        [found.folds[i] for i in rows],
        found.classes,
        found.probabilities[rows],
    )


def units(trials: Sequence[Onset], rows: Sequence[int]) -> set[int]:
    return {trials[row].run for row in rows}


def test_each_run_is_tested_on_the_runs_before_it() -> None:
    trials = shown(runs=5, blocks=2, classes=3)
    folds = forward_folds(trials)
    assert [units(trials, fold.test) for fold in folds] == [{2}, {3}, {4}, {5}]
    assert [units(trials, fold.train) for fold in folds] == [
        {1}, {1, 2}, {1, 2, 3}, {1, 2, 3, 4},
    ]  # fmt: skip


@pytest.mark.parametrize(("runs", "blocks"), [(1, 12), (2, 10), (3, 4), (9, 3)])
def test_there_are_few_parts_and_none_trains_on_what_comes_later(runs: int, blocks: int) -> None:
    folds = forward_folds(shown(runs, blocks, classes=3))
    assert 4 <= len(folds) < forward.PARTS
    for fold in folds:
        assert fold.train.max() < fold.test.min()
    tested = np.concatenate([fold.test for fold in folds])
    assert len(set(tested.tolist())) == len(tested)


def test_an_image_of_the_tested_part_does_not_train() -> None:
    trials = list(shown(runs=4, blocks=4, classes=2))
    trials[0] = structs.replace(trials[0], image=trials[-1].image)
    *earlier, last = forward_folds(trials)
    assert 0 not in last.train
    assert all(0 in fold.train for fold in earlier)


def test_parts_before_which_a_class_was_hardly_shown_are_not_tested() -> None:
    trials = shown(runs=5, blocks=1, classes=3)
    assert [units(trials, fold.test) for fold in forward_folds(trials)] == [{3}, {4}, {5}]


def test_a_recording_of_one_block_cannot_be_tested() -> None:
    with pytest.raises(PhospheneError, match="record more runs or blocks"):
        forward_folds(shown(runs=1, blocks=1, classes=2, by_block=9))


def test_chosen_classes_of_a_brain_that_does_not_answer_are_not_decoded_forward_in_time() -> None:
    """With cross-validation they are, far too often, although the choice is left to other runs."""
    trials = shown(runs=5, blocks=4, classes=10, by_block=2)
    rule = Rule(tuple(f"n{c}" for c in range(10)), 3, None, 1)
    crossed, ahead = 0, 0
    for seed in range(60):
        data = recording(trials, seed)
        folds = make_folds("leave-one-run-out", trials)
        crossed += not prospect(decoded(data, folds), rule, seed).refusal
        ahead += not prospect(decoded(data, forward_folds(trials)), rule, seed).refusal
    assert binomtest(ahead, 60, 0.025, alternative="greater").pvalue > 0.01
    assert crossed > 60 * 0.1


def test_a_brain_that_answers_is_decoded_forward_in_time() -> None:
    trials = shown(runs=5, blocks=4, classes=10, by_block=2)
    rule = Rule(tuple(f"n{c}" for c in range(10)), 3, None, 2)
    opened = 0
    for seed in range(10):
        folds = forward_folds(trials)
        opened += not prospect(decoded(recording(trials, seed, 0.5), folds), rule, seed).refusal
    assert opened >= 9


# A session's own, and those beside a bundle.


class Recorded:
    """A session's folder whose recording is read from memory, and how often it was."""

    def __init__(self, root: Path, registry: Registry, data: TrainingSet) -> None:
        self.folder = SessionFolder.create(root, "S01", "01")
        self.registry, self.data = registry, data
        self.segment = self.folder.new_segment("record", "interleaved", 1)
        self.segment.write_bytes(b"a recording")
        self.context = Context(data.stimuli)
        self.settings = settings(registry, root)
        self.n_read = 0

    def collect(self, *_: object) -> tuple[TrainingSet, list[object]]:
        self.n_read += 1
        return self.data, []

    def decodings(self) -> tuple[Predictions, str]:
        return forward_of_session(self.folder, self.settings, self.registry, self.context)

    def bundle(self, **changes: object) -> Path:
        decoder = NearestMean(("n0", "n1"), np.empty(0))
        card = make_card(self.settings, SPEC, decoder, self.data.trials, "cd" * 32, {})
        bundle = self.folder.derivatives / "bundles" / "bundle-01"
        bundle.mkdir(parents=True)
        card = structs.replace(card, **changes)
        (bundle / "bundle.json").write_bytes(msgspec.json.encode(card))
        return bundle


def settings(registry: Registry, bundle: Path) -> Settings:
    who = {"subject": "S01", "session": "02", "bundle": bundle}
    found = load_settings("feedback", registry, who)
    epochs = structs.replace(found.epochs, steps=())
    return structs.replace(found, decoder=Chosen("mean", NearestMeanConfig()), epochs=epochs)


def with_images(only: Sequence[str] = ("n0", "n1", "n2", "n3")) -> Context:
    images = tuple(
        Image(f"{wnid}/{n}.jpg", wnid, "train", "", "") for wnid in only for n in range(5)
    )
    return Context(StimulusSet(Path(), {wnid: f"name of {wnid}" for wnid in only}, images))


@pytest.fixture(scope="module")
def registry() -> Registry:
    return load_registry()


@pytest.fixture
def session(tmp_path: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch) -> Recorded:
    trials = shown(runs=4, blocks=3, classes=4, by_block=4)
    made = Recorded(tmp_path, registry, recording(trials, code=1.0))
    monkeypatch.setattr(forward, "collect_session", made.collect)
    return made


def test_decodings_are_made_once_and_kept(session: Recorded) -> None:
    made, label = session.decodings()
    read, _ = session.decodings()
    assert session.n_read == 1
    assert label == ""
    assert set(made.folds) == {"part 2", "part 3", "part 4"}
    assert list(read.folds) == list(made.folds)
    np.testing.assert_allclose(read.probabilities, made.probabilities, rtol=1e-5, atol=1e-6)


def test_they_are_made_anew_for_another_decoder_and_another_recording(session: Recorded) -> None:
    session.decodings()
    session.settings = structs.replace(
        session.settings, decoder=Chosen("mean", NearestMeanConfig(unused=1))
    )
    session.decodings()
    assert session.n_read == 2
    session.segment.write_bytes(b"a longer recording")
    session.decodings()
    assert session.n_read == 3


def test_a_session_without_a_recording_is_refused(session: Recorded) -> None:
    session.segment.unlink()
    with pytest.raises(PhospheneError, match="no recording"):
        session.decodings()


def test_a_nested_design_is_cross_validated_and_labelled(
    session: Recorded, monkeypatch: pytest.MonkeyPatch
) -> None:
    trials = shown(runs=1, blocks=4, classes=4, by_block=10, nested=True)
    session.data = recording(trials, code=1.0)

    def evaluated(folder: SessionFolder, *_: object) -> SimpleNamespace:
        crossed = decoded(session.data, make_folds("paper", trials))
        crossed.write(folder.derivatives / "predictions.tsv")
        return SimpleNamespace(cross_validation="there is one")

    monkeypatch.setattr(forward, "current_evaluation", evaluated)
    predictions, label = session.decodings()
    assert label == CONFOUNDED
    assert len(predictions.trials) == len(trials)


def test_feedback_with_a_bundle_is_judged_by_what_lies_beside_it(session: Recorded) -> None:
    made, _ = session.decodings()
    read, label = forward_of_bundle(session.bundle())
    assert label == ""
    assert list(read.folds) == list(made.folds)


def test_decodings_of_another_decoder_do_not_count(session: Recorded) -> None:
    session.decodings()
    with pytest.raises(PhospheneError, match="another decoder"):
        forward_of_bundle(session.bundle(decoder={"mean": {"unused": 5}}))


def test_where_there_are_none_it_is_said_how_to_make_them(session: Recorded) -> None:
    with pytest.raises(PhospheneError, match="phosphene prospect SESSION makes them"):
        forward_of_bundle(session.bundle())


def test_damaged_ones_are_refused_in_words_and_made_anew_by_their_session(
    session: Recorded,
) -> None:
    session.decodings()
    (session.folder.derivatives / "forward.json").write_bytes(b"{}")
    with pytest.raises(PhospheneError, match=r"forward\.json"):
        forward_of_bundle(session.bundle())
    session.decodings()
    assert session.n_read == 2


@pytest.mark.parametrize("own", [True, False], ids=["its own", "an earlier session's"])
def test_the_gate_judges_by_the_recording_that_trained_the_bundle(
    session: Recorded, tmp_path: Path, *, own: bool
) -> None:
    session.decodings()
    folder = session.folder if own else SessionFolder.create(tmp_path, "S01", "02")
    found = assess(folder, session.settings, session.registry, with_images(), session.bundle())
    assert found.refusal == ""
    assert len(found.classes) == session.settings.closed_loop.classes == 3
    assert found.repetitions == 5
    assert found.donors
    assert {len(donor.posterior) for donor in found.donors} == {3}


def test_what_cannot_be_known_is_a_rehearsal_and_not_an_error(
    session: Recorded, tmp_path: Path
) -> None:
    other = SessionFolder.create(tmp_path, "S01", "02")
    bundle = session.bundle()
    found = assess(other, session.settings, session.registry, with_images(), bundle)
    assert "phosphene prospect SESSION" in found.refusal
    assert (len(found.classes), found.repetitions) == (3, 5)
    assert found.n_trials == 0


def test_only_classes_with_images_are_chosen(session: Recorded) -> None:
    session.decodings()
    settings = structs.replace(
        session.settings, closed_loop=structs.replace(session.settings.closed_loop, classes=2)
    )
    context = with_images(only=("n1", "n3"))
    found = assess(session.folder, settings, session.registry, context, session.bundle())
    assert set(found.classes) == {"n1", "n3"}


@pytest.fixture
def at_the_keyboard(session: Recorded, monkeypatch: pytest.MonkeyPatch) -> Recorded:
    house = House(session.settings, session.registry, session.folder, RealClock())
    vars(house)["stimuli"] = session.context.stimuli  # Not built from the settings.
    monkeypatch.setattr(House, "of", lambda _path: house)
    monkeypatch.setenv("COLUMNS", "120")
    return session


def ask(*options: str) -> str:
    result = CliRunner().invoke(app, ["prospect", "session", *options])
    assert result.exit_code == 0, result.output
    return result.stdout


def test_the_command_says_for_each_plan_what_is_to_be_expected(at_the_keyboard: Recorded) -> None:
    said = " ".join(ask().split())
    assert "(chance 25.0 %, 95 % interval" in said
    assert "allowed" in said
    assert "3 classes: name of n" in said
    assert "This table is a search: of 12 lines" in said
    assert at_the_keyboard.n_read == 1
    assert (at_the_keyboard.folder.derivatives / "forward.tsv").exists()


@pytest.mark.usefixtures("at_the_keyboard")
def test_the_command_says_what_cannot_be_known() -> None:
    said = " ".join(ask("--repetitions=20").split())
    assert "unknown 0 of 0 refused" in said
    assert "record more, or plan fewer repetitions" in said


@pytest.mark.usefixtures("at_the_keyboard")
def test_the_command_answers_one_question_as_json() -> None:
    [found] = json.loads(ask("--classes=3", "--repetitions=2", "--threshold=0.8", "--json"))
    assert (len(found["classes"]), found["repetitions"], found["donors"]) == (3, 2, [])
    assert found["low"] > found["chance"] == pytest.approx(1 / 3)
    assert found["refusal"] == ""
