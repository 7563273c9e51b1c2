"""``braindecode`` trains networks that others made, and treats what they get wrong with care."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
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
from phosphene.registry import load_registry
from phosphene_plugins.braindecode import BraindecodeConfig

pytest.importorskip("torch")

STIMULI = StimulusSet(Path(), {}, ())
NAMES = ("Fz", "C3", "Cz", "C4", "Pz", "Oz")
POSITIONS = {name: (0.01 * n, 0.02, 0.09 - 0.01 * n**2 / 5) for n, name in enumerate(NAMES)}
SPEC = SignalSpec(NAMES, ("eeg",) * 6, 250.0, POSITIONS)
N_TIMES = 125
WNIDS = ("n00000001", "n00000002", "n00000003")


def onset(number: int, wnid: str, run: int) -> Onset:
    place = ("record", run, 1, 1, number, wnid, f"{number}.png", "")
    return Onset(number, "stimulus", float(number), float(number), 0.5, *place)


def training_set(seed: int = 0, repeats: int = 8, strength: float = 2.0) -> TrainingSet:
    """Microvolts in volts, two runs; each class has a wave of its own in a channel of its own."""
    rng = np.random.default_rng(seed)
    wnids = WNIDS * repeats * 2
    data = rng.standard_normal((len(wnids), 6, N_TIMES), dtype=np.float32)
    times = np.arange(N_TIMES) / 250
    for epoch, wnid in zip(data, wnids, strict=True):
        column = WNIDS.index(wnid)
        epoch[column] += strength * np.sin(2 * np.pi * (5 + 3 * column) * times)
    trials = tuple(onset(n, wnid, 1 + 2 * n // len(wnids)) for n, wnid in enumerate(wnids))
    return TrainingSet(Epochs(1e-5 * data, SPEC, 0.05), trials, STIMULI)


def config(**changes: object) -> BraindecodeConfig:
    small = {"model": "EEGNet", "epochs": 4, "batch_size": 8, "learning_rate": 1e-2}
    return msgspec.convert(small | changes, BraindecodeConfig)


def context(seed: int = 0, **changes: Any) -> Context:
    return Context(STIMULI, seed=seed, **changes)


def save(decoder: Decoder, folder: Path) -> dict[str, Any]:
    """Save the decoder and return its card."""
    folder.mkdir()
    decoder.save(folder)
    return dict(json.loads((folder / "card.json").read_bytes()))


@pytest.fixture(scope="module")
def fitted() -> Decoder:
    return config().fit(training_set(), context())


@pytest.fixture
def saved(fitted: Decoder, tmp_path: Path) -> Path:
    save(fitted, tmp_path / "decoder")
    return tmp_path / "decoder"


def test_it_is_offered_by_name() -> None:
    assert load_registry().find("decoder", "braindecode") is BraindecodeConfig


def test_it_learns_a_code_in_the_waveform_of_microvolts() -> None:
    decoder = config(epochs=20).fit(training_set(), context())
    new = training_set(seed=1)
    decoded = np.array(decoder.classes)[decoder.decode(new.epochs).probabilities.argmax(axis=1)]
    assert np.mean(decoded == np.array(new.wnids)) > 0.8


@pytest.mark.parametrize(
    "model",
    [
        "EEGNet",
        "ShallowFBCSPNet",
        "Deep4Net",  # Shortens its kernels for so short an epoch, and warns of it.
        "ATCNet",  # Has parametrised weights, and warns at its first step.
        "EEGConformer",
        "EEGITNet",
        "FBCNet",  # Has filters as buffers.
        "DGCNN",  # Asks for the places of the electrodes.
    ],
)
def test_a_saved_model_decodes_as_before_and_as_its_trials_one_by_one(
    model: str, tmp_path: Path
) -> None:
    data = training_set(repeats=4)
    decoder = config(model=model).fit(data, context())
    expected = decoder.decode(data.epochs).probabilities
    assert expected.dtype == np.float64
    np.testing.assert_allclose(expected.sum(axis=1), 1)
    assert expected.std() > 0.01
    save(decoder, tmp_path / "saved")
    loaded = config(model=model).load(tmp_path / "saved", context(seed=9))
    assert loaded.classes == WNIDS
    np.testing.assert_array_equal(loaded.decode(data.epochs).probabilities, expected)
    singly = [loaded.decode(data.epochs[i : i + 1]).probabilities[0] for i in range(3)]
    np.testing.assert_allclose(singly, expected[:3], atol=1e-5)


def test_no_epochs_have_no_probabilities(fitted: Decoder) -> None:
    assert fitted.decode(training_set().epochs[:0]).probabilities.shape == (0, 3)


def test_the_same_seed_gives_the_same_bytes_and_another_seed_does_not(tmp_path: Path) -> None:
    def weights(name: str, seed: int) -> bytes:
        save(config(epochs=1).fit(training_set(repeats=2), context(seed)), tmp_path / name)
        return (tmp_path / name / "weights.safetensors").read_bytes()

    assert weights("first", 3) == weights("again", 3) != weights("other", 4)


@settings(max_examples=20, deadline=None)
@given(gain=st.floats(1e-3, 1e9), offset=st.floats(-1e3, 1e3))
def test_the_unit_of_the_signal_does_not_matter(gain: float, offset: float) -> None:
    from phosphene_plugins._waveforms import Waveforms

    data = training_set(repeats=2).epochs.data
    other = np.float32(gain) * (data + np.float32(offset * 1e-5))
    expected = Waveforms.fitted(data)(data)
    np.testing.assert_allclose(Waveforms.fitted(other)(other), expected, atol=0.01)
    assert expected.std() == pytest.approx(1, abs=1e-3)


def test_the_card_tells_the_model_how_it_was_trained_and_what_it_warned_of(tmp_path: Path) -> None:
    decoder = config(model="Deep4Net", settings={"n_filters_time": 9}).fit(
        training_set(repeats=3), context()
    )
    card = save(decoder, tmp_path / "saved")
    assert sorted(p.name for p in (tmp_path / "saved").iterdir()) == [
        "card.json",
        "weights.safetensors",
    ]
    assert card["architecture"]["model"] == "Deep4Net"
    assert card["architecture"]["settings"] == {"n_filters_time": 9}
    assert card["architecture"]["sfreq"] == 250
    assert card["shape"] == [6, N_TIMES]
    assert any("smaller than the minimum" in note for note in card["notes"])
    assert {"braindecode", "torch", "phosphene"} <= card["versions"].keys()
    assert decoder.metrics["validation_accuracy"] == card["training"]["validation_accuracy"]
    assert decoder.metrics["n_validation"] == 9
    assert decoder.metrics["temperature"] == card["temperature"] != 1


def test_the_settings_of_a_model_change_it(tmp_path: Path) -> None:
    data = training_set(repeats=2)
    sizes = []
    for name, chosen in {"default": {}, "wide": {"F1": 16, "D": 3}}.items():
        save(config(settings=chosen, epochs=1).fit(data, context()), tmp_path / name)
        sizes.append((tmp_path / name / "weights.safetensors").stat().st_size)
        config().load(tmp_path / name, context()).decode(data.epochs)
    assert sizes[1] > 1.5 * sizes[0]


# What is refused when the session file is read


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"model": "EEGNett"}, r"found 'EEGNett' \(did you mean 'EEGNet'\?\); allowed: ATCNet"),
        ({"model": "EEGModuleMixin"}, "found 'EEGModuleMixin'"),
        ({"model": "REVE"}, "would download a table of electrode positions"),
        ({"settings": {"f1": 8}}, r"settings of EEGNet: found 'f1' \(did you mean 'F1'\?\)"),
        ({"settings": {"activation": "ELU"}}, "found 'activation'"),
        ({"settings": {"n_times": 100}}, "'n_times' is taken from the epochs"),
        ({"settings": {"F1": {"a": 1}}}, "settings"),
        ({"label_smoothing": 1}, "label_smoothing"),
        ({"epochs": 0}, "epochs"),
    ],
)
def test_what_can_never_work_is_refused_at_once(setting: dict[str, object], message: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=message):
        config(**setting)


def test_names_are_checked_without_importing_braindecode() -> None:
    code = (
        "import sys\n"
        "from phosphene_plugins.braindecode import BraindecodeConfig\n"
        "BraindecodeConfig(model='EEGNet', settings={'F1': 4})\n"
        "sys.stdout.write(' '.join(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    heavy = {"braindecode", "torch", "safetensors", "sklearn", "scipy", "mne", "pandas"}
    assert not heavy & set(done.stdout.split())


def test_what_its_source_tells_is_what_braindecode_has() -> None:
    from phosphene_plugins._braindecode.models import library
    from phosphene_plugins._braindecode.names import DOWNLOADS, NOT_FOR_CLASSES, _models

    listed = {name for name in library.__all__ if name[0].isupper()}
    assert _models().keys() | NOT_FOR_CLASSES >= listed
    assert all(isinstance(getattr(library, name), type) for name in _models())
    assert DOWNLOADS.keys() <= _models().keys()


def test_without_braindecode_a_session_can_be_read_and_fitting_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from phosphene_plugins._braindecode import names

    names._models.cache_clear()
    for module in (
        "phosphene_plugins._braindecode.names",
        "phosphene_plugins._distillation.settings",
    ):
        monkeypatch.setattr(f"{module}.find_spec", lambda _name: None)
    anything = config(model="Anything")
    with pytest.raises(PhospheneError, match=r"phosphene\[braindecode\]"):
        anything.fit(training_set(), context())
    names._models.cache_clear()


# What is refused when it is fitted


def test_a_model_that_these_epochs_cannot_have_says_why() -> None:
    with pytest.raises(
        PhospheneError, match="SSTDPN for 6 channels x 125 samples at 250 Hz cannot"
    ):
        config(model="SSTDPN").fit(training_set(), context())


def test_a_model_that_does_not_classify_epochs_is_refused() -> None:
    with pytest.raises(PhospheneError, match=r"DANCE .* is no classifier"):
        config(model="DANCE").fit(training_set(), context())


def test_electrodes_without_places_are_refused_by_a_model_that_needs_them() -> None:
    data = training_set()
    unknown = msgspec.structs.replace(SPEC, positions={})
    with pytest.raises(PhospheneError, match=r"ZUNA .* cannot be built"):
        config(model="ZUNA").fit(
            replace(data, epochs=replace(data.epochs, spec=unknown)), context()
        )


def test_a_setting_of_the_wrong_kind_is_named_by_the_model() -> None:
    with pytest.raises(PhospheneError, match=r"EEGNet .* cannot be built"):
        config(settings={"F1": "eight"}).fit(training_set(), context())


def test_one_class_is_refused() -> None:
    data = training_set()
    one = data.select(np.flatnonzero([wnid == WNIDS[0] for wnid in data.wnids]))
    with pytest.raises(PhospheneError, match="at least 2 classes; found 1"):
        config().fit(one, context())


# Few, flat and broken trials


def test_two_trials_of_each_of_two_classes_are_enough() -> None:
    data = training_set(repeats=1)
    few = data.select(np.flatnonzero([wnid != WNIDS[2] for wnid in data.wnids]))
    one_run = replace(few, trials=tuple(msgspec.structs.replace(t, run=1) for t in few.trials))
    for trials in (few, one_run):
        decoder = config().fit(trials, context())
        assert decoder.decode(few.epochs).probabilities.shape == (4, 2)


@pytest.mark.parametrize("value", [0.0, 3e-5])
def test_a_channel_that_was_flat_in_training_says_nothing_once_it_is_alive(value: float) -> None:
    dead = training_set(repeats=4)
    alive = dead.epochs.data.copy()
    dead.epochs.data[:, 5] = value
    decoder = config().fit(dead, context())
    expected = decoder.decode(dead.epochs).probabilities
    assert expected.std() > 0.01
    found = decoder.decode(replace(dead.epochs, data=alive)).probabilities
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_flat_epochs_are_decoded(fitted: Decoder) -> None:
    flat = Epochs(np.zeros((2, 6, N_TIMES), np.float32), SPEC, 0.05)
    assert np.isfinite(fitted.decode(flat).probabilities).all()


def changed(change: Callable[[Epochs], Epochs]) -> Epochs:
    return change(training_set(repeats=1).epochs)


def with_nan(epochs: Epochs) -> Epochs:
    epochs.data[2, 1, 7] = np.nan
    return epochs


@pytest.mark.parametrize(
    ("epochs", "message"),
    [
        (changed(lambda e: replace(e, data=e.data[:, :5])), "6 channels x .* found 5 channels"),
        (changed(lambda e: replace(e, data=e.data[..., 1:])), "125 samples; found .* 124 samples"),
        (changed(lambda e: replace(e, data=e.data[:, :, None])), "choose preprocessing: evoked"),
        (changed(with_nan), "epoch 3 of 6 holds samples that are not finite"),
        (changed(lambda e: replace(e, data=e.data * np.float32(3e38))), "not finite"),
        (
            changed(lambda e: replace(e, spec=msgspec.structs.replace(SPEC, sfreq=500.0))),
            "trained at 250 Hz; found 500 Hz",
        ),
    ],
)
def test_epochs_of_another_kind_are_refused(fitted: Decoder, epochs: Epochs, message: str) -> None:
    with pytest.raises(PhospheneError, match=message):
        fitted.decode(epochs)


@pytest.mark.parametrize("broken", [with_nan, lambda e: replace(e, data=e.data[:, :, None])])
def test_broken_trials_are_not_trained_on(broken: Callable[[Epochs], Epochs]) -> None:
    data = training_set(repeats=1)
    with pytest.raises(PhospheneError, match=r"not finite|preprocessing: evoked"):
        config().fit(replace(data, epochs=broken(data.epochs)), context())


# Training


def test_interrupted_training_keeps_the_best_so_far(tmp_path: Path) -> None:
    def interrupt(_done: float, text: str) -> None:
        if text.startswith("epoch 2 "):
            raise KeyboardInterrupt

    decoder = config(epochs=40).fit(training_set(repeats=2), context(progress=interrupt))
    training = save(decoder, tmp_path / "saved")["training"]
    assert training["interrupted"]
    assert training["epochs"] == 2


def test_label_smoothing_makes_another_decoder() -> None:
    data = training_set()
    plain, smooth = (
        config(label_smoothing=value).fit(data, context()).decode(data.epochs)
        for value in (0.0, 0.5)
    )
    assert np.abs(plain.probabilities - smooth.probabilities).max() > 0.01


def test_probabilities_are_calibrated_on_the_held_out_run() -> None:
    # Without any code the labels can be learnt by heart, but certainty would be wrong.
    noise = training_set(strength=0, repeats=15)
    decoder = config(epochs=10).fit(noise, context())
    new = training_set(strength=0, repeats=15, seed=9)
    columns = [decoder.classes.index(wnid) for wnid in new.wnids]
    chosen = decoder.decode(new.epochs).probabilities[np.arange(len(columns)), columns]
    assert -np.log(chosen).mean() < np.log(3) + 0.15


# On disk


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"classes": ["n00000001", "n00000002"]}, "does not fit"),
        ({"shape": [6, 60]}, "does not fit"),
        ({"shape": [5, N_TIMES]}, "input statistics"),
        ({"decoder": "other"}, "found decoder 'other'"),
        ({"format": 2}, "cannot be read"),
        ({"architecture": {"model": "Deep4Net"}}, "does not fit"),
        ({"architecture": {"model": "os.system"}}, "model: found 'os.system'"),
        ({"architecture": {"settings": {"F1": 9}}}, "does not fit"),
        ({"architecture": {"settings": {"activation": "ELU"}}}, "found 'activation'"),
    ],
)
def test_a_card_that_does_not_fit_its_weights_is_refused(
    saved: Path, change: dict[str, Any], message: str
) -> None:
    card = json.loads((saved / "card.json").read_bytes())
    architecture = card["architecture"] | change.get("architecture", {})
    (saved / "card.json").write_text(json.dumps(card | change | {"architecture": architecture}))
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
