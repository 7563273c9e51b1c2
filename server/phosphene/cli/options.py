"""Options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

SessionFile = Annotated[
    str, typer.Argument(metavar="SESSION", help="A session file, or the name of a preset.")
]
SubjectId = Annotated[str | None, typer.Option("--subject", help="Pseudonym: letters and digits.")]
SessionId = Annotated[str | None, typer.Option("--session", help="Letters and digits.")]
Output = Annotated[Path | None, typer.Option("--output", help="Folder of the study's dataset.")]
BundleFile = Annotated[
    Path | None, typer.Option("--bundle", help="A decoder trained earlier, for feedback alone.")
]
OtherSubject = Annotated[
    bool, typer.Option("--other-subject", help="The bundle may be another subject's.")
]
Seed = Annotated[int | None, typer.Option("--seed", help="Of everything that is drawn at random.")]
Continued = Annotated[
    bool, typer.Option("--resume", help="Go on with a session that was interrupted.")
]
Headless = Annotated[
    bool, typer.Option("--headless", help="No window: simulated flips, as fast as it goes.")
]


def overrides(
    subject: str | None,
    session: str | None,
    output: Path | None,
    bundle: Path | None,
    seed: int | None,
    *,
    other_subject: bool,
    headless: bool,
) -> dict[str, object]:
    """Return the options that were given; they win over the session file."""
    given = {
        "subject": subject,
        "session": session,
        "output": output,
        "bundle": bundle,
        "other_subject": other_subject or None,
        "seed": seed,
        "headless": headless or None,
    }
    return {name: value for name, value in given.items() if value is not None}
