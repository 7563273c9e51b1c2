"""Retraining: what each decoder saw, which one is taken, and what is said of it."""

import json
import os
import signal
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from phosphene import (
    Context,
    Decoder,
    DecoderConfig,
    Decoding,
    Epochs,
    Onset,
    Signal,
    SignalSpec,
    StimulusSet,
    TrainingSet,
)
from phosphene.analysis.metrics import CONFOUNDED
from phosphene.analysis.retraining import Judged, compare
from phosphene.bundle import load_bundle, read_card
from phosphene.choice import Chosen
from phosphene.clock import RealClock
from phosphene.dataset.study import SessionFolder
from phosphene.dataset.xdf import XdfWriter
from phosphene.journal import Journal
from phosphene.messages import BlockDone, BlockStarted, Message, Retrain, Retrained, Train
from phosphene.registry import Registry, load_registry
from phosphene.roles.catalogue import House
from phosphene.settings import EpochSettings, Settings, load_settings
from phosphene.tasks import retrain, train

SPEC = SignalSpec(("Fz", "Cz", "Oz"), ("eeg",) * 3, 250.0)
CONTEXT = Context(StimulusSet(Path(), {}, ()))
WNIDS = ("n00000001", "n00000002")
START = 1000.0
N_IMAGES = 12
"""Of a run: two blocks of six; in feedback each has three trials of two images."""


class Spy:
    """Finds the class in the channel with most power, and is as sure of it as it was told to be."""

    classes = WNIDS

    def __init__(self, sure: float) -> None:
        self.sure = sure

    def decode(self, epochs: Epochs) -> Decoding:
        strongest = (epochs.data**2).mean(axis=2)[:, 1:].argmax(axis=1)
        found = np.full((len(epochs), 2), 1 - self.sure)
        found[np.arange(len(epochs)), strongest] = self.sure
        return Decoding(found)

    def save(self, folder: Path) -> None:
        (folder / "spy.json").write_text(json.dumps(self.sure))


class SpyConfig(DecoderConfig, frozen=True):
    """Each feedback run that it is fitted on makes the decoder surer, or less sure."""

    gain: float = 0.0
    interrupted: bool = False

    fits: ClassVar[list[set[tuple[str, int]]]] = []
    """Phase and run of what each fit was given."""

    def fit(self, training_set: TrainingSet, context: Context) -> Decoder:
        runs = {(trial.phase, trial.run) for trial in training_set.trials}
        self.fits.append(runs)
        if self.interrupted and len(runs) > 1:
            try:
                os.kill(os.getpid(), signal.SIGINT)
            except KeyboardInterrupt:
                context.progress(1.0, "as a network does that keeps its best epoch")
        return Spy(0.7 + self.gain * (len(runs) - 1))

    def load(self, folder: Path, context: Context) -> Decoder:
        return Spy(json.loads((folder / "spy.json").read_text()))


class SpyRegistry(Registry):
    def find(self, hook: str, name: str) -> Any:
        return SpyConfig if name == "spy" else super().find(hook, name)

    def provenance(self, hook: str, name: str) -> str:
        return "" if name == "spy" else super().provenance(hook, name)


@pytest.fixture(scope="module")
def registry() -> Registry:
    return SpyRegistry([])


@pytest.fixture(autouse=True)
def fits() -> list[set[tuple[str, int]]]:
    SpyConfig.fits.clear()
    return SpyConfig.fits


@pytest.fixture(scope="module")
def demo() -> Settings:
    who = {"subject": "S01", "session": "01", "decoder": "power-lr"}
    settings = load_settings("demo", load_registry(), who)
    return structs.replace(settings, stream=(), epochs=EpochSettings(0.02, 0.5, ()))


def with_spy(demo: Settings, **settings: Any) -> Settings:
    return structs.replace(demo, decoder=Chosen("spy", SpyConfig(**settings)))


Change = Callable[[Onset], Onset]


def onsets(phase: str, run: int, change: Change = lambda onset: onset) -> list[Onset]:
    """Return one image a second; the classes take turns, in feedback after two images."""
    feedback = phase == "feedback"
    found = []
    for index in range(N_IMAGES):
        trial, repetition = divmod(index % 6, 2) if feedback else (index % 6, 0)
        found.append(
            Onset(
                seq=100 * run + index,
                event="stimulus",
                time=START + 1 + index,
                planned=START + 1 + index,
                duration=0.5,
                phase=phase,
                run=run,
                block=2 * run - 1 + index // 6,
                attempt=1,
                trial=trial + 1,
                wnid=WNIDS[(trial + index // 6) % 2],
                image=f"{phase}-{run}-{index}",
                sha256="ab",
                repetition=repetition + 1,
            )
        )
    return [change(onset) for onset in found]


def write(path: Path, shown: Sequence[Onset], lies: bool = False) -> None:
    """Write a recording in which each class is strong in its own channel, or in the other's."""
    n_times = round((N_IMAGES + 2) * SPEC.sfreq)
    rng = np.random.default_rng(shown[0].seq)
    data = 1e-5 * rng.standard_normal((3, n_times), np.float32)
    for onset in shown:
        first = round((onset.time - START) * SPEC.sfreq)
        data[1 + (WNIDS.index(onset.wnid) + lies) % 2, first : first + 150] *= 4
    writer = XdfWriter(path, SPEC, {"phase": shown[0].phase, "run": str(shown[0].run)})
    writer.write_signal(Signal(data, START + np.arange(n_times) / SPEC.sfreq))
    for onset in shown:
        writer.write_marker(onset)
        answer = structs.replace(onset, event="picture", wnid="sealed", image="")
        writer.write_marker(answer)
    writer.close()


def record(folder: SessionFolder, phase: str, run: int, lies: bool = False, **how: Change) -> None:
    write(folder.new_segment(phase, "x", run), onsets(phase, run, **how), lies)


def abort(folder: SessionFolder, phase: str, run: int, block: int) -> None:
    journal = Journal(folder.journal_file)
    journal.append(BlockStarted(phase, run, block, 1, START))  # type: ignore[arg-type]
    journal.append(BlockDone(phase, run, block, 1, START, 6, 6, 0, True))  # type: ignore[arg-type]
    journal.close()


@pytest.fixture
def folder(tmp_path: Path) -> SessionFolder:
    """A session after its second feedback run."""
    folder = SessionFolder.create(tmp_path / "study", "S01", "01")
    folder.journal_file.touch()
    for phase, run in (("record", 1), ("feedback", 1), ("feedback", 2)):
        record(folder, phase, run)
    return folder


def ordered(folder: SessionFolder, settings: Settings, run: int = 2) -> Retrain:
    """Return the order to retrain a decoder that was fitted on the ``record`` phase."""
    session = str(folder.path)
    trained = train(settings, CONTEXT, Train(session))
    SpyConfig.fits.clear()
    return Retrain(session, trained.bundle, run)


def retrained(
    folder: SessionFolder, settings: Settings, registry: Registry, run: int = 2
) -> Retrained:
    return retrain(settings, registry, CONTEXT, ordered(folder, settings, run))


def filed(folder: SessionFolder) -> list[Retrained]:
    return msgspec.json.decode(folder.retraining_file.read_bytes(), type=list[Retrained])


# What each decoder sees


def test_the_newest_run_is_in_neither_of_the_two_that_are_compared_on_it(
    folder: SessionFolder, demo: Settings, registry: Registry, fits: list[set[tuple[str, int]]]
) -> None:
    settings = with_spy(demo, gain=-0.1)
    order = ordered(folder, settings)
    retrain(settings, registry, CONTEXT, order)
    assert read_card(Path(order.bundle)).runs == {"record": (1,)}
    assert fits == [{("record", 1), ("feedback", 1)}]


def test_what_the_newest_run_claims_changes_neither_decoder(
    tmp_path: Path, demo: Settings, registry: Registry
) -> None:
    """Labels that are all wrong turn what is right into what is wrong, and nothing else."""
    found = []
    for lies in (False, True):
        folder = SessionFolder.create(tmp_path / str(lies), "S01", "01")
        folder.journal_file.touch()
        record(folder, "record", 1)
        record(folder, "feedback", 1)
        record(folder, "feedback", 2, lies=lies)
        found.append(retrained(folder, demo, load_registry()))
    assert [(each.old, each.new) for each in found] == [(1.0, 1.0), (0.0, 0.0)]


def test_after_the_first_run_nothing_is_fitted_because_there_is_nothing_to_compare(
    folder: SessionFolder, demo: Settings, registry: Registry, fits: list[set[tuple[str, int]]]
) -> None:
    found = retrained(folder, with_spy(demo, gain=0.1), registry, run=1)
    assert found == Retrained(
        1,
        0.0,
        0.0,
        0,
        text="after feedback run 1 the decoder stays: it knows every run before that one; there "
        "is no other to compare",
    )
    assert (fits, filed(folder)) == ([], [found])


def test_runs_that_come_later_are_not_looked_at(
    folder: SessionFolder, demo: Settings, registry: Registry, fits: list[set[tuple[str, int]]]
) -> None:
    record(folder, "feedback", 3)
    retrained(folder, with_spy(demo, gain=0.1), registry)
    assert ("feedback", 3) not in set.union(*fits)


def test_set_aside_count_nowhere(folder: SessionFolder, demo: Settings, registry: Registry) -> None:
    settings = with_spy(demo, gain=0.1)
    order = ordered(folder, settings)
    abort(folder, "feedback", 1, 2)
    abort(folder, "feedback", 2, 3)
    found = retrain(settings, registry, CONTEXT, order)
    assert found.n_trials == N_IMAGES // 2
    assert read_card(Path(found.bundle)).n_epochs == 3 * N_IMAGES // 2


def test_nothing_that_is_sealed_is_opened_or_told(
    folder: SessionFolder, demo: Settings, registry: Registry
) -> None:
    for path in (folder.sealed_feedback_file, folder.sealed_arms_file):
        path.parent.mkdir(exist_ok=True)
        path.mkdir()  # Whoever opens it fails.
    found = retrained(folder, with_spy(demo, gain=0.1), registry)
    assert found.n_trials == N_IMAGES
    assert not {"true", "sham", "rehearsal"} & set(found.text.split())


# Which one is taken


def test_a_better_one_is_taken_as_it_was_compared(
    folder: SessionFolder, demo: Settings, registry: Registry, fits: list[set[tuple[str, int]]]
) -> None:
    found = retrained(folder, with_spy(demo, gain=0.1), registry)
    bundle = load_bundle(Path(found.bundle), registry, CONTEXT, found.sha256)
    assert bundle.card.runs == {"record": (1,), "feedback": (1,)}
    assert bundle.card.n_epochs == 2 * N_IMAGES
    assert fits == [{("record", 1), ("feedback", 1)}]
    assert found.text.endswith("the new one is taken")


@pytest.mark.parametrize("gain", [-0.1, 0.0], ids=["worse", "as good"])
def test_one_that_is_no_better_is_not_taken(
    folder: SessionFolder,
    demo: Settings,
    registry: Registry,
    fits: list[set[tuple[str, int]]],
    gain: float,
) -> None:
    found = retrained(folder, with_spy(demo, gain=gain), registry)
    assert (found.bundle, found.sha256, len(fits)) == ("", "", 1)
    assert len(folder.bundles()) == 1
    assert found.text.endswith("the decoder in use stays")


def test_a_real_decoder_recovers_from_a_recording_that_taught_it_wrongly(
    tmp_path: Path, demo: Settings
) -> None:
    folder = SessionFolder.create(tmp_path, "S01", "01")
    folder.journal_file.touch()
    record(folder, "record", 1, lies=True)
    for run in (1, 2, 3):
        record(folder, "feedback", run)
    order = ordered(folder, demo, run=3)
    found = retrain(demo, load_registry(), CONTEXT, order)
    assert (found.old, found.new) == (0.0, 1.0)
    load_bundle(Path(found.bundle), load_registry(), CONTEXT, found.sha256)


def test_every_run_from_the_second_on_compares_whatever_was_taken_before(
    folder: SessionFolder, demo: Settings, registry: Registry
) -> None:
    settings = with_spy(demo, gain=0.05)
    order = ordered(folder, settings)
    found = [retrain(settings, registry, CONTEXT, order)]
    for run in (3, 4):
        record(folder, "feedback", run)
        order = Retrain(order.session, found[-1].bundle, run)
        found.append(retrain(settings, registry, CONTEXT, order))
    assert [each.n_trials for each in found] == [N_IMAGES] * 3
    learnt = [read_card(Path(each.bundle)).runs["feedback"] for each in found]
    assert learnt == [(1,), (1, 2), (1, 2, 3)]
    assert filed(folder) == found


# What is said


def test_accuracies_are_told_with_chance_interval_and_number(
    folder: SessionFolder, demo: Settings, registry: Registry
) -> None:
    found = retrained(folder, with_spy(demo, gain=0.1), registry)
    accuracy = "100.0 % of 12 trials (chance 50.0 %, 95 % interval 73.5 to 100.0 %)"
    gain = 2 * np.log(0.8 / 0.7)
    assert found.text == (
        "single images of feedback run 2, which neither decoder had seen: the decoder in use "
        f"{accuracy}; a new one, fitted on every earlier run, {accuracy}; difference of the log "
        f"score per trial {gain:+.3f} (standard error 0.000, 6 trials): the new one is taken"
    )
    assert (found.old, found.new, found.n_trials) == (1.0, 1.0, 12)


def one_class_a_block(onset: Onset) -> Onset:
    return structs.replace(onset, wnid=WNIDS[onset.block % 2])


@pytest.mark.parametrize("phase", ["record", "feedback"])
def test_a_design_in_which_class_and_time_are_one_is_labelled(
    tmp_path: Path, demo: Settings, registry: Registry, phase: str
) -> None:
    folder = SessionFolder.create(tmp_path, "S01", "01")
    folder.journal_file.touch()
    for each, run in (("record", 1), ("feedback", 1), ("feedback", 2)):
        nested = each == phase
        record(folder, each, run, **({"change": one_class_a_block} if nested else {}))
    assert retrained(folder, with_spy(demo), registry).text.count(CONFOUNDED) == 2


def rare_class(onset: Onset) -> Onset:
    """Show the first class in two trials of the first block, and never again."""
    rare = onset.block % 2 and onset.trial < 3
    return structs.replace(onset, wnid=WNIDS[0 if rare else 1])


def test_repetitions_do_not_make_a_rare_class_a_confounded_design(
    tmp_path: Path, demo: Settings, registry: Registry
) -> None:
    folder = SessionFolder.create(tmp_path, "S01", "01")
    folder.journal_file.touch()
    record(folder, "record", 1)
    record(folder, "feedback", 1)
    record(folder, "feedback", 2, change=rare_class)
    found = retrained(folder, with_spy(demo), registry)
    assert (found.n_trials, CONFOUNDED in found.text) == (N_IMAGES, False)


def test_images_that_were_shown_before_are_counted(
    tmp_path: Path, demo: Settings, registry: Registry
) -> None:
    folder = SessionFolder.create(tmp_path, "S01", "01")
    folder.journal_file.touch()
    record(folder, "record", 1)
    record(folder, "feedback", 1)
    record(
        folder,
        "feedback",
        2,
        change=lambda onset: (
            structs.replace(onset, image="record-1-3") if onset.trial == 1 else onset
        ),
    )
    text = retrained(folder, with_spy(demo), registry).text
    assert "had seen (4 of the 12 had been shown in an earlier run): " in text


# What prevents it


def test_without_a_recording_of_its_own_a_session_keeps_its_bundle(
    folder: SessionFolder, demo: Settings, registry: Registry
) -> None:
    settings = with_spy(demo, gain=0.1)
    order = ordered(folder, settings)
    for path in folder.segments("record"):
        path.unlink()
    found = retrain(settings, registry, CONTEXT, order)
    assert (found.bundle, found.text) == (
        "",
        "after feedback run 2 the decoder stays: the session recorded nothing that the decoder "
        "could be fitted on again",
    )


def test_a_run_without_one_complete_block_keeps_the_decoder(
    folder: SessionFolder, demo: Settings, registry: Registry
) -> None:
    settings = with_spy(demo, gain=0.1)
    order = ordered(folder, settings)
    abort(folder, "feedback", 2, 3)
    abort(folder, "feedback", 2, 4)
    found = retrain(settings, registry, CONTEXT, order)
    assert found.bundle == ""
    assert found.text.startswith("after feedback run 2 the decoder stays: no stimulus was recorded")


def test_a_class_that_a_decoder_does_not_know_keeps_the_decoder(
    folder: SessionFolder, demo: Settings, registry: Registry
) -> None:
    settings = with_spy(demo, gain=0.1)
    order = ordered(folder, settings)
    record(folder, "feedback", 3)
    path = folder.segments("feedback")[-1]
    path.write_bytes(path.read_bytes().replace(WNIDS[0].encode(), b"n00000009"))
    found = retrain(settings, registry, CONTEXT, structs.replace(order, run=3))
    assert found.text.endswith("a decoder does not know the classes n00000009")


def test_a_bundle_that_is_gone_keeps_the_decoder_and_says_so(
    folder: SessionFolder, demo: Settings, registry: Registry
) -> None:
    order = Retrain(str(folder.path), str(folder.path / "gone"), 2)
    found = retrain(with_spy(demo), registry, CONTEXT, order)
    assert "is not a bundle" in found.text
    assert filed(folder) == [found]


def test_an_interrupt_keeps_the_decoder_even_if_the_new_one_would_end_with_its_best(
    folder: SessionFolder, demo: Settings, registry: Registry
) -> None:
    settings = with_spy(demo, gain=0.1, interrupted=True)
    house = House(settings, registry, folder, RealClock())
    house.__dict__["stimuli"] = CONTEXT.stimuli
    told: list[Message] = []
    trainer = house.build("trainer", told.append)
    order = ordered(folder, settings)
    before = signal.getsignal(signal.SIGINT)
    for _ in range(2):  # The second order can be interrupted as well.
        [(_, found)] = trainer.handle(order)
        assert isinstance(found, Retrained)
        assert found.text == "after feedback run 2 the decoder stays: interrupted"
        assert found.bundle == ""
    assert signal.getsignal(signal.SIGINT) is before
    assert len(folder.bundles()) == len(list(folder.bundles()[0].parent.iterdir())) == 1


def test_progress_only_grows_and_ends_at_1(
    folder: SessionFolder, demo: Settings, registry: Registry
) -> None:
    told: list[float] = []
    settings = with_spy(demo, gain=0.1)
    context = replace(CONTEXT, progress=lambda done, _text: told.append(done))
    retrain(settings, registry, context, ordered(folder, settings))
    assert told == sorted(told)
    assert told[-1] == 1.0


# The comparison itself


def judged(trials: Sequence[tuple[int, float]]) -> Judged:
    """Return images of trials by number, with the probability of the class that was shown."""
    shown = tuple(
        structs.replace(onsets("feedback", 1)[0], seq=seq, trial=trial)
        for seq, (trial, _) in enumerate(trials)
    )
    right = np.array([probability for _, probability in trials])
    return Judged(shown, WNIDS, np.stack([right, 1 - right], axis=1))


PROBABILITIES = st.floats(0.01, 0.99)


@given(
    st.lists(st.tuples(st.integers(1, 5), PROBABILITIES, PROBABILITIES), min_size=2, max_size=20)
)
def test_the_comparison_favours_neither_side(images: list[tuple[int, float, float]]) -> None:
    one = judged([(trial, first) for trial, first, _ in images])
    other = judged([(trial, second) for trial, _, second in images])
    there, back = compare(one, other), compare(other, one)
    assert there.mean == pytest.approx(-back.mean)
    assert not (there.better and back.better)
    assert not compare(one, one).better


def test_images_of_one_trial_count_as_one_for_the_standard_error() -> None:
    old = judged([(1, 0.5), (1, 0.5), (2, 0.5), (2, 0.5)])
    new = judged([(1, 0.8), (1, 0.8), (2, 0.6), (2, 0.6)])
    found = compare(old, new)
    sums = 2 * np.log([0.8 / 0.5, 0.6 / 0.5])
    assert found.n_trials == 2
    assert found.mean == pytest.approx(sums.mean())
    assert found.error == pytest.approx(abs(sums[0] - sums[1]) / 2)


def test_who_stops_the_repetitions_gains_nothing_by_it() -> None:
    """Two equally good decoders with errors of their own; trials end when the old one is sure."""
    rng = np.random.default_rng(1)
    old: list[tuple[int, float]] = []
    new: list[tuple[int, float]] = []
    for trial in range(1500):
        evidence = 0.0
        while abs(evidence) < 2 and len([t for t, _ in old[-12:] if t == trial]) < 8:
            logits = rng.normal(0.5, 1.0, 2)
            evidence += logits[0]
            sure = 1 / (1 + np.exp(-logits))
            old.append((trial, float(sure[0])))
            new.append((trial, float(sure[1])))
    found = compare(judged(old), judged(new))
    assert abs(found.mean) < 3 * found.error
