"""How long a session must be to show anything: ``phosphene plan``."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from phosphene.analysis.trial_budget import Budget

HOUR = 60.0
"""Minutes that a subject looks at images in one session, at most."""


def plan(
    classes: Annotated[int, typer.Option(help="How many classes there are.")] = 40,
    expected: Annotated[
        float, typer.Option(help="The accuracy that is expected, as a fraction: 0.06 is 6 %.")
    ] = 0.06,
    power: Annotated[float, typer.Option(help="Probability of seeing it if it is there.")] = 0.8,
    alpha: Annotated[float, typer.Option(help="Probability of seeing it if it is not.")] = 0.05,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Say how many trials, runs and minutes it takes to show that an accuracy is above chance.

    The test is the exact binomial one, one-sided, over trials decoded by decoders that had not
    seen their run. Every trial of a session is tested once, so that all of them count.
    """
    import msgspec

    from phosphene.analysis.power import Question, trials_needed
    from phosphene.analysis.trial_budget import budgets, usual

    try:
        question = Question(classes, expected, power, alpha)
        n_trials = trials_needed(question)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    found = budgets(question, n_trials)
    if as_json:
        answer = {
            **asdict(question),
            "chance": question.chance,
            "trials": n_trials,
            "designs": [asdict(each) for each in found],
        }
        typer.echo(msgspec.json.encode(answer).decode())
        return
    console = Console()
    console.print(
        f"To show {100 * expected:g} % of {classes} classes (chance {100 * question.chance:.3g} %) "
        f"with a power of {100 * power:g} % at a one-sided level of {100 * alpha:g} % takes "
        f"{n_trials} test trials.",
        highlight=False,
    )
    console.print(_table(found))
    console.print(_advice(found[0], usual(classes)), highlight=False)


def _table(found: "list[Budget]") -> Table:
    table = Table("design", "blocks", "runs", "trials", "minutes", "what it can show", box=None)
    for each in found:
        length = [str(each.blocks), str(each.runs), str(each.trials), f"{each.minutes:.0f}"]
        table.add_row(each.design, *(length if each.blocks else ["-"] * 4), each.verdict)
    return table


def _advice(best: "Budget", usual: "Budget") -> str:
    sessions = max(1, -(-best.minutes // HOUR))
    parts = f" in {sessions:.0f} sessions of an hour at most" if sessions > 1 else ""
    return (
        f"Recommended: {best.design}, {best.runs} runs of {best.blocks // best.runs} blocks, "
        f"{best.minutes:.0f} minutes{parts}. That is the least, if the decoder is as good as "
        "expected. It learns from the same trials: by default the design has "
        f"{usual.trials} of them, in {usual.minutes:.0f} minutes."
    )
