"""Whether a call unpickles: a pickle runs code of whoever wrote it."""

import sys
from collections.abc import Callable
from contextlib import suppress
from functools import cache


def unpickled_by(call: Callable[[], object]) -> list[str]:
    """Return the names that a call looks up for a pickle; what it raises does not matter.

    Python tells its audit hooks, whichever way the unpickler was imported.
    """
    heard = _heard()
    heard.clear()
    with suppress(Exception):
        call()
    return list(heard)


@cache
def _heard() -> list[str]:
    """Begin to listen; an audit hook stays until the program ends, so there is but one."""
    heard: list[str] = []

    def listen(event: str, arguments: tuple[object, ...]) -> None:
        if event == "pickle.find_class":
            heard.append(".".join(map(str, arguments)))

    sys.addaudithook(listen)
    return heard
