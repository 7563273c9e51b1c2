"""From a matplotlib figure to SVG that is a good part of a page: real text, one look, light."""

import re
from collections.abc import Callable
from html import escape
from io import StringIO
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from phosphene.analysis.html import Html

INK, SOFT, LINE = "#1c2530", "#5b6876", "#dde3ea"
ACCENT, SECOND, WARN = "#1f5f8b", "#c2662d", "#9a3b00"
STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "text.parse_math": False,  # A class may be called anything.
    "text.color": INK,
    "axes.edgecolor": SOFT,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "xtick.color": SOFT,
    "ytick.color": SOFT,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "legend.frameon": False,
    "savefig.transparent": True,
}
FONTS = "DejaVu Sans, Verdana, sans-serif"
"""Of the page, for what matplotlib measured in its own DejaVu Sans."""


def drawing(width: float, height: float, alt: str, draw: Callable[[Figure], None]) -> Html:
    """Return what ``draw`` makes of a figure of so many inches; ``alt`` is for who cannot see."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(width, height), layout="constrained")
        draw(figure)
        text = StringIO()
        figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
    return _inline(text.getvalue(), alt)


def set_title(axes: Axes, text: str, label: str) -> None:
    """Write a title, and below it the label of a design whose accuracies are no evidence."""
    axes.set_title(text, loc="left", pad=20 if label else 6)
    if label:
        axes.annotate(
            label,
            (0, 1),
            (0, 6),
            xycoords="axes fraction",
            textcoords="offset points",
            color=WARN,
            fontweight="bold",
            in_layout=False,  # It may be wider than the axes, and must not push them aside.
        )


def _inline(svg: str, alt: str) -> Html:
    """Return the drawing without what only a file of its own needs."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    # Nothing refers to the names of groups, and names must be unique in a page.
    svg = re.sub(r'<g id="[^"]*"', "<g", svg)
    svg = svg.replace("'DejaVu Sans'", FONTS)
    return Html(svg.replace("<svg ", f'<svg role="img" aria-label="{escape(alt)}" ', 1))
