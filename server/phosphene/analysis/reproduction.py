"""The paper's table and figure, made again: what was published beside what comes out here."""

from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np
from msgspec import structs

from phosphene.analysis.comparison import Comparison, Entry, names_of
from phosphene.analysis.figures import draw_all
from phosphene.analysis.subjects import PERCENT, OverSubjects
from phosphene.choice import choose
from phosphene.clock import RealClock
from phosphene.dataset.study import SessionFolder, Study
from phosphene.design import CONFOUNDED
from phosphene.errors import PhospheneError
from phosphene.interfaces import Context
from phosphene.registry import load_registry
from phosphene.settings import read_resolved
from phosphene.strict_yaml import read_yaml

DECODERS = ("kd-stft", "plain-stft", "power-lr")
MEASURES = ("top-1", "top-3", "top-5", "macro F1", "Cohen's kappa")
PUBLISHED_AS = {
    "kd-stft": "KD on STFT",
    "plain-stft": "plain CNN on spectrograms",
    "power-lr": "LR on average square signal",
}
PUBLISHED = {
    "kd-stft": (0.4120, 0.7530, 0.8782, 0.4027, 0.3966),
    "plain-stft": (0.2819, 0.5773, 0.7295, 0.2742, 0.2632),
    "power-lr": (0.3600, 0.6619, 0.8156, 0.3493, 0.3435),
}
"""Means over six subjects: Ferrante, Boccato, Bargione and Toschi, arXiv 2309.07149, Table 1."""
NEEDS_IMAGES = ("kd-stft", "clip-retrieval")
NOTES = (
    "A subject without any class in the EEG reaches such numbers in this design: class and time "
    "are one variable, and whatever drifts tells the class.",
    "Published and own values cannot agree to the digit: layers, temperature, optimiser and the "
    "release of the data are not all published; the published row of the plain CNN repeats "
    "another row of that table digit by digit, and the paper's figure shows about 34, 70 and 85 %.",
)


def entries(study: Path, decoders: Sequence[str]) -> tuple[list[Entry], list[str]]:
    """Return every decoder on every subject, and a sentence for each decoder that is left out.

    Raises ``PhospheneError`` if none is left.
    """
    registry = load_registry()
    chosen = [
        choose(registry, "decoder", read_yaml(text.encode(), "--decoder").value)
        for text in decoders
    ]
    found: list[Entry] = []
    skipped: list[str] = []
    for folder in SessionFolder.all_at(study):
        own = read_resolved(folder.settings_file, registry)
        stimuli = own.stimuli.config.build(own.cache)
        context = Context(stimuli, own.seed, own.cache, RealClock())
        seen = stimuli.images and stimuli.path(stimuli.images[0].id).is_file()
        kept = [each for each in chosen if seen or each.name not in NEEDS_IMAGES]
        skipped = [each.name for each in chosen if each not in kept]
        for each, name in zip(kept, names_of(kept), strict=True):
            tested = structs.replace(own, decoder=each)
            found.append(Entry(folder, own, tested, name, context))
    sentences = [
        f"{name} was left out: its teacher looks at the images, and they are not here; import the "
        "data set with --images."
        for name in skipped
    ]
    if not found:
        raise PhospheneError(" ".join(sentences) or f"{study}: there is nothing to decode")
    return found, sentences


def write_reproduction(study: Path, found: Comparison, split: str, skipped: Sequence[str]) -> Path:
    """Write ``paper.md``, ``paper.json`` and the figures; return the first."""
    folder = Study(study.absolute()).comparison_file.parent / "paper"
    folder.mkdir(parents=True, exist_ok=True)
    content = msgspec.json.format(msgspec.json.encode(found), indent=2)
    (folder / "paper.json").write_bytes(content + b"\n")
    draw_all(found, folder)
    file = folder / "paper.md"
    file.write_text("\n".join(_page(found, split, skipped)) + "\n", encoding="utf-8")
    return file


def _page(found: Comparison, split: str, skipped: Sequence[str]) -> list[str]:
    n_subjects = len({session.subject for session in found.sessions})
    lines = [
        f"# Table 1 of the paper: {CONFOUNDED}",
        "",
        f"Means over {n_subjects} subjects (published: 6), split '{split}'. "
        "Chance of top-1, top-3 and top-5 with 40 classes: 2.5, 7.5 and 12.5 %.",
        "",
        "| decoder | | " + " | ".join(MEASURES) + " |",
        "|---|---|" + "---|" * len(MEASURES),
    ]
    for name in found.decoders:
        if name in PUBLISHED:
            lines.append(_row(PUBLISHED_AS[name], "published", _published(name)))
        lines.append(_row(name, "here", _measured(found, name)))
    lines += ["", f"Every number of this table: {CONFOUNDED}.", ""]
    lines += [f"- {note}" for note in (*NOTES, *skipped)]
    lines += ["", *_in_full(found)]
    return lines


def _row(name: str, origin: str, cells: Sequence[str]) -> str:
    return f"| {name} | {origin} | " + " | ".join(cells) + " |"


def _published(name: str) -> list[str]:
    return [_cell(m, value) for m, value in zip(MEASURES, PUBLISHED[name], strict=True)]


def _measured(found: Comparison, decoder: str) -> list[str]:
    """Return the means over subjects, which one subject has too."""
    values: dict[str, list[float]] = {}
    for session in found.sessions:
        evaluation = session.decoders[decoder].cross_validation
        for each in evaluation.top if evaluation else ():
            values.setdefault(f"top-{each.k}", []).append(each.fraction)
        for score in evaluation.scores if evaluation else ():
            values.setdefault(score.name, []).append(score.value)
    return [_cell(m, float(np.mean(values[m]))) if m in values else "–" for m in MEASURES]


def _cell(measure: str, value: float) -> str:
    return f"{100 * value:.1f} %" if measure in PERCENT else f"{value:.3f}"


def _in_full(found: Comparison) -> list[str]:
    """Return what is told with interval and chance."""
    every: list[tuple[str, OverSubjects]] = [
        (name, each) for name, measures in found.over_subjects.items() for each in measures
    ]
    return [f"- {name}, {each.name}: {each}" for name, each in every]
