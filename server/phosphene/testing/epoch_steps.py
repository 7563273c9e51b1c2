"""What is asked of every step on cut epochs."""

# ruff: noqa: D401 (the docstring of a demand states it)

from collections.abc import Iterator, Mapping
from functools import cached_property
from io import BytesIO

import numpy as np
from numpy.typing import NDArray

from phosphene.errors import PhospheneError
from phosphene.interfaces import EpochStep, EpochStepConfig
from phosphene.signals import Epochs
from phosphene.testing.demands import ConformanceError, Demands, NotApplicableError, expect
from phosphene.testing.material import (
    DOMAINS,
    Change,
    Domain,
    Samples,
    held_out,
    make_context,
    make_spec,
    training_set,
)
from phosphene.testing.measuring import Measurement, durations

ROUNDING = 1e-5
"""Of the largest value, by which results may differ that should be equal."""


class EpochStepCandidate:
    """A step's settings, and the step fitted on the first kind of epochs that it takes."""

    def __init__(self, config: EpochStepConfig) -> None:
        self.config = config

    @cached_property
    def domain(self) -> Domain:
        """What it takes."""
        return self._found[0]

    @cached_property
    def fitted(self) -> EpochStep:
        """The step, fitted on ordinary training epochs."""
        return self._found[1]

    @cached_property
    def transformed(self) -> Epochs:
        """What it makes of the held-out epochs."""
        return self.fitted(self.epochs())

    def epochs(self, change: Change | None = None) -> Epochs:
        """Return the held-out epochs, freshly made."""
        return held_out(self.domain, change).epochs

    def build(self) -> EpochStep:
        """Return a new step, not fitted."""
        return self.config.build(make_spec(self.domain.sfreq), make_context())

    def fit(self, change: Change | None = None) -> EpochStep:
        """Return a new step, fitted."""
        step = self.build()
        step.fit(training_set(self.domain, change).epochs)
        return step

    def measurements(self) -> Iterator[Measurement]:
        """Yield how long a single epoch takes."""
        epoch = self.epochs()[:1]
        yield from durations("an epoch", lambda: self.fitted(epoch))

    @cached_property
    def _found(self) -> tuple[Domain, EpochStep]:
        refusals = []
        for domain in DOMAINS:
            try:
                step = self.config.build(make_spec(domain.sfreq), make_context())
                step.fit(training_set(domain).epochs)
                step(held_out(domain).epochs)
            except PhospheneError as error:
                refusals.append(f"{domain.name}: {error}")
            else:
                return domain, step
        raise ConformanceError(
            "expected it to take one of these; it refused " + "; ".join(refusals)
        )


demands = Demands[EpochStepCandidate]()


@demands()
def fits_and_transforms(candidate: EpochStepCandidate) -> None:
    """Epochs in the time domain or spectrograms are taken, and as many come out."""
    n_epochs = len(candidate.epochs())
    found = len(candidate.transformed)
    expect(found == n_epochs, f"of {n_epochs} epochs came {found}")


@demands(fits_and_transforms)
def shapes_and_dtypes(candidate: EpochStepCandidate) -> None:
    """float32 of shape (n_epochs, n_channels, n_times), or with a row for each of ``freqs``."""
    found = candidate.transformed
    expect(found.data.dtype == np.float32, f"epochs must be float32; found {found.data.dtype}")
    rows = (found.spec.n_channels, len(found.freqs)) if found.freqs else (found.spec.n_channels,)
    expect(
        found.data.ndim == len(rows) + 2 and found.data.shape[1:-1] == rows,
        f"spec and freqs say {found.spec.n_channels} channels and {len(found.freqs)} "
        f"frequencies; found shape {found.data.shape}",
    )


@demands(fits_and_transforms)
def repeats_itself(candidate: EpochStepCandidate) -> None:
    """Epochs come out the same each time: only ``fit`` learns."""
    candidate.fitted(candidate.epochs(_louder))
    _expect_equal(candidate.fitted(candidate.epochs()), candidate.transformed, "a second time")


@demands(repeats_itself)
def batch_equals_single(candidate: EpochStepCandidate) -> None:
    """An epoch comes out the same alone and among others."""
    epochs, expected = candidate.epochs(), candidate.transformed
    for i in range(len(epochs)):
        single = candidate.fitted(epochs[i : i + 1])
        _expect_equal(single, expected[i : i + 1], f"epoch {i + 1} alone")


@demands(fits_and_transforms)
def empty_batch(candidate: EpochStepCandidate) -> None:
    """No epochs give no epochs, of the same shape otherwise."""
    found = candidate.fitted(candidate.epochs()[:0]).data.shape
    expected = (0, *candidate.transformed.data.shape[1:])
    expect(found == expected, f"expected shape {expected}, found {found}")


@demands(repeats_itself)
def deterministic(candidate: EpochStepCandidate) -> None:
    """Fitted on the same epochs, two steps do the same."""
    _expect_equal(candidate.fit()(candidate.epochs()), candidate.transformed, "fitted anew")


@demands(deterministic)
def fitted_again_it_forgets(candidate: EpochStepCandidate) -> None:
    """What was learnt from one fold is gone when it is fitted on another."""
    step = candidate.fit(_louder)
    step.fit(training_set(candidate.domain).epochs)
    _expect_equal(step(candidate.epochs()), candidate.transformed, "after another fold")


@demands(repeats_itself)
def state_round_trip(candidate: EpochStepCandidate) -> None:
    """What was learnt comes back from ``state``, by way of an npz without pickles."""
    step = candidate.build()
    step.load(_through_npz(candidate.fitted.state()))
    _expect_equal(step(candidate.epochs()), candidate.transformed, "loaded")


@demands(fits_and_transforms)
def leaves_its_input_alone(candidate: EpochStepCandidate) -> None:
    """Neither ``fit`` nor a call changes the epochs that it is given."""
    given, fresh = training_set(candidate.domain).epochs, training_set(candidate.domain).epochs
    step = candidate.build()
    step.fit(given)
    expect(np.array_equal(given.data, fresh.data), "fit changed the epochs that it was given")
    step(given)
    expect(np.array_equal(given.data, fresh.data), "the call changed the epochs it was given")


@demands(batch_equals_single)
def a_bad_epoch_spoils_no_other(candidate: EpochStepCandidate) -> None:
    """NaN or zeros in one epoch are refused, or leave the other epochs as they are."""
    for what, value in ("NaN", np.nan), ("zeros", 0.0):
        try:
            with np.errstate(invalid="ignore"):
                found = candidate.fitted(candidate.epochs(_spoil_first(value)))
        except PhospheneError:
            continue
        _expect_equal(found[1:], candidate.transformed[1:], f"beside an epoch of {what}")


@demands(fits_and_transforms)
def flat_channel_in_training(candidate: EpochStepCandidate) -> None:
    """Training epochs with a dead channel are refused, or what comes out is finite."""
    try:
        step = candidate.fit(_silence_channel)
    except PhospheneError as error:
        raise NotApplicableError(f"it refuses a dead channel: {error}") from None
    finite = np.isfinite(step(candidate.epochs()).data).all()
    expect(finite, "a dead channel in training gives values that are not finite")


def _louder(data: Samples) -> None:
    data *= 3
    data += 1e-5


def _silence_channel(data: Samples) -> None:
    data[:, 1] = 0


def _spoil_first(value: float) -> Change:
    def change(data: Samples) -> None:
        data[0] = value

    return change


def _through_npz(state: Mapping[str, NDArray[np.generic]]) -> Mapping[str, NDArray[np.generic]]:
    file = BytesIO()
    np.savez(file, **dict(state))  # type: ignore[arg-type]
    file.seek(0)
    with np.load(file, allow_pickle=False) as arrays:
        return dict(arrays)


def _expect_equal(found: Epochs, expected: Epochs, when: str) -> None:
    shape = expected.data.shape
    expect(found.data.shape == shape, f"{when}: expected shape {shape}, found {found.data.shape}")
    difference = float(np.abs(found.data - expected.data).max(initial=0))
    largest = float(np.abs(expected.data).max(initial=0))
    expect(
        difference <= ROUNDING * largest,
        f"{when}, values differ by up to {difference:.2g}; the largest is {largest:.2g}",
    )
