"""Prompts from the names of classes: one synonym, and the article that its sound asks for."""

import re
from string import Formatter

from phosphene import StimulusSet

FIELDS = ("class", "a_class")
SILENT_H = re.compile(r"heir|honest|honou?r|hour")
Y_OR_W = re.compile(r"eu|ewe|on(e|ce)\b|ouija|u[bkst][aeiou]|ur[aei]|uni(?![dmn])")
"""Words that begin with a vowel's letter, but not with its sound: European, one, ukulele."""
SPELLED_WITH_VOWEL = "AEFHILMNORSX"
"""Letters whose names begin with a vowel: an LCD screen, an X-ray."""


def check_template(template: str) -> None:
    """Raise ``ValueError`` for a prompt into which no class can be filled."""
    allowed = " and ".join(f"{{{field}}}" for field in FIELDS)
    try:
        parts = list(Formatter().parse(template))
    except ValueError as error:
        raise ValueError(f"prompt: {error}; found {template!r}; allowed: {allowed}") from None
    fields = {field for _, field, _, _ in parts if field is not None}
    plain = not any(spec or conversion for _, _, spec, conversion in parts)
    if not (fields and plain and fields <= set(FIELDS)):
        raise ValueError(f"prompt must hold the class; allowed: {allowed}; found {template!r}")


def prompts(template: str, stimuli: StimulusSet) -> dict[str, str]:
    """Return the prompt of every class of an image set, by wnid."""
    return {wnid: prompt(template, name) for wnid, name in stimuli.classes.items()}


def prompt(template: str, name: str) -> str:
    """Return the prompt for a class's name.

    >>> prompt("an image of {a_class}", "anemone_fish, clownfish")
    'an image of an anemone fish'
    """
    name = first_name(name)
    return template.format(**{"class": name, "a_class": with_article(name)})


def first_name(name: str) -> str:
    """Return the first synonym of a name, in plain words."""
    return " ".join(name.split(",", maxsplit=1)[0].replace("_", " ").split())


def with_article(name: str) -> str:
    """Return the name behind "a" or "an", as it sounds."""
    return f"{'an' if _sounds_like_vowel(name) else 'a'} {name}"


def _sounds_like_vowel(name: str) -> bool:
    word = re.split(r"[\s-]", name, maxsplit=1)[0]
    if len(word) == 1 or (word.isalpha() and word.isupper()):
        return word[0].upper() in SPELLED_WITH_VOWEL
    lower = name.lower()
    if lower.startswith(tuple("aeiou")):
        return not Y_OR_W.match(lower)
    return bool(SILENT_H.match(lower))
