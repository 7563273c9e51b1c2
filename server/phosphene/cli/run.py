"""Run one session from start to end: ``phosphene run``."""

from rich.console import Console

from phosphene.cli.options import (
    BundleFile,
    Headless,
    OtherSubject,
    Output,
    Seed,
    SessionFile,
    SessionId,
    SubjectId,
    overrides,
)
from phosphene.errors import PhospheneError


def run(
    session_file: SessionFile,
    subject: SubjectId = None,
    session: SessionId = None,
    output: Output = None,
    bundle: BundleFile = None,
    other_subject: OtherSubject = False,
    seed: Seed = None,
    headless: Headless = False,
) -> None:
    """Run a session: every phase of its protocol, one after the other."""
    from phosphene.cli.served import run_served
    from phosphene.cli.show import Display
    from phosphene.cli.summary import print_summary
    from phosphene.launch import run_virtual
    from phosphene.registry import load_registry
    from phosphene.settings import load_settings
    from phosphene.states import State

    console = Console()
    registry = load_registry()
    chosen = overrides(
        subject, session, output, bundle, seed, other_subject=other_subject, headless=headless
    )
    settings = load_settings(session_file, registry, chosen)
    with Display(console, f"sub-{settings.subject} ses-{settings.session}") as display:
        if settings.clock == "virtual":
            status = run_virtual(settings, registry, display)
        else:
            status = run_served(session_file, chosen, display)
    print_summary(console, status)
    if status.state is State.FAILED:
        raise PhospheneError(status.problem)
