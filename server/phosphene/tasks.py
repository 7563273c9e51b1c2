"""The work of the one-shot roles: fit a decoder, make a BIDS run, write the report."""

from pathlib import Path

from phosphene.analysis.report import write_report
from phosphene.dataset.bids import export_segment
from phosphene.dataset.study import SessionFolder
from phosphene.interfaces import Context
from phosphene.journal import aborted_blocks
from phosphene.messages import (
    Export,
    Exported,
    Reported,
    Train,
    Trained,
    WriteReport,
)
from phosphene.registry import Registry
from phosphene.settings import Settings
from phosphene.training import train_session


def train(settings: Settings, registry: Registry, context: Context, message: Train) -> Trained:
    """Fit the session's decoder on what its ``record`` phase recorded."""
    folder = SessionFolder.at(Path(message.session))
    bundle = folder.new_bundle()
    sha256 = train_session(
        folder.segments("record"),
        settings,
        registry,
        context,
        bundle,
        aborted_blocks(folder.journal_file),
    )
    return Trained(str(bundle), sha256)


def export(settings: Settings, folder: SessionFolder, message: Export) -> Exported:
    """Make a BIDS run of one recorded segment."""
    return Exported(str(export_segment(folder, Path(message.path), settings)))


def report(registry: Registry, context: Context, message: WriteReport) -> Reported:
    """Evaluate the session and write its report."""
    folder = SessionFolder.at(Path(message.session))
    return Reported(str(write_report(folder, registry, context)))
