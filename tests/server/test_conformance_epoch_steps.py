"""Every check of epoch steps finds the step broken for it, and no other check does."""

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
import pytest
from numpy.typing import NDArray

from phosphene import (
    Context,
    Epochs,
    EpochStep,
    EpochStepConfig,
    SignalSpec,
)
from phosphene.interfaces import PluginConfig
from phosphene.testing import epoch_steps
from phosphene.testing.demands import name_of
from phosphene.testing.examination import Outcome
from phosphene.testing.kinds import examination_of


def outcomes(config: PluginConfig) -> Mapping[str, Outcome]:
    return {check.name: check.result().outcome for check in examination_of(config).checks()}


def failures(config: PluginConfig) -> set[str]:
    return {check for check, outcome in outcomes(config).items() if outcome is Outcome.FAILED}


class Scale:
    """Divides by the standard deviation of the training epochs: an epoch step without a fault."""

    def __init__(self) -> None:
        self.scale = np.zeros(0, np.float32)

    def fit(self, epochs: Epochs) -> None:
        deviation = epochs.data.std(axis=(0, 2), keepdims=True)[0]
        self.scale = np.where(deviation > 0, deviation, 1).astype(np.float32)

    def __call__(self, epochs: Epochs) -> Epochs:
        return Epochs(self.transform(epochs.data), epochs.spec, epochs.tmin, epochs.freqs)

    def transform(self, data: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.asarray(data / self.scale)

    def state(self) -> Mapping[str, NDArray[np.generic]]:
        return {"scale": self.scale}

    def load(self, state: Mapping[str, NDArray[np.generic]]) -> None:
        self.scale = state["scale"].astype(np.float32)


class OnEpochs(EpochStepConfig, frozen=True):
    step: ClassVar[type[Scale]] = Scale

    def build(self, spec: SignalSpec, context: Context) -> EpochStep:
        return self.step()


class DropsEpochs(Scale):
    def transform(self, data: NDArray[np.float32]) -> NDArray[np.float32]:
        return super().transform(data)[1:]


class NamesNoFrequencies(Scale):
    def transform(self, data: NDArray[np.float32]) -> NDArray[np.float32]:
        return super().transform(data)[:, :, np.newaxis]


class LearnsOnTheJob(Scale):
    def transform(self, data: NDArray[np.float32]) -> NDArray[np.float32]:
        found = super().transform(data)
        self.scale = self.scale * np.float32(1.01)
        return found


class CentresBatch(Scale):
    def transform(self, data: NDArray[np.float32]) -> NDArray[np.float32]:
        found = super().transform(data)
        return found - (np.nanmedian(found) if len(found) > 1 else 0)


class NeedsAnEpoch(Scale):
    def transform(self, data: NDArray[np.float32]) -> NDArray[np.float32]:
        return super().transform(data) + 0 * data[0].size


class OwnSeed(Scale):
    def fit(self, epochs: Epochs) -> None:
        super().fit(epochs)
        self.scale = self.scale * np.float32(np.random.default_rng().normal(1, 0.1))


class Accumulates(Scale):
    def __init__(self) -> None:
        super().__init__()
        self.seen: list[NDArray[np.float32]] = []

    def fit(self, epochs: Epochs) -> None:
        self.seen.append(epochs.data)
        super().fit(Epochs(np.concatenate(self.seen), epochs.spec, epochs.tmin))


class StateOfObjects(Scale):
    def state(self) -> Mapping[str, NDArray[np.generic]]:
        return {"scale": self.scale.astype(object)}


class WritesIntoEpochs(Scale):
    def __call__(self, epochs: Epochs) -> Epochs:
        found = super().__call__(epochs)
        epochs.data[:] = 0
        return found


class SpreadsNan(Scale):
    def transform(self, data: NDArray[np.float32]) -> NDArray[np.float32]:
        found = super().transform(data)
        return found if np.isfinite(found).all() else np.full_like(found, np.nan)


class DividesByZero(Scale):
    def fit(self, epochs: Epochs) -> None:
        super().fit(epochs)
        self.scale[(epochs.data == 0).all(axis=(0, 2))] = np.nan


EPOCH_STEPS: list[tuple[type[Scale], str]] = [
    (DropsEpochs, "fits and transforms"),
    (NamesNoFrequencies, "shapes and dtypes"),
    (LearnsOnTheJob, "repeats itself"),
    (CentresBatch, "batch equals single"),
    (NeedsAnEpoch, "empty batch"),
    (OwnSeed, "deterministic"),
    (Accumulates, "fitted again it forgets"),
    (StateOfObjects, "state round trip"),
    (WritesIntoEpochs, "leaves its input alone"),
    (SpreadsNan, "a bad epoch spoils no other"),
    (DividesByZero, "flat channel in training"),
]


def test_an_epoch_step_without_a_fault_passes_everything() -> None:
    assert set(outcomes(OnEpochs()).values()) == {Outcome.PASSED}


@pytest.mark.parametrize(("broken", "check"), EPOCH_STEPS)
def test_a_broken_epoch_step_fails_exactly_the_check_meant_for_it(
    broken: type[Scale], check: str
) -> None:
    class Config(OnEpochs, frozen=True):
        step: ClassVar[type[Scale]] = broken

    assert failures(Config()) == {check}


def test_every_check_has_an_epoch_step_that_fails_it() -> None:
    assert {name_of(demand) for demand in epoch_steps.demands.needs} == {
        check for _, check in EPOCH_STEPS
    }
