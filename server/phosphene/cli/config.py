"""Session files before anything starts: ``phosphene config``."""

from typing import TYPE_CHECKING, Annotated

import typer

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

if TYPE_CHECKING:
    from phosphene.session_file import Sections
    from phosphene.settings import Settings

NOBODY = "nobody"
"""Subject and session of a file that is checked before anybody is there."""

app = typer.Typer(no_args_is_help=True, help="Check and show session files.")


@app.command()
def check(
    session_file: SessionFile,
    subject: SubjectId = None,
    session: SessionId = None,
    output: Output = None,
    bundle: BundleFile = None,
    other_subject: OtherSubject = False,
    seed: Seed = None,
    headless: Headless = False,
) -> None:
    """Say whether a session file would be accepted, or everything that is wrong with it."""
    from phosphene.bundle import check_subject

    given = overrides(
        subject, session, output, bundle, seed, other_subject=other_subject, headless=headless
    )
    _, settings = _load(session_file, given)
    if settings.subject != NOBODY:
        check_subject(settings)
    typer.echo(f"{session_file}: valid; {', '.join(settings.protocol)}")


@app.command()
def show(
    session_file: SessionFile,
    subject: SubjectId = None,
    session: SessionId = None,
    output: Output = None,
    bundle: BundleFile = None,
    other_subject: OtherSubject = False,
    seed: Seed = None,
    headless: Headless = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Show every setting, defaults included, and where each section comes from."""
    from phosphene.settings import resolved

    given = overrides(
        subject, session, output, bundle, seed, other_subject=other_subject, headless=headless
    )
    sections, settings = _load(session_file, given)
    values = resolved(settings)
    if as_json:
        import json

        typer.echo(json.dumps(values, indent=2))
        return
    typer.echo("format: 1")
    for name, value in values.items():
        typer.echo(_section(name, value, sections[name].where()))


def _load(source: str, given: dict[str, object]) -> "tuple[Sections, Settings]":
    """Return sections and settings; whose session it will be need not be known yet."""
    from phosphene.registry import load_registry
    from phosphene.session_file import Section, defaults, filled, options, read_sections
    from phosphene.settings import resolve

    headless = bool(given.pop("headless", False))
    sections = filled(read_sections(source) | options(given), defaults())
    nobody = {name: Section(name, NOBODY, "not given") for name in ("subject", "session")}
    sections = filled(sections, nobody)
    settings = resolve(sections, load_registry(), source, headless=headless)
    if headless:
        sections |= {name: Section(name, None, "--headless") for name in ("screen", "clock")}
    return sections, settings


def _section(name: str, value: object, origin: str) -> str:
    import yaml

    first, *rest = yaml.safe_dump({name: value}, sort_keys=False).rstrip().splitlines()
    return "\n".join([f"{first:<40}  # {origin}", *rest])
