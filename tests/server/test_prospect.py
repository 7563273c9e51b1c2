"""The gate: it opens for a brain that answers, and hardly ever for one that does not."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binomtest

from phosphene.analysis.metrics import CONFOUNDED
from phosphene.analysis.predictions import LiveTrial, Predictions, read_predictions
from phosphene.analysis.prospect import Rule, expected, prospect
from phosphene.messages import Prospect

N_NULL = 80
"""Brains that do not answer; the interval has 2.5 % on each side."""


def wnids(n: int) -> tuple[str, ...]:
    return tuple(f"n{number:08d}" for number in range(1, n + 1))


def predictions(
    seed: int, n_classes: int = 10, n_runs: int = 4, by_run: int = 6, signal: Sequence[float] = (0,)
) -> Predictions:
    """Return decodings whose log odds are noise, and ``signal`` for the right class.

    Class n has the n-th signal; the last one goes for all that follow.
    """
    rng = np.random.default_rng(seed)
    classes = wnids(n_classes)
    shown = np.tile(np.repeat(np.arange(n_classes), by_run), n_runs)
    runs = np.repeat(np.arange(1, n_runs + 1), n_classes * by_run)
    logs = rng.normal(0, 1, (len(shown), n_classes))
    strength = np.array([signal[min(index, len(signal) - 1)] for index in shown])
    logs[np.arange(len(shown)), shown] += strength
    odds = np.exp(logs)
    trials = tuple(
        LiveTrial("record", int(run), int(run), 1, n, classes[wnid], f"{n}.png", float("nan"))
        for n, (run, wnid) in enumerate(zip(runs, shown, strict=True), start=1)
    )
    folds = [f"run {run}" for run in runs]
    return Predictions(trials, folds, classes, odds / odds.sum(axis=1, keepdims=True))


def rule(
    n_classes: int | None = 3,
    repetitions: int = 2,
    threshold: float | None = None,
    n_candidates: int = 10,
) -> Rule:
    return Rule(wnids(n_candidates), n_classes, threshold, repetitions)


def opens(found: Prospect) -> bool:
    return not found.refusal


@pytest.mark.parametrize(
    "asked",
    [rule(), rule(5, 1), rule(None, 1), rule(2, 3, 0.8)],
    ids=["3 of 10 twice", "5 of 10 once", "all once", "2 of 10, at most thrice"],
)
def test_the_gate_stays_shut_for_a_brain_that_does_not_answer(asked: Rule) -> None:
    opened = sum(opens(prospect(predictions(seed), asked, seed)) for seed in range(N_NULL))
    assert binomtest(opened, N_NULL, 0.025, alternative="greater").pvalue > 0.01


def test_classes_chosen_on_what_they_are_tested_on_would_open_it_far_more_often() -> None:
    """Without this difference the nested choice would be an ornament."""
    opened = 0
    for seed in range(60):
        data = predictions(seed)
        chosen = prospect(data, rule(repetitions=1), seed).classes
        opened += opens(prospect(data, Rule(chosen, None, None, 1), seed))
    assert opened > 60 * 0.15


def test_the_gate_opens_for_a_brain_that_answers_and_says_how_well() -> None:
    opened = 0
    covered = 0
    for seed in range(30):
        found = prospect(predictions(seed, signal=[1.0]), rule(), seed)
        fresh = prospect(
            predictions(1000 + seed, signal=[1.0], n_runs=12), Rule(found.classes, None, None, 2), 0
        )
        opened += opens(found)
        covered += found.low <= fresh.n_correct / fresh.n_decided <= found.high
    assert opened >= 25
    assert covered >= 25


def test_more_repetitions_get_more_trials_right() -> None:
    data = predictions(3, signal=[0.8], by_run=20)
    once, often = (prospect(data, rule(None, n), 1) for n in (1, 5))
    accuracies = [each.n_correct / each.n_decided for each in (once, often)]
    assert accuracies[1] > accuracies[0] + 0.2


def test_a_high_threshold_decides_fewer_trials_and_more_of_them_rightly() -> None:
    data = predictions(4, signal=[1.0], by_run=20)
    low, high = (prospect(data, rule(3, 4, threshold), 1) for threshold in (0.5, 0.95))
    assert high.n_decided < low.n_decided == low.n_trials
    assert high.n_correct / high.n_decided > low.n_correct / low.n_decided


def test_no_decoding_is_used_for_two_trials_and_every_class_has_as_many() -> None:
    found = prospect(predictions(5, by_run=7), rule(None, 2, n_candidates=3), 1)
    assert found.n_trials == 4 * 3 * (7 // 2)
    assert len(found.donors) == found.n_trials


def test_the_first_part_only_chooses_where_classes_are_chosen() -> None:
    found = prospect(predictions(5, by_run=7), rule(3, 2), 1)
    assert found.n_trials == 3 * 3 * (7 // 2)
    assert len(found.donors) == 4 * 3 * (7 // 2)


def test_donors_are_verdicts_on_the_classes_of_the_prospect_in_their_order() -> None:
    found = prospect(predictions(5, signal=[2.0]), rule(3, 2), 1)
    assert {donor.wnid for donor in found.donors} == set(found.classes)
    for donor in found.donors:
        assert donor.wnid == found.classes[int(np.argmax(donor.posterior))]


def test_a_class_that_a_part_lacks_makes_no_trial_of_that_part() -> None:
    data = predictions(5, signal=[2.0])
    kept = [i for i, t in enumerate(data.trials) if not (t.run == 2 and t.wnid == wnids(1)[0])]
    fewer = Predictions(
        [data.trials[i] for i in kept],
        [data.folds[i] for i in kept],
        data.classes,
        data.probabilities[kept],
    )
    found = prospect(fewer, rule(None, 2, n_candidates=3), 1)
    assert found.n_trials == 3 * 3 * 3


def test_a_handful_of_lucky_trials_does_not_open_it() -> None:
    found = prospect(
        predictions(1, n_classes=5, n_runs=1, by_run=1, signal=[9.0]),
        rule(None, 1, n_candidates=5), 1,
    )  # fmt: skip
    assert found.n_correct == found.n_decided == 5
    assert found.low > found.chance
    assert "fewer than 6" in found.refusal


def test_it_is_the_middle_of_many_groupings_that_counts() -> None:
    """Were it one alone, the seed would move it more."""
    data = predictions(11, signal=[0.5], by_run=12)
    found = [prospect(data, rule(None, 4), seed).n_correct for seed in range(12)]
    alone = []
    for seed in range(12):
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr("phosphene.analysis.prospect.N_GROUPINGS", 1)
            alone.append(prospect(data, rule(None, 4), seed).n_correct)
    assert np.std(found) < np.std(alone) / 2


def test_a_confounded_design_never_opens_it() -> None:
    found = prospect(predictions(6, signal=[5.0]), rule(), 1, CONFOUNDED)
    assert CONFOUNDED in found.refusal
    accuracy = expected(found)
    assert accuracy
    assert CONFOUNDED in str(accuracy)


def test_a_refusal_says_what_was_expected_with_chance_and_interval() -> None:
    refusal = prospect(predictions(7), rule(), 1).refusal
    assert "chance 33.3 %" in refusal
    assert "95 % interval" in refusal
    assert "chance is not ruled out" in refusal


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (rule(n_classes=11), "11 of 10 classes"),
        (rule(n_candidates=12, n_classes=None), "feedback is to show n00000011, n00000012"),
        (rule(repetitions=100), "has 100 decodings of each class"),
        (Rule((), 3, None, 1), "3 of 0 classes"),
    ],
)
def test_what_cannot_be_known_is_refused_in_words(asked: Rule, words: str) -> None:
    found = prospect(predictions(8, signal=[3.0]), asked, 1)
    assert words in found.refusal
    assert found.donors == ()


def test_classes_cannot_be_chosen_and_tested_on_one_part() -> None:
    found = prospect(predictions(8, n_runs=1, signal=[3.0]), rule(), 1)
    assert "record more runs or blocks" in found.refusal


@pytest.mark.parametrize("size", [2, 3, 5])
def test_the_classes_are_those_that_the_decoder_tells_apart(size: int) -> None:
    data = predictions(12, signal=[3.0] * size + [0.0], by_run=12)
    assert prospect(data, rule(size), 1).classes == wnids(size)


def test_the_same_seed_gives_the_same_prospect() -> None:
    data = predictions(9, signal=[1.0])
    assert prospect(data, rule(), 4) == prospect(data, rule(), 4)


def test_predictions_are_read_as_they_were_written(tmp_path: Path) -> None:
    file = tmp_path / "predictions.tsv"
    written = predictions(10)
    written.write(file)
    found = read_predictions(file)
    assert found
    assert (found.folds, found.classes, found.wnids) == (
        tuple(written.folds), written.classes, written.wnids,
    )  # fmt: skip
    np.testing.assert_allclose(found.probabilities, written.probabilities, rtol=1e-5)
    assert read_predictions(file.with_name("none.tsv")) is None
