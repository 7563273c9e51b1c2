"""Serve one session: ``phosphene server``."""

import typer
from rich.console import Console

from phosphene.cli.options import (
    BundleFile,
    Headless,
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
    seed: Seed = None,
    headless: Headless = False,
) -> None:
    """Start amplifier and screen, then wait for start, pause, resume and stop."""
    from phosphene.launch import serve
    from phosphene.registry import load_registry
    from phosphene.server import Server
    from phosphene.settings import load_settings
    from phosphene.states import State

    console = Console()
    registry = load_registry()
    chosen = overrides(subject, session, output, bundle, seed, headless=headless)
    settings = load_settings(session_file, registry, chosen)

    def announce(started: Server) -> None:
        console.print(f"serving {started.connection_file}", soft_wrap=True, highlight=False)

    status = serve(settings, registry, announce)
    console.print(f"{status.state}: {status.folder}", soft_wrap=True, highlight=False)
    if status.state is State.FAILED:
        raise typer.Exit(1)
