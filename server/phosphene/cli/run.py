"""Run one session from start to end: ``phosphene run``."""

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
from phosphene.errors import PhospheneError

GO_ON = "To show the blocks that are left, give the same command with --resume."


def run(
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
    again = {"resume": True} if resume else {}
    with Display(console, f"sub-{settings.subject} ses-{settings.session}") as display:
        if settings.clock == "virtual":
            status = run_virtual(settings, registry, display, resume=resume)
        else:
            status = run_served(session_file, {**chosen, **again}, display)
    print_summary(console, status)
    if status.blocks_done < status.blocks_total:
        console.print(GO_ON, soft_wrap=True)
    if status.state is State.FAILED:
        raise PhospheneError(status.problem)
