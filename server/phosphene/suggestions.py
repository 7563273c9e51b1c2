"""What to say about a name that does not exist."""

from collections.abc import Iterable
from difflib import get_close_matches


def choices(name: object, known: Iterable[object], label: str = "allowed") -> str:
    """Return the end of an error's text: the name that looks most alike, and all there are.

    >>> choices("decodr", ["decoder", "generator"])
    " (did you mean 'decoder'?); allowed: decoder, generator"
    """
    names = {str(each).lower(): str(each) for each in known}
    alike = get_close_matches(str(name).lower(), names, n=1)
    hint = f" (did you mean {names[alike[0]]!r}?)" if alike else ""
    return f"{hint}; {label}: {', '.join(names.values()) or 'none'}"
