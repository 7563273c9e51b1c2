"""What feedback could be expected to get right, to plan it: ``phosphene prospect``."""

from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from phosphene.messages import Prospect

CLASSES = (2, 3, 4, 5)
REPETITIONS = (1, 3, 5, 10)
SEARCH = (
    "This table is a search: of {n} lines the best one looks better than it is. Settle on one for "
    "other reasons as well; the gate judges it again when feedback begins."
)
JUDGED = "Every decoding is of a decoder that had learnt from earlier parts of the recording alone."


def prospect(
    session: Annotated[Path, typer.Argument(help="The session's folder in sourcedata.")],
    classes: Annotated[
        int | None, typer.Option(min=2, help="How many classes are chosen; by default 2 to 5.")
    ] = None,
    repetitions: Annotated[
        int | None, typer.Option(min=1, help="Images of a trial at most; by default 1, 3, 5, 10.")
    ] = None,
    threshold: Annotated[
        float | None,
        typer.Option(
            help="Posterior probability that decides a trial, between 0 and 1; by default the "
            "session's own."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON array.")] = False,
) -> None:
    """Say what feedback with a session's decoder could be expected to get right.

    It rests on the session's recording: decoders that learn from its earlier parts are tested on
    later ones, and their decodings are put together to trials. The decodings are kept beside the
    session's bundles, where feedback with one of them looks for them.
    """
    import msgspec
    from msgspec import structs

    from phosphene.analysis.forward import forward_of_session
    from phosphene.analysis.prospect import Rule
    from phosphene.analysis.prospect import prospect as prospect_of
    from phosphene.cli.show import Display
    from phosphene.roles.catalogue import House

    if threshold is not None and not 0 < threshold < 1:
        raise typer.BadParameter(f"--threshold lies between 0 and 1; found {threshold:g}")
    house = House.of(session)
    if threshold is None:
        threshold = house.settings.closed_loop.threshold
    console = Console(stderr=as_json)
    with Display(console, house.folder.title) as display:
        context = house.reporting("prospect", display)
        predictions, label = forward_of_session(
            house.folder, house.settings, house.registry, context
        )
    numbers = [classes] if classes else [n for n in CLASSES if n <= len(predictions.classes)]
    lengths = [repetitions] if repetitions else REPETITIONS
    rules = [Rule(predictions.classes, n, threshold, r) for n, r in product(numbers, lengths)]
    found = [prospect_of(predictions, rule, house.settings.seed, label) for rule in rules]
    if as_json:
        plain = [structs.replace(each, donors=()) for each in found]
        typer.echo(msgspec.json.encode(plain).decode())
        return
    _print(console, found, house.stimuli.classes)


def _print(console: Console, found: "Sequence[Prospect]", names: "Mapping[str, str]") -> None:
    console.print(_table(found))
    # Which classes are chosen does not depend on the repetitions.
    chosen = {each.classes: None for each in found}
    lines = [f"{len(of)} classes: {', '.join(names.get(w, w) for w in of)}" for of in chosen]
    lines += dict.fromkeys(each.refusal for each in found if not each.n_decided)
    if not found[0].label:
        lines.append(JUDGED)
    if len(found) > 1:
        lines.append(SEARCH.format(n=len(found)))
    for line in lines:
        console.print(line, soft_wrap=True, markup=False, highlight=False)


def _table(found: "Sequence[Prospect]") -> Table:
    from phosphene.analysis.prospect import expected

    headings = ("classes", "images", "right, of decided trials", "decided", "true feedback")
    table = Table(*headings, box=None, pad_edge=False)
    for each in found:
        table.add_row(
            str(len(each.classes)),
            str(each.repetitions),
            str(expected(each) or "unknown"),
            f"{each.n_decided} of {each.n_trials}",
            "refused" if each.refusal else "allowed",
        )
    return table
