"""What the report says of feedback."""

from phosphene.analysis import plots, words
from phosphene.analysis.crossvalidation import describe_rejected
from phosphene.analysis.feedback import (
    Stage,
    decisions,
    gate,
    learning_curve,
    outcomes,
    stages,
)
from phosphene.analysis.html import Html, bullets, facts, figure, paragraph, section, table, tag
from phosphene.analysis.material import Material
from phosphene.analysis.metrics import Accuracy
from phosphene.analysis.prospect import expected
from phosphene.analysis.report_pictures import gallery
from phosphene.analysis.retraining import read_retrained

SEALED = (
    "This session had sham feedback. What would tell which trials is not shown: the arms, the "
    "pictures, and what they answered. To see it: phosphene report SESSION --unblind."
)
LEARNING = (
    "Accuracy of the decoder on single images, by run. A rise over true runs that sham runs do "
    "not show would hint that feedback teaches the subject something; a few dozen trials of one "
    "subject cannot show it."
)


def feedback(material: Material) -> Html:
    """Return how the loop did: the gate, outcomes, live accuracy, latency, pictures."""
    evaluation, live = material.evaluation.feedback, material.live
    phase = material.course.phase("feedback")
    if evaluation is None or live is None or phase is None:
        return Html()
    rows = {f"top-{each.k}": each for each in evaluation.top}
    return section(
        "Feedback",
        _banner(evaluation.label),
        _gate(material),
        paragraph(
            f"{len(live.trials)} of {len(phase.stimuli)} images were decoded while the session "
            "ran. A picture is made from what was decoded; it does not show what somebody saw."
        ),
        paragraph(f"{describe_rejected(evaluation)}."),
        _accuracies(rows),
        figure(
            plots.accuracy_plot(rows, "Live accuracy beside chance"),
            f"No trial was used to train the decoder that decoded it. {_known(material)}",
        ),
        _outcomes(material, evaluation.label),
        _latency(material),
        _learning(material),
        _side_by_side(material),
        _arms(material, evaluation.label),
        *(() if material.feedback.sealed else (_pictures(material),)),
    )


def _known(material: Material) -> str:
    """Return how many of the images themselves had been shown before."""
    shown = {phase.phase: [o.image for o in phase.stimuli] for phase in material.course.phases}
    new = set(shown["feedback"]) - set(shown.get("record", ()))
    n = len(shown["feedback"])
    return f"{n - len(new)} of the {n} images had been shown earlier in the session."


def _learning(material: Material) -> Html:
    """Return which decoder was used after each run, and why, where it could change."""
    found = read_retrained(material.folder.retraining_file)
    if not found:
        return Html()
    said = "Between feedback runs the decoder in use was compared with one that had learnt more:"
    return Html(paragraph(said) + bullets([each.text for each in found]))


def _gate(material: Material) -> Html:
    said = gate(material.feedback)
    prospect = material.feedback.prospect
    if not (said and prospect):
        return Html()
    accuracy = expected(prospect)
    rows = {"Expected, of decided trials": accuracy} if accuracy else {}
    kind = "banner" if prospect.refusal else ""
    return Html(tag("p", said, class_=kind) + _accuracies(rows))


def _outcomes(material: Material, label: str) -> Html:
    trials = material.feedback.trials
    if not trials:
        return Html()
    counts = outcomes(trials)
    rows = {name.capitalize(): f"{n} of {len(trials)} trials" for name, n in counts.items()}
    decided = None if material.feedback.sealed else decisions(trials, label)
    right = {"Right, of decided trials": decided} if decided else {}
    return Html(facts(rows) + _accuracies(right))


def _latency(material: Material) -> Html:
    done = [stage for stage in stages(material.feedback.trials) if len(stage.seconds)]
    if not done:
        return Html()
    ahead = sum(trial.ahead for trial in material.feedback.trials)
    clock = material.settings.clock
    note = "On the virtual clock computing takes no time. " if clock == "virtual" else ""
    return Html(
        table(
            ["stage", "median (shortest to longest), ms", "budget, ms", "over budget"],
            [_row(stage) for stage in done],
            f"After the onset of the last image. {note}{ahead} pictures were made ahead.",
        )
        + figure(plots.latency_plot(done), "The dashed line is the budget.")
    )


def _row(stage: Stage) -> list[str]:
    budget = f"{stage.budget * words.MILLISECONDS:.0f}" if stage.budget is not None else "–"
    over = f"{stage.n_over} of {len(stage.seconds)}" if stage.budget is not None else "–"
    return [stage.name, words.milliseconds(stage.seconds), budget, over]


def _arms(material: Material, label: str) -> Html:
    """Return the learning curve; with its arms only for who asked to be told."""
    found, live = material.feedback, material.live
    if live is None or not found.trials:
        return Html()
    if found.sealed:
        return paragraph(SEALED)
    curve = learning_curve(found.trials, live, label)
    debrief = material.settings.closed_loop
    told = paragraph(f"Debriefing: {debrief.debrief}") if debrief.sham != "never" else Html()
    return Html(
        paragraph(LEARNING)
        + _accuracies(curve)
        + figure(plots.accuracy_plot(curve, "By feedback run and arm"), "Single images.")
        + told
    )


def _pictures(material: Material) -> Html:
    return gallery(material.feedback.trials, material.folder, material.stimuli)


def _side_by_side(material: Material) -> Html:
    """Return the driver beside its shadows, all of them live on the same running signal."""
    evaluation = material.evaluation
    if not (evaluation.feedback and evaluation.shadows):
        return Html()
    rows = {
        f"{next(iter(each.decoder))}, {each.split.partition(', ')[2] or 'shown'}": each.top[0]
        for each in (evaluation.feedback, *evaluation.shadows)
    }
    said = paragraph(
        "Decoders that ran beside it; the subject saw nothing of what they found. Each is judged "
        "on the trials that it decoded: one that came late or ended early has fewer."
    )
    return Html(said + _accuracies(rows))


def _accuracies(rows: dict[str, Accuracy]) -> Html:
    return facts({name: str(each) for name, each in rows.items()})


def _banner(label: str) -> Html:
    return tag("p", tag("strong", f"{label}."), class_="banner") if label else Html()
