"""What is asked of a decoder when the signal is bad, or is another one than it was trained on."""

# ruff: noqa: D401 (the docstring of a demand states it)

import numpy as np

from phosphene.errors import PhospheneError
from phosphene.interfaces import TrainingSet
from phosphene.signals import Epochs
from phosphene.testing.decoders import (
    DecoderCandidate,
    fits,
    probabilities_sum_to_1,
    problem_of,
)
from phosphene.testing.demands import ConformanceError, Demands, expect, expect_refusal
from phosphene.testing.material import (
    CHANNELS,
    DOMAINS,
    Change,
    Samples,
    held_out,
    make_spec,
    training_set,
)

demands = Demands[DecoderCandidate]()


@demands(probabilities_sum_to_1)
def not_finite_input(candidate: DecoderCandidate) -> None:
    """An epoch with NaN or infinity is refused or decoded, and never gives NaN."""
    for value in np.nan, np.inf, -np.inf:
        epochs = candidate.epochs(_set_sample(value))
        _expect_sound_or_refused(candidate, epochs, f"an epoch with {value}")


@demands(probabilities_sum_to_1)
def flat_input(candidate: DecoderCandidate) -> None:
    """An epoch with a dead channel, or of nothing but dead ones, is refused or decoded."""
    for what, change in FLAT.items():
        _expect_sound_or_refused(candidate, candidate.epochs(change), what)


@demands(flat_input)
def flat_channel_in_training(candidate: DecoderCandidate) -> None:
    """Training epochs with a dead channel are refused or give a decoder that works."""
    for what, change in list(FLAT.items())[:2]:
        _expect_fit_or_refused(candidate, training_set(candidate.domain, change), what)


@demands(probabilities_sum_to_1)
def two_trials_of_each_class(candidate: DecoderCandidate) -> None:
    """Two trials of each class are refused or give a decoder that works."""
    trials = training_set(candidate.domain)
    wnids = np.array(trials.wnids)
    few = np.concatenate([np.flatnonzero(wnids == wnid)[:2] for wnid in trials.classes])
    _expect_fit_or_refused(candidate, trials.select(np.sort(few)), "two trials of each class")


@demands(fits)
def wrong_channel_count(candidate: DecoderCandidate) -> None:
    """Epochs with a channel less than in training are refused in words."""
    epochs, n_channels = candidate.epochs(), len(CHANNELS)
    sfreq = candidate.domain.sfreq
    fewer = Epochs(epochs.data[:, :-1], make_spec(sfreq, n_channels - 1), epochs.tmin, epochs.freqs)
    expect_refusal(lambda: candidate.decode(fewer), f"{n_channels - 1} channels, not {n_channels}")


@demands(probabilities_sum_to_1)
def other_epoch_length(candidate: DecoderCandidate) -> None:
    """Epochs of another length than in training are refused or decoded."""
    epochs = candidate.epochs()
    half = epochs.data[..., : epochs.data.shape[-1] // 2]
    shorter = Epochs(half, epochs.spec, epochs.tmin, epochs.freqs)
    _expect_sound_or_refused(candidate, shorter, "epochs half as long")


@demands(probabilities_sum_to_1)
def other_domain(candidate: DecoderCandidate) -> None:
    """Spectrograms instead of the time domain, or the other way, are refused or decoded."""
    trained = candidate.domain
    [other] = [
        domain
        for domain in DOMAINS
        if domain.sfreq == 1000.0 and domain.spectrogram != trained.spectrogram
    ]
    what = f"{other.name} instead of {trained.name}"
    _expect_sound_or_refused(candidate, held_out(other).epochs, what)


def _expect_sound_or_refused(candidate: DecoderCandidate, epochs: Epochs, what: str) -> None:
    try:
        probabilities = candidate.decode(epochs).probabilities
    except PhospheneError:
        return
    except Exception as error:
        raise ConformanceError(f"{what}: expected probabilities or a PhospheneError") from error
    problem = problem_of(probabilities)
    expect(not problem, f"{what}: {problem}; expected a PhospheneError or sound probabilities")


def _expect_fit_or_refused(
    candidate: DecoderCandidate, training_set: TrainingSet, what: str
) -> None:
    try:
        decoder = candidate.fit(training_set)
    except PhospheneError:
        return
    except Exception as error:
        raise ConformanceError(
            f"{what}: expected a decoder or a PhospheneError from fit"
        ) from error
    probabilities = decoder.decode(training_set.epochs).probabilities
    problem = problem_of(probabilities)
    expect(not problem, f"{what}: {problem}")


def _set_sample(value: float) -> Change:
    def change(data: Samples) -> None:
        data[:, 1, data.shape[2] // 2] = value

    return change


def _set_channel(value: float) -> Change:
    def change(data: Samples) -> None:
        data[:, 1] = value

    return change


def _silence(data: Samples) -> None:
    data[:] = 0


FLAT: dict[str, Change] = {
    "a channel of zeros": _set_channel(0.0),
    "a constant channel": _set_channel(5e-5),
    "an epoch of zeros": _silence,
}
