"""Every check of sources finds the source broken for it, and no other check does."""

from collections.abc import Mapping
from dataclasses import replace
from typing import ClassVar

import numpy as np
import pytest

from phosphene import (
    Context,
    Signal,
    SignalSpec,
    Source,
    SourceConfig,
)
from phosphene.interfaces import PluginConfig
from phosphene.testing import sources
from phosphene.testing.demands import name_of
from phosphene.testing.examination import Outcome
from phosphene.testing.kinds import examination_of

SPEC = SignalSpec(("Cz", "Pz"), ("eeg", "eeg"), 100.0)


def outcomes(config: PluginConfig) -> Mapping[str, Outcome]:
    return {check.name: check.result().outcome for check in examination_of(config).checks()}


def failures(config: PluginConfig) -> set[str]:
    return {check for check, outcome in outcomes(config).items() if outcome is Outcome.FAILED}


class Noise:
    """An amplifier without a fault."""

    spec = SPEC

    def __init__(self, context: Context) -> None:
        self.clock, self.rng = context.clock, context.rng(5)
        self.start, self.next = self.clock.now(), 0

    def read(self, timeout: float) -> Signal | None:
        stop = int((self.clock.now() - self.start) * SPEC.sfreq + 1e-6)
        first, self.next = self.next, stop
        if stop == first:
            return self.silence()
        stamps = self.start + np.arange(first, stop) / SPEC.sfreq
        data = self.rng.normal(0, 1e-5, (2, stop - first)).astype(np.float32)
        return self.signal(Signal(data, stamps))

    def silence(self) -> Signal | None:
        return None

    def signal(self, signal: Signal) -> Signal:
        return signal

    def close(self) -> None:
        return


class Amplifier(SourceConfig, frozen=True):
    live: ClassVar[bool] = False
    source: ClassVar[type[Noise]] = Noise

    def build(self, context: Context) -> Source:
        return self.source(context)


class NeedsRealTime(Noise):
    def __init__(self, context: Context) -> None:
        if not context.clock.live:
            raise RuntimeError("no virtual clock, please")


class DoublePrecision(Noise):
    def signal(self, signal: Signal) -> Signal:
        return replace(signal, data=signal.data.astype(np.float64))


class NeverSilent(Noise):
    def silence(self) -> Signal | None:
        return Signal(np.zeros((2, 0), np.float32), np.zeros(0))


class FromTheFuture(Noise):
    def signal(self, signal: Signal) -> Signal:
        return replace(signal, offset=1.0)


class LosesSamples(Noise):
    def signal(self, signal: Signal) -> Signal:
        return Signal(signal.data[:, ::2], signal.stamps[::2])


class Microvolts(Noise):
    def signal(self, signal: Signal) -> Signal:
        return replace(signal, data=signal.data * np.float32(1e6))


class OwnSeed(Noise):
    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.rng = np.random.default_rng()


SOURCES = [
    (NeedsRealTime, "runs on a virtual clock"),
    (DoublePrecision, "shapes and dtypes"),
    (NeverSilent, "read again at once it has nothing"),
    (FromTheFuture, "stamps are true"),
    (LosesSamples, "rate is that of its spec"),
    (Microvolts, "unit is volts"),
    (OwnSeed, "same signal for the same seed"),
]


def test_a_source_without_a_fault_passes_everything() -> None:
    assert set(outcomes(Amplifier()).values()) == {Outcome.PASSED}


@pytest.mark.parametrize(("broken", "check"), SOURCES)
def test_a_broken_source_fails_exactly_the_check_meant_for_it(
    broken: type[Noise], check: str
) -> None:
    class Config(Amplifier, frozen=True):
        source: ClassVar[type[Noise]] = broken

    assert failures(Config()) == {check}


def test_every_check_has_a_source_that_fails_it() -> None:
    assert {name_of(demand) for demand in sources.demands.needs} == {check for _, check in SOURCES}


def test_of_a_live_source_nothing_is_asked_that_needs_its_device() -> None:
    class Live(Amplifier, frozen=True):
        live: ClassVar[bool] = True

    assert set(outcomes(Live()).values()) == {Outcome.NOT_APPLICABLE}
