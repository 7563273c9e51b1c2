import hashlib
import json
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import PIL.Image
import pytest

from phosphene import Context, Decoder, Epochs, Onset, SignalSpec, StimulusSet, TrainingSet
from phosphene.interfaces import Measured
from phosphene.manifest import Image
from phosphene.registry import load_registry
from phosphene_plugins.kd_stft import KdStftConfig
from phosphene_plugins.plain_stft import PlainStftConfig

torch = pytest.importorskip("torch")

SPEC = SignalSpec(tuple("abcdef"), ("eeg",) * 6, 100.0)
WNIDS = ("n00000001", "n00000002", "n00000003")
SMALL = {"widths": (8, 8), "epochs": 12, "batch_size": 16}


@pytest.fixture(scope="module")
def stimuli(tmp_path_factory: pytest.TempPathFactory) -> StimulusSet:
    """Images of three colours, ten of each."""
    root = tmp_path_factory.mktemp("stimuli")
    images = []
    for number in range(30):
        pixels = np.random.default_rng(number).integers(0, 100, (32, 32, 3), dtype=np.uint8)
        pixels[..., number % 3] += 100
        path = root / f"{number}.png"
        PIL.Image.fromarray(pixels).save(path)
        sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
        images.append(Image(path.name, WNIDS[number % 3], "train", sha256, "CC0-1.0"))
    return StimulusSet(root, dict(zip(WNIDS, "rgb", strict=True)), tuple(images))


@pytest.fixture(scope="module")
def data(stimuli: StimulusSet) -> TrainingSet:
    """Two runs; each class has a channel of its own."""
    return make_data(stimuli, 0)


def make_data(stimuli: StimulusSet, seed: int) -> TrainingSet:
    trials = tuple(
        Onset(n, "stimulus", n, n, 0.5, "record", 1 + n // 15, n // 3, 1, 1, i.wnid, i.id, i.sha256)
        for n, i in enumerate(stimuli.images)
    )
    power = np.random.default_rng(seed).exponential(size=(30, 6, 4, 7)).astype(np.float32)
    power[np.arange(30), np.arange(30) % 3] *= 6
    return TrainingSet(Epochs(power, SPEC, 0.02, (0.0, 25.0, 50.0, 75.0)), trials, stimuli)


def fit(data: TrainingSet, **changes: object) -> Decoder:
    return msgspec.convert(SMALL | changes, KdStftConfig).fit(data, Context(data.stimuli))


def card(decoder: Decoder, folder: Path) -> dict[str, Any]:
    folder.mkdir()
    decoder.save(folder)
    return dict(json.loads((folder / "card.json").read_bytes()))


def test_both_decoders_are_offered_by_name() -> None:
    registry = load_registry()
    assert registry.find("decoder", "kd-stft") is KdStftConfig
    assert registry.find("decoder", "plain-stft") is PlainStftConfig


def test_it_decodes_new_trials_and_the_card_tells_how_it_was_taught(
    data: TrainingSet, stimuli: StimulusSet, tmp_path: Path
) -> None:
    decoder = fit(data, epochs=30)
    new = make_data(stimuli, 1)
    probabilities = decoder.decode(new.epochs).probabilities
    decoded = np.array(decoder.classes)[probabilities.argmax(axis=1)]
    assert np.mean(decoded == np.array(new.wnids)) > 0.7
    said = card(decoder, tmp_path / "saved")["distillation"]
    assert said["features"].startswith("built-in descriptor")
    assert said["teacher"] == "cross-fitted"
    assert said["teacher_accuracy"] > 0.9
    assert said["alpha"] == 0.5
    assert said["target_entropy"] == pytest.approx(np.log(3) / 2, abs=1e-3)
    assert isinstance(decoder, Measured)
    metrics = decoder.metrics
    assert metrics["validation_accuracy"] > 0.5
    assert metrics["distillation_temperature"] == said["temperature"] != metrics["temperature"]
    for name in ("teacher_accuracy", "target_entropy", "alpha"):
        assert metrics[name] == said[name]


def test_a_saved_decoder_decodes_as_before_and_is_not_taken_for_its_rival(
    data: TrainingSet, stimuli: StimulusSet, tmp_path: Path
) -> None:
    decoder = fit(data, epochs=1)
    card(decoder, tmp_path / "saved")
    loaded = KdStftConfig().load(tmp_path / "saved", Context(stimuli))
    expected = decoder.decode(data.epochs).probabilities
    np.testing.assert_array_equal(loaded.decode(data.epochs).probabilities, expected)
    with pytest.raises(Exception, match="allowed: plain-stft"):
        PlainStftConfig().load(tmp_path / "saved", Context(stimuli))


def test_soft_labels_alone_teach_the_classes(data: TrainingSet, tmp_path: Path) -> None:
    decoder = fit(data, mode="kd-only", epochs=30)
    decoded = np.array(decoder.classes)[decoder.decode(data.epochs).probabilities.argmax(axis=1)]
    assert np.mean(decoded == np.array(data.wnids)) > 0.8
    assert card(decoder, tmp_path / "saved")["distillation"]["alpha"] == 0


def test_with_alpha_1_the_teacher_is_not_heard(data: TrainingSet) -> None:
    taught = fit(data, alpha=1.0, teacher="shuffled").decode(data.epochs).probabilities
    untaught = fit(data, alpha=1.0).decode(data.epochs).probabilities
    np.testing.assert_array_equal(taught, untaught)


def test_every_teacher_teaches_something_else(data: TrainingSet) -> None:
    found = [
        fit(data, teacher=teacher).decode(data.epochs).probabilities
        for teacher in ("cross-fitted", "class-mean", "shuffled")
    ]
    assert not np.allclose(found[0], found[1])
    assert not np.allclose(found[0], found[2])


def test_the_teacher_sees_no_image_of_the_held_out_run(
    data: TrainingSet, stimuli: StimulusSet, tmp_path: Path
) -> None:
    ids = [trial.image for trial in data.trials if trial.run == 1]
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "features.npz", ids=ids, features=rng.standard_normal((len(ids), 4)))
    decoder = fit_with(data, {"npz": str(tmp_path / "features.npz")})
    said = card(decoder, tmp_path / "saved")["distillation"]
    assert said["features"].startswith("features.npz")


def fit_with(data: TrainingSet, features: dict[str, str]) -> Decoder:
    given = SMALL | {"epochs": 1, "features": features}
    config = msgspec.convert(given, KdStftConfig, dec_hook=lambda kind, value: kind(value))
    return config.fit(data, Context(data.stimuli))


def test_the_loss_of_distillation_is_zero_for_the_teachers_own_logits() -> None:
    from phosphene_plugins._distillation.objectives import distillation_loss

    logits = torch.tensor([[1.0, 2.0, 4.0], [0.0, 0.0, 1.0]])
    soft = torch.softmax(logits / 3, dim=1)
    assert distillation_loss(logits, soft, 3.0) == pytest.approx(0, abs=1e-6)
    assert distillation_loss(-logits, soft, 3.0) > 0.1


@pytest.mark.parametrize(
    "setting", [{"alpha": 1.1}, {"temperature": 0.0}, {"entropy": 1.0}, {"mode": "ce"}]
)
def test_values_that_can_never_work_are_refused(setting: dict[str, object]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(setting, KdStftConfig)
