"""What was shown beside the picture that answered it, and how alike they are."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from phosphene.analysis.html import Html, bullets, paragraph, section, tag, thumbnail
from phosphene.analysis.material import Material
from phosphene.analysis.picture_evaluation import measured, read_picture_evaluation
from phosphene.dataset.study import SessionFolder
from phosphene.errors import PhospheneError
from phosphene.feedback_table import FeedbackTrial
from phosphene.stimulus import StimulusSet

MOST = 24
"""Trials that are shown, the first of them: nobody chose them."""


def gallery(trials: Sequence[FeedbackTrial], folder: SessionFolder, stimuli: StimulusSet) -> Html:
    """Return the first trials: image, picture, target class and decision."""
    shown = trials[:MOST]
    items = [_trial(trial, folder, stimuli) for trial in shown]
    note = (
        f"The first {len(shown)} of {len(trials)} trials: left the first image, right the picture."
    )
    return Html(paragraph(note) + tag("ul", *items, class_="gallery")) if items else Html()


def likeness(material: Material) -> Html:
    """Return what ``phosphene evaluate-pictures`` found; nothing if nobody asked for it."""
    found = read_picture_evaluation(material.folder, unblind=not material.feedback.sealed)
    if found is None:
        return Html()
    meaning, *notes = found.notes
    return section(
        "Likeness of pictures and images: not decoding accuracy",
        tag("p", meaning, class_="banner"),
        bullets(measured(found)),
        *map(paragraph, notes),
    )


def _trial(trial: FeedbackTrial, folder: SessionFolder, stimuli: StimulusSet) -> Html:
    names = {"": trial.outcome}
    target, answer = (
        stimuli.classes.get(wnid, names.get(wnid, wnid)) for wnid in (trial.wnid, trial.answer)
    )
    right = trial.wnid == trial.answer
    file = folder.pictures / f"{trial.picture}.png"
    pair = tag("div", _image(trial, target, stimuli), _picture(file, answer), class_="pair")
    kind = "right" if right else "wrong"
    verdict = tag("span", "\u00a0✓" if right else "\u00a0✗", class_="mark", title=kind)
    how = " (made ahead)" if trial.ahead else ""
    arm = "" if trial.arm == "true" else f", {trial.arm}"
    text = (
        tag("p", f"shown: {target}"),
        tag("p", f"picture: {answer}{how}{arm}", verdict if trial.answer else ""),
    )
    return tag("li", pair, *text, class_=kind)


def _image(trial: FeedbackTrial, name: str, stimuli: StimulusSet) -> Html:
    try:
        return thumbnail(stimuli.pixels(trial.image), f"shown: {name}")
    except PhospheneError as error:
        return tag("div", "image not available", class_="none", title=str(error))


def _picture(file: Path, name: str) -> Html:
    from PIL import Image

    if not file.exists():
        return tag("div", "no picture", class_="none")
    with Image.open(file) as picture:
        return thumbnail(np.asarray(picture.convert("RGB")), f"picture: {name}")
