"""The audits of a recording as a file, and in words."""

from collections.abc import Sequence
from typing import Literal

import msgspec

from phosphene.analysis.audits.battery import audit
from phosphene.analysis.audits.finding import ALPHA, Finding
from phosphene.analysis.audits.material import Material
from phosphene.analysis.audits.recordings import of_session
from phosphene.analysis.predictions import Predictions
from phosphene.dataset.study import SessionFolder
from phosphene.interfaces import Context
from phosphene.settings import Settings

REFERENCE = "reference"
"""The audits' own decoder, where no other one is under test."""


class Audits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What ``audits.json`` holds."""

    recording: str
    n_trials: int
    n_classes: int
    nested: bool
    """Whether class and time are one variable."""
    split: str
    decoder: str
    """Whose decodings were tested; ``reference`` for the audits' own."""
    findings: tuple[Finding, ...]
    alpha: float = ALPHA
    """Probability that any of the tests fires by accident."""
    correction: Literal["Holm"] = "Holm"
    format: Literal[1] = 1

    @property
    def firing(self) -> list[Finding]:
        """Warnings that fire."""
        return [f for f in self.findings if (f.meaning, f.verdict) == ("warning", "fires")]


def audit_material(material: Material, recording: str, decoder: str = REFERENCE) -> Audits:
    """Return the audits of a recording."""
    findings = audit(material)
    return Audits(
        recording,
        len(material.trials),
        material.n_classes,
        material.nested,
        material.split,
        decoder,
        findings,
    )


def audit_session(
    folder: SessionFolder,
    settings: Settings,
    context: Context,
    tested: tuple[str, Predictions] | None = None,
) -> Audits:
    """Return the audits of a session's recording.

    ``tested`` are name and decodings of the decoder under test. Raises ``PhospheneError`` if
    nothing was recorded or there are fewer than two classes.
    """
    context.progress(0.0, "auditing")
    name, predictions = tested or (REFERENCE, None)
    recording = of_session(folder, settings.screen.lag)
    material = recording.material(context.seed, context.stimuli, predictions)
    found = audit_material(material, folder.title, name)
    context.progress(1.0, "audited")
    return found


def file_audits(folder: SessionFolder, found: Audits) -> None:
    """Write the audits that were made in training into a session's ``audits.json``."""
    folder.derivatives.mkdir(parents=True, exist_ok=True)
    content = msgspec.json.format(msgspec.json.encode(found), indent=2)
    (folder.derivatives / "audits.json").write_bytes(content + b"\n")


def warnings(found: Audits) -> list[str]:
    """Return a line for each reason for doubt, or one that says that there is none."""
    if not found.firing:
        return ["audits: no reason for doubt"]
    return [f"audit {each.audit} {each.name}: {each.sentence}" for each in found.firing]


def describe(found: Audits) -> list[str]:
    """Return the audits as lines of text, what matters most first."""
    design = "class and time are one variable in it" if found.nested else "a mixed design"
    head = (
        f"audits of {found.recording}: {found.n_trials} trials of {found.n_classes} classes, "
        f"{design}; split {found.split}, decoder {found.decoder}"
    )
    warned = [finding.audit for finding in found.firing]
    verdict = f"warnings: {', '.join(warned)}" if warned else "no warning"
    rate = f"all tests together fire by accident in {100 * found.alpha:g} % of recordings (Holm)"
    return [head, f"{verdict}; {rate}", *map(str, _in_order(found.findings))]


def _in_order(findings: Sequence[Finding]) -> list[Finding]:
    verdicts = {"fires": 0, "silent": 1, "not applicable": 2}
    return sorted(findings, key=lambda finding: verdicts[finding.verdict])
