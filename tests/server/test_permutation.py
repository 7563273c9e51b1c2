"""What may change places in which design, and how surprising decodings then are."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import kstest
from sklearn.metrics import cohen_kappa_score, f1_score

from phosphene.analysis.crossvalidation import Evaluation
from phosphene.analysis.metrics import CONFOUNDED, accuracy, accuracy_over, confusion
from phosphene.analysis.permutation import permute_labels, relabel_classes
from phosphene.analysis.scores import scores
from phosphene.analysis.subjects import over_subjects
from phosphene.analysis.units import units_of
from phosphene.events import Onset

CLASSES = ("a", "b", "c", "d")


def trials(blocks: Sequence[Sequence[str]], runs: int = 2) -> list[Onset]:
    found = []
    for number, block in enumerate(blocks):
        run = 1 + runs * number // len(blocks)
        for place, wnid in enumerate(block, start=1):
            where = ("record", run, number + 1, 1, place, wnid, f"{wnid}-{len(found)}", "")
            found.append(Onset(len(found), "stimulus", len(found), len(found), 0.5, *where))
    return found


def mixed(n_blocks: int = 10) -> list[Onset]:
    rng = np.random.default_rng(n_blocks)
    return trials([rng.permutation(CLASSES).tolist() for _ in range(n_blocks)])


def pure(repeats: int = 4, images: int = 5) -> list[Onset]:
    rng = np.random.default_rng(repeats)
    order = [wnid for _ in range(repeats) for wnid in rng.permutation(CLASSES).tolist()]
    return trials([[wnid] * images for wnid in order], repeats)


def certain(decoded: Sequence[str]) -> np.ndarray:
    return np.array([[float(wnid == each) for wnid in CLASSES] for each in decoded])


def p_of(shown: Sequence[Onset], decoded: Sequence[str], seed: int = 0) -> float:
    labels, rng = [trial.wnid for trial in shown], np.random.default_rng(seed)
    found = permute_labels(labels, CLASSES, certain(decoded), units_of(shown), rng)
    assert found.p is not None
    return found.p


# Units


def test_trials_of_mixed_blocks_change_places_within_their_block() -> None:
    units = units_of(mixed())
    assert (units.kind, units.n, units.single) == ("trial", 40, True)
    assert len(set(units.within.tolist())) == 10


def test_whole_blocks_of_one_class_change_places_within_their_run() -> None:
    units = units_of(pure())
    assert (units.kind, units.n, units.single) == ("block", 16, False)
    assert len(set(units.within.tolist())) == 4


def test_runs_of_one_class_let_their_blocks_change_places_in_the_session() -> None:
    units = units_of(trials([["a"] * 3, ["a"] * 3, ["b"] * 3, ["b"] * 3], runs=2))
    assert (units.kind, len(set(units.within.tolist()))) == ("block", 1)


# Permutation


def test_decodings_that_are_right_are_surprising_and_constant_ones_are_not() -> None:
    shown = mixed()
    assert p_of(shown, [trial.wnid for trial in shown]) == pytest.approx(1 / 5000)
    assert p_of(shown, ["a"] * len(shown)) == 1


def test_decodings_that_follow_the_block_and_not_the_class_are_not_surprising() -> None:
    """Blocks with fewer than all classes: who knows the block has hits, and no knowledge."""
    shown = trials([["a", "a", "b"], ["c", "c", "d"]] * 6)
    follows = ["a" if trial.block % 2 else "c" for trial in shown]
    assert p_of(shown, follows) == 1


def test_p_of_guesses_is_uniform_or_larger() -> None:
    shown, rng = mixed(12), np.random.default_rng(1)
    found = [p_of(shown, rng.choice(CLASSES, len(shown)).tolist(), seed) for seed in range(200)]
    assert kstest(found, "uniform", alternative="greater").pvalue > 0.001
    assert np.mean(np.array(found) <= 0.05) < 0.1


def test_p_of_drifting_blocks_of_one_class_is_no_smaller_than_it_should_be() -> None:
    """Every block is decoded as one class, picked at random: trials are far from independent."""
    shown, rng = pure(), np.random.default_rng(2)
    found = []
    for seed in range(200):
        of_block = rng.choice(CLASSES, 17)
        found.append(p_of(shown, [str(of_block[trial.block]) for trial in shown], seed))
    assert np.mean(np.array(found) <= 0.05) < 0.1


@given(st.integers(2, 6), st.integers(0, 1000))
@settings(max_examples=20, deadline=None)
def test_relabelling_few_classes_tries_every_order(n: int, seed: int) -> None:
    counts = np.random.default_rng(seed).integers(0, 9, (n, n))
    found = relabel_classes(counts, np.random.default_rng(0))
    assert found.n == int(np.prod(range(1, n + 1)))
    assert found.p is not None
    assert 1 / found.n <= found.p <= 1


# Scores


@given(st.lists(st.tuples(st.sampled_from(CLASSES), st.sampled_from(CLASSES)), min_size=8))
@settings(max_examples=50, deadline=None)
def test_macro_f1_and_kappa_are_those_of_scikit_learn(pairs: list[tuple[str, str]]) -> None:
    shown = [*CLASSES, *(pair[0] for pair in pairs)]
    decoded = [*CLASSES[::-1], *(pair[1] for pair in pairs)]
    right = np.array(shown) == np.array(decoded)
    top = accuracy_over(right, None, 0.25)
    f1, kappa = scores(shown, decoded, CLASSES, None, top)
    assert f1.value == pytest.approx(f1_score(shown, decoded, average="macro"))
    assert kappa.value == pytest.approx(cohen_kappa_score(shown, decoded))
    assert f1.low <= f1.value <= f1.high
    assert kappa.low <= kappa.value <= kappa.high


def test_an_interval_over_blocks_is_wider_than_one_over_trials() -> None:
    right = np.repeat([True, False, True, False, True, False], 20)
    blocks = np.repeat(np.arange(6), 20)
    alone, over = accuracy_over(right, None, 0.25), accuracy_over(right, blocks, 0.25)
    assert (alone.n_correct, over.n_correct) == (60, 60)
    assert over.high - over.low > 2 * (alone.high - alone.low)
    assert "over 6 units" in str(over)


def test_intervals_over_blocks_hold_the_truth_as_often_as_they_say() -> None:
    rng, held = np.random.default_rng(3), 0
    blocks = np.repeat(np.arange(12), 10)
    for _ in range(300):
        of_block = rng.beta(2, 6, 12)  # Blocks differ; on average 25 % are right.
        found = accuracy_over(rng.random(120) < of_block[blocks], blocks, 0.25)
        held += found.low <= 0.25 <= found.high
    assert held / 300 > 0.92


# Over subjects


def evaluation(share: float, label: str = "") -> Evaluation:
    n = 100
    wnids, hits = ["a", "b"] * (n // 2), round(share * n)
    decoded = [wnid if i < hits else "b" if wnid == "a" else "a" for i, wnid in enumerate(wnids)]
    counts = confusion(wnids, ("a", "b"), np.array([[d == "a", d == "b"] for d in decoded], float))
    return Evaluation(
        decoder={"x": {}}, split="paper", nested=bool(label), label=label, n_trials=n,
        classes={"a": "a", "b": "b"}, top=(accuracy(hits, n, 0.5, label=label),), by_class={},
        by_fold={}, confusion=tuple(map(tuple, counts.tolist())),
    )  # fmt: skip


def test_over_subjects_it_is_the_subjects_that_count() -> None:
    one = [("01", evaluation(0.6)), ("01", evaluation(0.8)), ("02", evaluation(0.5))]
    [found] = over_subjects(one)
    assert found.by_subject == pytest.approx({"01": 0.7, "02": 0.5})
    assert found.mean == pytest.approx(0.6)
    assert "over 2 subjects (chance 50.0 %, 95 % interval" in str(found)
    assert over_subjects(one[:2]) == ()


def test_one_nested_design_labels_what_is_said_of_all() -> None:
    [found] = over_subjects([("01", evaluation(0.9)), ("02", evaluation(0.9, CONFOUNDED))])
    assert str(found).endswith(CONFOUNDED)
    assert not found.above_chance
