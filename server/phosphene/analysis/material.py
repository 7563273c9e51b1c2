"""Everything that a report says, gathered before a word is written."""

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from phosphene.analysis.course import Course, PhaseCourse, read_course
from phosphene.analysis.evaluation import SessionEvaluation, current_evaluation
from phosphene.analysis.feedback import Feedback, read_feedback
from phosphene.analysis.metrics import Accuracy
from phosphene.analysis.predictions import Predictions, read_decodings
from phosphene.analysis.quality import Quality, measure_quality
from phosphene.bundle import BundleCard, read_card
from phosphene.dataset.study import SessionFolder
from phosphene.design import label_of
from phosphene.errors import PhospheneError
from phosphene.interfaces import Context
from phosphene.journal import read_journal, set_aside
from phosphene.registry import Registry
from phosphene.settings import Settings, read_resolved, resolved
from phosphene.stimulus import StimulusSet

PRIVATE = ("output", "cache", "bundle")
"""Settings that name folders of the computer, and with them perhaps a person."""


@dataclass(frozen=True)
class Material:
    """One session, measured."""

    folder: SessionFolder
    settings: Settings
    stimuli: StimulusSet
    began: datetime
    ended: datetime
    course: Course
    evaluation: SessionEvaluation
    live: Predictions | None
    """The decodings that ``evaluation.feedback`` counts."""
    quality: Quality | None
    quality_problem: str
    """Why the signal could not be looked at."""
    versions: dict[str, str]
    feedback: Feedback
    card: BundleCard | None
    """Of the bundle that was filed last."""

    @property
    def label(self) -> str:
        """``CONFOUNDED`` if class and time were one variable in what was learnt from."""
        return label_of(self.first_phase.stimuli)

    @property
    def first_phase(self) -> PhaseCourse:
        """The phase that data quality is judged by: ``record``, if there was one."""
        return self.course.phases[0]

    @property
    def main(self) -> Accuracy | None:
        """The one accuracy of the headline: top-1, cross-validated if possible."""
        evaluation = self.evaluation.cross_validation or self.evaluation.feedback
        return evaluation.top[0] if evaluation else None

    @property
    def plain_settings(self) -> dict[str, Any]:
        """Every setting but private ones, as JSON holds it."""
        values = resolved(self.settings)
        return {name: value for name, value in values.items() if name not in PRIVATE}


def gather(
    folder: SessionFolder, registry: Registry, context: Context, *, unblind: bool = False
) -> Material:
    """Return what the report is about; ``PhospheneError`` if nothing was recorded."""
    settings = read_resolved(folder.settings_file, registry)
    course = read_course(folder, settings, context)
    evaluation = current_evaluation(folder, registry, context)
    lines = read_journal(folder.journal_file)
    quality, problem = _quality(course.phases[0], settings, context)
    return Material(
        folder,
        settings,
        context.stimuli,
        lines[0].written,
        lines[-1].written,
        course,
        evaluation,
        read_decodings(folder.decodings_file, set_aside(folder.journal_file)),
        quality,
        problem,
        json.loads(folder.settings_file.read_bytes())["versions"],
        read_feedback(folder, settings, unblind=unblind),
        _card(folder),
    )


def _card(folder: SessionFolder) -> BundleCard | None:
    bundles = folder.bundles()
    return read_card(bundles[-1]) if bundles else None


def _quality(
    phase: PhaseCourse, settings: Settings, context: Context
) -> tuple[Quality | None, str]:
    try:
        return measure_quality(phase, settings, context), ""
    except PhospheneError as error:
        return None, str(error)
