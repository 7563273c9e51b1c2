"""The report: self-contained, complete, escaped, and honest about what a design can show."""

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import typer
from msgspec import structs
from PIL import Image
from typer.testing import CliRunner, Result

from phosphene import Context, Onset, PhospheneError, Signal, SignalSpec, StimulusSet
from phosphene.analysis import words
from phosphene.analysis.evaluation import (
    SessionEvaluation,
    current_evaluation,
    evaluate_session,
    read_evaluation,
)
from phosphene.analysis.feedback import record_unblinding
from phosphene.analysis.html import escape, tag
from phosphene.analysis.metrics import CONFOUNDED
from phosphene.analysis.picture_evaluation import MEANING, evaluate_pictures
from phosphene.analysis.report import write_report
from phosphene.analysis.retraining import append_retrained
from phosphene.choice import choose
from phosphene.cli.evaluate import evaluate
from phosphene.cli.report import report
from phosphene.closed_loop import ClosedLoopSettings
from phosphene.dataset.study import SessionFolder
from phosphene.dataset.xdf import XdfWriter
from phosphene.decodings import append_decoding
from phosphene.events import Block
from phosphene.feedback_table import Arm, FeedbackTrial, append_trial, read_trials
from phosphene.journal import Journal, StateChanged
from phosphene.messages import BlockDone, BlockStarted, Decoded, Phase, Prospect, Retrained
from phosphene.plan import block_seconds, make_plan, runs_of
from phosphene.registry import Registry, load_registry
from phosphene.settings import ScreenSettings, Settings, load_settings, write_resolved
from phosphene.states import State
from phosphene.tasks import fit

CHANNELS = ("Fp1", "Fp2", "Fz", "Cz", "Pz", "P7", "P8", "PO3", "PO4", "O1", "O2", "Oz")
ANGLES = np.linspace(0, 2 * np.pi, len(CHANNELS), endpoint=False)
RADII = np.linspace(0.03, 0.07, len(CHANNELS))
SPEC = SignalSpec(
    CHANNELS,
    ("eeg",) * len(CHANNELS),
    250.0,
    {
        name: (radius * float(np.cos(angle)), radius * float(np.sin(angle)), 0.07)
        for name, angle, radius in zip(CHANNELS, ANGLES, RADII, strict=True)
    },
)
INTERLEAVED = "interleaved: {runs: 2, blocks: 5, classes: 4, pause: 1, cue: 0.5}"
NESTED = "brain2image: {classes: 4, images: 6, runs: 2, pause: 1, cue: 0.5}"
EVIL = "<script>alert('$x$')</script>"


@dataclass
class Lab:
    """A session on disk, written by hand so that a test decides what went wrong in it."""

    settings: Settings
    registry: Registry
    folder: SessionFolder
    context: Context
    spec: SignalSpec = SPEC
    rng: np.random.Generator = field(default_factory=lambda: np.random.default_rng(7))
    scale: np.ndarray = field(default_factory=lambda: np.ones(len(CHANNELS)))

    def record(
        self,
        phase: Phase = "record",
        code: float = 0.5,
        edit: Callable[[Onset], Onset | None] = lambda onset: onset,
    ) -> None:
        """Show the plan of a phase; classes differ in power by channel as far as ``code`` says."""
        plan = make_plan(self.settings, self.context)
        journal = Journal(self.folder.journal_file)
        journal.append(StateChanged(0.0, State.READY))
        gains = {
            wnid: np.exp(code * self.rng.standard_normal((len(CHANNELS), 1)))
            for wnid in self.context.stimuli.classes
        }
        for run, blocks in runs_of(plan.blocks[phase]):
            path = self.folder.new_segment(phase, plan.tasks[phase], run)
            writer = XdfWriter(path, self.spec, {"phase": phase})
            start = 100.0 * run
            for block in blocks:
                journal.append(BlockStarted(phase, run, block.block, 1, start))
                onsets = [*filter(None, map(edit, shown(block, phase, start)))]
                writer.write_signal(self._signal(onsets, gains, start, block_seconds(block)))
                for onset in onsets:
                    writer.write_marker(onset)
                end, n_trials = start + block_seconds(block), len(block.trials)
                done = BlockDone(phase, run, block.block, 1, end, n_trials, 0, 0, False)
                journal.append(done)
                start += block_seconds(block)
            tail = self._signal([], {}, start, 2.0)
            writer.write_signal(tail)
            writer.close()
        journal.close()

    def _signal(
        self, onsets: Sequence[Onset], gains: dict[str, np.ndarray], start: float, length: float
    ) -> Signal:
        times = start + np.arange(round(length * SPEC.sfreq)) / SPEC.sfreq
        data = 1e-5 * self.scale[:, None] * self.rng.standard_normal((len(CHANNELS), len(times)))
        for onset in onsets:
            during = (onset.time <= times) & (times < onset.time + onset.duration)
            data[:, during] *= gains[onset.wnid]
        return Signal(data.astype(np.float32), times)

    def decode(self, n_right: int, n_trials: int) -> None:
        """Decode the first trials of the feedback phase live, and file their pictures."""
        block = make_plan(self.settings, self.context).blocks["feedback"][0]
        classes = tuple(self.context.stimuli.classes)
        self.folder.pictures.mkdir()
        for index, onset in enumerate(shown(block, "feedback", 100.0)[:n_trials]):
            best = onset.wnid if index < n_right else next(c for c in classes if c != onset.wnid)
            probabilities = tuple(0.7 if wnid == best else 0.1 for wnid in classes)
            decoded = Decoded(
                onset, classes, probabilities, "/x.xdf", 0, onset.time + 0.55, onset.time + 0.53
            )
            append_decoding(self.folder.decodings_file, decoded)
            picture = f"picture-{onset.trial:04d}"
            Image.new("RGB", (64, 64), (200, 30, 30)).save(self.folder.pictures / f"{picture}.png")
            append_trial(self.folder.feedback_file, answered(onset, best, picture))

    def report(self) -> str:
        path = write_report(self.folder, self.registry, self.context)
        assert path == self.folder.report_file
        return path.read_text(encoding="utf-8")


def answered(onset: Onset, answer: str, picture: str, **changes: Any) -> FeedbackTrial:
    """Return the line of a trial whose picture came in time."""
    trial = FeedbackTrial(
        phase="feedback", run=onset.run, block=onset.block, attempt=1, trial=onset.trial,
        wnid=onset.wnid, image=onset.image, arm="true", outcome="shown", repetitions=1,
        decision=answer, answer=answer, picture=picture, ahead=True, generator="retrieval",
        prompt="", seed="1", model="", model_sha256="", steps="", onset=onset.time,
        received=onset.time + 0.53, cut=onset.time + 0.53, decoded=onset.time + 0.55,
        decided=onset.time + 0.55, ready=onset.time + 0.56, flip=onset.time + 1.5,
        decoder_budget=onset.time + 0.9, picture_budget=onset.time + 1.3,
        posterior={answer: 0.7, "other": 0.3},
    )  # fmt: skip
    return structs.replace(trial, **changes)


def shown(block: Block, phase: str, start: float) -> list[Onset]:
    onsets = []
    for number, trial in enumerate(block.trials, start=1):
        seq = 100 * block.block + number
        where = (phase, block.run, block.block, 1, number, trial.wnid, trial.image, "")
        onsets.append(Onset(seq, "stimulus", start, start, trial.duration, *where))
        start += trial.duration + trial.gap + trial.picture + trial.rest
    return onsets


@pytest.fixture(scope="module")
def registry() -> Registry:
    return load_registry()


MakeLab = Callable[..., Lab]


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory, registry: Registry) -> MakeLab:
    cache = tmp_path_factory.mktemp("cache")

    def make(paradigm: str, *, feedback: bool = False, names: str = "") -> Lab:
        protocol = "[record, train, feedback, report]" if feedback else "[record, report]"
        place = tmp_path_factory.mktemp("lab")
        session = place / "session.yaml"
        session.write_text(
            "format: 1\nextends: demo\nsession: a\n"
            f"protocol: {protocol}\nparadigm:\n  {paradigm}\n"
            "feedback:\n  feedback: {blocks: 1, trials: 8, classes: 4, pause: 1, cue: 0.5}\n"
            "stimuli:\n  standin: {classes: 4, images: 12, gallery: 1, size: 32}\n"
            "stream: []\nepochs: {tmin: 0, tmax: 0.5, steps: [standardise]}\n"
            f"decoder: power-lr\noutput: {place / 'study'}\ncache: {cache}\n"
        )
        settings = load_settings(session, registry)
        stimuli = settings.stimuli.config.build(settings.cache)
        if names:
            classes = dict.fromkeys(stimuli.classes, names)
            stimuli = StimulusSet(stimuli.root, classes, stimuli.images)
        folder = SessionFolder.create(settings.output, settings.subject, settings.session)
        write_resolved(settings, folder.settings_file)
        return Lab(settings, registry, folder, Context(stimuli, settings.seed, settings.cache))

    return make


@pytest.fixture(scope="module")
def loop(lab: MakeLab) -> str:
    """The report of a whole loop: 7 of 8 feedback trials were decoded, 6 of them rightly."""
    here = lab(INTERLEAVED, feedback=True)
    here.record()
    here.record("feedback")
    here.decode(6, 7)
    return here.report()


class Page(HTMLParser):
    """What is in a page: its text, the addresses it loads, its unclosed tags."""

    VOID = ("meta", "img", "path", "rect", "use", "line", "image", "br", "circle")

    def __init__(self, content: str) -> None:
        super().__init__()
        self.words: list[str] = []
        self.addresses: list[str] = []
        self.tags: list[str] = []
        self.open: list[str] = []
        self.feed(content)
        self.close()

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag not in self.VOID:
            self.open.append(tag)
        names = ("src", "href", "xlink:href", "data")
        self.addresses += [value or "" for name, value in attrs if name in names]

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in self.VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1:] != ["style"]:
            self.words.append(data)


def headline(content: str) -> str:
    found = re.search(r'<p class="claim">(.*?)</p>', content)
    assert found
    return found[1]


def test_a_report_needs_nothing_but_itself(loop: str) -> None:
    page = Page(loop)
    assert page.open == []
    assert "script" not in page.tags
    assert "link" not in page.tags
    assert all(address.startswith(("data:", "#")) for address in page.addresses)
    assert "default-src 'none'" in loop
    assert len(loop) < 5e6


def test_a_class_code_in_an_interleaved_design_is_above_chance(loop: str) -> None:
    assert headline(loop) == "The class of the image was decoded above chance."
    assert CONFOUNDED not in loop
    page = Page(loop)
    assert "40 trials of 4 classes in 2 runs of 5 blocks" in page.text
    assert "record 10 of 10 40 of 40 0 0 0" in page.text
    assert "12 EEG channels at 250 Hz" in page.text


def test_a_nested_design_is_labelled_wherever_a_number_stands(lab: MakeLab) -> None:
    here = lab(NESTED)
    here.record()
    content = here.report()
    page = Page(content)
    assert headline(content) == f"{CONFOUNDED}."
    assert 'class="headline confounded"' in content
    assert "class and time are one variable" in page.text
    numbers = re.findall(r"% of \d+ trials \(chance [^)]*\)(.{50})", page.text)
    assert numbers
    assert all(after.startswith(f": {CONFOUNDED}") for after in numbers)
    drawings = re.findall(r"<svg .*?</svg>", content, re.DOTALL)
    of_accuracy = [svg for svg in drawings if "ccuracy" in svg or "onfusion" in svg]
    assert len(of_accuracy) == 3
    for svg in of_accuracy:
        assert any(CONFOUNDED in word for word in Page(svg).words)


def test_the_audits_are_told_with_verdict_and_words(loop: str, lab: MakeLab) -> None:
    audits = section_of(loop, "Is it real? The audits")
    assert "fire by accident in 5 % of recordings (Holm's correction)" in audits
    assert "They tested the decoder 'power-lr' on 40 trials" in audits
    assert "A0 clock silent The clock alone does not tell the class." in audits
    assert "A10 permutation fires (a sign of decoding)" in audits
    nested = lab(NESTED)
    nested.record()
    audits = section_of(nested.report(), "Is it real? The audits")
    assert "A0 clock: The clock alone, without any EEG, tells the class" in audits
    assert "A10 permutation not applicable No valid permutation exists" in audits
    accuracies = re.findall(r"accuracy \d[^)]*?(?=A\d+ |$)", audits)
    assert accuracies
    assert all(CONFOUNDED in each for each in accuracies)


def test_the_decoders_card_names_what_it_learnt_from(lab: MakeLab) -> None:
    here = lab(INTERLEAVED)
    here.record()
    assert "card" not in here.report()
    trained = fit(here.settings, here.context, str(here.folder.path))
    card = section_of(here.report(), "The decoder's card")
    assert "power-lr" in card
    assert "40 epochs of 4 classes; runs: record 1, 2" in card
    assert "12 EEG channels at 250 Hz" in card
    assert Path(trained.bundle).is_dir()


def test_other_measures_stand_beside_the_accuracy(loop: str) -> None:
    accuracy = section_of(loop, "Accuracy")
    for name in ("macro F1", "Cohen's kappa"):
        assert re.search(rf"{name} -?[\d.]+ of 40 trials \(chance -?[\d.]+, 95 % inter", accuracy)
    assert "permutation test p = 0.0002 (4999 permutations of trials within a block)" in accuracy


def section_of(content: str, title: str) -> str:
    """Return the text of a section of the report."""
    start = content.index(f"<h2>{escape(title)}</h2>")
    return Page(content[start : content.index("</section>", start)]).text


def test_every_accuracy_stands_beside_chance_and_interval(loop: str) -> None:
    numbers = re.findall(r"\d % of \d+ trials(.{40})", Page(loop).text)
    # Two in the headline; top-1 and top-3, cross-validated and live; decisions; a learning curve;
    # in the audits what the image before and what the pictures alone tell of the class.
    assert len(numbers) == 10
    assert all(re.match(r" \(chance [\d.]+ %, 95 % interval ", after) for after in numbers)


def test_feedback_is_shown_with_its_pictures_and_latency(loop: str) -> None:
    page = Page(loop)
    assert "7 of 8 images were decoded while the session ran" in page.text
    assert "85.7 % of 7 trials (chance" in page.text
    assert "decoded 550.0 (550.0 to 550.0) 900 0 of 7" in page.text
    assert "picture ready, and ordered to be shown 560.0 (560.0 to 560.0) 1300 0 of 7" in page.text
    assert "Answered by a picture 7 of 7 trials" in page.text
    assert "7 pictures were made ahead" in page.text
    assert page.text.count("(made ahead)") == 7
    assert page.tags.count("img") == 14
    assert page.text.count("✓") == 6
    assert page.text.count("✗") == 1


ARMS = {"consent": True, "sham": "blocks"}


def seal(here: Lab, **closed_loop: Any) -> None:
    """Make a session one with sham feedback, its second half sham."""
    loop = ClosedLoopSettings(**{**ARMS, **closed_loop})
    here.settings = structs.replace(here.settings, closed_loop=loop)
    write_resolved(here.settings, here.folder.settings_file)
    for trial in read_trials(here.folder.feedback_file):
        arm: Arm = "true" if trial.trial < 4 else "sham"
        append_trial(here.folder.sealed_feedback_file, structs.replace(trial, arm=arm))
    here.folder.feedback_file.unlink()


def test_a_report_of_sham_feedback_does_not_unblind_unless_it_is_asked_to(lab: MakeLab) -> None:
    here = lab(INTERLEAVED, feedback=True)
    here.record()
    here.record("feedback")
    here.decode(n_right=6, n_trials=7)
    seal(here)
    blinded = Page(here.report())
    assert "phosphene report SESSION --unblind" in blinded.text
    assert "Answered by a picture 7 of 7 trials" in blinded.text
    for word in ("run 1, sham", "run 1, true", "(made ahead)", "Right, of decided"):
        assert word not in blinded.text
    told = write_report(here.folder, here.registry, here.context, unblind=True)
    page = Page(told.read_text(encoding="utf-8"))
    assert "run 1, sham" in page.text
    assert "Debriefing: In part of this session" in page.text


def test_who_unblinds_is_on_record_and_not_while_the_session_runs(lab: MakeLab) -> None:
    here = lab(INTERLEAVED)
    record_unblinding(here.folder, "the study is over")
    lines = here.folder.unblinded_file.read_text().splitlines()
    assert [json.loads(line)["reason"] for line in lines] == ["the study is over"]
    with here.folder.lock(), pytest.raises(PhospheneError, match="in use"):
        record_unblinding(here.folder, "curious")


@pytest.mark.parametrize(
    ("override", "words"),
    [(True, "The gate was overridden"), (False, "Feedback was a rehearsal")],
)
def test_a_refused_gate_is_told_in_the_headline_and_in_the_section(
    lab: MakeLab, override: bool, words: str
) -> None:
    here = lab(INTERLEAVED, feedback=True)
    here.record()
    here.record("feedback")
    here.decode(n_right=3, n_trials=7)
    loop = ClosedLoopSettings(override_gate=override)
    here.settings = structs.replace(here.settings, closed_loop=loop)
    write_resolved(here.settings, here.folder.settings_file)
    refused = Prospect(("a", "b"), 1, 20, 11, 20, 0.5, 0.3, 0.8, refusal="chance is not ruled out")
    here.folder.prospect_file.write_bytes(msgspec.json.encode(refused))
    page = Page(here.report())
    assert page.text.count(words) == 2
    assert "55.0 % of 20 trials (chance 50.0 %" in page.text


def test_likeness_of_pictures_has_a_section_that_says_it_is_no_decoding_accuracy(
    lab: MakeLab,
) -> None:
    here = lab(INTERLEAVED, feedback=True)
    here.record()
    here.record("feedback")
    here.decode(n_right=6, n_trials=7)
    title = "Likeness of pictures and images: not decoding accuracy"
    before = Page(here.report())
    chosen = choose(here.registry, "image_encoder", "descriptor")
    evaluate_pictures(here.folder, chosen, here.context)
    page = Page(here.report())
    assert (title in before.text, MEANING in before.text) == (False, False)
    _, _, section = page.text.partition(title)
    assert section.startswith(f" {MEANING}")
    assert "4-way top-1 identification" in section
    assert "(chance 25.0 %, shuffled over trials" in section
    assert "similarity" in section
    assert "a stand-in for CLIP" in section


def test_likeness_stays_sealed_with_the_arms(lab: MakeLab) -> None:
    here = lab(INTERLEAVED, feedback=True)
    here.record()
    here.record("feedback")
    here.decode(n_right=6, n_trials=7)
    seal(here)
    here.report()
    chosen = choose(here.registry, "image_encoder", "descriptor")
    evaluate_pictures(here.folder, chosen, here.context, unblind=True)
    assert "identification" not in here.report()
    told = write_report(here.folder, here.registry, here.context, unblind=True)
    assert "identification" in told.read_text(encoding="utf-8")


def test_what_retraining_found_is_told_with_the_feedback(lab: MakeLab) -> None:
    here = lab(INTERLEAVED, feedback=True)
    here.record()
    here.record("feedback")
    here.decode(n_right=6, n_trials=7)
    assert "had learnt more" not in here.report()
    for run, text in ((1, "there is no other to compare"), (2, "the new one is taken")):
        append_retrained(here.folder.retraining_file, Retrained(run, 0.0, 0.0, 0, text=text))
    page = Page(here.report())
    assert "had learnt more: there is no other to compare the new one is taken" in page.text


def test_images_that_were_shown_before_are_counted(lab: MakeLab) -> None:
    here = lab(INTERLEAVED, feedback=True)
    here.record()
    known = make_plan(here.settings, here.context).blocks["record"][0].trials[0].image

    def repeated(onset: Onset) -> Onset:
        return structs.replace(onset, image=known) if onset.trial in (2, 3) else onset

    here.record("feedback", edit=repeated)
    here.decode(n_right=6, n_trials=7)
    before = len(shown_images(here, "feedback") & shown_images(here, "record") - {known})
    assert f"{2 + before} of the 8 images had been shown earlier" in Page(here.report()).text


def shown_images(here: Lab, phase: Phase) -> set[str]:
    blocks = make_plan(here.settings, here.context).blocks[phase]
    trials = [(n, trial) for block in blocks for n, trial in enumerate(block.trials, start=1)]
    return {trial.image for n, trial in trials if phase == "record" or n not in (2, 3)}


def test_what_kept_pictures_away_is_counted_in_words(lab: MakeLab) -> None:
    here = lab(INTERLEAVED, feedback=True)
    here.record()
    here.record("feedback")
    here.decode(n_right=6, n_trials=7)
    trials = read_trials(here.folder.feedback_file)
    here.folder.feedback_file.unlink()
    late = {"outcome": "late", "answer": "", "picture": "", "ready": float("nan")}
    for number, trial in enumerate(trials):
        changed = structs.replace(trial, **late) if number < 2 else trial
        append_trial(here.folder.feedback_file, changed)
    page = Page(here.report())
    assert "Answered by a picture 5 of 7 trials" in page.text
    assert "missed its budget 2 of 7 trials" in page.text
    assert "picture ready, and ordered to be shown 560.0 (560.0 to 560.0) 1300 0 of 5" in page.text


def test_names_from_outside_are_text_and_never_markup(lab: MakeLab) -> None:
    here = lab(INTERLEAVED, names=EVIL)
    here.record()
    content = here.report()
    page = Page(content)
    assert "script" not in page.tags
    assert EVIL in page.text


def test_what_went_wrong_is_in_the_report(lab: MakeLab) -> None:
    here = lab(INTERLEAVED)

    def late(onset: Onset) -> Onset:
        missed = onset.trial == 2
        return structs.replace(onset, time=onset.time + 0.02 * missed, late_frames=int(missed))

    here.record(edit=late)
    journal = Journal(here.folder.journal_file)
    journal.append(StateChanged(9.0, State.PAUSED, "no EEG arrives"))
    journal.close()
    page = Page(here.report())
    assert "Incident: no EEG arrives" in page.text
    assert "0.0 (0.0 to 20.0) 0.0 (-20.0 to 20.0) 10" in page.text
    assert "How regularly the images followed each other" in page.text


def test_interrupted_blocks_are_counted_and_not_used(lab: MakeLab) -> None:
    here = lab(INTERLEAVED)
    here.record()
    lines = here.folder.journal_file.read_text().splitlines(keepends=True)
    assert '"block":10' in lines[-1]
    lines[-1] = lines[-1].replace('"aborted":false', '"aborted":true')
    here.folder.journal_file.write_text("".join(lines))
    page = Page(here.report())
    assert "record 9 of 10 36 of 40 4 0 0" in page.text
    found = read_evaluation(here.folder).cross_validation
    assert found is not None
    assert found.n_trials == 36


def test_onsets_that_were_lost_and_epochs_without_samples_are_counted(lab: MakeLab) -> None:
    here = lab(INTERLEAVED)
    here.settings = structs.replace(
        here.settings, epochs=structs.replace(here.settings.epochs, tmin=-0.1, tmax=0.4)
    )
    write_resolved(here.settings, here.folder.settings_file)
    here.record(edit=lambda onset: None if (onset.block, onset.trial) == (3, 2) else onset)
    page = Page(here.report())
    # Before the first image of each of the two runs there is no sample.
    assert "record 10 of 10 39 of 40 0 1 2" in page.text


def test_a_single_block_is_reported_and_says_why_it_is_not_evaluated(
    lab: MakeLab,
) -> None:
    here = lab("interleaved: {runs: 1, blocks: 1, classes: 4, pause: 1, cue: 0.5}")
    here.record()
    page = Page(here.report())
    assert "Recorded; nothing was decoded." in page.text
    assert "leave-one-block-out needs at least 2 blocks; found 1" in page.text


def test_nothing_recorded_is_nothing_to_report(lab: MakeLab) -> None:
    here = lab(INTERLEAVED)
    Journal(here.folder.journal_file).close()
    with pytest.raises(PhospheneError, match="nothing was recorded"):
        here.report()


def test_a_flat_and_a_noisy_channel_are_named(lab: MakeLab) -> None:
    here = lab(INTERLEAVED)
    here.scale[CHANNELS.index("Fz")] = 0.0
    here.scale[CHANNELS.index("P8")] = 20.0
    here.record(code=0.0)
    page = Page(here.report())
    assert "Fz: flat" in page.text
    assert re.search(r"P8: (19|20|21) times noisier than the median channel", page.text)


def test_positions_that_no_head_has_cost_the_map_and_nothing_else(lab: MakeLab) -> None:
    here = lab(INTERLEAVED)
    here.spec = structs.replace(SPEC, positions=dict.fromkeys(CHANNELS, (0.0, 0.0, 0.0)))
    here.record()
    page = Page(here.report())
    assert "no map: unlikely" in page.text
    assert "Evoked response, average of" in page.text


def test_without_code_there_is_no_evidence_and_no_folder_is_told(lab: MakeLab) -> None:
    here = lab(INTERLEAVED)
    here.record(code=0.0)
    content = here.report()
    assert headline(content).startswith("No evidence of decoding")
    assert str(here.settings.output) not in content
    assert str(here.settings.cache) not in content


def test_an_evaluation_that_is_there_is_used_until_there_is_more_to_evaluate(
    lab: MakeLab,
) -> None:
    here = lab(INTERLEAVED)
    here.record()
    made = evaluate_session(here.folder, here.registry, here.context, split="leave-one-block-out")
    again = current_evaluation(here.folder, here.registry, here.context)
    assert again == made
    path = here.folder.segments("record")[-1]
    path.rename(path.with_name(path.name.replace("segment-02", "segment-03")))
    anew = current_evaluation(here.folder, here.registry, here.context)
    assert anew.cross_validation is not None
    assert anew.cross_validation.split == "leave-one-run-out"


def test_the_table_of_predictions_is_beside_the_evaluation(lab: MakeLab) -> None:
    here = lab(INTERLEAVED)
    here.record()
    evaluate_session(here.folder, here.registry, here.context)
    table = (here.folder.derivatives / "predictions.tsv").read_text().splitlines()
    assert len(table) == 1 + 40


@pytest.fixture(scope="module")
def nested_session(lab: MakeLab) -> Path:
    here = lab(NESTED)
    here.record()
    return here.folder.path


def command(*arguments: str) -> Result:
    app = typer.Typer()
    app.command()(evaluate)
    app.command()(report)
    return CliRunner().invoke(app, arguments)


def test_the_command_evaluate_labels_every_accuracy_of_a_nested_design(
    nested_session: Path,
) -> None:
    result = command("evaluate", "--cluster", "none", str(nested_session))
    assert result.exit_code == 0, result.output
    accuracies = [line for line in result.output.splitlines() if "(chance" in line]
    assert len(accuracies) == 2 + 2 + 4  # top-1, top-3; F1, kappa; and each of the four classes
    assert all(line.endswith(CONFOUNDED) for line in accuracies)


def test_the_command_evaluate_can_be_read_by_a_program(nested_session: Path) -> None:
    result = command("evaluate", "--cluster", "none", str(nested_session), "--json")
    found = msgspec.json.decode(result.stdout, type=SessionEvaluation)
    assert found == read_evaluation(SessionFolder.at(nested_session))
    assert found.cross_validation is not None
    assert found.cross_validation.label == CONFOUNDED


def test_the_command_evaluate_refuses_a_split_that_the_design_does_not_allow(
    nested_session: Path,
) -> None:
    result = command(
        "evaluate", "--cluster", "none", str(nested_session), "--split", "leave-one-run-out"
    )
    assert isinstance(result.exception, PhospheneError)
    assert "class and time are one variable" in str(result.exception)


def test_the_command_report_says_where_it_is(nested_session: Path) -> None:
    result = command("report", str(nested_session))
    assert f"report: {SessionFolder.at(nested_session).report_file}" in result.output


def test_onsets_are_said_to_be_flip_times() -> None:
    assert words.light(ScreenSettings()) == "Onsets are flip times, not light."
    assert "not light; epochs begin 12 ms later" in words.light(ScreenSettings(lag=0.012))
    assert "simulated flip times" in words.light(ScreenSettings(kind="headless"))


def test_markup_is_escaped_unless_it_is_markup() -> None:
    assert tag("p", "a<b", tag("i", "c")) == "<p>a&lt;b<i>c</i></p>"
    assert tag("p", title='"') == '<p title="&quot;"></p>'
    assert escape(escape("&")) == "&amp;"
