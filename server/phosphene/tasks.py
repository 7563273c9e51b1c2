"""The work of the one-shot roles: fit a decoder, make a BIDS run, write the report.

What only one of them needs is imported by it: acquisition's process loads this file too.
"""

from pathlib import Path

import msgspec
from msgspec import structs

from phosphene.dataset.study import SessionFolder
from phosphene.errors import PhospheneError
from phosphene.interfaces import Context
from phosphene.journal import notes_within, set_aside
from phosphene.messages import (
    Assess,
    Export,
    Exported,
    Prospect,
    Reported,
    Retrain,
    Retrained,
    Train,
    Trained,
    WriteReport,
)
from phosphene.registry import Registry
from phosphene.settings import Settings
from phosphene.training import train_session
from phosphene.versions import versions

FITTED = 0.9
"""Share of the progress bar that fitting takes; the rest is the audits."""


def train(settings: Settings, context: Context, message: Train) -> Trained:
    """Fit the session's decoder on what its ``record`` phase recorded, and audit that."""
    trained = fit(settings, context.part(0.0, FITTED), message.session)
    return structs.replace(trained, audits=audit(settings, context.part(FITTED, 1.0), message))


def audit(settings: Settings, context: Context, message: Train) -> tuple[str, ...]:
    """Return the reasons for doubt in what a decoder learnt from, and file all audits."""
    from phosphene.analysis.audits.results import audit_session, file_audits, warnings

    folder = SessionFolder.at(Path(message.session))
    try:
        found = audit_session(folder, settings, context)
    except PhospheneError as error:
        return (f"not audited: {error}",)
    except KeyboardInterrupt:  # The decoder is filed; who waits for it shall have it.
        return ("not audited: interrupted",)
    file_audits(folder, found)
    return tuple(warnings(found))


def fit(settings: Settings, context: Context, session: str, shadow: str = "") -> Trained:
    """Fit a decoder with these settings on what a session recorded."""
    folder = SessionFolder.at(Path(session))
    bundle = folder.new_bundle(shadow)
    sha256 = train_session(
        folder.segments("record"),
        settings,
        context,
        bundle,
        set_aside(folder.journal_file),
    )
    return Trained(str(bundle), sha256)


def assess(settings: Settings, registry: Registry, context: Context, message: Assess) -> Prospect:
    """Find out what feedback with a bundle may claim, and keep it with the session."""
    from phosphene.analysis import prospect

    folder = SessionFolder.at(Path(message.session))
    found = prospect.assess(folder, settings, registry, context, Path(message.bundle))
    content = msgspec.json.format(msgspec.json.encode(found))
    folder.prospect_file.write_bytes(content + b"\n")
    return found


def retrain(
    settings: Settings, registry: Registry, context: Context, message: Retrain
) -> Retrained:
    """Let the decoder learn from the newest feedback run, if that makes it better; file the result.

    What prevents it is a result too: the session goes on with the decoder that it has.
    """
    from phosphene.analysis import retraining

    folder = SessionFolder.at(Path(message.session))
    try:
        found = retraining.retrain(folder, settings, registry, context, message)
    except PhospheneError as error:
        found = retraining.kept(message, str(error))
    retraining.append_retrained(folder.retraining_file, found)
    return found


def export(settings: Settings, folder: SessionFolder, message: Export) -> Exported:
    """Make a BIDS run of one recorded segment."""
    from phosphene.dataset.bids import RunInfo, export_segment
    from phosphene.dataset.onset_evidence import onset_evidence
    from phosphene.dataset.xdf_reader import read_segment
    from phosphene.lab import read_lab

    screen = settings.screen
    info = RunInfo(
        screen_software=_screen_software(screen.kind),
        refresh_rate=screen.refresh_rate,
        resolution=screen.size,
        screen_lag=screen.lag,
        recording=settings.recording,
        lab=read_lab(folder.lab_file),
    )
    journal, segment = folder.journal_file, Path(message.path)
    aborted, notes = set_aside(journal), notes_within(journal, segment)
    made = export_segment(folder, segment, info, aborted, notes)
    evidence = onset_evidence(read_segment(segment), screen.lag, settings.recording)
    return Exported(str(made), evidence.remarks)


def report(registry: Registry, context: Context, message: WriteReport) -> Reported:
    """Evaluate the session and write its report."""
    from phosphene.analysis.report import write_report

    folder = SessionFolder.at(Path(message.session))
    return Reported(str(write_report(folder, registry, context)))


def _screen_software(kind: str) -> tuple[str, str]:
    name = "psychopy" if kind == "psychopy" else "phosphene"
    return name, versions().get(name, "n/a")
