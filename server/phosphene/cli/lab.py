"""What is the same for every session: ``phosphene lab``."""

import sys
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer
from rich.console import Console

if TYPE_CHECKING:
    from phosphene.lab import Lab

QUESTIONS = {
    "institution": "Name of the institution",
    "address": "Its address",
    "department": "Department",
    "manufacturer": "Manufacturer of the amplifier",
    "model": "Model of the amplifier",
    "cap_manufacturer": "Manufacturer of the cap",
    "cap_model": "Model of the cap",
    "reference": "Reference electrode",
    "ground": "Ground electrode",
    "placement": "Placement of the electrodes, e.g. 'based on the extended 10/20 system'",
    "hardware_filters": "Filters of the amplifier itself",
    "power_line": "Frequency of the power line, 50 or 60",
}


def lab(
    given: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NAME=VALUE]...", help="What to set, e.g. reference=FCz."),
    ] = None,
) -> None:
    """Say once what amplifier, cap and place are; every session's sidecars tell it.

    Without values it asks, or, where nobody can answer, shows what is known.
    """
    from phosphene.lab import lab_file, read_lab, write_lab

    file = lab_file()
    known = read_lab(file)
    values = dict(_pair(each) for each in given or [])
    if not values and sys.stdin.isatty():
        values = {name: _ask(name, getattr(known, name)) for name in QUESTIONS}
    if values:
        known = _changed(msgspec.to_builtins(known) | values)
        write_lab(known, file)
    console = Console()
    console.print(f"{file}:", soft_wrap=True, highlight=False)
    for name, value in msgspec.to_builtins(known).items():
        console.print(f"  {name:<17} {'n/a' if value is None else value}", highlight=False)


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or name not in QUESTIONS:
        raise typer.BadParameter(
            f"{text!r}: expected NAME=VALUE with one of {', '.join(QUESTIONS)}"
        )
    return name, value


def _ask(name: str, known: object) -> str:
    return str(typer.prompt(QUESTIONS[name], default="n/a" if known is None else str(known)))


def _changed(values: dict[str, object]) -> "Lab":
    from phosphene.errors import SettingsError
    from phosphene.lab import Lab

    line = values.get("power_line")
    frequency = int(line) if isinstance(line, str) and line.isdigit() else line
    values = values | {"power_line": None if frequency == "n/a" else frequency}
    try:
        return msgspec.convert(values, Lab)
    except msgspec.ValidationError as error:
        raise SettingsError(f"settings of the lab: {error}") from None
