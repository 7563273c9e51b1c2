"""The pictures that a session showed, compared with the images that the subject saw.

These are the measures that papers on reconstruction report. They are kept apart from decoding
accuracy in every output, because a generator that paints what a classifier decided makes good
pictures of whatever it decided.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np
import PIL.Image
from numpy.typing import NDArray

from phosphene.analysis.evaluation import read_evaluation
from phosphene.analysis.picture_measures import PERMUTATIONS, Compared, PictureScores
from phosphene.choice import Chosen, plain
from phosphene.dataset.study import SessionFolder
from phosphene.errors import PhospheneError
from phosphene.feedback_table import FeedbackTrial, read_trials
from phosphene.interfaces import Context, ImageEncoder, ImageEncoderConfig
from phosphene.journal import set_aside

Array = NDArray[np.float64]

STAND_IN = "descriptor"
"""The encoder that serves where no CLIP model is chosen."""
MEANING = (
    "These numbers compare pictures with images; they are not decoding accuracy. With pictures "
    "made from the decoded class they measure the classifier and the generator together: a right "
    "decision gives a picture of the right class, whatever else was seen, and only similarity "
    "above that with other images of the same class would be more than the class."
)
NO_CLIP = (
    "The encoder is the built-in descriptor of colours and edges, a stand-in for CLIP: nothing "
    "published can be compared with these numbers."
)
OTHER_MEASURE = (
    "The n-way top-k classification that others report (an ImageNet classifier names the picture: "
    "MinD-Vis, Chen et al., CVPR 2023) is another measure, which is not computed here."
)
BATCH = 32


class PictureEvaluation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What ``pictures.json`` holds: pictures that answered the subject's own decodings."""

    encoder: dict[str, Any]
    """Name and settings."""
    space: str
    classes: dict[str, str]
    """wnid -> name, of the images that were seen."""
    all: PictureScores
    right: PictureScores | None
    """Where the class that was seen was decided; None if it never was."""
    wrong: PictureScores | None
    label: str
    """``metrics.CONFOUNDED`` if the session's decoding is no evidence, or empty."""
    n_missing: int
    """Pictures that were shown and whose file is not there."""
    notes: tuple[str, ...]
    """What must be said of the numbers, ``MEANING`` first."""
    permutations: int = PERMUTATIONS
    intervals: str = "identification: Clopper-Pearson of summed probabilities; similarity: t"
    format: Literal[1] = 1


def evaluate_pictures(
    folder: SessionFolder,
    chosen: Chosen[ImageEncoderConfig],
    context: Context,
    *,
    unblind: bool = False,
) -> PictureEvaluation:
    """Compare a session's pictures with what was seen, and write ``pictures.json``.

    Of a trial that showed several images it is the first that the picture is compared with.
    Raises ``PhospheneError`` if the session has not been evaluated, if there are no pictures of
    trials of two classes, or if it has sham feedback and ``unblind`` is not given.
    """
    table = _table(folder, unblind)
    aborted = set_aside(folder.journal_file)
    trials, n_missing = _with_picture(folder, read_trials(table, aborted))
    _check_enough(folder, trials)
    label = _label(folder)
    encoder = chosen.config.build(context)
    compared = _compared(trials, _cosines(encoder, trials, folder, context), context, label)
    right, wrong = _by_decision(trials, compared)
    names = {wnid: context.stimuli.classes.get(wnid, wnid) for wnid in _classes(trials)}
    notes = (MEANING, *[NO_CLIP] * (chosen.name == STAND_IN), OTHER_MEASURE)
    found = PictureEvaluation(
        plain(chosen),
        encoder.space,
        names,
        compared.scores(),
        right,
        wrong,
        label,
        n_missing,
        notes,
    )
    content = msgspec.json.format(msgspec.json.encode(found), indent=2)
    _file(table).write_bytes(content + b"\n")
    return found


def read_picture_evaluation(
    folder: SessionFolder, *, unblind: bool = False
) -> PictureEvaluation | None:
    """Return what ``evaluate_pictures`` wrote; None if it has not, or if it is sealed.

    Raises ``PhospheneError`` for a damaged file.
    """
    sealed = folder.sealed_feedback_file
    path = _file(sealed if unblind and sealed.exists() else folder.feedback_file)
    if not path.exists():
        return None
    try:
        return msgspec.json.decode(path.read_bytes(), type=PictureEvaluation)
    except msgspec.MsgspecError as error:
        raise PhospheneError(
            f"{path}: {error}; phosphene evaluate-pictures makes it anew"
        ) from None


def describe(found: PictureEvaluation) -> list[str]:
    """Return the evaluation as lines of text, none without its chance and its meaning."""
    return [*measured(found), *found.notes]


def measured(found: PictureEvaluation) -> list[str]:
    """Return what was measured as lines of text, to be told with ``found.notes``."""
    (encoder,) = found.encoder
    parts = {"all": found.all, "decided right": found.right, "decided wrong": found.wrong}
    lines = [f"pictures compared by {encoder}, space {found.space}; {len(found.classes)} classes"]
    if found.n_missing:
        lines.append(f"{found.n_missing} pictures were left out: their files are missing")
    for name, scores in parts.items():
        if scores is not None:
            lines += [f"{name}: {each}" for each in (*scores.identification, scores.similarity)]
    return lines


def _table(folder: SessionFolder, unblind: bool) -> Path:
    if not folder.sealed_feedback_file.exists():
        return folder.feedback_file
    if not unblind:
        raise PhospheneError(
            f"{folder.title} has sham feedback, and which trials had it is sealed: evaluate its "
            "pictures when the study is over, with --unblind"
        )
    return folder.sealed_feedback_file


def _file(table: Path) -> Path:
    """Return where the evaluation lies: beside the table, so that it is sealed with it."""
    return table.with_name("pictures.json")


def _with_picture(
    folder: SessionFolder, trials: Sequence[FeedbackTrial]
) -> tuple[list[FeedbackTrial], int]:
    """Return the trials whose own decodings were answered by a picture, and how many lack it."""
    answered = [trial for trial in trials if trial.arm == "true" and trial.outcome == "shown"]
    there = [trial for trial in answered if _png(folder, trial.picture).exists()]
    return there, len(answered) - len(there)


def _check_enough(folder: SessionFolder, trials: Sequence[FeedbackTrial]) -> None:
    if len(_classes(trials)) < 2:
        raise PhospheneError(
            f"{folder.title}: comparing pictures takes answered trials of at least 2 classes whose "
            f"pictures are in {folder.pictures}; found {len(trials)} trials of "
            f"{len(_classes(trials))} classes"
        )


def _classes(trials: Sequence[FeedbackTrial]) -> list[str]:
    return sorted({trial.wnid for trial in trials})


def _compared(
    trials: Sequence[FeedbackTrial], cosines: Array, context: Context, label: str
) -> Compared:
    wnids, images = [trial.wnid for trial in trials], [trial.image for trial in trials]
    return Compared(wnids, images, cosines, context.rng(*b"pictures"), label)


def _by_decision(
    trials: Sequence[FeedbackTrial], compared: Compared
) -> tuple[PictureScores | None, PictureScores | None]:
    """Return the scores of trials with a right and with a wrong decision."""
    is_right = np.array([trial.decision == trial.wnid for trial in trials])
    right, wrong = (compared.scores(of) if of.any() else None for of in (is_right, ~is_right))
    return right, wrong


def _label(folder: SessionFolder) -> str:
    found = read_evaluation(folder)
    labels = [each.label for each in (found.cross_validation, found.feedback) if each]
    return next(filter(None, labels), "")


def _cosines(
    encoder: ImageEncoder, trials: Sequence[FeedbackTrial], folder: SessionFolder, context: Context
) -> Array:
    """Return the cosines of every trial's image (rows) and every trial's picture (columns)."""

    def picture(name: str) -> NDArray[np.uint8]:
        return _read(_png(folder, name))

    images, pictures = [trial.image for trial in trials], [trial.picture for trial in trials]
    seen = _vectors(encoder, context.stimuli.pixels, images, context.part(0, 0.5, "images"))
    made = _vectors(encoder, picture, pictures, context.part(0.5, 1, "pictures"))
    return seen @ made.T


def _vectors(
    encoder: ImageEncoder,
    load: Callable[[str], NDArray[np.uint8]],
    names: Sequence[str],
    context: Context,
) -> Array:
    """Return the vectors of images by name, shape (n_names, n_dimensions)."""
    found: dict[str, NDArray[np.float32]] = {}
    different = list(dict.fromkeys(names))
    for start in range(0, len(different), BATCH):
        batch = different[start : start + BATCH]
        found |= zip(batch, encoder.embed([load(name) for name in batch]), strict=True)
        context.progress(len(found) / len(different), f"{len(found)} of {len(different)}")
    return np.stack([found[name] for name in names]).astype(np.float64)


def _png(folder: SessionFolder, picture: str) -> Path:
    return folder.pictures / f"{picture}.png"


def _read(path: Path) -> NDArray[np.uint8]:
    try:
        with PIL.Image.open(path) as image:
            return np.asarray(image.convert("RGB"))
    except Exception as error:  # A damaged file makes decoders raise almost anything.
        raise PhospheneError(f"{path}: the picture cannot be read: {error}") from error
