"""What a plugin author imports is small, and is what the package says it is."""

from types import ModuleType

import phosphene


def test_all_lists_exactly_the_public_names() -> None:
    public = {
        name
        for name, value in vars(phosphene).items()
        if not name.startswith("_") and not isinstance(value, ModuleType)
    }
    assert public == set(phosphene.__all__)


def test_the_public_names_are_few_and_sorted_once_each() -> None:
    assert len(phosphene.__all__) <= 30
    assert sorted(set(phosphene.__all__)) == sorted(phosphene.__all__)
