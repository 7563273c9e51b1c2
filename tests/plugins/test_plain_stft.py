import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phosphene import (
    Context,
    Decoder,
    Epochs,
    Onset,
    PhospheneError,
    SignalSpec,
    StimulusSet,
    TrainingSet,
)
from phosphene.interfaces import Measured
from phosphene_plugins._holdout import hold_out
from phosphene_plugins.plain_stft import PlainStftConfig

torch = pytest.importorskip("torch")

STIMULI = StimulusSet(Path(), {}, ())
SPEC = SignalSpec(tuple("abcdef"), ("eeg",) * 6, 100.0)
WNIDS = ("n00000001", "n00000002", "n00000003")


def onset(number: int, wnid: str, run: int, block: int, image: str) -> Onset:
    time = float(number)
    return Onset(number, "stimulus", time, time, 0.5, "record", run, block, 1, 1, wnid, image, "")


def trials(runs: int = 3, repeats: int = 6, nested: bool = False) -> tuple[Onset, ...]:
    """Every class in every run, or each class in a run of its own; no image twice."""
    plan = [(run, wnid) for run in range(1, runs + 1) for _ in range(repeats) for wnid in WNIDS]
    if nested:
        plan = [(run, WNIDS[run - 1]) for run, _wnid in plan]
    return tuple(
        onset(n, wnid, run, n // len(WNIDS) if not nested else run, f"{wnid}/{n}.png")
        for n, (run, wnid) in enumerate(plan)
    )


def training_set(
    shown: tuple[Onset, ...],
    strength: float = 1.5,
    seed: int = 0,
    shape: tuple[int, ...] = (6, 4, 7),
) -> TrainingSet:
    """Power spectrograms in which each class has a channel of its own."""
    rng = np.random.default_rng(seed)
    data = rng.exponential(size=(len(shown), *shape)).astype(np.float32)
    for power, trial in zip(data, shown, strict=True):
        power[WNIDS.index(trial.wnid)] *= np.exp(strength)
    return TrainingSet(Epochs(data, SPEC, 0.02, (0.0, 25.0, 50.0, 75.0)), shown, STIMULI)


def config(**changes: object) -> PlainStftConfig:
    small = {"widths": (8, 8), "epochs": 12, "batch_size": 16}
    return msgspec.convert(small | changes, PlainStftConfig)


def context(seed: int = 0, **changes: Any) -> Context:
    return Context(STIMULI, seed=seed, **changes)


def card(decoder: Decoder, folder: Path) -> dict[str, Any]:
    folder.mkdir()
    decoder.save(folder)
    return dict(json.loads((folder / "card.json").read_bytes()))


@pytest.fixture(scope="module")
def fitted() -> Decoder:
    return config().fit(training_set(trials()), context())


@pytest.fixture
def saved(fitted: Decoder, tmp_path: Path) -> Path:
    folder = tmp_path / "decoder"
    folder.mkdir()
    fitted.save(folder)
    return folder


def test_it_decodes_new_trials_with_probabilities_that_sum_to_one(fitted: Decoder) -> None:
    new = training_set(trials(), seed=1)
    probabilities = fitted.decode(new.epochs).probabilities
    decoded = [fitted.classes[column] for column in probabilities.argmax(axis=1)]
    assert np.mean(np.array(decoded) == np.array(new.wnids)) > 0.8
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)


def test_a_batch_is_decoded_as_its_trials_are_one_by_one(fitted: Decoder) -> None:
    epochs = training_set(trials(), seed=1).epochs[:5]
    singly = [fitted.decode(epochs[i : i + 1]).probabilities for i in range(5)]
    batch = fitted.decode(epochs).probabilities
    np.testing.assert_allclose(np.concatenate(singly), batch, atol=1e-5)
    assert fitted.decode(epochs[:0]).probabilities.shape == (0, 3)


def test_the_same_seed_gives_the_same_bytes_and_another_seed_does_not(tmp_path: Path) -> None:
    def weights(name: str, seed: int) -> bytes:
        folder = tmp_path / name
        folder.mkdir()
        config(epochs=2).fit(training_set(trials()), context(seed)).save(folder)
        return (folder / "weights.safetensors").read_bytes()

    assert weights("first", 3) == weights("again", 3) != weights("other", 4)


def test_fitting_and_decoding_leave_torch_as_they_found_it(fitted: Decoder) -> None:
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        config(epochs=1).fit(training_set(trials()), context())
        fitted.decode(training_set(trials()).epochs)
        assert torch.rand(1) == expected
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)


def test_a_saved_decoder_decodes_as_before(fitted: Decoder, saved: Path) -> None:
    epochs = training_set(trials(), seed=2).epochs
    loaded = config().load(saved, context())
    assert loaded.classes == fitted.classes == WNIDS
    expected = fitted.decode(epochs).probabilities
    np.testing.assert_array_equal(loaded.decode(epochs).probabilities, expected)


def test_nothing_but_safetensors_and_a_card_is_saved(saved: Path) -> None:
    assert sorted(path.name for path in saved.iterdir()) == ["card.json", "weights.safetensors"]
    written = json.loads((saved / "card.json").read_bytes())
    assert written["training"]["validation_accuracy"] > 0.6
    assert written["settings"]["widths"] == [8, 8]
    assert written["distillation"] is None
    assert written["versions"]["torch"] == torch.__version__.split("+")[0]


def test_what_was_measured_is_told_also_by_a_loaded_decoder(fitted: Decoder, saved: Path) -> None:
    training = json.loads((saved / "card.json").read_bytes())["training"]
    for decoder in (fitted, config().load(saved, context())):
        assert isinstance(decoder, Measured)
        found = dict(decoder.metrics)
        assert found.pop("temperature") > 0
        names = {"validation_accuracy", "validation_loss", "n_validation", "epochs", "best_epoch"}
        assert found == {name: training[name] for name in names}
        assert all(type(value) is float for value in found.values())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"classes": ["n00000001", "n00000002"]}, "does not fit"),
        ({"widths": [8, 9]}, "does not fit"),
        ({"shape": [6, 5, 7]}, "input statistics"),
        ({"decoder": "other"}, "found decoder 'other'"),
        ({"format": 2}, "cannot be read"),
        ({"extra": 1}, "cannot be read"),
    ],
)
def test_a_card_that_does_not_fit_its_weights_is_refused(
    saved: Path, change: dict[str, object], message: str
) -> None:
    written = json.loads((saved / "card.json").read_bytes())
    (saved / "card.json").write_text(json.dumps(written | change))
    with pytest.raises(PhospheneError, match=message):
        config().load(saved, context())


@pytest.mark.parametrize("file", ["card.json", "weights.safetensors"])
def test_damaged_and_missing_files_are_refused(saved: Path, file: str, tmp_path: Path) -> None:
    missing = shutil.copytree(saved, tmp_path / "missing")
    (missing / file).unlink()
    (saved / file).write_bytes((saved / file).read_bytes()[:-40])
    for folder in (saved, missing):
        with pytest.raises(PhospheneError, match="cannot be read"):
            config().load(folder, context())


def broken(change: Callable[[Epochs], Epochs]) -> Epochs:
    return change(training_set(trials()).epochs)


@pytest.mark.parametrize(
    ("epochs", "message"),
    [
        (broken(lambda e: replace(e, data=e.data[:, :5])), "6 channels .* found 5 channels"),
        (broken(lambda e: replace(e, data=e.data[..., :6])), "7 frames; found .* 6 frames"),
        (broken(lambda e: replace(e, data=e.data[:, :, 0])), "add the step 'spectrogram'"),
        (broken(lambda e: replace(e, data=e.data * np.float32("nan"))), "epoch 1 of .* not finite"),
    ],
)
def test_epochs_of_another_kind_are_refused(fitted: Decoder, epochs: Epochs, message: str) -> None:
    with pytest.raises(PhospheneError, match=message):
        fitted.decode(epochs)


def test_flat_epochs_and_a_flat_channel_in_training_are_survived(fitted: Decoder) -> None:
    flat = Epochs(np.zeros((2, 6, 4, 7), np.float32), SPEC, 0.02)
    assert np.isfinite(fitted.decode(flat).probabilities).all()
    dead = training_set(trials())
    dead.epochs.data[:, 5] = 0
    decoder = config(epochs=1).fit(dead, context())
    assert np.isfinite(decoder.decode(dead.epochs).probabilities).all()


def test_spectrograms_that_are_logarithms_already_are_taken_as_they_are(tmp_path: Path) -> None:
    power = training_set(trials())
    logs = replace(power, epochs=replace(power.epochs, data=np.log(power.epochs.data)))
    decoder = config().fit(logs, context())
    assert card(decoder, tmp_path / "saved")["training"]["validation_accuracy"] > 0.6
    epochs = logs.epochs
    loaded = config().load(tmp_path / "saved", context())
    expected = decoder.decode(epochs).probabilities
    np.testing.assert_array_equal(loaded.decode(epochs).probabilities, expected)


def test_the_training_data_is_left_as_it_was() -> None:
    data = training_set(trials())
    before = data.epochs.data.copy()
    config(epochs=1).fit(data, context()).decode(data.epochs)
    np.testing.assert_array_equal(data.epochs.data, before)


def test_progress_tells_loss_accuracy_and_time_left() -> None:
    said: list[tuple[float, str]] = []
    lend = context(progress=lambda done, text: said.append((done, text)))
    config(epochs=3).fit(training_set(trials()), lend)
    assert [done for done, _text in said] == pytest.approx([1 / 3, 2 / 3, 1])
    for word in ("epoch 3 of 3", "loss", "validation accuracy", "s left"):
        assert word in said[-1][1]


def test_interrupted_training_keeps_the_best_so_far(tmp_path: Path) -> None:
    def interrupt(_done: float, text: str) -> None:
        if text.startswith("epoch 4 "):
            raise KeyboardInterrupt

    decoder = config(epochs=40).fit(training_set(trials()), context(progress=interrupt))
    training = card(decoder, tmp_path / "saved")["training"]
    assert training["interrupted"]
    assert 1 <= training["best_epoch"] <= training["epochs"] == 4


def test_training_ends_when_validation_no_longer_improves(tmp_path: Path) -> None:
    noise = training_set(trials(), strength=0)
    decoder = config(epochs=200, patience=2).fit(noise, context())
    training = card(decoder, tmp_path / "saved")["training"]
    assert training["epochs"] == training["best_epoch"] + 2 < 200


def test_training_that_diverges_is_an_error_and_never_a_decoder() -> None:
    from phosphene_plugins._distillation.training import Task, train

    def loss(logits: Any, _batch: object) -> Any:
        return logits.mean() * float("nan")

    inputs = torch.zeros(4, 2)
    task = Task(inputs, loss, inputs[:0], np.zeros(0, np.intp))
    with pytest.raises(PhospheneError, match=r"diverged at learning_rate 0.002; choose a lower"):
        train(torch.nn.Linear(2, 2), task, config(), context())


def test_a_diverging_epoch_ends_training_with_the_network_before_it() -> None:
    from phosphene_plugins._distillation.training import Task, train

    calls = []

    def loss(logits: Any, _batch: object) -> Any:
        calls.append(0)
        return logits.mean() * (1.0 if len(calls) < 3 else float("nan"))

    inputs = torch.ones(4, 2)
    network = torch.nn.Linear(2, 2)
    task = Task(inputs, loss, inputs[:0], np.zeros(0, np.intp))
    progress = train(network, task, config(epochs=9), context())
    assert progress.epochs == progress.best_epoch == 2
    assert all(weights.isfinite().all() for weights in network.state_dict().values())


def test_probabilities_are_calibrated_on_the_held_out_run(tmp_path: Path) -> None:
    # Without any code the labels can be learnt by heart, but certainty would be wrong.
    noise = training_set(trials(repeats=20), strength=0)
    decoder = config(epochs=30, patience=30).fit(noise, context())
    new = training_set(trials(repeats=20), strength=0, seed=9)
    columns = [decoder.classes.index(wnid) for wnid in new.wnids]
    chosen = decoder.decode(new.epochs).probabilities[np.arange(len(columns)), columns]
    assert -np.log(chosen).mean() < np.log(3) + 0.15
    assert card(decoder, tmp_path / "saved")["temperature"] != 1


def test_label_smoothing_makes_another_decoder(fitted: Decoder) -> None:
    data = training_set(trials())
    smooth = config(label_smoothing=0.3).fit(data, context())
    ours, theirs = (d.decode(data.epochs).probabilities for d in (smooth, fitted))
    assert not np.allclose(ours, theirs)


def test_two_trials_of_each_of_two_classes_are_enough(tmp_path: Path) -> None:
    few = training_set(trials(runs=1, repeats=2)[:5])
    two = few.select(np.flatnonzero([wnid != WNIDS[2] for wnid in few.wnids]))
    one_image = replace(two, trials=tuple(replaced(trial) for trial in two.trials))
    decoder = config(epochs=1).fit(one_image, context())
    assert decoder.decode(two.epochs).probabilities.shape == (4, 2)
    assert card(decoder, tmp_path / "saved")["training"]["validation_accuracy"] is None
    assert isinstance(decoder, Measured)
    assert "validation_accuracy" not in decoder.metrics
    assert all(np.isfinite(list(decoder.metrics.values())))


def replaced(trial: Onset) -> Onset:
    return msgspec.structs.replace(trial, image=f"{trial.wnid}/only.png")


def test_a_missing_library_is_named_with_the_way_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "phosphene_plugins._distillation.settings.find_spec",
        lambda name: None if name == "torch" else name,
    )
    with pytest.raises(PhospheneError, match=r"torch not installed.*phosphene\[torch\]"):
        config(epochs=1).fit(training_set(trials()), context())


def test_an_unknown_device_is_named() -> None:
    with pytest.raises(PhospheneError, match="device 'abacus'"):
        config(epochs=1).fit(training_set(trials()), context(device="abacus"))


@pytest.mark.parametrize(
    "setting",
    [
        {"epochs": 0},
        {"dropout": 1.0},
        {"widths": (0, 4)},
        {"learning_rate": 0},
        {"label_smoothing": 1},
    ],
)
def test_values_that_can_never_work_are_refused(setting: dict[str, object]) -> None:
    with pytest.raises(msgspec.ValidationError, match=next(iter(setting))):
        config(**setting)


@settings(max_examples=50, deadline=None)
@given(
    runs=st.integers(2, 4),
    repeats=st.integers(1, 6),
    seed=st.integers(0, 3),
)
def test_a_run_is_held_out_with_every_class_on_both_sides(
    runs: int, repeats: int, seed: int
) -> None:
    shown = trials(runs, repeats)
    train, validation, held_out = hold_out(training_set(shown), np.random.default_rng(seed))
    assert held_out == "run"
    assert {shown[i].run for i in validation} == {runs}
    assert {shown[i].run for i in train} == set(range(1, runs))
    assert sorted([*train, *validation]) == list(range(len(shown)))


def test_images_are_held_out_where_class_is_nested_in_run() -> None:
    shown = trials(nested=True)
    train, validation, held_out = hold_out(training_set(shown), np.random.default_rng(0))
    assert held_out == "images"
    assert {shown[i].wnid for i in validation} == {shown[i].wnid for i in train} == set(WNIDS)
    assert not {shown[i].image for i in validation} & {shown[i].image for i in train}


def test_no_image_of_the_held_out_run_is_trained_on() -> None:
    first, *others = trials(runs=2, repeats=4)
    again = msgspec.structs.replace(others[-1], image=first.image, wnid=first.wnid)
    shown = (first, *others[:-1], again)
    train, validation, held_out = hold_out(training_set(shown), np.random.default_rng(0))
    assert held_out == "run"
    assert len(shown) - 1 in validation
    assert 0 not in train


def modules_after_discovery() -> Iterator[str]:
    code = (
        "import sys, phosphene_plugins.plain_stft, phosphene_plugins.kd_stft;"
        "sys.stdout.write(' '.join(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    yield from done.stdout.split()


def test_discovery_imports_no_heavy_library() -> None:
    heavy = {"torch", "open_clip", "safetensors", "sklearn", "scipy", "huggingface_hub"}
    assert not heavy & set(modules_after_discovery())
