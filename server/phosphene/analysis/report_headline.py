"""The headline of a report: one honest sentence, and why."""

from phosphene.analysis import words
from phosphene.analysis.crossvalidation import describe_origin
from phosphene.analysis.feedback import gate
from phosphene.analysis.html import Html, tag
from phosphene.analysis.material import Material
from phosphene.analysis.metrics import Accuracy

WHY_CONFOUNDED = (
    "Some class was shown in one block or run only: class and time are one variable. "
    "Whatever changes slowly, such as drying electrodes, then tells the class without any response "
    "of the brain, and no analysis of this recording can tell the two apart. A design that shows "
    "every class in every block, such as interleaved, can."
)


def header(material: Material, title: str) -> Html:
    """Return title and headline."""
    what = ", ".join(f"{phase.phase} ({phase.task})" for phase in material.course.phases)
    began = f"{material.began:%Y-%m-%d %H:%M} UTC"
    version = material.versions.get("phosphene", "")
    return tag(
        "header",
        tag("h1", title),
        tag("p", f"{what} · {began} · Phosphene {version}", class_="soft"),
        headline(material),
    )


def headline(material: Material) -> Html:
    """Return what the session is evidence of, with the accuracies that say so."""
    main, found = material.main, material.evaluation
    lines = [tag("p", claim(main), class_="claim")]
    if found.cross_validation:
        lines.append(_line("Cross-validated, top-1", found.cross_validation.top[0]))
    if found.feedback:
        lines.append(_line("While the session ran, top-1", found.feedback.top[0]))
        if origin := describe_origin(found.feedback):
            lines.append(tag("p", origin))
    if said := gate(material.feedback):
        lines.append(tag("p", said))
    if main and main.label:
        lines.append(tag("p", WHY_CONFOUNDED))
    if found.problem:
        lines.append(tag("p", f"Not cross-validated: {found.problem}."))
    if source := words.source(material.settings):
        lines.append(tag("p", source))
    return tag("div", *lines, class_=f"headline {_kind(main)}".strip(), role="note")


def claim(main: Accuracy | None) -> str:
    """Return the one sentence."""
    if main is None:
        return "Recorded; nothing was decoded."
    if main.label:
        return f"{main.label}."
    if main.above_chance:
        return "The class of the image was decoded above chance."
    if main.high < main.chance:
        return "No evidence of decoding: the accuracy is below chance."
    return "No evidence of decoding: chance lies within the interval."


def _line(name: str, accuracy: Accuracy) -> Html:
    return tag("p", tag("strong", f"{name}: "), str(accuracy))


def _kind(main: Accuracy | None) -> str:
    if main is None:
        return ""
    return "confounded" if main.label else "good" * main.above_chance
