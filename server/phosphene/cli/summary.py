"""What a session came to, printed when it has ended."""

from pathlib import Path

from rich.console import Console
from rich.table import Table


def print_summary(console: Console, session: Path) -> None:
    """Say what was recorded, how well it was decoded, and where everything lies."""

    from phosphene.dataset.study import SessionFolder

    folder = SessionFolder.at(session)
    console.print(str(folder.path))
