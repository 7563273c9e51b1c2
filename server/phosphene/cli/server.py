"""Serve one session: ``phosphene server``."""

from pathlib import Path

import typer
from rich.console import Console

from phosphene.cli.options import (
    BundleFile,
    Continued,
    Headless,
    OtherSubject,
    Output,
    Seed,
    SessionFile,
    SessionId,
    SubjectId,
    overrides,
)


def server(
    session_file: SessionFile,
    subject: SubjectId = None,
    session: SessionId = None,
    output: Output = None,
    bundle: BundleFile = None,
    other_subject: OtherSubject = False,
    seed: Seed = None,
    headless: Headless = False,
    resume: Continued = False,
) -> None:
    """Start amplifier and screen, then wait for start, pause, resume and stop."""
    from phosphene.launch import serve
    from phosphene.registry import load_registry
    from phosphene.settings import load_settings
    from phosphene.states import State

    console = Console()
    registry = load_registry()
    chosen = overrides(
        subject, session, output, bundle, seed, other_subject=other_subject, headless=headless
    )
    settings = load_settings(session_file, registry, chosen)

    def announce(connection_file: Path) -> None:
        console.print(f"serving {connection_file}", soft_wrap=True, highlight=False)

    status = serve(settings, registry, announce, resume=resume)
    for line in filter(None, (f"{status.state}: {status.folder}", status.problem)):
        console.print(line, soft_wrap=True, markup=False, highlight=False)
    if status.state is State.FAILED:
        raise typer.Exit(1)
