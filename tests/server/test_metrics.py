"""Metrics: an accuracy is never without chance, interval and, where it applies, its label."""

import math

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phosphene.analysis.metrics import (
    CONFOUNDED,
    Accuracy,
    accuracy,
    accuracy_by,
    chance,
    confusion,
    top_accuracies,
)


def certain(decoded: list[str], classes: list[str]) -> np.ndarray:
    return np.array([[float(wnid == each) for each in classes] for wnid in decoded])


def test_the_interval_is_that_of_clopper_and_pearson() -> None:
    # Their paper's figures for 8 of 10, to the digits of the R function binom.test.
    found = accuracy(8, 10, chance=0.5)
    assert (found.low, found.high) == pytest.approx((0.4439045, 0.9747893), abs=1e-6)


@given(n=st.integers(1, 60), data=st.data())
def test_the_interval_holds_the_fraction_and_ends_at_0_and_1(n: int, data: st.DataObject) -> None:
    found = accuracy(data.draw(st.integers(0, n)), n, chance=0.1)
    assert 0 <= found.low <= found.fraction <= found.high <= 1
    assert (found.low == 0) == (found.n_correct == 0)
    assert (found.high == 1) == (found.n_correct == n)


@settings(max_examples=10)
@given(n=st.integers(1, 30), p=st.floats(0.02, 0.98))
def test_the_interval_covers_the_truth_in_at_least_95_of_100_cases(n: int, p: float) -> None:
    covered = 0.0
    for k in range(n + 1):
        found = accuracy(k, n, chance=0.5)
        if found.low <= p <= found.high:
            covered += math.comb(n, k) * p**k * (1 - p) ** (n - k)
    assert covered >= 0.95 - 1e-9


def test_an_accuracy_as_text_has_chance_interval_and_number_of_trials() -> None:
    assert str(accuracy(30, 60, chance=0.1)) == (
        "50.0 % of 60 trials (chance 10.0 %, 95 % interval 36.8 to 63.2 %)"
    )


def test_an_accuracy_of_a_nested_design_says_so_in_text_and_in_json() -> None:
    found = accuracy(59, 60, chance=0.1, label=CONFOUNDED)
    assert str(found).endswith(": confounded by design: not evidence of decoding")
    assert f"{found}" == str(found)
    assert CONFOUNDED in msgspec.json.encode(found).decode()
    assert not found.above_chance


def test_above_chance_means_the_whole_interval() -> None:
    assert accuracy(30, 60, chance=0.1).above_chance
    assert not accuracy(8, 60, chance=0.1).above_chance


def test_right_means_among_the_k_most_probable_and_k_ends_below_the_number_of_classes() -> None:
    classes = ["a", "b", "c", "d"]
    probabilities = np.array([[0.4, 0.3, 0.2, 0.1]] * 4)
    top = top_accuracies(classes, classes, probabilities)
    assert [(each.k, each.n_correct, each.n_trials) for each in top] == [(1, 1, 4), (3, 3, 4)]
    assert [each.chance for each in top] == [0.25, 0.75]


def test_a_decoder_that_prefers_nothing_is_never_right() -> None:
    classes = [f"n{i}" for i in range(10)]
    top = top_accuracies(classes, classes, np.full((10, 10), 0.1))
    assert [each.n_correct for each in top] == [0, 0, 0]


def test_chance_is_what_guessing_the_most_frequent_classes_scores() -> None:
    assert chance(["a", "b"] * 5) == 0.5
    assert chance(["a"] * 8 + ["b"] * 2) == 0.8
    assert chance([f"n{i}" for i in range(40)] * 3, k=5) == 0.125


def test_accuracies_of_classes_keep_chance_and_label() -> None:
    found = accuracy_by(["a", "b", "a"], np.array([True, False, False]), 0.5, CONFOUNDED)
    assert (found["a"].n_correct, found["a"].n_trials) == (1, 2)
    assert (found["b"].n_correct, found["b"].n_trials) == (0, 1)
    assert {each.chance for each in found.values()} == {0.5}
    assert {each.label for each in found.values()} == {CONFOUNDED}


def test_confusions_are_counted_by_shown_and_decoded_class() -> None:
    classes = ["a", "b", "c"]
    probabilities = certain(["b", "b", "c"], classes)
    counts = confusion(["a", "b", "b"], classes, probabilities)
    assert counts.tolist() == [[0, 1, 0], [0, 1, 1], [0, 0, 0]]


@given(st.permutations(["a", "b", "c", "d", "e", "f"]), st.integers(0, 99))
def test_the_order_of_the_columns_does_not_matter(order: list[str], seed: int) -> None:
    rng = np.random.default_rng(seed)
    classes = sorted(order)
    probabilities = rng.dirichlet(np.ones(6), 12)
    wnids = rng.choice(classes, 12).tolist()
    shuffled = probabilities[:, [classes.index(wnid) for wnid in order]]
    expected = top_accuracies(wnids, classes, probabilities)
    assert top_accuracies(wnids, order, shuffled) == expected


def test_an_accuracy_survives_json() -> None:
    found = accuracy(3, 7, chance=0.2, k=3, label=CONFOUNDED)
    assert msgspec.json.decode(msgspec.json.encode(found), type=Accuracy) == found
