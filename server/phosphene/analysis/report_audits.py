"""What else than the class could have been decoded: the audits in a report."""

from collections.abc import Sequence

from phosphene.analysis import plots
from phosphene.analysis.audits.finding import Finding, Meaning
from phosphene.analysis.audits.results import Audits
from phosphene.analysis.html import Html, figure, paragraph, section, table, tag
from phosphene.analysis.material import Material

ORDER = ("fires", "silent", "not applicable")
MEANINGS: dict[Meaning, str] = {
    "warning": "a reason for doubt",
    "evidence": "a sign of decoding",
    "information": "worth knowing",
}


def audits(material: Material) -> Html:
    """Return every audit with its verdict; the reasons for doubt that were found come first."""
    found, problem = material.evaluation.audits, material.evaluation.audits_problem
    title = "Is it real? The audits"
    if found is None:
        return section(title, paragraph(f"Not audited: {problem}.")) if problem else Html()
    return section(
        title,
        _verdict(found),
        paragraph(
            "Each audit asks whether something else than the class on the screen could have been "
            f"decoded. All tests together fire by accident in {100 * found.alpha:g} % of "
            f"recordings ({found.correction}'s correction). They tested the decoder "
            f"'{found.decoder}' on {found.n_trials} trials; what a decoder of the audits' own "
            "found is said so."
        ),
        *(_curve(finding) for finding in found.findings if finding.curve),
        _table(found.findings),
    )


def _verdict(found: Audits) -> Html:
    if not found.firing:
        return paragraph("No audit gives a reason for doubt.")
    sentences = [tag("li", f"{each.audit} {each.name}: {each.sentence}") for each in found.firing]
    return tag("ul", *sentences, class_="banner")


def _table(findings: Sequence[Finding]) -> Html:
    rows = [
        [
            f"{each.audit} {each.name}",
            f"{each.verdict} ({MEANINGS[each.meaning]})" if _fires(each) else each.verdict,
            each.sentence,
            " ".join(filter(None, [each.numbers.strip("[]"), each.label])),
        ]
        for each in sorted(findings, key=lambda each: ORDER.index(each.verdict))
    ]
    return table(["audit", "verdict", "in words", "in numbers"], rows, "All audits")


def _curve(finding: Finding) -> Html:
    return figure(
        plots.curve_plot(finding),
        "The window before the onset sees what went before; a response to the image comes after.",
    )


def _fires(finding: Finding) -> bool:
    return finding.verdict == "fires"
