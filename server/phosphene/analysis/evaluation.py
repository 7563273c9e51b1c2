"""A session judged: its recording cross-validated, its live decodings counted, both on disk."""

from collections.abc import Mapping
from pathlib import Path

import msgspec
from msgspec import structs

from phosphene.analysis.crossvalidation import Evaluation, evaluate, judge, summary
from phosphene.analysis.predictions import read_decodings
from phosphene.choice import choose, plain
from phosphene.dataset.study import SessionFolder
from phosphene.dataset.xdf_reader import read_segment
from phosphene.errors import PhospheneError
from phosphene.interfaces import Context
from phosphene.journal import aborted_blocks
from phosphene.pipeline import Pipeline
from phosphene.registry import Registry
from phosphene.settings import read_resolved
from phosphene.training import collect

__all__ = [
    "Evaluation",
    "SessionEvaluation",
    "evaluate",
    "evaluate_feedback",
    "evaluate_session",
    "read_evaluation",
    "summary",
]
