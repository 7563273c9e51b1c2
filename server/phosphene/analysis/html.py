"""HTML made of escaped text and known tags only, and the look of a report."""

import base64
import html
from io import BytesIO

import numpy as np
from numpy.typing import NDArray


class Html(str):
    """Markup; any other text is escaped before it is put into a page."""

    __slots__ = ()


def tag(name: str, *children: str, **attributes: str) -> Html:
    """Return an element; a trailing ``_`` of an attribute is left out, so that ``class_`` works.

    >>> tag("p", "1 < 2", tag("b", "yes"), class_="note")
    '<p class="note">1 &lt; 2<b>yes</b></p>'
    """
    given = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{html.escape(value)}"'
        for key, value in attributes.items()
    )
    return Html(f"<{name}{given}>{''.join(map(escape, children))}</{name}>")


def escape(text: str) -> Html:
    """Return text as markup; markup stays what it is."""
    return text if isinstance(text, Html) else Html(html.escape(text))


def paragraph(*children: str) -> Html:
    """Return a paragraph."""
    return tag("p", *children)


def bullets(items: list[str]) -> Html:
    """Return a list, or nothing if it would be empty."""
    return tag("ul", *(tag("li", item) for item in items)) if items else Html()


def facts(rows: dict[str, str]) -> Html:
    """Return a table of names and values."""
    cells = [tag("tr", tag("th", name, scope="row"), tag("td", rows[name])) for name in rows]
    return tag("div", tag("table", tag("tbody", *cells), class_="facts"), class_="wide")


def table(header: list[str], rows: list[list[str]], caption: str) -> Html:
    """Return a table with a heading for each column."""
    head = tag("tr", *(tag("th", name, scope="col") for name in header))
    body = (tag("tr", *(tag("td", cell) for cell in row)) for row in rows)
    content = tag("table", tag("caption", caption), tag("thead", head), tag("tbody", *body))
    return tag("div", content, class_="wide")


def figure(svg: Html, caption: str) -> Html:
    """Return a drawing with its caption."""
    return tag("figure", tag("div", svg, class_="drawing"), tag("figcaption", caption))


def details(title: str, *children: str) -> Html:
    """Return something that is folded away."""
    return tag("details", tag("summary", title), *children)


def section(title: str, *children: str) -> Html:
    """Return a section, or nothing if there is nothing in it."""
    return tag("section", tag("h2", title), *children) if any(children) else Html()


def thumbnail(pixels: NDArray[np.uint8], alt: str, size: int = 96) -> Html:
    """Return a small JPEG of an image of shape (height, width, 3)."""
    from PIL import Image

    image = Image.fromarray(pixels)
    image.thumbnail((size, size))
    buffer = BytesIO()
    image.save(buffer, "JPEG", quality=80)
    data = base64.b64encode(buffer.getvalue()).decode()
    source = f"data:image/jpeg;base64,{data}"
    height, width = str(image.height), str(image.width)
    return Html(f'<img src="{source}" alt="{html.escape(alt)}" width="{width}" height="{height}">')


def page(title: str, *children: str) -> str:
    """Return a whole page that needs nothing but itself."""
    policy = Html(
        '<meta http-equiv="Content-Security-Policy" '
        "content=\"default-src 'none'; img-src data:; style-src 'unsafe-inline'\">"
    )
    head = tag(
        "head",
        Html('<meta charset="utf-8">'),
        policy,
        Html('<meta name="viewport" content="width=device-width, initial-scale=1">'),
        tag("title", title),
        Html(f"<style>{STYLE}</style>"),
    )
    return "<!doctype html>\n" + tag("html", head, tag("body", tag("main", *children)), lang="en")


STYLE = """
:root { color-scheme: light; --ink: #1c2530; --soft: #5b6876; --line: #dde3ea;
  --accent: #1f5f8b; --good: #1b7f5c; --warn: #9a3b00; --warn-back: #fff2e6; --back: #f4f6f8; }
* { box-sizing: border-box; }
body { margin: 0; background: var(--back); color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Liberation Sans", sans-serif; }
main { max-width: 62rem; margin: 0 auto; padding: 2.5rem 3rem 3rem; background: #fff; }
header p { margin: 0; }
h1 { margin: 0 0 .2rem; font-size: 1.9rem; line-height: 1.2; letter-spacing: -.01em; }
h2 { margin: 2.6rem 0 .8rem; padding-top: .7rem; border-top: 1px solid var(--line);
  font-size: 1.25rem; }
h3 { margin: 1.6rem 0 .4rem; font-size: 1.02rem; }
p { margin: .6rem 0; max-width: 46rem; }
ul { margin: .6rem 0; padding-left: 1.2rem; }
section > ul.banner { padding-left: 2rem; }
.soft, figcaption, caption { color: var(--soft); font-size: .9rem; }
.headline { margin: 1.4rem 0; padding: 1rem 1.3rem; border-left: .4rem solid var(--accent);
  background: #eef5fa; border-radius: 0 .4rem .4rem 0; }
.headline.good { border-color: var(--good); background: #ecf7f3; }
.headline.confounded { border-color: var(--warn); background: var(--warn-back); }
.headline p { margin: .25rem 0; max-width: none; }
.headline .claim { font-size: 1.28rem; font-weight: 650; line-height: 1.35; }
.headline.confounded .claim { color: var(--warn); }
section > .banner { padding: .5rem .9rem; border-left: .4rem solid var(--warn);
  background: var(--warn-back); color: var(--warn); }
.claim::first-letter, .banner::first-letter { text-transform: uppercase; }
.wide { overflow-x: auto; margin: 1rem 0; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
caption { text-align: left; padding-bottom: .4rem; }
th, td { padding: .32rem .9rem .32rem 0; text-align: left; vertical-align: top;
  border-bottom: 1px solid var(--line); }
thead th { color: var(--soft); font-weight: 600; font-size: .88rem; }
.facts th { color: var(--soft); font-weight: 500; white-space: nowrap; padding-right: 1.6rem; }
figure { margin: 1.2rem 0 1.6rem; }
figcaption { max-width: 46rem; margin-top: .3rem; }
.drawing { overflow-x: auto; }
svg { display: block; max-width: 100%; height: auto; }
.gallery { display: grid; grid-template-columns: repeat(auto-fill, minmax(12.6rem, 1fr));
  gap: .9rem; margin: 1rem 0; padding: 0; list-style: none; }
.gallery li { padding: .6rem; border: 1px solid var(--line); border-radius: .5rem;
  break-inside: avoid; }
.gallery .pair { display: flex; gap: .4rem; align-items: center; margin-bottom: .4rem; }
.gallery img, .gallery .none { flex: 1; min-width: 0; aspect-ratio: 1; object-fit: contain;
  background: var(--back); border-radius: .3rem; }
.gallery .none { display: grid; place-items: center; color: var(--soft); font-size: .8rem; }
.gallery p { margin: 0; font-size: .86rem; line-height: 1.4; }
.mark { font-weight: 650; }
.right .mark { color: var(--good); }
.wrong .mark { color: var(--warn); }
details { margin: .6rem 0; }
summary { cursor: pointer; color: var(--accent); }
pre { overflow-x: auto; padding: .8rem 1rem; background: var(--back); border-radius: .4rem;
  font: .8rem/1.45 ui-monospace, "SFMono-Regular", Menlo, Consolas, monospace; }
@media (max-width: 40rem) { main { padding: 1.2rem 1rem 2rem; } }
@media print { body { background: #fff; font-size: 10.5pt; } main { max-width: none; padding: 0; }
  h2 { break-after: avoid; } figure, tr { break-inside: avoid; } }
"""
