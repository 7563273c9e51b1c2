"""The whole loop in two minutes, without an amplifier: ``phosphene demo``."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

SUBJECT = "demo"
SESSIONS = (
    (
        "demo",
        "Interleaved design: every class once in every block. "
        "The simulated subject's brain responds to what it sees.",
    ),
    (
        "demo-contrast",
        "The paper's block design: one class a block. "
        "This simulated subject's brain does NOT respond to what it sees; its amplifier drifts.",
    ),
)


def demo(
    output: Annotated[Path, typer.Option(help="Folder of the dataset.")] = Path("demo-data"),
    seed: Annotated[int, typer.Option(help="Of everything that is drawn at random.")] = 1,
) -> None:
    """Record, train, close the loop and report, with a simulated subject; then a contrast."""
    from phosphene.cli.show import Display
    from phosphene.cli.summary import print_summary
    from phosphene.errors import PhospheneError
    from phosphene.launch import run_virtual
    from phosphene.registry import load_registry
    from phosphene.settings import load_settings
    from phosphene.states import State

    console = Console()
    registry = load_registry()
    for preset, what in SESSIONS:
        session = next_session(output)
        given = {"subject": SUBJECT, "session": session, "output": output, "seed": seed}
        settings = load_settings(preset, registry, given)
        console.rule(f"session {session}")
        console.print(what)
        with Display(console, f"ses-{session}") as display:
            status = run_virtual(settings, registry, display)
        if status.state is State.FAILED:
            raise PhospheneError(status.problem)
        print_summary(console, status)


def next_session(output: Path) -> str:
    """Return the lowest number that the demo's subject has no session for yet."""
    taken = {path.name for path in (output / "sourcedata" / f"sub-{SUBJECT}").glob("ses-*")}
    number = 1
    while f"ses-{number:02d}" in taken:
        number += 1
    return f"{number:02d}"
