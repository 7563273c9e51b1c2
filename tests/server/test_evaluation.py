"""Evaluation: a code is found, none is not, and a nested design is labelled wherever it stands."""

import csv
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np
import pytest
from msgspec import structs
from numpy.typing import NDArray
from scipy.stats import binom

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
from phosphene.analysis.crossvalidation import Evaluation, describe, evaluate
from phosphene.analysis.evaluation import (
    SessionEvaluation,
    evaluate_feedback,
    read_evaluation,
    summary,
)
from phosphene.analysis.metrics import CONFOUNDED
from phosphene.analysis.predictions import read_decodings
from phosphene.choice import Chosen
from phosphene.dataset.study import SessionFolder
from phosphene.decodings import append_decoding
from phosphene.journal import Journal
from phosphene.messages import BlockDone, BlockStarted, Decoded

N_CHANNELS = 8
SPEC = SignalSpec(tuple(f"E{i}" for i in range(N_CHANNELS)), ("eeg",) * N_CHANNELS, 100.0)
SEED = 20240


def log_power(epochs: Epochs) -> np.ndarray:
    return np.log((epochs.data**2).mean(axis=-1))


class NearestMean:
    """Class whose mean log power is nearest."""

    def __init__(self, classes: tuple[str, ...], means: np.ndarray) -> None:
        self.classes, self.means = classes, means

    def decode(self, epochs: Epochs) -> Decoding:
        distances = np.linalg.norm(log_power(epochs)[:, None] - self.means, axis=-1)
        likelihoods = np.exp(distances.min(axis=1, keepdims=True) - distances)
        return Decoding(likelihoods / likelihoods.sum(axis=1, keepdims=True))

    def save(self, folder: Path) -> None:
        raise NotImplementedError


class NearestMeanConfig(DecoderConfig, frozen=True):
    def fit(self, training_set: TrainingSet, context: Context) -> NearestMean:
        wnids = np.array(training_set.wnids)
        features = log_power(training_set.epochs)
        means = [features[wnids == wnid].mean(axis=0) for wnid in training_set.classes]
        return NearestMean(training_set.classes, np.stack(means))


DECODER = Chosen("nearest-mean", NearestMeanConfig())


class Standardise:
    """A pipeline that learns, and that remembers from how many epochs it did."""

    def __init__(self) -> None:
        self.fitted_on: list[int] = []
        self.scale = np.float32(1)

    def learn_rejection(self, epochs: Epochs) -> NDArray[np.bool_]:
        return np.ones(len(epochs), bool)

    def reasons(self, epochs: Epochs) -> list[str]:
        return [""] * len(epochs)

    def fit(self, epochs: Epochs) -> Epochs:
        self.fitted_on.append(len(epochs))
        self.scale = epochs.data.std()
        return self.transform(epochs)

    def transform(self, epochs: Epochs) -> Epochs:
        return Epochs(epochs.data / self.scale, epochs.spec, epochs.tmin)


def onset(seq: int, run: int, block: int, trial: int, wnid: str, **changes: object) -> Onset:
    time = 0.5 * seq
    image = f"{wnid}/{seq}.jpg"
    return structs.replace(
        Onset(seq, "stimulus", time, time, 0.5, "record", run, block, 1, trial, wnid, image, ""),
        **changes,
    )


def interleaved(runs: int, blocks: int, classes: int) -> list[Onset]:
    """Every class once in every block."""
    planned = [(r, b) for r in range(runs) for b in range(blocks)]
    return [
        onset(n * classes + c, r + 1, r * blocks + b + 1, c + 1, f"n{c}")
        for n, (r, b) in enumerate(planned)
        for c in range(classes)
    ]


def one_class_a_block(classes: int, images: int) -> list[Onset]:
    return [
        onset(c * images + i, 1, c + 1, i + 1, f"n{c}")
        for c in range(classes)
        for i in range(images)
    ]


def recording(
    trials: Sequence[Onset], code: float = 0.0, drift: float = 0.0, seed: int = SEED
) -> TrainingSet:
    """Noise whose power by channel depends on class (``code``) and wanders with time."""
    rng = np.random.default_rng(seed)
    classes = sorted({trial.wnid for trial in trials})
    gains = {wnid: code * rng.standard_normal(N_CHANNELS) for wnid in classes}
    walk = drift * rng.standard_normal((len(trials), N_CHANNELS)).cumsum(axis=0)
    log_gain = np.stack([gains[trial.wnid] for trial in trials]) + walk
    noise = rng.standard_normal((len(trials), N_CHANNELS, 50))
    data = (1e-5 * np.exp(log_gain)[..., None] * noise).astype(np.float32)
    names = StimulusSet(Path(), {wnid: f"name of {wnid}" for wnid in classes}, ())
    return TrainingSet(Epochs(data, SPEC, 0.0), tuple(trials), names)


def judged(data: TrainingSet, split: str | None = None) -> Evaluation:
    return evaluate(data, Standardise(), DECODER, Context(data.stimuli), split)[0]


def test_a_class_code_is_found_and_is_evidence() -> None:
    found = judged(recording(interleaved(4, 5, 5), code=0.3))
    assert found.split == "leave-one-run-out"
    assert not found.nested
    assert found.label == ""
    assert [accuracy.k for accuracy in found.top] == [1, 3]
    assert found.top[0].above_chance
    assert found.top[0].n_trials == found.n_trials == 100
    assert found.classes["n3"] == "name of n3"
    assert found.decoder == {"nearest-mean": {}}


@pytest.mark.parametrize("drift", [0.0, 0.05])
def test_a_subject_without_code_stays_within_the_bounds_of_chance(drift: float) -> None:
    n_classes, n_sets = 5, 12
    sets = [
        judged(recording(interleaved(4, 5, n_classes), drift=drift, seed=seed))
        for seed in range(n_sets)
    ]
    hits = sum(found.top[0].n_correct for found in sets)
    n_trials = sum(found.n_trials for found in sets)
    assert hits <= binom.isf(0.001, n_trials, 1 / n_classes)
    if not drift:
        assert hits >= binom.ppf(0.001, n_trials, 1 / n_classes)


def test_in_blocks_of_one_class_drift_alone_looks_like_decoding_and_is_labelled() -> None:
    found = judged(recording(one_class_a_block(5, 20), drift=0.05))
    assert found.split == "paper"
    assert found.nested
    assert found.top[0].low > 2 * found.top[0].chance
    assert found.label == CONFOUNDED == "confounded by design: not evidence of decoding"
    everything = [*found.top, *found.by_class.values(), *found.by_fold.values()]
    assert all(CONFOUNDED in str(accuracy) for accuracy in everything)
    assert not any(accuracy.above_chance for accuracy in everything)
    accuracy_lines = [line for line in describe(found) if "chance" in line]
    assert len(accuracy_lines) == len(found.top) + len(found.scores) == 4
    assert all(line.endswith(CONFOUNDED) for line in accuracy_lines)


def test_a_nested_design_refuses_to_leave_out_a_run_or_block() -> None:
    with pytest.raises(PhospheneError, match="class and time are one variable"):
        judged(recording(one_class_a_block(5, 10)), "leave-one-block-out")


def test_every_trial_is_tested_once_by_a_decoder_and_steps_that_did_not_see_it() -> None:
    data, pipeline = recording(interleaved(4, 3, 5)), Standardise()
    found, predictions = evaluate(data, pipeline, DECODER, Context(data.stimuli))
    assert pipeline.fitted_on == [45] * 4
    assert list(found.by_fold) == ["run 1", "run 2", "run 3", "run 4"]
    assert [trial.seq for trial in data.trials] == list(range(60))
    assert list(predictions.trials) == list(data.trials)
    assert np.isfinite(predictions.probabilities).all()
    assert predictions.folds == [f"run {trial.run}" for trial in data.trials]


def test_confusions_and_classes_add_up() -> None:
    found = judged(recording(interleaved(4, 5, 5), code=0.3))
    counts = np.array(found.confusion)
    assert counts.sum() == found.n_trials
    by_class = [found.by_class[wnid].n_correct for wnid in found.classes]
    assert counts.diagonal().tolist() == by_class
    assert sum(by_class) == found.top[0].n_correct
    assert sum(each.n_correct for each in found.by_fold.values()) == found.top[0].n_correct


def test_one_class_is_nothing_to_decode() -> None:
    with pytest.raises(PhospheneError, match="at least 2 classes"):
        judged(recording(interleaved(2, 2, 1)))


def test_progress_is_told_from_0_to_1() -> None:
    told: list[float] = []
    data = recording(interleaved(4, 2, 3))
    context = Context(data.stimuli, progress=lambda done, _text: told.append(done))
    evaluate(data, Standardise(), DECODER, context)
    assert told == [0.0, 0.25, 0.5, 0.75, 1.0]


def test_predictions_are_a_table_by_trial_with_a_probability_for_each_wnid(tmp_path: Path) -> None:
    data = recording(interleaved(2, 2, 3), code=1.0)
    _, predictions = evaluate(data, Standardise(), DECODER, Context(data.stimuli))
    predictions.write(tmp_path / "predictions.tsv")
    with (tmp_path / "predictions.tsv").open() as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    assert len(rows) == 12
    assert (rows[4]["run"], rows[4]["block"], rows[4]["trial"]) == ("1", "2", "2")
    assert (rows[4]["wnid"], rows[4]["image"], rows[4]["fold"]) == ("n1", "n1/4.jpg", "run 1")
    for row in rows:
        values = {wnid: float(row[wnid]) for wnid in ("n0", "n1", "n2")}
        assert sum(values.values()) == pytest.approx(1, abs=1e-4)
        assert row["prediction"] == max(values, key=lambda wnid: values[wnid])


@pytest.fixture
def folder(tmp_path: Path) -> SessionFolder:
    folder = SessionFolder.create(tmp_path / "study", "01", "01")
    Journal(folder.journal_file).close()
    return folder


def live(
    folder: SessionFolder, trials: Sequence[Onset], right: Sequence[bool], classes: str = "abc"
) -> None:
    for trial, is_right in zip(trials, right, strict=True):
        others = [wnid for wnid in classes if wnid != trial.wnid]
        best = trial.wnid if is_right else others[0]
        probabilities = tuple(0.8 if wnid == best else 0.1 for wnid in classes)
        segment, decoded = "/data/one.xdf", trial.time + 0.6
        append_decoding(
            folder.decodings_file,
            Decoded(trial, tuple(classes), probabilities, segment, 0, decoded, decoded - 0.01),
        )


def shown(wnids: str, block: int = 1, attempt: int = 1) -> list[Onset]:
    return [
        onset(i, 1, block, i + 1, wnid, phase="feedback", attempt=attempt)
        for i, wnid in enumerate(wnids)
    ]


def live_evaluation(folder: SessionFolder) -> Evaluation | None:
    stimuli = StimulusSet(Path(), {"a": "anemone fish"}, ())
    settings = structs.replace(SETTINGS, bundle=None)
    return evaluate_feedback(folder, settings, Context(stimuli))


class Settings(msgspec.Struct):
    """The part of a session's settings that live decodings are judged by."""

    decoder: Chosen[NearestMeanConfig]
    bundle: Path | None


SETTINGS = Settings(DECODER, None)


def test_live_decodings_are_judged_beside_chance(folder: SessionFolder) -> None:
    live(folder, shown("abc"), [True, True, False])
    live(folder, shown("cab", block=2), [True, True, True])
    found = live_evaluation(folder)
    assert found is not None
    assert found.split == "live"
    assert (found.top[0].n_correct, found.top[0].n_trials) == (5, 6)
    assert found.top[0].chance == pytest.approx(1 / 3)
    assert found.classes == {"a": "anemone fish", "b": "b", "c": "c"}
    assert not found.nested


def test_a_session_without_decodings_has_no_live_evaluation(folder: SessionFolder) -> None:
    assert live_evaluation(folder) is None


def test_interrupted_blocks_do_not_count(folder: SessionFolder) -> None:
    live(folder, shown("ab"), [False, False])
    live(folder, shown("abc", attempt=2), [True, True, True])
    journal = Journal(folder.journal_file)
    journal.append(BlockStarted("feedback", 1, 1, 1, 0.0))
    journal.append(BlockDone("feedback", 1, 1, 1, 1.0, 2, 2, 0, True))
    journal.close()
    found = live_evaluation(folder)
    assert found is not None
    assert (found.top[0].n_correct, found.n_trials) == (3, 3)


def test_a_class_that_the_decoder_does_not_know_is_a_miss(folder: SessionFolder) -> None:
    live(folder, shown("abcz"), [True, True, True, False])
    found = live_evaluation(folder)
    assert found is not None
    assert (found.top[0].n_correct, found.n_trials) == (3, 4)
    assert found.by_class["z"].n_correct == 0


def test_feedback_in_blocks_of_one_class_is_labelled(folder: SessionFolder) -> None:
    live(folder, shown("aaa"), [True, True, True])
    live(folder, shown("bbb", block=2), [True, True, True])
    found = live_evaluation(folder)
    assert found is not None
    assert found.nested
    assert CONFOUNDED in str(found.top[0])


def test_a_line_that_a_crash_cut_off_is_left_out_and_a_damaged_one_is_named(
    folder: SessionFolder,
) -> None:
    live(folder, shown("abc"), [True, True, False])
    whole = folder.decodings_file.read_text()
    folder.decodings_file.write_text(whole + "feedback\t1\t2")
    found = read_decodings(folder.decodings_file)
    assert found is not None
    assert len(found.trials) == 3
    assert found.trials[0].latency == pytest.approx(0.6)  # type: ignore[attr-defined]
    folder.decodings_file.write_text(whole.replace("\t0.8\t", "\tmany\t", 1))
    with pytest.raises(PhospheneError, match=r"decodings.tsv, line 2.*many"):
        read_decodings(folder.decodings_file)


def test_an_evaluation_is_json_that_reads_back(folder: SessionFolder) -> None:
    found = SessionEvaluation(judged(recording(one_class_a_block(4, 10))), None)
    folder.evaluation_file.write_bytes(msgspec.json.encode(found))
    assert read_evaluation(folder) == found
    text = folder.evaluation_file.read_text()
    assert text.count(CONFOUNDED) >= text.count('"n_correct"')


def test_a_missing_evaluation_says_how_to_make_it(folder: SessionFolder) -> None:
    with pytest.raises(PhospheneError, match="phosphene evaluate makes it"):
        read_evaluation(folder)


def test_a_summary_says_why_there_is_no_accuracy() -> None:
    assert summary(SessionEvaluation(None, None, problem="1 block")) == ["not evaluated: 1 block"]
    assert summary(SessionEvaluation(None, None)) == ["nothing was decoded in this session"]


class Clairvoyant(DecoderConfig, frozen=True):
    """Knows a class that no trial shows."""

    def fit(self, training_set: TrainingSet, context: Context) -> "Clairvoyant":
        return self

    @property
    def classes(self) -> tuple[str, ...]:
        return ("n0", "n1", "n2", "n9")

    def decode(self, epochs: Epochs) -> Decoding:
        return Decoding(np.tile([0.1, 0.1, 0.1, 0.7], (len(epochs), 1)))

    def save(self, folder: Path) -> None:
        raise NotImplementedError


def test_a_decoder_may_know_classes_that_no_trial_shows() -> None:
    data = recording(interleaved(2, 2, 3))
    found, predictions = evaluate(
        data, Standardise(), Chosen("clairvoyant", Clairvoyant()), Context(data.stimuli)
    )
    assert predictions.classes == ("n0", "n1", "n2", "n9")
    assert set(predictions.decoded) == {"n9"}
    assert found.top[0].n_correct == 0
