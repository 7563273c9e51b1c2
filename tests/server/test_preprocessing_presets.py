"""Each preset by its name: the shape it states, at the time it states, and what it can see."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from phosphene import Context, Epochs, Onset, PhospheneError, Signal, SignalSpec, StimulusSet
from phosphene.choice import choose
from phosphene.clock import VirtualClock
from phosphene.pipeline import Pipeline
from phosphene.registry import Registry, load_registry
from phosphene.session_file import PRESETS
from phosphene.settings import Settings, load_settings

SHAPES = {"power": (8, 16), "evoked": (125,)}
NEW = list(SHAPES)
CHANNELS, SFREQ = 32, 500.0
CLASSES, TRIALS, SPACING = 4, 80, 0.7

Data = NDArray[np.float32]
PAGE = (Path(__file__).parents[2] / "docs" / "session-file.md").read_text()
REGISTRY = cache(load_registry)


@pytest.fixture
def registry() -> Registry:
    return REGISTRY()


def named(registry: Registry, folder: Path, name: str) -> Settings:
    """Return the settings of a session file that names the preset."""
    file = folder / f"{name}.yaml"
    file.write_text(f"format: 1\nextends: demo\npreprocessing: {name}\n")
    return load_settings(file, registry)


def pipeline(settings: Settings, sfreq: float, n_channels: int = 2) -> Pipeline:
    names = tuple(f"E{i}" for i in range(n_channels))
    spec = SignalSpec(names, ("eeg",) * n_channels, sfreq)
    return Pipeline(settings.stream, settings.epochs, spec, Context(StimulusSet(Path(), {}, ())))


def onset(time: float, seq: int, wnid: str = "n1", image: str = "a.png") -> Onset:
    return Onset(seq, "stimulus", time, time, 0.5, "record", 1, 1, 1, seq + 1, wnid, image, "ab")


def cut(its: Pipeline, data: Data, sfreq: float) -> Epochs:
    """Return the epochs of onsets at 2, 3 and 4 s; the signal comes in chunks."""
    for seq in range(3):
        its.mark(onset(2.0 + seq, seq))
    times, cuts = np.arange(data.shape[1]) / sfreq, []
    for start in range(0, data.shape[1], 33):
        its.feed(Signal(data[:, start : start + 33], times[start : start + 33]))
        cuts += its.cuts()
    return Epochs(np.stack([each.data for each in cuts]), its.spec, its.tmin)


def noise(sfreq: float) -> Data:
    """Return 6 s of two channels, 10 µV on an electrode's offset of 0.1 V."""
    data = np.random.default_rng(0).normal(0.1, 1e-5, (2, round(6 * sfreq)))
    return data.astype(np.float32)


# Shape and rates


@pytest.mark.parametrize("sfreq", [250.0, 500.0, 1000.0, 2000.0])
@pytest.mark.parametrize("name", NEW)
def test_a_preset_gives_standardised_epochs_of_its_shape_at_usual_rates(
    registry: Registry, tmp_path: Path, name: str, sfreq: float
) -> None:
    its = pipeline(named(registry, tmp_path, name), sfreq)
    found = its.fit(cut(its, noise(sfreq), sfreq))
    assert found.data.shape == (3, 2, *SHAPES[name])
    np.testing.assert_allclose(found.data.mean((0, -1), np.float64), 0, atol=1e-5)
    np.testing.assert_allclose(found.data.std((0, -1), np.float64), 1, rtol=1e-4)


def test_power_has_8_frequencies_from_12_to_76_hz(registry: Registry, tmp_path: Path) -> None:
    its = pipeline(named(registry, tmp_path, "power"), 1000.0)
    freqs = its.fit(cut(its, noise(1000.0), 1000.0)).freqs
    np.testing.assert_allclose(freqs, 7.8125 * np.arange(2, 10))


@pytest.mark.parametrize(
    ("name", "sfreq", "message"),
    [
        ("evoked", 512.0, "resample: 250 Hz .* the nearest possible are 256 and 170.6"),
        ("evoked", 200.0, "resample: 250 Hz .* the nearest possible is 200 Hz"),
        ("power", 512.0, r"window of 0\.128 s is .*; the nearest possible is 0\.12890625 s"),
        ("power", 125.0, r"bandpass: high of 90 Hz .*; the nearest possible is 61\.875 Hz"),
    ],
)
def test_a_rate_that_cannot_carry_a_preset_is_told_what_could(
    registry: Registry, tmp_path: Path, name: str, sfreq: float, message: str
) -> None:
    with pytest.raises(PhospheneError, match=message):
        pipeline(named(registry, tmp_path, name), sfreq)


# Time


@pytest.mark.parametrize("sfreq", [250.0, 1000.0, 5000.0])
def test_evoked_keeps_the_peaks_of_a_response_where_they_were(
    registry: Registry, tmp_path: Path, sfreq: float
) -> None:
    times = np.arange(round(6 * sfreq)) / sfreq % 1
    waves = [(0.1, 0.016, 1.0), (0.16, 0.024, -1.5), (0.24, 0.04, 1.0)]
    each = [size * np.exp(-0.5 * ((times - at) / width) ** 2) for at, width, size in waves]
    data = np.tile(1e-5 * np.sum(each, axis=0), (2, 1)).astype(np.float32)

    its = pipeline(named(registry, tmp_path, "evoked"), sfreq)
    found = cut(its, data, sfreq).data.mean(axis=0)[0]
    seconds = its.tmin + np.arange(its.n_times) / its.spec.sfreq
    raw = np.interp(seconds, times[: round(sfreq)], data[0, : round(sfreq)])
    likeness = [np.corrcoef(np.roll(raw, shift), found)[0, 1] for shift in (-1, 0, 1)]
    assert np.argmax(likeness) == 1
    assert seconds[found.argmin()] == pytest.approx(0.158, abs=0.005)  # N1, on the slope of P2.


@pytest.mark.parametrize("band", [(16, 30), (30, 46), (54, 70)])
def test_power_lies_in_the_frames_where_it_was(
    registry: Registry, tmp_path: Path, band: tuple[float, float]
) -> None:
    rng, sfreq = np.random.default_rng(0), 1000.0
    times, freqs = np.arange(6000) / sfreq, np.fft.rfftfreq(6000, 1 / sfreq)
    spectrum = np.fft.rfft(rng.standard_normal((100, 6000)))
    spectrum[:, (freqs < band[0]) | (freqs > band[1])] = 0
    envelope = np.exp(-0.5 * ((times % 1 - 0.26) / 0.03) ** 2)
    data = (1e-5 * envelope * np.fft.irfft(spectrum)).astype(np.float32)

    its = pipeline(named(registry, tmp_path, "power"), sfreq, 100)
    power = np.square(cut(its, data, sfreq).data, dtype=np.float64).mean(axis=(0, 1))
    seconds = its.tmin + np.arange(its.n_times) / sfreq
    assert seconds @ power / power.sum() == pytest.approx(0.26, abs=0.005)


# What they see


@dataclass(frozen=True)
class Recording:
    """What a simulated subject's amplifier delivered."""

    spec: SignalSpec
    signals: tuple[Signal, ...]
    onsets: tuple[Onset, ...]


def record(code: str, folder: Path) -> Recording:
    """Return the recording of a subject whose EEG carries the class in one way."""
    images = choose(REGISTRY(), "stimuli", {"standin": {"classes": CLASSES, "size": 64}})
    context = Context(images.config.build(folder), 3, folder, VirtualClock(0.0))
    subject = {"channels": CHANNELS, "sfreq": SFREQ, "code": code, "strength": 0.7}
    source = choose(REGISTRY(), "acquisition", {"simulated": subject}).config.build(context)
    onsets, signals = tuple(shown(context)), []
    for each in onsets:
        context.clock.sleep_until(each.time)
        context.onsets.append(each)
        signals.append(source.read(0.0))
    context.clock.sleep_until(context.clock.now() + 1)
    signals.append(source.read(0.0))
    source.close()
    return Recording(source.spec, tuple(signals), onsets)


def shown(context: Context) -> Iterator[Onset]:
    classes = sorted(context.stimuli.classes)
    for seq, number in enumerate(np.random.default_rng(0).permutation(TRIALS) % CLASSES):
        image = context.stimuli.of(classes[number], "train")[0]
        yield onset(1 + SPACING * seq, seq, classes[number], image.id)


def accuracy(settings: Settings, recording: Recording) -> float:
    """Return the accuracy of a shrunk linear discriminant on the second half of the trials."""
    context = Context(StimulusSet(Path(), {}, ()))
    its = Pipeline(settings.stream, settings.epochs, recording.spec, context)
    for each in recording.onsets:
        its.mark(each)
    for signal in recording.signals:
        its.feed(signal)
    cuts = its.cuts()
    epochs = Epochs(np.stack([each.data for each in cuts]), its.spec, its.tmin)
    labels, half = np.array([each.onset.wnid for each in cuts]), TRIALS // 2
    train, test = (features(its.fit(epochs[:half])), features(its.transform(epochs[half:])))
    model = LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto")
    return float(model.fit(train, labels[:half]).score(test, labels[half:]))


def features(epochs: Epochs) -> NDArray[np.float64]:
    """Return means over 100 ms of the waveform, or over the whole time of the power."""
    width = 25 if epochs.data.ndim == 3 else epochs.data.shape[-1]
    parts = epochs.data.reshape(*epochs.data.shape[:-1], -1, width)
    return parts.mean(axis=-1, dtype=np.float64).reshape(len(epochs), -1)


@pytest.mark.parametrize("code", NEW)
def test_a_preset_sees_its_code_and_the_other_does_not(
    registry: Registry, tmp_path: Path, code: str
) -> None:
    recording = record(code, tmp_path)
    found = {name: accuracy(named(registry, tmp_path, name), recording) for name in NEW}
    (blind,) = set(NEW) - {code}
    assert found[code] > 0.6
    assert found[blind] < 0.45  # Chance is 25 %; 40 trials, so this is 3 standard errors above.


# The document


EXAMPLES = re.findall(r"^```yaml\n(stream:.*?)^```", PAGE, flags=re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("name", NEW)
def test_the_document_writes_out_a_preset_as_it_is(name: str) -> None:
    lines = (PRESETS / "preprocessing" / f"{name}.yaml").read_text().splitlines(keepends=True)
    said = [line for line in lines if not line.lstrip().startswith(("#", "format"))]
    assert "".join(said) in EXAMPLES


@pytest.mark.parametrize("sfreq", [512.0, 1024.0, 2048.0])
@pytest.mark.parametrize(("number", "shape"), [(-2, (128,)), (-1, (8, 16))])
def test_what_the_document_says_for_other_rates_works(
    registry: Registry, tmp_path: Path, number: int, shape: tuple[int, ...], sfreq: float
) -> None:
    file = tmp_path / "other.yaml"
    file.write_text("format: 1\nextends: demo\n" + EXAMPLES[number])
    its = pipeline(load_settings(file, registry), sfreq)
    assert its.fit(cut(its, noise(sfreq), sfreq)).data.shape == (3, 2, *shape)
