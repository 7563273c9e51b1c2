"""Every check of decoders finds the decoder that was broken for it, and no other check does."""

import json
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from numpy.typing import NDArray

from phosphene import Context, Decoder, DecoderConfig, Decoding, Epochs, PhospheneError, TrainingSet
from phosphene.testing.demands import name_of
from phosphene.testing.examination import Outcome, Result
from phosphene.testing.kinds import DECODERS, examination_of


class Nearest:
    """The class whose mean log power is nearest: a decoder without a fault."""

    allow_pickle = False

    def __init__(self, classes: tuple[str, ...], means: NDArray[np.float64], n_times: int) -> None:
        self.classes, self.means, self.n_times = classes, means, n_times
        self.metrics: Mapping[str, float] = {"n_validation": 0.0}

    def decode(self, epochs: Epochs) -> Decoding:
        check(epochs, self.means.shape[1], self.n_times)
        return Decoding(self.decide(log_power(epochs)))

    def decide(self, features: NDArray[np.float64]) -> NDArray[np.floating]:
        distances = np.linalg.norm(features[:, None] - self.means, axis=2)
        odds = np.exp(distances.min(axis=1, keepdims=True) - distances)
        return np.asarray(odds / odds.sum(axis=1, keepdims=True))

    def save(self, folder: Path) -> None:
        np.savez(folder / "means.npz", means=self.means)
        (folder / "card.json").write_text(json.dumps([self.classes, self.n_times]))


def check(epochs: Epochs, n_channels: int, n_times: int) -> None:
    if epochs.data.shape[1:] != (n_channels, n_times):
        raise PhospheneError(f"expected {n_channels} x {n_times}, found {epochs.data.shape[1:]}")


def log_power(epochs: Epochs) -> NDArray[np.float64]:
    if not np.isfinite(epochs.data).all():
        raise PhospheneError("an epoch is not finite")
    power = (epochs.data.astype(np.float64) ** 2).mean(axis=-1)
    return np.asarray(np.log(power + 1e-30))


class Sound(DecoderConfig, frozen=True):
    decoder: ClassVar[type[Nearest]] = Nearest

    def fit(self, training_set: TrainingSet, context: Context) -> Decoder:
        if training_set.epochs.data.ndim != 3:
            raise PhospheneError("expected the time domain, found spectrograms")
        context.progress(0.5, "fitting")
        features, wnids = log_power(training_set.epochs), np.array(training_set.wnids)
        means = [features[wnids == wnid].mean(axis=0) for wnid in training_set.classes]
        n_times = training_set.epochs.data.shape[2]
        return self.decoder(training_set.classes, np.stack(means), n_times)

    def load(self, folder: Path, context: Context) -> Decoder:
        classes, n_times = json.loads((folder / "card.json").read_text())
        with np.load(folder / "means.npz", allow_pickle=self.decoder.allow_pickle) as saved:
            return self.decoder(tuple(classes), saved["means"].astype(float), n_times)


def results(config: DecoderConfig) -> list[Result]:
    return [check.result() for check in examination_of(config).checks()]


def failures(config: DecoderConfig) -> dict[str, str]:
    return {r.check: r.text for r in results(config) if r.outcome is Outcome.FAILED}


class RefusesAll(Sound, frozen=True):
    def fit(self, training_set: TrainingSet, context: Context) -> Decoder:
        raise PhospheneError("it is Monday")


class Exits(Sound, frozen=True):
    def fit(self, training_set: TrainingSet, context: Context) -> Decoder:
        raise SystemExit(3)


class ListOfClasses(Nearest):
    def __init__(self, classes: tuple[str, ...], *rest: Any) -> None:
        super().__init__(list(classes), *rest)  # type: ignore[arg-type]


class ForgetsClass(Nearest):
    def __init__(self, classes: tuple[str, ...], means: NDArray[np.float64], n: int) -> None:
        super().__init__(classes[1:], means[1:], n)


class ColumnTooMany(Nearest):
    def decide(self, features: NDArray[np.float64]) -> NDArray[np.floating]:
        return np.pad(super().decide(features), ((0, 0), (0, 1)))


class WholeNumbers(Nearest):
    def decide(self, features: NDArray[np.float64]) -> NDArray[np.floating]:
        return np.rint(super().decide(features)).astype(int)


class SumsToTwo(Nearest):
    def decide(self, features: NDArray[np.float64]) -> NDArray[np.floating]:
        return 2 * super().decide(features)


class Dropout(Nearest):
    def decide(self, features: NDArray[np.float64]) -> NDArray[np.floating]:
        return super().decide(features * np.random.default_rng().normal(1, 1e-3, features.shape))


class NamelessSpace(Nearest):
    def decode(self, epochs: Epochs) -> Decoding:
        probabilities = super().decode(epochs).probabilities
        return Decoding(probabilities, embedding=probabilities)


class Guesses(Nearest):
    def decide(self, features: NDArray[np.float64]) -> NDArray[np.floating]:
        return np.full((len(features), len(self.means)), 1 / len(self.means))


class OtherOrder(Nearest):
    def decide(self, features: NDArray[np.float64]) -> NDArray[np.floating]:
        return super().decide(features)[:, [1, 0, 3, 2]]


class StandardisesBatch(Nearest):
    def decide(self, features: NDArray[np.float64]) -> NDArray[np.floating]:
        lone = len(features) < 2
        return super().decide(features if lone else features + 0.01 * features.std())


class NeedsAnEpoch(Nearest):
    def decide(self, features: NDArray[np.float64]) -> NDArray[np.floating]:
        return super().decide(features - 0 * features[0])


class WritesIntoInput(Nearest):
    def decode(self, epochs: Epochs) -> Decoding:
        decoding = super().decode(epochs)
        epochs.data[:] = 0
        return decoding


class WritesIntoTrainingSet(Sound, frozen=True):
    def fit(self, training_set: TrainingSet, context: Context) -> Decoder:
        decoder = Sound.fit(self, training_set, context)
        training_set.epochs.data[:] *= 2
        return decoder


class OwnSeed(Sound, frozen=True):
    def fit(self, training_set: TrainingSet, context: Context) -> Decoder:
        decoder = Sound.fit(self, training_set, context)
        assert isinstance(decoder, Nearest)
        decoder.means += np.random.default_rng().normal(0, 1e-3, decoder.means.shape)
        return decoder


class NanMetric(Nearest):
    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.metrics = {"validation_accuracy": float("nan")}


class Percent(Sound, frozen=True):
    def fit(self, training_set: TrainingSet, context: Context) -> Decoder:
        context.progress(50, "fitting")
        return Sound.fit(self, training_set, context)


class SavesNothing(Nearest):
    def save(self, folder: Path) -> None:
        return


class SavesPickle(Nearest):
    def save(self, folder: Path) -> None:
        super().save(folder)
        (folder / "model.pkl").write_bytes(pickle.dumps(self.means))


class SavesObjects(Nearest):
    def save(self, folder: Path) -> None:
        super().save(folder)
        np.savez(folder / "more.npz", classes=np.array([{}], object))


class LosesPrecision(Nearest):
    def save(self, folder: Path) -> None:
        super().save(folder)
        np.savez(folder / "means.npz", means=self.means.round(2))


class ReadsPickles(Nearest):
    allow_pickle = True


class NanInNanOut(Nearest):
    def decode(self, epochs: Epochs) -> Decoding:
        finite = np.isfinite(epochs.data).all(axis=(1, 2), keepdims=True)
        data = np.where(finite, epochs.data, np.float32(1e-5))
        probabilities = super().decode(Epochs(data, epochs.spec, epochs.tmin)).probabilities
        return Decoding(np.where(finite[..., 0], probabilities, np.nan))


class StumblesOverNan(Nearest):
    def decode(self, epochs: Epochs) -> Decoding:
        if not np.isfinite(epochs.data).all():
            raise ValueError("Input X contains NaN")
        return super().decode(epochs)


class DividesByZero(Nearest):
    def decide(self, features: NDArray[np.float64]) -> NDArray[np.floating]:
        probabilities = super().decide(features)
        probabilities[(features < -60).any(axis=1)] = np.nan  # As if divided by the deviation.
        return probabilities


class NeedsLiveChannels(Sound, frozen=True):
    def fit(self, training_set: TrainingSet, context: Context) -> Decoder:
        if (training_set.epochs.data.std(axis=(0, 2)) == 0).any():
            raise np.linalg.LinAlgError("Singular matrix")
        return Sound.fit(self, training_set, context)


class NeedsManyTrials(Sound, frozen=True):
    def fit(self, training_set: TrainingSet, context: Context) -> Decoder:
        if len(training_set.trials) < 20:
            raise ZeroDivisionError("division by zero")
        return Sound.fit(self, training_set, context)


class TakesAnyChannels(Nearest):
    def decode(self, epochs: Epochs) -> Decoding:
        check(epochs, epochs.data.shape[1], self.n_times)
        features = log_power(epochs)
        if features.shape[1] != self.means.shape[1]:
            raise ValueError("operands could not be broadcast together")
        return Decoding(self.decide(features))


class StumblesOverLength(Nearest):
    def decode(self, epochs: Epochs) -> Decoding:
        if epochs.data.ndim == 3 and epochs.data.shape[2] < self.n_times:
            raise IndexError("index 100 is out of bounds")
        return super().decode(epochs)


class StumblesOverSpectrograms(Nearest):
    def decode(self, epochs: Epochs) -> Decoding:
        if epochs.data.ndim == 4:
            raise TypeError("too many values to unpack")
        return super().decode(epochs)


BROKEN: list[tuple[type, str]] = [
    (RefusesAll, "fits"),
    (Exits, "fits"),
    (ListOfClasses, "names its classes"),
    (ForgetsClass, "names its classes"),
    (ColumnTooMany, "shapes and dtypes"),
    (WholeNumbers, "shapes and dtypes"),
    (SumsToTwo, "probabilities sum to 1"),
    (Dropout, "repeats itself"),
    (NamelessSpace, "embedding has a space"),
    (Guesses, "learns an easy code"),
    (OtherOrder, "class order"),
    (StandardisesBatch, "batch equals single"),
    (NeedsAnEpoch, "empty batch"),
    (WritesIntoInput, "leaves its input alone"),
    (WritesIntoTrainingSet, "leaves its input alone"),
    (OwnSeed, "deterministic by seed"),
    (NanMetric, "metrics are finite"),
    (Percent, "progress is a fraction"),
    (SavesNothing, "saves files"),
    (SavesPickle, "no pickle written"),
    (SavesObjects, "no pickle written"),
    (LosesPrecision, "save load round trip"),
    (ReadsPickles, "no pickle read"),
    (NanInNanOut, "not finite input"),
    (StumblesOverNan, "not finite input"),
    (DividesByZero, "flat input"),
    (NeedsLiveChannels, "flat channel in training"),
    (NeedsManyTrials, "two trials of each class"),
    (TakesAnyChannels, "wrong channel count"),
    (StumblesOverLength, "other epoch length"),
    (StumblesOverSpectrograms, "other domain"),
]


def config_of(broken: type) -> DecoderConfig:
    if issubclass(broken, Sound):
        return broken()

    class Config(Sound, frozen=True):
        decoder: ClassVar[type[Nearest]] = broken

    return Config()


def test_a_decoder_without_a_fault_passes_all_that_applies() -> None:
    found = {result.check: result.outcome for result in results(Sound())}
    applies = set(found) - {"embedding has a space"}
    assert {check for check, outcome in found.items() if outcome is Outcome.PASSED} == applies


@pytest.mark.parametrize(
    ("broken", "check"), BROKEN, ids=lambda each: getattr(each, "__name__", each)
)
def test_a_broken_decoder_fails_exactly_the_check_meant_for_it(broken: type, check: str) -> None:
    assert set(failures(config_of(broken))) == {check}


def test_every_check_has_a_decoder_that_fails_it() -> None:
    assert {name_of(demand) for demand in DECODERS.needs} == {check for _, check in BROKEN}


def test_an_exception_is_told_with_type_text_and_place_instead_of_a_traceback() -> None:
    text = failures(config_of(StumblesOverNan))["not finite input"]
    [line] = [
        number
        for number, line in enumerate(Path(__file__).read_text().splitlines(), start=1)
        if line.strip() == 'raise ValueError("Input X contains NaN")'
    ]
    assert "expected probabilities or a PhospheneError" in text
    assert f"ValueError: Input X contains NaN ({__file__}, line {line})" in text


def test_a_wrong_order_is_told_with_the_right_one() -> None:
    text = failures(config_of(OtherOrder))["class order"]
    assert text == (
        "the columns named n00000001, n00000002, n00000003, n00000004 "
        "are those of n00000002, n00000001, n00000004, n00000003"
    )
