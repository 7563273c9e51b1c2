"""What is asked of a plugin: functions that raise if they do not get it, and words for why."""

from collections.abc import Callable
from traceback import walk_tb
from types import FrameType
from typing import Generic, TypeVar

from phosphene.errors import PhospheneError

C = TypeVar("C")

Demand = Callable[[C], None]
"""Its name is that of the check, its docstring says what is demanded."""


class ConformanceError(AssertionError):
    """What was found, and what is expected."""


class NotApplicableError(Exception):
    """Why a demand cannot be made of this plugin."""


class Demands(Generic[C]):
    """Demands in the order in which they are made; a decorator adds one.

    Its arguments are the demands that must be met before it makes sense to ask.
    """

    def __init__(self, *others: "Demands[C]") -> None:
        self.needs: dict[Demand[C], tuple[Demand[C], ...]] = {}
        """Each demand, and those that come before it."""
        for other in others:
            self.needs |= other.needs

    def __call__(self, *needs: Demand[C]) -> Callable[[Demand[C]], Demand[C]]:
        """Return the decorator that adds a demand."""

        def add(demand: Demand[C]) -> Demand[C]:
            self.needs[demand] = needs
            return demand

        return add


def name_of(demand: Demand[C]) -> str:
    """Return what the check is called."""
    return demand.__name__.replace("_", " ")


def words_of(demand: Demand[C]) -> str:
    """Return the sentence that says what is demanded."""
    return " ".join((demand.__doc__ or "").replace("``", "'").split())


def expect(condition: object, text: str) -> None:
    """Raise ``ConformanceError`` with the text unless the condition holds."""
    if not condition:
        raise ConformanceError(text)


def expect_refusal(call: Callable[[], object], what: str) -> None:
    """Raise ``ConformanceError`` unless the call raises ``PhospheneError`` with a text."""
    wanted = f"{what}: expected a PhospheneError that says what was found and what is allowed"
    try:
        call()
    except PhospheneError as error:
        expect(str(error).strip(), f"{wanted}; its text is empty")
    except Exception as error:
        raise ConformanceError(wanted) from error
    else:
        raise ConformanceError(f"{wanted}; it was accepted")


def explain(error: BaseException, package: str) -> str:
    """Return type, text and place of an exception; the place is in ``package`` if it came by."""
    frames = [(frame, line) for frame, line in walk_tb(error.__traceback__)]
    own = [each for each in frames if _package(each[0]) == package]
    text = f"{type(error).__name__}: {error}".strip(": ")
    for frame, line in (own or frames)[-1:]:
        text += f" ({frame.f_code.co_filename}, line {line})"
    return text


def _package(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__", "")).partition(".")[0]
