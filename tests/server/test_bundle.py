"""A bundle gives back the decoder that was trained, or says in words why not."""

import json
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from shutil import copytree
from types import MappingProxyType

import msgspec
import numpy as np
import pytest
from msgspec import structs
from numpy.typing import NDArray

from phosphene import (
    Context,
    Decoding,
    Epochs,
    Onset,
    PhospheneError,
    SignalSpec,
    StimulusSet,
    TrainingSet,
)
from phosphene.bundle import (
    BundleCard,
    check_signal,
    hash_folder,
    load_bundle,
    make_card,
    read_card,
    save_bundle,
)
from phosphene.pipeline import Pipeline
from phosphene.registry import Registry, load_registry
from phosphene.settings import load_settings

CONTEXT = Context(StimulusSet(Path(), {}, ()))
SPEC = SignalSpec(
    ("Fz", "Cz", "Oz", "STI"),
    ("eeg", "eeg", "eeg", "stim"),
    250.0,
    {"Fz": (0.0, 0.06, 0.1), "Cz": (0.0, 0.0, 0.12), "Oz": (0.0, -0.1, 0.05)},
)
WNIDS = ("n00000001", "n00000002", "n00000003")


@dataclass(frozen=True)
class Trained:
    """What a trainer holds when it saves."""

    card: BundleCard
    pipeline: Pipeline
    decoder: object
    epochs: Epochs

    def save(self, folder: Path) -> str:
        return save_bundle(folder, self.card, self.pipeline.states(), self.decoder)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def registry() -> Registry:
    return load_registry()


@pytest.fixture(scope="module")
def trained(registry: Registry) -> Trained:
    settings = load_settings(
        "demo", registry, {"subject": "S01", "session": "01", "decoder": "power-lr"}
    )
    pipeline = Pipeline(settings.stream, settings.epochs, SPEC, CONTEXT)
    data = 1e-5 * np.random.default_rng(0).standard_normal((30, 3, 120), np.float32)
    trials = []
    for i, epoch in enumerate(data):
        epoch[i % 3] *= 2
        wnid = WNIDS[i % 3]
        trials.append(
            Onset(i, "stimulus", i, i, 0.5, "record", 1, 1, 1, i + 1, wnid, f"{i}.png", "ab")
        )
    epochs = Epochs(data, pipeline.spec, pipeline.tmin)
    training_set = TrainingSet(pipeline.fit(epochs), tuple(trials), CONTEXT.stimuli)
    decoder = settings.decoder.config.fit(training_set, CONTEXT)
    card = make_card(settings, SPEC, decoder, trials, "cd" * 32, {})
    return Trained(card, pipeline, decoder, epochs)


@pytest.fixture(scope="module")
def saved(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle that no test may change."""
    folder = tmp_path_factory.mktemp("bundles") / "bundle-01"
    trained.save(folder)
    return folder


@pytest.fixture
def folder(saved: Path, tmp_path: Path) -> Path:
    """A bundle that a test may break."""
    return copytree(saved, tmp_path / "bundle")


def refusal(folder: Path, registry: Registry) -> str:
    with pytest.raises(PhospheneError) as error:
        load_bundle(folder, registry, CONTEXT)
    return str(error.value)


def edit_card(folder: Path, change: Callable[[dict[str, object]], object]) -> None:
    card = json.loads((folder / "bundle.json").read_text())
    change(card)
    (folder / "bundle.json").write_text(json.dumps(card))


# There and back


def test_a_bundle_from_disk_decodes_the_same_to_the_bit(
    trained: Trained, saved: Path, registry: Registry
) -> None:
    bundle = load_bundle(saved, registry, CONTEXT)
    expected = trained.decoder.decode(trained.pipeline.transform(trained.epochs))  # type: ignore[attr-defined]
    found = bundle.decoder.decode(bundle.pipeline(SPEC).transform(trained.epochs))
    np.testing.assert_array_equal(found.probabilities, expected.probabilities)
    assert bundle.decoder.classes == bundle.card.classes == WNIDS


def test_its_pipeline_cuts_like_the_one_that_trained_and_takes_the_lag_of_this_screen(
    trained: Trained, saved: Path, registry: Registry
) -> None:
    bundle = load_bundle(saved, registry, CONTEXT)
    for lag in (0.0, 0.025):
        found = bundle.pipeline(SPEC, lag)
        assert found.delay == pytest.approx(trained.pipeline.delay + lag)
        assert (found.n_times, found.tmin, found.spec) == (120, 0.02, trained.pipeline.spec)


def test_the_card_says_what_was_trained_on_what(saved: Path, trained: Trained) -> None:
    card = read_card(saved)
    assert card == trained.card
    assert (card.subject, card.session, card.seed, card.n_epochs) == ("S01", "01", 1, 30)
    assert card.spec.channels == ("Fz", "Cz", "Oz")
    assert [list(step) for step in card.stream] == [["notch"], ["bandpass"]]
    assert [list(step) for step in card.epochs.steps] == [["standardise"], ["spectrogram"]]
    assert list(card.decoder) == ["power-lr"]
    assert {"phosphene", "numpy", "python"} <= set(card.versions)


class MeasuredDecoder:
    """Knows how well it did."""

    classes = WNIDS
    metrics = MappingProxyType({"validation_accuracy": 0.5, "n_validation": 6.0})

    def decode(self, epochs: Epochs) -> Decoding:
        raise NotImplementedError

    def save(self, folder: Path) -> None:
        raise NotImplementedError


def test_the_card_has_what_the_decoder_measured_on_what_it_held_out(registry: Registry) -> None:
    settings = load_settings("demo", registry, {"subject": "S01", "session": "01"})
    card = make_card(settings, SPEC, MeasuredDecoder(), (), "cd" * 32, {})
    assert card.metrics == {"validation_accuracy": 0.5, "n_validation": 6.0}
    read = msgspec.json.decode(msgspec.json.encode(card), type=BundleCard)
    assert read.metrics == card.metrics


def test_nothing_in_a_bundle_is_a_pickle(saved: Path) -> None:
    files = [path for path in saved.rglob("*") if path.is_file()]
    assert {path.suffix for path in files} == {".json", ".npz"}
    for path in files:
        if path.suffix == ".json":
            json.loads(path.read_text())
        else:
            with np.load(path, allow_pickle=False) as arrays:
                assert all(array.dtype != object for array in arrays.values())


# The hash


def test_the_same_bundle_has_the_same_hash_wherever_it_lies(
    trained: Trained, saved: Path, tmp_path: Path
) -> None:
    first, second = trained.save(tmp_path / "a"), trained.save(tmp_path / "deep" / "er" / "b")
    assert first == second == hash_folder(saved) == hash_folder(copytree(saved, tmp_path / "c"))


def test_no_file_holds_the_time_at_which_it_was_written(saved: Path) -> None:
    archives = list(saved.rglob("*.npz"))
    assert archives
    for path in archives:
        with zipfile.ZipFile(path) as archive:
            assert {file.date_time[:3] for file in archive.infolist()} <= {(1980, 1, 1)}


def test_any_changed_byte_changes_the_hash_and_is_refused(folder: Path, registry: Registry) -> None:
    expected = hash_folder(folder)
    rng = np.random.default_rng(0)
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert len(files) == 5
    for path in files:
        content = path.read_bytes()
        for at in (0, len(content) - 1, *rng.integers(0, len(content), 20)):
            changed = bytearray(content)
            changed[at] ^= 1 << int(rng.integers(8))
            path.write_bytes(changed)
            assert hash_folder(folder) != expected
        path.write_bytes(content)
        assert hash_folder(folder) == expected
    weights = folder / "decoder" / "weights.npz"
    weights.write_bytes(weights.read_bytes() + b"\0")
    with pytest.raises(PhospheneError, match=f"has changed: expected hash {expected}, found"):
        load_bundle(folder, registry, CONTEXT, expected)


def test_a_file_more_or_less_or_renamed_changes_the_hash(folder: Path) -> None:
    hashes = {hash_folder(folder)}
    (folder / "more").write_bytes(b"")
    hashes.add(hash_folder(folder))
    (folder / "more").rename(folder / "other")
    hashes.add(hash_folder(folder))
    (folder / "other").rename(folder / "steps" / "other")
    hashes.add(hash_folder(folder))
    (folder / "steps" / "other").unlink()
    (folder / "decoder" / "weights.npz").unlink()
    hashes.add(hash_folder(folder))
    assert len(hashes) == 5


def test_a_bundle_with_the_expected_hash_is_loaded(saved: Path, registry: Registry) -> None:
    expected = hash_folder(saved)
    assert load_bundle(saved, registry, CONTEXT, expected).sha256 == expected


# Another signal


def spec_with(**changes: object) -> SignalSpec:
    return structs.replace(SPEC, **changes)


def moved(name: str, metres: float) -> dict[str, tuple[float, float, float]]:
    x, y, z = SPEC.positions[name]
    return SPEC.positions | {name: (x + metres, y, z)}


OTHER_SIGNALS = {
    "rate": (spec_with(sfreq=500.0), "expected 250 Hz, found 500 Hz"),
    "nearly the same rate": (spec_with(sfreq=250.001), "expected 250 Hz, found 250.001 Hz"),
    "renamed channel": (
        spec_with(channels=("Fz", "CZ", "Oz", "STI")),
        "expected 3 channels, found 3; missing: Cz; unknown: CZ",
    ),
    "channel that is no EEG here": (
        spec_with(types=("eeg", "eog", "eeg", "stim")),
        "expected 3 channels, found 2; missing: Cz; unknown: none",
    ),
    "one EEG channel more": (
        spec_with(types=("eeg",) * 4),
        "expected 3 channels, found 4; missing: none; unknown: STI",
    ),
    "another order": (
        spec_with(channels=("Fz", "Oz", "Cz", "STI")),
        "expected Cz (eeg) as channel 2, found Oz (eeg)",
    ),
    "moved electrode": (
        spec_with(positions=moved("Oz", 0.011)),
        "expected Oz at (0.000, -0.100, 0.050) m, found Oz at (0.011, -0.100, 0.050) m; "
        "moved by more than 1 cm: Oz",
    ),
}


@pytest.mark.parametrize(("spec", "problem"), OTHER_SIGNALS.values(), ids=OTHER_SIGNALS.keys())
def test_another_signal_is_refused_with_what_was_expected_and_found(
    saved: Path, registry: Registry, spec: SignalSpec, problem: str
) -> None:
    bundle = load_bundle(saved, registry, CONTEXT)
    with pytest.raises(PhospheneError) as error:
        bundle.pipeline(spec)
    assert str(error.value) == f"the decoder was trained on another EEG signal: {problem}"


@pytest.mark.parametrize(
    "spec",
    [
        spec_with(positions=moved("Oz", 0.009)),
        spec_with(positions={}),
        SignalSpec(
            ("EOG", "Fz", "Cz", "Oz"), ("eog", "eeg", "eeg", "eeg"), 250.0, dict(SPEC.positions)
        ),
    ],
    ids=["9 mm", "no positions", "other channels that are no EEG"],
)
def test_what_does_not_matter_to_the_decoder_is_accepted(saved: Path, spec: SignalSpec) -> None:
    check_signal(read_card(saved), spec)


def test_a_hundred_missing_channels_are_not_all_named(saved: Path) -> None:
    names = tuple(f"E{i}" for i in range(103))
    with pytest.raises(PhospheneError, match=r"unknown: E0, E1, .*, E7 and 95 more$"):
        check_signal(read_card(saved), SignalSpec(names, ("eeg",) * 103, 250.0))


# What is no bundle, or no longer


def test_a_folder_without_a_card_is_no_bundle(tmp_path: Path, registry: Registry) -> None:
    assert refusal(tmp_path, registry) == (
        f"{tmp_path} is not a bundle: there is no bundle.json in it"
    )


def test_another_format_is_refused_whatever_else_is_new_in_it(
    folder: Path, registry: Registry
) -> None:
    edit_card(folder, lambda card: card.update(format=2, novelty=True))
    assert refusal(folder, registry) == f"{folder}/bundle.json: expected format 1, found 2"


CARDS = {
    "no JSON": (lambda text: text[:-20], "truncated"),
    "no format": (lambda text: text.replace('"format"', '"formal"'), "missing required field"),
    "unknown field": (lambda text: text.replace('"seed"', '"sead"'), "unknown field `sead`"),
    "epoch of no length": (lambda text: text.replace('"tmax": 0.5', '"tmax": 0.0'), "tmax must be"),
    "setting that cannot be": (lambda text: text.replace('"c": 0.1', '"c": -1'), "c must be above"),
    "plugin that is not installed": (
        lambda text: text.replace("power-lr", "quantum"),
        "no installed plugin offers the decoder 'quantum'",
    ),
}


@pytest.mark.parametrize(("change", "problem"), CARDS.values(), ids=CARDS.keys())
def test_a_card_that_cannot_be_used_is_named_with_the_reason(
    folder: Path, registry: Registry, change: Callable[[str], str], problem: str
) -> None:
    card = folder / "bundle.json"
    text = change(card.read_text())
    assert text != card.read_text()
    card.write_text(text)
    message = refusal(folder, registry)
    assert message.startswith(f"{card}: ")
    assert problem in message


def cut_off(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-30])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def replace_by_one_array(path: Path) -> None:
    with path.open("wb") as file:
        np.save(file, np.zeros(3))


def pickle(path: Path) -> None:
    objects: NDArray[np.object_] = np.array([{"a": 1}])
    np.savez(path, mean=objects, scale=objects, coefficients=objects, intercept=objects)


@pytest.mark.parametrize("damage", [cut_off, empty, replace_by_one_array, pickle, Path.unlink])
@pytest.mark.parametrize("file", ["steps/0-standardise.npz", "decoder/weights.npz"])
def test_a_damaged_missing_or_pickled_file_is_refused(
    folder: Path, registry: Registry, file: str, damage: Callable[[Path], None]
) -> None:
    damage(folder / file)
    message = refusal(folder, registry)
    assert message.startswith(str(folder))
    assert "cannot be read" in message
    if damage is pickle:
        assert "allow_pickle=False" in message


Arrays = dict[str, NDArray[np.generic]]

MISFITS = {
    "no mean": ("steps/0-standardise.npz", {"mean": None}),
    "mean of another shape": ("steps/0-standardise.npz", {"mean": np.zeros((3, 120))}),
    "mean without shape": ("steps/0-standardise.npz", {"mean": np.zeros(())}),
    "scale of 0": ("steps/0-standardise.npz", {"scale": np.zeros((3, 1))}),
    "words": ("steps/0-standardise.npz", {"mean": np.array([["a"]] * 3)}),
    "no weights": ("decoder/weights.npz", {"coefficients": None}),
    "one scale for all channels": ("decoder/weights.npz", {"scale": np.ones(1)}),
    "one intercept for all classes": ("decoder/weights.npz", {"intercept": np.zeros(1)}),
    "not a number": ("decoder/weights.npz", {"intercept": np.full(3, np.nan)}),
}


@pytest.mark.parametrize(("file", "change"), MISFITS.values(), ids=MISFITS.keys())
def test_arrays_that_can_be_read_but_do_not_fit_are_refused_before_anything_is_decoded(
    folder: Path, registry: Registry, file: str, change: dict[str, NDArray[np.generic] | None]
) -> None:
    with np.load(folder / file) as arrays:
        edited: Arrays = dict(arrays)
    for name, array in change.items():
        del edited[name]
        if array is not None:
            edited[name] = array
    np.savez(folder / file, **edited)  # type: ignore[arg-type]
    with pytest.raises(PhospheneError):
        load_bundle(folder, registry, CONTEXT).pipeline(SPEC)


def test_a_state_that_unpacks_to_more_than_any_step_has_is_refused(
    folder: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("phosphene.bundle.MAX_STATE", 10_000)
    state = folder / "steps" / "0-standardise.npz"
    np.savez_compressed(state, mean=np.zeros(2000), scale=np.zeros(2000))
    assert state.stat().st_size < 1000
    assert "allowed: 10000" in refusal(folder, registry)


def test_a_decoder_of_other_classes_than_the_cards_is_refused(
    folder: Path, registry: Registry
) -> None:
    edit_card(folder, lambda card: card.update(classes=list(reversed(WNIDS))))
    assert "the decoder's classes are not those of bundle.json" in refusal(folder, registry)


# Writing


def test_a_bundle_is_never_overwritten(folder: Path, trained: Trained) -> None:
    before = hash_folder(folder)
    with pytest.raises(PhospheneError, match="a bundle is never overwritten"):
        trained.save(folder)
    assert hash_folder(folder) == before


class Unsaveable:
    """Dies half-way, as a full disk would make it."""

    def save(self, folder: Path) -> None:
        (folder / "weights.npz").write_bytes(b"half")
        raise OSError("No space left on device")


def test_a_bundle_is_written_whole_or_not_at_all(
    trained: Trained, saved: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "bundle-01"
    with pytest.raises(OSError, match="No space left"):
        replace(trained, decoder=Unsaveable()).save(folder)
    assert list(tmp_path.glob("bundle*")) == []
    assert trained.save(folder) == hash_folder(saved)
    assert [path.name for path in tmp_path.iterdir()] == ["bundle-01"]


def test_a_step_whose_state_could_not_be_read_again_is_not_saved(
    trained: Trained, tmp_path: Path
) -> None:
    states = [("0-odd", {"words": np.array([{"a": 1}])})]
    with pytest.raises(PhospheneError, match=r"0-odd\.npz cannot be read"):
        save_bundle(tmp_path / "bundle", trained.card, states, Unsaveable())  # type: ignore[arg-type]
    assert not (tmp_path / "bundle").exists()


def test_the_card_survives_json(trained: Trained) -> None:
    assert msgspec.json.decode(msgspec.json.encode(trained.card), type=BundleCard) == trained.card
