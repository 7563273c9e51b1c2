"""The report of a session: one HTML file that needs nothing else, read in five minutes."""

import os
from pathlib import Path

from phosphene.analysis.html import Html, page
from phosphene.analysis.material import Material, gather
from phosphene.analysis.report_headline import header
from phosphene.analysis.report_sections import SECTIONS
from phosphene.dataset.study import SessionFolder
from phosphene.interfaces import Context
from phosphene.registry import Registry


def write_report(
    folder: SessionFolder, registry: Registry, context: Context, *, unblind: bool = False
) -> Path:
    """Write ``report.html`` of a session, and its evaluation if there is none yet.

    ``unblind`` shows which feedback was sham. Raises ``PhospheneError`` if nothing was recorded or
    a file is damaged.
    """
    content = render(gather(folder, registry, context, unblind=unblind))
    draft = folder.report_file.with_name(".report.html")
    draft.write_text(content, encoding="utf-8")
    os.replace(draft, folder.report_file)
    return folder.report_file


def render(material: Material) -> str:
    """Return the report as a page."""
    sections: list[Html] = [make(material) for make in SECTIONS]
    title = f"Subject {material.folder.subject}, session {material.folder.session}"
    return page(f"{title} · Phosphene", header(material, title), *sections)
