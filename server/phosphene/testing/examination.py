"""One plugin, asked everything in order: exceptions are contained, nothing is asked twice."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, TypeVar
from unittest import SkipTest

import msgspec

from phosphene.testing.demands import (
    ConformanceError,
    Demand,
    Demands,
    NotApplicableError,
    explain,
    name_of,
    words_of,
)

C = TypeVar("C")


class Outcome(StrEnum):
    """What came of a check."""

    PASSED = "passed"
    FAILED = "failed"
    NOT_APPLICABLE = "not applicable"


class Result(msgspec.Struct, frozen=True):
    """What came of a check, in a sentence."""

    check: str
    outcome: Outcome
    text: str
    """What is demanded if it passed; otherwise what was found, or why it was not asked."""


@dataclass(frozen=True)
class Check:
    """A check of one plugin; call it in a test."""

    name: str
    result: Callable[[], Result]
    """Asks the plugin, or returns what it answered before."""

    def __call__(self) -> None:
        """Raise ``AssertionError`` if the plugin fails; ``SkipTest`` if it cannot be asked."""
        found = self.result()
        if found.outcome is Outcome.FAILED:
            raise ConformanceError(found.text)
        if found.outcome is Outcome.NOT_APPLICABLE:
            raise SkipTest(found.text)

    def __str__(self) -> str:
        return self.name


class Examination(Generic[C]):
    """Makes demands of a candidate; ``package`` is where its code is."""

    def __init__(self, candidate: C, demands: Demands[C], package: str) -> None:
        self.candidate = candidate
        self._demands, self._package = demands, package
        self._results: dict[Demand[C], Result] = {}

    def checks(self) -> Iterator[Check]:
        """Yield every demand as a check."""
        for demand in self._demands.needs:
            yield Check(name_of(demand), lambda demand=demand: self.result(demand))  # type: ignore[misc]

    def result(self, demand: Demand[C]) -> Result:
        """Return what comes of a demand."""
        if demand not in self._results:
            self._results[demand] = Result(name_of(demand), *self._ask(demand))
        return self._results[demand]

    def _ask(self, demand: Demand[C]) -> tuple[Outcome, str]:
        for need in self._demands.needs[demand]:
            if self.result(need).outcome is not Outcome.PASSED:
                return Outcome.NOT_APPLICABLE, f"not asked before {name_of(need)!r} passes"
        try:
            demand(self.candidate)
        except NotApplicableError as reason:
            return Outcome.NOT_APPLICABLE, str(reason)
        except ConformanceError as failure:
            cause = failure.__cause__
            because = f"; found {explain(cause, self._package)}" if cause else ""
            return Outcome.FAILED, f"{failure}{because}"
        # Whatever a plugin does wrong is a result; a SystemExit would end all other checks.
        except (Exception, SystemExit) as error:
            return Outcome.FAILED, explain(error, self._package)
        return Outcome.PASSED, words_of(demand)
