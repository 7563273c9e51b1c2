"""Epochs with artefacts are neither learnt from nor decoded, in training, evaluation and live."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phosphene import Epochs, PhospheneError
from phosphene.analysis.predictions import read_decodings
from phosphene.bundle import load_bundle, read_card
from phosphene.feedback_table import read_trials
from phosphene.journal import read_journal
from phosphene.launch import run_virtual
from phosphene.messages import Decoded
from phosphene.registry import load_registry
from phosphene.rejection import Rejection, RejectSettings
from phosphene.roles.catalogue import House
from phosphene.settings import load_settings
from phosphene.states import State
from phosphene.testing.material import make_spec

SPEC = make_spec(250.0)


def epochs(n: int = 60, seed: int = 0) -> Epochs:
    """Return noise of 10 uV."""
    data = 1e-5 * np.random.default_rng(seed).standard_normal((n, SPEC.n_channels, 125))
    return Epochs(data.astype(np.float32), SPEC, 0.0)


def spoilt(artefact: str) -> Epochs:
    """Return epochs of which the third has an artefact in one channel or, muscle, in all."""
    found = epochs()
    data = found.data.copy()
    match artefact:
        case "amplitude":
            data[2, 0] += 3e-4 * np.hanning(125)
        case "gradient":
            data[2, 0, 60:] += 1.5e-4
        case "flat":
            data[2, 0] = 1e-9
        case "muscle":
            data[2] += 4e-5 * (-1.0) ** np.arange(125)
    return Epochs(data.astype(np.float32), SPEC, 0.0)


AUTO = RejectSettings(flat="auto")


@pytest.mark.parametrize("artefact", ["amplitude", "gradient", "flat", "muscle"])
def test_limits_that_are_learnt_find_each_artefact_and_nothing_else(artefact: str) -> None:
    only = dict.fromkeys(("amplitude", "gradient", "flat", "muscle"))
    rejection = Rejection(RejectSettings(**{**only, artefact: "auto"}))  # type: ignore[arg-type]
    rejection.fit(spoilt(artefact))
    reasons = rejection.reasons(spoilt(artefact))
    assert [row for row, reason in enumerate(reasons) if reason] == [2]
    assert reasons[2].startswith(f"{artefact}: ")
    assert "is allowed" in reasons[2]


def test_clean_noise_is_hardly_ever_lost() -> None:
    rejection = Rejection(AUTO)
    rejection.fit(epochs(200))
    assert rejection.kept(epochs(2000, seed=1)).mean() > 0.99


def test_limits_that_are_given_are_those_that_hold() -> None:
    rejection = Rejection(RejectSettings(amplitude=1e-4, gradient=None, muscle=None))
    rejection.fit(spoilt("amplitude"))
    assert rejection.limits == {"amplitude": 1e-4}
    [reason] = [each for each in rejection.reasons(spoilt("amplitude")) if each]
    assert reason.startswith("amplitude: peak to peak of 3")
    assert reason.endswith(" uV; at most 100.00 is allowed")


def test_limits_that_leave_nothing_are_refused_in_words() -> None:
    rejection = Rejection(RejectSettings(amplitude=1e-6))
    with pytest.raises(PhospheneError, match="every one of 60 training epochs is rejected, for ex"):
        rejection.fit(epochs())


@given(st.lists(st.integers(0, 59), unique=True, min_size=1))
@settings(max_examples=30, deadline=None)
def test_an_epoch_is_judged_alike_alone_and_among_others(rows: list[int]) -> None:
    rejection, found = Rejection(AUTO), spoilt("gradient")
    rejection.fit(found)
    every = rejection.reasons(found)
    assert [rejection.reasons(found[[row]])[0] for row in rows] == [every[row] for row in rows]


def test_limits_survive_saving_and_others_are_refused() -> None:
    rejection = Rejection(AUTO)
    rejection.fit(epochs())
    again = Rejection(AUTO)
    again.load(rejection.state())
    assert again.limits == rejection.limits
    with pytest.raises(PhospheneError, match="limits of rejection: expected amplitude, flat"):
        again.load({"amplitude": np.array(1.0)})


SESSION = """
format: 1
protocol: [record, train, feedback]
stimuli: {{standin: {{classes: 4, images: 20, gallery: 2, size: 32}}}}
acquisition: {{simulated: {{channels: 16, sfreq: 250, strength: 0.8, blinks: 0, pops: {pops}}}}}
stream: [{{bandpass: {{low: 14, high: 70, order: 4}}}}]
epochs: {{tmin: 0.02, tmax: 0.5, steps: [standardise], reject: {{amplitude: {limit}}}}}
decoder: power-lr
generator: retrieval
paradigm: {{interleaved: {{runs: 2, blocks: 8, pause: 1, cue: 0.5}}}}
feedback: {{feedback: {{blocks: 2, trials: 12, classes: 4, pause: 1, cue: 0.5}}}}
closed_loop: {{override_gate: true}}
screen: {{kind: headless, refresh_rate: 60}}
clock: virtual
output: {output}
cache: {output}/cache
"""


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A loop whose subject has electrodes that pop."""
    place = tmp_path_factory.mktemp("rejection")
    file = place / "session.yaml"
    file.write_text(SESSION.format(output=place / "study", pops=40, limit=0.00012))
    registry, who = load_registry(), {"subject": "01", "session": "01"}
    status = run_virtual(load_settings(file, registry, who), registry, lambda _message: None)
    assert status.state is State.FINISHED, status.problem
    return House.of(Path(status.folder))


def test_what_was_rejected_in_training_is_on_the_bundles_card(session: House) -> None:
    card = read_card(session.folder.bundles()[-1])
    assert card.n_epochs == 64
    assert 0 < sum(card.rejected.values()) < 32
    assert card.rejected.keys() <= set(card.classes)
    assert card.epochs.reject == RejectSettings(amplitude=0.00012)
    load_bundle(session.folder.bundles()[-1], session.registry, session.context)


def test_live_epochs_with_artefacts_are_not_decoded_and_say_why(session: House) -> None:
    lines = read_journal(session.folder.journal_file)
    entries = [line.entry for line in lines if isinstance(line.entry, Decoded)]
    rejected = [entry for entry in entries if entry.rejected]
    assert 0 < len(rejected) < len(entries) == 24
    assert all("is allowed" in each.rejected for each in rejected)
    assert not any(each.probabilities for each in rejected)
    live = read_decodings(session.folder.decodings_file)
    assert live
    assert len(live.rejected) == len(rejected)
    assert len(live.trials) == 24 - len(rejected)


def test_a_trial_of_rejected_epochs_has_no_decision_and_blames_no_worker(session: House) -> None:
    lines = read_journal(session.folder.journal_file)
    rejected = [x.entry for x in lines if isinstance(x.entry, Decoded) and x.entry.rejected]
    places = {(each.onset.block, each.onset.trial) for each in rejected}
    outcomes = {
        trial.outcome
        for trial in read_trials(session.folder.feedback_file)
        if (trial.block, trial.trial) in places
    }
    assert outcomes == {"no decision"}


def test_rejected_trials_are_counted_by_class(session: House) -> None:
    from phosphene.analysis.evaluation import describe, evaluate_session

    found = evaluate_session(session.folder, session.registry, session.context)
    judged = found.cross_validation
    assert judged
    assert judged.rejected
    assert judged.n_trials + sum(judged.rejected.values()) == 64
    assert any("rejected as artefacts, by class:" in line for line in describe(judged))
