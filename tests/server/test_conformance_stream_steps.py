"""Every check of stream steps finds the step broken for it, and no other check does."""

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import pytest
from numpy.typing import NDArray

from phosphene import (
    Context,
    PhospheneError,
    Signal,
    SignalSpec,
    StreamStep,
    StreamStepConfig,
)
from phosphene.interfaces import PluginConfig
from phosphene.testing import stream_steps
from phosphene.testing.demands import name_of
from phosphene.testing.examination import Outcome
from phosphene.testing.kinds import examination_of


def outcomes(config: PluginConfig) -> Mapping[str, Outcome]:
    return {check.name: check.result().outcome for check in examination_of(config).checks()}


def failures(config: PluginConfig) -> set[str]:
    return {check for check, outcome in outcomes(config).items() if outcome is Outcome.FAILED}


class Change:
    """What the signal has done since the sample before: a stream step without a fault."""

    delay = 0.0

    def __init__(self, spec: SignalSpec) -> None:
        self.spec = spec
        self.last: NDArray[np.float32] | None = None

    def __call__(self, signal: Signal) -> Signal:
        if not signal.n_times:
            return signal
        last = signal.data[:, :1] if self.last is None else self.last
        data = np.nan_to_num(self.change(np.concatenate((last, signal.data), axis=1)), posinf=0)
        self.last = signal.data[:, -1:].copy()
        return Signal(data.astype(np.float32), signal.stamps, signal.offset)

    def change(self, data: NDArray[np.float32]) -> NDArray[np.float32]:
        with np.errstate(invalid="ignore"):
            return np.diff(data, axis=1)

    def reset(self) -> None:
        self.last = None


class Stream(StreamStepConfig, frozen=True):
    step: ClassVar[type[Change]] = Change

    def build(self, spec: SignalSpec, context: Context) -> StreamStep:
        return self.step(spec)


class RefusesEveryRate(Change):
    def __init__(self, spec: SignalSpec) -> None:
        raise PhospheneError(f"expected 512 Hz, found {spec.sfreq:g}")


class DoublePrecision(Change):
    def __call__(self, signal: Signal) -> Signal:
        found = super().__call__(signal)
        return Signal(found.data.astype(np.float64), found.stamps, found.offset)  # type: ignore[arg-type]


class HalfTheRate(Change):
    def __init__(self, spec: SignalSpec) -> None:
        super().__init__(SignalSpec(spec.channels, spec.types, spec.sfreq / 2))


class NegativeDelay(Change):
    delay = -0.01


class ChunkMean(Change):
    def __call__(self, signal: Signal) -> Signal:
        found = super().__call__(signal)
        mean = found.data[:, -5:].mean(axis=1, keepdims=True) if found.n_times else 0
        return Signal(found.data - mean, found.stamps, found.offset)


class LooksAhead(Change):
    def change(self, data: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.roll(super().change(data), -1, axis=1)


class NeverForgets(Change):
    def reset(self) -> None:
        return


class SharedMemory(Change):
    memory: ClassVar[dict[str, Any]] = {}

    def __init__(self, spec: SignalSpec) -> None:
        super().__init__(spec)
        self.memory.clear()

    def __call__(self, signal: Signal) -> Signal:
        self.last = self.memory.get("last")
        found = super().__call__(signal)
        self.memory["last"] = self.last
        return found

    def reset(self) -> None:
        self.memory.clear()


class NanForEver(Change):
    poisoned = False

    def __call__(self, signal: Signal) -> Signal:
        found = super().__call__(signal)
        bad = ~np.isfinite(signal.data).all(axis=0)
        after = np.logical_or.accumulate(bad) | self.poisoned
        self.poisoned = bool(after.any())
        return Signal(np.where(after, np.float32(np.nan), found.data), found.stamps, found.offset)


class DividesByDeviation(Change):
    def change(self, data: NDArray[np.float32]) -> NDArray[np.float32]:
        found = super().change(data)
        found[(data == 0).all(axis=1)] = np.inf
        return found

    def __call__(self, signal: Signal) -> Signal:
        found = super().__call__(signal)
        flat = (signal.data == 0).all(axis=1, keepdims=True) & (signal.n_times > 0)
        return Signal(np.where(flat, np.float32(np.inf), found.data), found.stamps, found.offset)


class WritesIntoChunk(Change):
    def __call__(self, signal: Signal) -> Signal:
        found = super().__call__(signal)
        signal.data[:] = found.data
        return found


class StumblesOverOneChannel(Change):
    def __init__(self, spec: SignalSpec) -> None:
        super().__init__(spec)
        if spec.n_channels < 2:
            raise IndexError("index 1 is out of bounds")


STREAM_STEPS: list[tuple[type[Change], str]] = [
    (RefusesEveryRate, "builds"),
    (DoublePrecision, "shapes and dtypes"),
    (HalfTheRate, "keeps time"),
    (NegativeDelay, "delay is a time"),
    (ChunkMean, "any chunking gives the same"),
    (LooksAhead, "any chunking gives the same"),
    (NeverForgets, "reset forgets"),
    (SharedMemory, "steps share nothing"),
    (NanForEver, "recovers from not finite samples"),
    (DividesByDeviation, "takes a flat channel"),
    (WritesIntoChunk, "leaves its input alone"),
    (StumblesOverOneChannel, "another signal is refused or carried"),
]


def test_a_stream_step_without_a_fault_passes_everything() -> None:
    assert set(outcomes(Stream()).values()) == {Outcome.PASSED}


@pytest.mark.parametrize(("broken", "check"), STREAM_STEPS)
def test_a_broken_stream_step_fails_exactly_the_check_meant_for_it(
    broken: type[Change], check: str
) -> None:
    class Config(Stream, frozen=True):
        step: ClassVar[type[Change]] = broken

    assert failures(Config()) == {check}


def test_every_check_has_a_stream_step_that_fails_it() -> None:
    assert {name_of(demand) for demand in stream_steps.demands.needs} == {
        check for _, check in STREAM_STEPS
    }
