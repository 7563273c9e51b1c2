"""Evidence: repetitions add up; it is decided once it is enough, and not at all if it is not."""

from math import nan

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from phosphene.errors import PhospheneError
from phosphene.evidence import Evidence
from phosphene.messages import Verdict

KNOWN = ("n1", "n2", "n3", "n4")
CLASSES = ("n3", "n1")
FOR_N3 = (0.1, 0.5, 0.3, 0.1)
"""Three to one for n3 against n1, whatever the decoder thinks of the others."""
FOR_N1 = (0.3, 0.5, 0.1, 0.1)
EVEN = (0.25,) * 4


def verdict_of(*decodings: tuple[float, ...], threshold: float | None = None) -> Verdict | None:
    evidence = Evidence(CLASSES, threshold, len(decodings))
    found = None
    for decoding in decodings:
        found = evidence.add(KNOWN, decoding)
    return found


def test_the_likeliest_class_is_decided_for_after_the_last_repetition() -> None:
    evidence = Evidence(CLASSES, None, 2)
    assert evidence.add(KNOWN, FOR_N3) is None
    found = evidence.add(KNOWN, FOR_N3)
    assert found
    assert (found.wnid, found.repetitions) == ("n3", 2)
    assert found.posterior == pytest.approx((0.9, 0.1))


def test_a_threshold_decides_as_soon_as_it_is_reached() -> None:
    evidence = Evidence(CLASSES, 0.85, 5)
    assert evidence.add(KNOWN, FOR_N3) is None
    found = evidence.add(KNOWN, FOR_N3)
    assert found
    assert (found.wnid, found.repetitions) == ("n3", 2)


def test_a_threshold_that_is_not_reached_is_no_decision() -> None:
    found = verdict_of(FOR_N3, FOR_N1, FOR_N3, threshold=0.9)
    assert found
    assert (found.wnid, found.repetitions) == ("", 3)
    assert found.posterior == pytest.approx((0.75, 0.25))


@pytest.mark.parametrize("threshold", [None, 0.4])
def test_classes_that_are_equally_likely_are_no_decision(threshold: float | None) -> None:
    found = verdict_of(EVEN, threshold=threshold)
    assert found == Verdict("", 1, (0.5, 0.5))


def test_an_epoch_that_is_skipped_counts_and_says_nothing() -> None:
    evidence = Evidence(CLASSES, None, 3)
    evidence.add(KNOWN, FOR_N3)
    before = evidence.posterior
    assert evidence.skip() is None
    assert evidence.posterior == before
    found = evidence.skip()
    assert found == Verdict("n3", 3, before)


def test_a_trial_of_nothing_but_skipped_epochs_is_no_decision() -> None:
    evidence = Evidence(CLASSES, None, 1)
    assert evidence.skip() == Verdict("", 1, (0.5, 0.5))


@pytest.mark.parametrize("nothing", [0.0, nan])
def test_one_decoding_rules_no_class_out_for_good(nothing: float) -> None:
    evidence = Evidence(CLASSES, None, 30)
    evidence.add(KNOWN, (1.0, 0.0, nothing, 0.0))
    assert evidence.posterior[0] > 0
    for _ in range(29):
        evidence.add(KNOWN, FOR_N3)
    assert evidence.posterior[0] > 0.98


def test_a_decoder_that_knows_too_few_classes_is_refused_in_words() -> None:
    with pytest.raises(PhospheneError, match="does not know the classes n3"):
        Evidence(CLASSES, None, 1).add(("n1", "n2"), (0.5, 0.5))


@given(st.lists(st.lists(st.floats(0.01, 1), min_size=4, max_size=4), min_size=1, max_size=6))
def test_the_order_of_the_decodings_does_not_matter(decodings: list[list[float]]) -> None:
    ways = [Evidence(KNOWN, None, len(decodings)) for _ in range(2)]
    for way, given_order in zip(ways, (decodings, decodings[::-1]), strict=True):
        for decoding in given_order:
            way.add(KNOWN, decoding)
    np.testing.assert_allclose(ways[0].posterior, ways[1].posterior, atol=1e-12)
    assert sum(ways[0].posterior) == pytest.approx(1)
