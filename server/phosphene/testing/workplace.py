"""A folder for what the checks write; it goes when the program ends."""

import atexit
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory, mkdtemp


@cache
def workplace() -> Path:
    """Return the folder of this process."""
    folder = TemporaryDirectory(prefix="phosphene-testing-")
    atexit.register(folder.cleanup)
    return Path(folder.name)


def new_folder() -> Path:
    """Return an empty folder."""
    return Path(mkdtemp(dir=workplace()))
