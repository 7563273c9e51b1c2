"""One pipeline: what is cut live is cut again from the recording, where the brain's signal is."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from phosphene import Context, Epochs, Onset, PhospheneError, Signal, SignalSpec, StimulusSet
from phosphene.choice import Chosen
from phosphene.epochs import Cut
from phosphene.pipeline import Pipeline
from phosphene.settings import EpochSettings
from phosphene_plugins.filters import BandpassConfig, NotchConfig
from phosphene_plugins.spectrogram import SpectrogramConfig
from phosphene_plugins.standardise import StandardiseConfig

SFREQ, START = 250.0, 100.0
SPEC = SignalSpec(
    ("STI", "Fz", "EOG1", "Oz", "diode"),
    ("stim", "eeg", "eog", "eeg", "misc"),
    SFREQ,
    {"Fz": (0.0, 0.1, 0.05), "Oz": (0.0, -0.1, 0.0), "nasion": (0.0, 0.1, 0.0)},
)
EEG = [1, 3]
CONTEXT = Context(StimulusSet(Path(), {}, ()))
PAPER = (Chosen("notch", NotchConfig()), Chosen("bandpass", BandpassConfig()))
STEPS = (
    Chosen("standardise", StandardiseConfig()),
    Chosen("spectrogram", SpectrogramConfig()),
)
examples = settings(max_examples=30, deadline=None)


def build(
    stream: Sequence[Chosen[NotchConfig] | Chosen[BandpassConfig]] = PAPER,
    lag: float = 0.0,
    spec: SignalSpec = SPEC,
    tmax: float = 0.5,
) -> Pipeline:
    return Pipeline(stream, EpochSettings(0.02, tmax, STEPS), spec, CONTEXT, lag)


def make_onset(time: float, seq: int = 0) -> Onset:
    return Onset(seq, "stimulus", time, time, 0.5, "record", 1, 1, 1, seq + 1, "n1", "a.png", "ab")


ONSETS = [make_onset(START + 1 + 0.7 * i, i) for i in range(10)]
RAW: NDArray[np.float32] = (
    1e-5 * np.random.default_rng(0).standard_normal((5, 2500)) + np.arange(5)[:, np.newaxis] * 1e-3
).astype(np.float32)


def chunks(data: NDArray[np.float32], sizes: Sequence[int]) -> list[Signal]:
    """Return the recording in chunks of the given sizes, over and over."""
    signals: list[Signal] = []
    start = 0
    while start < data.shape[1]:
        stop = min(start + sizes[len(signals) % len(sizes)], data.shape[1])
        signals.append(Signal(data[:, start:stop], START + np.arange(start, stop) / SFREQ))
        start = stop
    return signals


def replay(pipeline: Pipeline, signals: Sequence[Signal]) -> list[Cut]:
    """Cut as training does: every onset is known before the first sample."""
    pipeline.open_segment()
    for onset in ONSETS:
        pipeline.mark(onset)
    cuts = []
    for signal in signals:
        pipeline.feed(signal)
        cuts += pipeline.cuts()
    return cuts


def live(pipeline: Pipeline, signals: Sequence[Signal]) -> list[Cut]:
    """Cut as a decoder does: an onset comes behind the samples of its time."""
    pipeline.open_segment()
    waiting, cuts = list(ONSETS), []
    for signal in signals:
        pipeline.feed(signal)
        cuts += pipeline.cuts()
        while waiting and waiting[0].time < signal.times[-1]:
            pipeline.mark(waiting.pop(0))
            cuts += pipeline.cuts()
    return cuts


def bits(cuts: Sequence[Cut]) -> list[tuple[int, int, bytes]]:
    return [(cut.onset.seq, cut.first_sample, cut.data.tobytes()) for cut in cuts]


def epochs_of(cuts: Sequence[Cut], pipeline: Pipeline) -> Epochs:
    return Epochs(np.stack([cut.data for cut in cuts]), pipeline.spec, pipeline.tmin)


# Live and replayed

sizes = st.lists(st.integers(1, 300), min_size=1, max_size=6)


@examples
@given(sizes)
def test_a_replay_of_the_same_chunks_cuts_the_same_bits(its_sizes: list[int]) -> None:
    signals = chunks(RAW, its_sizes)
    cuts = live(build(), signals)
    assert len(cuts) == len(ONSETS)
    assert bits(replay(build(), signals)) == bits(cuts)


@examples
@given(sizes)
def test_any_other_chunks_cut_the_same_within_1e_5_standard_deviations(
    its_sizes: list[int],
) -> None:
    cuts, whole = replay(build(), chunks(RAW, its_sizes)), replay(build(), chunks(RAW, [2500]))
    std = np.std([cut.data for cut in whole], axis=(0, 2))[:, np.newaxis]
    for one, other in zip(cuts, whole, strict=True):
        assert (one.onset, one.first_sample) == (other.onset, other.first_sample)
        assert (np.abs(one.data - other.data) <= 1e-5 * std).all()


def test_a_segment_begins_as_if_there_had_been_none_before() -> None:
    used, signals = build(), chunks(RAW, [16, 17])
    replay(used, chunks(RAW[:, ::-1] + np.float32(1e-3), [100]))
    used.mark(make_onset(START + 9.9, seq=99))
    assert bits(replay(used, signals)) == bits(replay(build(), signals))
    assert used.close_segment() == []


def test_onsets_without_their_samples_are_told_at_the_end() -> None:
    pipeline = build()
    replay(pipeline, chunks(RAW[:, :1500], [25]))
    lost = pipeline.close_segment()
    assert [each.onset.seq for each in lost] == [7, 8, 9]


# Channels


def test_only_eeg_channels_are_processed() -> None:
    pipeline = build()
    assert pipeline.spec == SignalSpec(
        ("Fz", "Oz"),
        ("eeg", "eeg"),
        SFREQ,
        {"Fz": (0.0, 0.1, 0.05), "Oz": (0.0, -0.1, 0.0)},
    )
    other = RAW.copy()
    other[[0, 2, 4]] = np.nan
    signals, others = chunks(RAW, [25]), chunks(other, [25])
    cuts = replay(pipeline, signals)
    assert cuts[0].data.shape == (2, 120)
    assert bits(replay(build(), others)) == bits(cuts)


def test_without_stream_steps_an_epoch_is_a_piece_of_the_recording() -> None:
    cuts = replay(build(stream=()), chunks(RAW, [33]))
    for cut in cuts:
        first = round((cut.onset.time + 0.02 - START) * SFREQ)
        assert cut.first_sample == first
        np.testing.assert_array_equal(cut.data, RAW[EEG, first : first + 120])


def test_a_signal_without_eeg_is_refused() -> None:
    spec = SignalSpec(("STI", "diode"), ("stim", "misc"), SFREQ)
    with pytest.raises(PhospheneError, match="no EEG channel; found misc, stim"):
        build(spec=spec)


# Time


def test_the_delay_is_that_of_the_filters_and_of_the_screen() -> None:
    declared = sum(each.config.build(SPEC, CONTEXT).delay for each in PAPER)
    assert build().delay == pytest.approx(declared)
    assert build(lag=0.03).delay == pytest.approx(declared + 0.03)
    assert build(stream=()).delay == 0


@pytest.mark.parametrize("lag", [0.0, 0.04])
def test_a_burst_lies_in_the_epoch_where_it_was_in_the_brain(lag: float) -> None:
    sfreq, after, n_trials = 1000.0, 0.25, 200
    spec = SignalSpec(("Oz",), ("eeg",), sfreq)
    times = np.arange(n_trials * 1000) / sfreq
    envelope = np.exp(-0.5 * (((times - lag) % 1 - after) / 0.03) ** 2)
    carrier = np.random.default_rng(0).standard_normal(len(times))
    # Noise of 20 to 40 Hz, where EEG has most of what is left behind the filters.
    spectrum = np.fft.rfft(carrier)
    freqs = np.fft.rfftfreq(len(times), 1 / sfreq)
    spectrum[(freqs < 20) | (freqs > 40)] = 0
    data = (1e-5 * envelope * np.fft.irfft(spectrum))[np.newaxis].astype(np.float32)

    pipeline = build(lag=lag, spec=spec)
    for trial in range(2, n_trials - 2):
        pipeline.mark(make_onset(float(trial), trial))
    pipeline.feed(Signal(data, times))
    power = np.mean([np.square(cut.data[0], dtype=np.float64) for cut in pipeline.cuts()], axis=0)
    its_times = pipeline.tmin + np.arange(pipeline.n_times) / sfreq
    assert its_times @ power / power.sum() == pytest.approx(after, abs=0.004)


def test_settings_that_the_signal_cannot_carry_are_refused_at_once() -> None:
    with pytest.raises(PhospheneError, match=r"epoch \(tmax - tmin\) of 0\.481 s"):
        build(tmax=0.501)
    with pytest.raises(PhospheneError, match="high of 70 Hz"):
        build(spec=SignalSpec(("Oz",), ("eeg",), 120.0))


# Epoch steps


def test_steps_are_fitted_in_order_each_on_what_the_one_before_it_made() -> None:
    pipeline = build()
    epochs = epochs_of(replay(pipeline, chunks(RAW, [25])), pipeline)
    features = pipeline.fit(epochs)
    expected = epochs
    for chosen in STEPS:
        step = chosen.config.build(pipeline.spec, CONTEXT)
        step.fit(expected)
        expected = step(expected)
    np.testing.assert_array_equal(features.data, expected.data)
    assert features.data.shape == (10, 2, 6, 25)
    np.testing.assert_array_equal(pipeline.transform(epochs).data, features.data)


def test_states_make_another_pipeline_the_same() -> None:
    fitted, loaded = build(), build()
    epochs = epochs_of(replay(fitted, chunks(RAW, [25])), fitted)
    fitted.fit(epochs)
    states = fitted.states()
    assert [name for name, _ in states] == ["0-standardise", "1-spectrogram"]
    loaded.load_states([state for _, state in states])
    np.testing.assert_array_equal(loaded.transform(epochs).data, fitted.transform(epochs).data)


def test_a_pipeline_that_was_not_fitted_transforms_nothing() -> None:
    pipeline = build()
    with pytest.raises(PhospheneError, match="not fitted"):
        pipeline.transform(epochs_of(replay(pipeline, chunks(RAW, [25])), pipeline))
