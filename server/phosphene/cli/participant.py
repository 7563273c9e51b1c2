"""What a study says of a participant: ``phosphene participant``."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class Sex(StrEnum):
    """As BIDS has it."""

    F = "F"
    M = "M"
    O = "O"  # noqa: E741


class Hand(StrEnum):
    """As BIDS has it."""

    R = "R"
    L = "L"
    A = "A"


def participant(
    study: Annotated[Path, typer.Argument(help="The study.")],
    subject: Annotated[str, typer.Argument(help="The subject's pseudonym.")],
    age: Annotated[int | None, typer.Option(min=0, max=89, help="In years, 89 at most.")] = None,
    sex: Annotated[Sex | None, typer.Option(help="Female, male, other.")] = None,
    hand: Annotated[Hand | None, typer.Option(help="Right, left, ambidextrous.")] = None,
    consent: Annotated[
        str | None, typer.Option(help="Reference of the consent form; stays in sourcedata.")
    ] = None,
) -> None:
    """Say what is to be known of a participant; all of it is optional, none goes into a log."""
    from phosphene.dataset.study import Study

    given = {"age": age, "sex": sex, "hand": hand, "consent": consent}
    said = {name: str(value) for name, value in given.items() if value is not None}
    Study(study.absolute()).say_of(subject, said)
