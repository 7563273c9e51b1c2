"""How many trials a session needs, and what a session of them is."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest
from typer.testing import CliRunner

from phosphene.analysis.power import Question, power_of, trials_needed
from phosphene.analysis.trial_budget import budgets
from phosphene.cli import app


@pytest.mark.parametrize(
    ("expected", "about"), [(0.04, 920), (0.05, 390), (0.06, 230), (0.08, 120)]
)
def test_it_takes_about_as_many_trials_as_the_design_document_says(
    expected: float, about: int
) -> None:
    assert trials_needed(Question(40, expected)) == pytest.approx(about, rel=0.08)


@given(st.integers(2, 40), st.floats(1.5, 4))
@settings(max_examples=25, deadline=None)
def test_from_the_answer_on_the_power_suffices_and_just_before_it_does_not(
    classes: int, times_chance: float
) -> None:
    question = Question(classes, min(0.95, times_chance / classes))
    n = trials_needed(question)
    assert min(power_of(question, more) for more in range(n, n + 200)) >= question.power
    assert n == 1 or power_of(question, n - 1) < question.power


def test_the_power_is_what_simulated_experiments_reach() -> None:
    question, n = Question(10, 0.2), 80
    hits = np.random.default_rng(0).binomial(n, question.expected, 2000)
    significant = [
        binomtest(int(k), n, question.chance, alternative="greater").pvalue <= question.alpha
        for k in hits
    ]
    assert np.mean(significant) == pytest.approx(power_of(question, n), abs=0.03)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"classes": 1, "expected": 0.5}, "classes must be at least 2; found 1"),
        ({"classes": 4, "expected": 0.25}, "between chance, 0.25, and 1; found 0.25"),
        ({"classes": 4, "expected": 0.5, "power": 1.0}, "power must lie between 0 and 1"),
    ],
)
def test_questions_without_an_answer_are_refused(wrong: dict[str, float], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        Question(**wrong)  # type: ignore[arg-type]


def test_every_design_has_as_many_trials_as_it_takes_or_says_that_none_would_do() -> None:
    question = Question(40, 0.06)
    n = trials_needed(question)
    first, gap, repeated, nested = budgets(question, n)
    for each in (first, gap, repeated):
        assert each.trials >= n
        assert each.runs >= 2
        assert each.blocks % each.runs == 0
    # 6 blocks of 40 images of 0.5 s and a pause of 10 s; the first pause comes before.
    assert (first.blocks, first.trials) == (6, 240)
    assert first.minutes == pytest.approx(6 * (40 * 0.5 + 10) / 60)
    assert gap.minutes == pytest.approx(first.minutes + 240 * 0.25 / 60)
    assert (nested.design, nested.trials) == ("brain2image", 0)
    assert "nothing, with any number of trials" in nested.verdict


def test_the_command_recommends_a_design_that_can_show_something() -> None:
    done = CliRunner().invoke(
        app, ["plan", "--classes", "40", "--expected", "0.06"], env={"COLUMNS": "200"}
    )
    assert done.exit_code == 0, done.output
    assert "takes 226 test trials" in done.output
    assert "Recommended: interleaved, 2 runs of 3 blocks, 3 minutes." in done.output
    found = json.loads(CliRunner().invoke(app, ["plan", "--expected", "0.04", "--json"]).output)
    assert found["trials"] == trials_needed(Question(40, 0.04))
    assert [each["design"] for each in found["designs"]][-1] == "brain2image"


def test_an_accuracy_at_chance_is_refused_in_words() -> None:
    done = CliRunner().invoke(app, ["plan", "--expected", "0.02"], env={"COLUMNS": "200"})
    assert done.exit_code == 2
    assert "must lie between chance, 0.025, and 1" in done.output
