"""What was shown beside the picture that answered it."""

from pathlib import Path

import numpy as np

from phosphene.analysis.html import Html, paragraph, tag, thumbnail
from phosphene.analysis.predictions import Predictions
from phosphene.analysis.splits import Shown
from phosphene.dataset.study import SessionFolder
from phosphene.errors import PhospheneError
from phosphene.stimulus import StimulusSet

MOST = 24
"""Trials that are shown, the first of them: nobody chose them."""


def gallery(live: Predictions, folder: SessionFolder, stimuli: StimulusSet) -> Html:
    """Return the first trials: image, picture, target class and decoded class."""
    shown = list(zip(live.trials, live.decoded, strict=True))[:MOST]
    items = [_trial(trial, decoded, folder, stimuli) for trial, decoded in shown]
    note = (
        f"The first {len(shown)} of {len(live.trials)} trials: left the image, right the picture."
    )
    return Html(paragraph(note) + tag("ul", *items, class_="gallery"))


def _trial(trial: Shown, decoded: str, folder: SessionFolder, stimuli: StimulusSet) -> Html:
    target, answer = (stimuli.classes.get(wnid, wnid) for wnid in (trial.wnid, decoded))
    right = trial.wnid == decoded
    pair = tag(
        "div",
        _image(trial, target, stimuli),
        _picture(_picture_file(folder, trial), answer),
        class_="pair",
    )
    kind = "right" if right else "wrong"
    verdict = tag("span", "\u00a0✓" if right else "\u00a0✗", class_="mark", title=kind)
    text = (tag("p", f"shown: {target}"), tag("p", f"decoded: {answer}", verdict))
    return tag("li", pair, *text, class_=kind)


def _image(trial: Shown, name: str, stimuli: StimulusSet) -> Html:
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


def _picture_file(folder: SessionFolder, trial: Shown) -> Path:
    """Return where the generator files the picture of a trial."""
    return folder.pictures / (
        f"run-{trial.run:02d}_block-{trial.block:02d}"
        f"_attempt-{trial.attempt:02d}_trial-{trial.trial:03d}.png"
    )
