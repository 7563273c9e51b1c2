"""The sections of a report, in the order in which a supervisor asks for them."""

import json
from collections.abc import Callable

import numpy as np

from phosphene.analysis import plots, words
from phosphene.analysis.crossvalidation import Evaluation, describe_rejected
from phosphene.analysis.html import (
    Html,
    bullets,
    details,
    facts,
    figure,
    paragraph,
    section,
    table,
    tag,
)
from phosphene.analysis.material import Material
from phosphene.analysis.metrics import Accuracy
from phosphene.analysis.report_audits import audits
from phosphene.analysis.report_feedback import feedback
from phosphene.analysis.report_pictures import likeness

WHAT_WAS_TESTED = {
    "leave-one-run-out": "Each time it was tested on a run of which it had seen no trial and no "
    "image.",
    "leave-one-block-out": "Each time it was tested on a block of which it had seen no trial and "
    "no image.",
    "published": "It was tested once, on the images that the data set's authors chose for that; "
    "it had been trained on other trials of the same blocks.",
    "paper": "Each time it was tested on a part of the images; these it had not seen, but it had "
    "been trained on other trials of the same blocks.",
}
HOW_MEASURED = (
    "Chance is what the best constant guess scores. A tie between classes counts as wrong."
)
INTERVALS = {
    "Clopper-Pearson": "Intervals are those of Clopper and Pearson (1934), trials taken as "
    "independent.",
    "Korn-Graubard": "Intervals are those of Korn and Graubard (1998), blocks taken as "
    "independent: the trials of a block are not.",
}


def what_was_done(material: Material) -> Html:
    """Return design, amplifier and processing in words."""
    settings, spec = material.settings, material.course.spec
    kinds = {kind: spec.types.count(kind) for kind in dict.fromkeys(spec.types)}
    channels = ", ".join(f"{n} {kind.upper()}" for kind, n in kinds.items())
    rows = {
        "Signal": f"{channels} channels at {spec.sfreq:g} Hz",
        "Source": words.plugin(settings.acquisition),
        "Images": f"{words.plugin(settings.stimuli)}, {len(material.stimuli.classes)} classes",
        "Screen": words.screen(settings.screen),
        "Stream": words.steps(settings.stream),
        "Epochs": f"{settings.epochs.tmin:g} to {settings.epochs.tmax:g} s from onset; "
        + words.steps(settings.epochs.steps)
        + f"; {words.rejection(settings.epochs.reject)}",
        "Decoder": words.plugin(settings.decoder),
    }
    for number, shadow in enumerate(settings.shadows, start=1):
        rows[f"Shadow {number}"] = words.shadow(shadow)
    if settings.generator and material.evaluation.feedback:
        rows["Generator"] = words.plugin(settings.generator)
    sentences = [paragraph(words.design(phase)) for phase in material.course.phases]
    return section("What was done", *sentences, facts(rows), _counts(material))


def accuracy(material: Material) -> Html:
    """Return the cross-validated accuracies."""
    evaluation, problem = material.evaluation.cross_validation, material.evaluation.problem
    if evaluation is None:
        return section("Accuracy", paragraph(f"Not evaluated: {problem}.") if problem else Html())
    (decoder,) = evaluation.decoder
    rows = {f"top-{each.k}": each for each in evaluation.top}
    folds = {f"top-1, {name} tested": each for name, each in evaluation.by_fold.items()}
    return section(
        "Accuracy",
        _banner(evaluation.label),
        paragraph(
            f"The decoder {decoder} was trained and tested {len(folds)} times (split: "
            f"{evaluation.split}). {WHAT_WAS_TESTED[evaluation.split]} {HOW_MEASURED} "
            f"{INTERVALS[evaluation.interval]}"
        ),
        accuracy_facts(rows),
        facts(_other_measures(evaluation)),
        paragraph(f"{describe_rejected(evaluation)}."),
        figure(
            plots.accuracy_plot({**rows, **folds}, "Accuracy beside chance"),
            "All trials, and top-1 accuracy of each round of training and testing.",
        ),
        figure(plots.class_plot(evaluation), "Which classes were told from the others."),
        figure(plots.confusion_plot(evaluation), "A row is a class that was shown."),
    )


def _other_measures(evaluation: Evaluation) -> dict[str, str]:
    """Return what else is told of top-1 decodings."""
    rows = {each.name: str(each) for each in evaluation.scores}
    if evaluation.permutation:
        rows["permutation test"] = str(evaluation.permutation)
    return rows


def signal(material: Material) -> Html:
    """Return what the unfiltered signal looks like."""
    quality = material.quality
    if quality is None:
        return section("The signal", paragraph(f"Not looked at: {material.quality_problem}."))
    suspects = [f"{name}: {why}" for name, why in quality.suspects.items()]
    return section(
        "The signal",
        paragraph(
            f"Unfiltered, around the images of the {material.first_phase.phase} phase. "
            + ("Worth a look:" if suspects else "No channel stands out.")
        ),
        bullets(suspects),
        figure(
            plots.noise_plot(quality),
            "Median over trials of 0.7 s, linear trend removed.",
        ),
        figure(plots.spectrum_plot(quality), "A peak at 50 or 60 Hz is the power line."),
        figure(
            plots.evoked_plot(quality),
            "Baseline 0.1 s before onset, low-pass 30 Hz. The next image may follow within the "
            "window.",
        ),
    )


def timing(material: Material) -> Html:
    """Return when the images came."""
    phases, diode = material.course.phases, material.settings.recording.photodiode
    errors = {phase.phase: phase.interval_errors for phase in phases}
    drawn = any(np.abs(values).max(initial=0) > 5e-5 for values in errors.values())
    rows = [
        [
            phase.phase,
            words.milliseconds(phase.lateness),
            words.milliseconds(phase.interval_errors),
            str(phase.late_frames),
            *([words.milliseconds(phase.light_lags(diode))] if diode else []),
        ]
        for phase in phases
    ]
    header = ["phase", "flip minus plan", "time between images minus plan", "frames missed"]
    header += ["light minus flip"] if diode else []
    return section(
        "Timing",
        paragraph(words.light(material.settings.screen, diode)),
        table(header, rows, "Median (smallest to largest) over the images of complete blocks, ms"),
        figure(plots.timing_plot(errors), "Pairs of images within a block.") if drawn else Html(),
    )


def card(material: Material) -> Html:
    """Return what the newest decoder of the session says about itself."""
    found = material.card
    if found is None:
        return Html()
    (name,) = found.decoder
    runs = [f"{phase} {', '.join(map(str, numbers))}" for phase, numbers in found.runs.items()]
    rows = {
        "Decoder": name,
        "Trained on": f"{found.n_epochs} epochs of {len(found.classes)} classes; "
        f"runs: {'; '.join(runs) or 'not known'}; "
        f"{sum(found.rejected.values())} epochs were left out as artefacts",
        "Signal": f"{found.spec.n_channels} EEG channels at {found.spec.sfreq:g} Hz",
        "Epochs": f"{found.epochs.tmin:g} to {found.epochs.tmax:g} s from onset",
        "Seed": str(found.seed),
        "Training data": f"SHA-256 {found.data_sha256}",
    }
    metrics = {key.replace("_", " "): f"{value:.3g}" for key, value in found.metrics.items()}
    return section(
        "The decoder's card",
        paragraph("The bundle that the session filed last says of itself:"),
        facts(rows),
        _own_metrics(metrics, material.label),
    )


def _own_metrics(metrics: dict[str, str], label: str) -> Html:
    if not metrics:
        return Html()
    said = "On trials that it held out while it learnt, by which it chose; no measure of decoding"
    return Html(paragraph(f"{said}{f' ({label})' * bool(label)}:") + facts(metrics))


def settings(material: Material) -> Html:
    """Return what is needed to do it again."""
    content = json.dumps(material.plain_settings, indent=2, ensure_ascii=False)
    return section(
        "Settings and versions",
        details("Every setting", tag("pre", content)),
        details("Versions", facts(material.versions)),
    )


SECTIONS: tuple[Callable[[Material], Html], ...] = (
    what_was_done,
    accuracy,
    audits,
    feedback,
    likeness,
    signal,
    timing,
    card,
    settings,
)


def accuracy_facts(rows: dict[str, Accuracy]) -> Html:
    """Return accuracies as a table: the only way in which the report writes one."""
    return facts({name: str(each) for name, each in rows.items()})


def _banner(label: str) -> Html:
    """Return what stands over the accuracies of a design in which they are no evidence."""
    return tag("p", tag("strong", f"{label}."), class_="banner") if label else Html()


def _counts(material: Material) -> Html:
    header = ["phase", "blocks", "trials", "interrupted", "onsets lost", "without samples", "EEG"]
    evaluation = material.evaluation.cross_validation
    incomplete = {"record": str(evaluation.n_incomplete)} if evaluation else {}
    rows = [
        [
            phase.phase,
            f"{phase.n_blocks} of {len(phase.planned)}",
            f"{len(phase.stimuli)} of {phase.n_planned}",
            str(phase.n_aborted),
            str(phase.n_lost),
            incomplete.get(phase.phase, "–"),
            f"{phase.seconds / 60:.1f} min",
        ]
        for phase in material.course.phases
    ]
    incidents = [f"Incident: {reason}" for reason in material.course.incidents]
    notes = [f"Note, {text}" for text in material.course.notes]
    return Html(table(header, rows, "Complete and planned") + bullets([*incidents, *notes]))
