"""Which versions ran a session: stored with its data."""

import platform
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, requires, version

from packaging.requirements import Requirement


def versions() -> dict[str, str]:
    """Return the versions of Phosphene, Python and every library that Phosphene requires."""
    names = ["phosphene", *(Requirement(line).name for line in requires("phosphene") or [])]
    found = {"python": platform.python_version(), "platform": platform.platform()}
    for name in names:
        with suppress(PackageNotFoundError):  # an optional one that is not installed
            found[name] = version(name)
    return found
