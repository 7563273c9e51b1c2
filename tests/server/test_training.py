"""From recordings on disk to a bundle: the right trials, the same bytes, reasons in words."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from msgspec import structs
from numpy.typing import NDArray

from phosphene import Context, Onset, PhospheneError, Signal, SignalSpec, StimulusSet
from phosphene.bundle import load_bundle, read_card
from phosphene.closed_loop import ClosedLoopSettings
from phosphene.dataset.xdf import XdfWriter, read_segment
from phosphene.design import CONFOUNDED
from phosphene.pipeline import Pipeline
from phosphene.registry import Registry, load_registry
from phosphene.settings import Settings, load_settings
from phosphene.signals import Epochs
from phosphene.training import block_of, check_settings, collect, hash_data, train_session

SPEC = SignalSpec(
    ("Fz", "EOG", "Cz", "Oz"), ("eeg", "eog", "eeg", "eeg"), 250.0, {"Fz": (0.0, 0.06, 0.1)}
)
EEG = [0, 2, 3]
CONTEXT = Context(StimulusSet(Path(), {}, ()))
WNIDS = ("n00000001", "n00000002")
START = 1000.0
N_TRIALS = 10
SECONDS = N_TRIALS + 2


@pytest.fixture(scope="module")
def registry() -> Registry:
    return load_registry()


@pytest.fixture(scope="module")
def settings(registry: Registry) -> Settings:
    return load_settings(
        "demo", registry, {"subject": "S01", "session": "01", "decoder": "power-lr"}
    )


def make_onsets(run: int = 1, wnids: Sequence[str] = WNIDS, attempt: int = 1) -> list[Onset]:
    """Return one stimulus a second in two blocks, the classes in turn."""
    return [
        Onset(
            seq=trial,
            event="stimulus",
            time=START + 1 + trial,
            planned=START + 1 + trial,
            duration=0.5,
            phase="record",
            run=run,
            block=1 + trial // (N_TRIALS // 2),
            attempt=attempt,
            trial=1 + trial % (N_TRIALS // 2),
            wnid=wnids[trial % len(wnids)],
            image=f"{run}-{trial}.png",
            sha256="ab",
        )
        for trial in range(N_TRIALS)
    ]


def make_data(onsets: Sequence[Onset], seed: int) -> NDArray[np.float32]:
    """Return EEG in which each class is three times as strong in a channel of its own."""
    n_times = round(SECONDS * SPEC.sfreq)
    data = 1e-5 * np.random.default_rng(seed).standard_normal((4, n_times), np.float32)
    for onset in onsets:
        first = round((onset.time - START) * SPEC.sfreq)
        if not 0 <= first < n_times:
            continue
        data[EEG[int(onset.wnid[1:]) % len(EEG)], first : first + 150] *= 3
    return data


def record(
    path: Path,
    onsets: Sequence[Onset],
    spec: SignalSpec = SPEC,
    seed: int = 0,
    gap_at: float = float("inf"),
) -> Path:
    """Write a segment in 16-sample chunks, each onset behind the samples of its time."""
    data, waiting = make_data(onsets, seed), list(onsets)
    writer = XdfWriter(path, spec, {"phase": "record", "run": "1"})
    for start in range(0, data.shape[1], 16):
        stamps = START + np.arange(start, min(start + 16, data.shape[1])) / SPEC.sfreq
        stamps = np.where(stamps >= gap_at, stamps + 0.5, stamps)
        writer.write_signal(Signal(data[:, start : start + 16], stamps))
        while waiting and waiting[0].time <= stamps[-1]:
            writer.write_marker(waiting.pop(0))
    for onset in waiting:
        writer.write_marker(onset)
    writer.close()
    return path


@pytest.fixture(scope="module")
def segments(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two runs of the same session."""
    folder = tmp_path_factory.mktemp("runs")
    return [record(folder / f"{run}.xdf", make_onsets(run), seed=run) for run in (1, 2)]


def refusal(action: Callable[[], object]) -> str:
    with pytest.raises(PhospheneError) as error:
        action()
    return str(error.value)


# Collecting


def test_every_stimulus_of_every_recording_is_collected_in_order(
    segments: list[Path], settings: Settings
) -> None:
    data, incomplete = collect(segments, settings, CONTEXT)
    assert data.trials == (*make_onsets(1), *make_onsets(2))
    assert incomplete == []
    assert data.epochs.data.shape == (2 * N_TRIALS, 3, 120)
    assert data.epochs.data.dtype == np.float32
    assert (data.epochs.spec.channels, data.epochs.tmin) == (("Fz", "Cz", "Oz"), 0.02)
    assert data.stimuli is CONTEXT.stimuli


def test_the_epochs_are_those_that_the_pipeline_cuts_live(
    segments: list[Path], settings: Settings
) -> None:
    data, _ = collect(segments[1:], settings, CONTEXT)
    pipeline = Pipeline(settings.stream, settings.epochs, SPEC, CONTEXT, settings.screen.lag)
    recording, cuts = read_segment(segments[1]), []
    waiting = list(recording.onsets)
    for signal in recording.signals():
        pipeline.feed(signal)
        while waiting and waiting[0].time <= signal.times[-1]:
            pipeline.mark(waiting.pop(0))
        cuts += pipeline.cuts()
    assert [cut.onset for cut in cuts] == list(data.trials)
    np.testing.assert_array_equal([cut.data for cut in cuts], data.epochs.data)


def test_a_recording_is_filtered_as_if_there_were_no_other(
    segments: list[Path], settings: Settings
) -> None:
    both, _ = collect(segments, settings, CONTEXT)
    alone, _ = collect(segments[1:], settings, CONTEXT)
    np.testing.assert_array_equal(both.epochs.data[N_TRIALS:], alone.epochs.data)


def test_only_stimuli_that_count_are_collected(tmp_path: Path, settings: Settings) -> None:
    stimuli = make_onsets()
    pictures = [structs.replace(onset, event="picture") for onset in stimuli[:3]]
    shown = sorted([*stimuli, *pictures], key=lambda onset: onset.time)
    path = record(tmp_path / "1.xdf", shown)
    data, incomplete = collect([path], settings, CONTEXT, lambda onset: onset.trial != 2)
    assert data.trials == tuple(onset for onset in stimuli if onset.trial != 2)
    assert incomplete == []


def test_onsets_recorded_out_of_order_find_their_epochs(
    tmp_path: Path, settings: Settings, segments: list[Path]
) -> None:
    onsets = make_onsets(1)
    late = [*onsets[1:], onsets[0]]  # Acquisition lacked the first until the end of the block.
    path = record(tmp_path / "1.xdf", late, seed=1)
    assert read_segment(path).onsets == tuple(late)
    found, _ = collect([path], settings, CONTEXT)
    expected, _ = collect(segments[:1], settings, CONTEXT)
    assert found.trials == expected.trials
    np.testing.assert_array_equal(found.epochs.data, expected.epochs.data)


def test_stimuli_without_their_samples_are_reported_with_the_reason(
    tmp_path: Path, settings: Settings
) -> None:
    onsets = make_onsets()
    first = structs.replace(onsets[0], time=START - 0.3)
    last = structs.replace(onsets[-1], time=START + SECONDS - 0.1)
    shown = [first, *onsets[1:-1], last]
    path = record(tmp_path / "1.xdf", shown, gap_at=onsets[4].time + 0.2)
    data, incomplete = collect([path], settings, CONTEXT)
    reasons = {each.onset.seq: each.reason for each in incomplete}
    assert len(data.trials) + len(incomplete) == len(shown)
    assert len(data.epochs) == len(data.trials)
    assert reasons[0].startswith("its first 0.2")
    assert reasons[4] == "it spans a gap of 0.504 s"
    assert "settled after a gap" in reasons[5]
    assert set(reasons) == {0, 4, 5, 6}
    assert data.trials[-1] == last  # The gap moved the end of the recording.


def test_an_epoch_that_the_recording_does_not_reach_is_reported(
    tmp_path: Path, settings: Settings
) -> None:
    onsets = make_onsets()
    late = structs.replace(onsets[-1], time=START + SECONDS - 0.1)
    path = record(tmp_path / "1.xdf", [*onsets[:-1], late])
    _, incomplete = collect([path], settings, CONTEXT)
    assert [(each.onset, each.reason) for each in incomplete] == [
        (late, "the recording ended before it did")
    ]


OTHER_SIGNALS = {
    "rate": (structs.replace(SPEC, sfreq=500.0), "expected 250 Hz, found 500 Hz"),
    "channel": (
        structs.replace(SPEC, channels=("Fz", "EOG", "Cz", "POz")),
        "expected 4 channels, found 4; missing: Oz; unknown: POz",
    ),
    "type": (
        structs.replace(SPEC, types=("eeg", "misc", "eeg", "eeg")),
        "expected EOG (eog) as channel 2, found EOG (misc)",
    ),
}


@pytest.mark.parametrize(("spec", "problem"), OTHER_SIGNALS.values(), ids=OTHER_SIGNALS.keys())
def test_recordings_of_different_signals_are_refused(
    tmp_path: Path, segments: list[Path], settings: Settings, spec: SignalSpec, problem: str
) -> None:
    other = record(tmp_path / "2.xdf", make_onsets(2), spec)
    message = refusal(lambda: collect([segments[0], other], settings, CONTEXT))
    assert message == f"{other} is a recording of another signal than {segments[0]}: {problem}"


def test_recordings_without_a_stimulus_that_counts_are_refused(
    segments: list[Path], settings: Settings
) -> None:
    nothing = "no stimulus was recorded; there is nothing to learn from"
    assert refusal(lambda: collect([], settings, CONTEXT)) == nothing
    assert refusal(lambda: collect(segments, settings, CONTEXT, lambda _: False)) == nothing


def test_if_no_epoch_can_be_cut_the_reason_is_told(tmp_path: Path, settings: Settings) -> None:
    elsewhere = [structs.replace(onset, time=onset.time + 1000) for onset in make_onsets()]
    path = record(tmp_path / "1.xdf", elsewhere)
    assert refusal(lambda: collect([path], settings, CONTEXT)) == (
        "no epoch of 10 stimuli could be cut; of the first: the recording ended before it did"
    )


# Training


def test_the_bundle_decodes_trials_that_it_has_not_seen(
    segments: list[Path], settings: Settings, registry: Registry, tmp_path: Path
) -> None:
    sha256 = train_session(segments, settings, CONTEXT, tmp_path / "bundle")
    bundle = load_bundle(tmp_path / "bundle", registry, CONTEXT, sha256)
    test, _ = collect([record(tmp_path / "3.xdf", make_onsets(3), seed=3)], settings, CONTEXT)
    pipeline = bundle.pipeline(SPEC)
    winners = bundle.decoder.decode(pipeline.transform(test.epochs)).probabilities.argmax(axis=1)
    assert tuple(bundle.decoder.classes[winner] for winner in winners) == test.wnids
    assert (bundle.card.classes, bundle.card.n_epochs) == (WNIDS, 2 * N_TRIALS)
    assert bundle.card.spec.channels == ("Fz", "Cz", "Oz")


def test_set_aside_are_not_trained_on(
    segments: list[Path], settings: Settings, tmp_path: Path
) -> None:
    aborted = block_of(make_onsets(2)[0])
    assert aborted == ("record", 2, 1, 1)
    train_session(segments, settings, CONTEXT, tmp_path / "bundle", {aborted})
    kept, _ = collect(segments, settings, CONTEXT, lambda onset: (onset.run, onset.block) != (2, 1))
    card = read_card(tmp_path / "bundle")
    assert card.n_epochs == len(kept.trials) == 1.5 * N_TRIALS
    assert card.data_sha256 == hash_data(kept)


def test_another_attempt_at_an_aborted_block_counts(
    segments: list[Path], settings: Settings, tmp_path: Path
) -> None:
    again = record(tmp_path / "again.xdf", make_onsets(1, attempt=2))
    aborted = {("record", 1, 1, 1), ("record", 1, 2, 1)}
    train_session([segments[0], again], settings, CONTEXT, tmp_path / "bundle", aborted)
    assert read_card(tmp_path / "bundle").n_epochs == N_TRIALS


def test_the_same_recordings_make_the_same_bundle_to_the_byte(
    segments: list[Path], settings: Settings, tmp_path: Path
) -> None:
    hashes = {train_session(segments, settings, CONTEXT, tmp_path / name) for name in ("a", "b")}
    assert len(hashes) == 1
    for path in (tmp_path / "a").rglob("*.*"):
        twin = tmp_path / "b" / path.relative_to(tmp_path / "a")
        assert path.read_bytes() == twin.read_bytes()


def test_other_recordings_make_another_bundle(
    segments: list[Path], settings: Settings, tmp_path: Path
) -> None:
    other = record(tmp_path / "1.xdf", make_onsets(1), seed=9)
    train_session(segments, settings, CONTEXT, tmp_path / "a")
    train_session([other, segments[1]], settings, CONTEXT, tmp_path / "b")
    one, two = read_card(tmp_path / "a"), read_card(tmp_path / "b")
    assert one.data_sha256 != two.data_sha256
    same: dict[str, Any] = {"data_sha256": "", "metrics": {}}
    assert structs.replace(one, **same) == structs.replace(two, **same)


def test_one_class_is_too_few(tmp_path: Path, settings: Settings) -> None:
    path = record(tmp_path / "1.xdf", make_onsets(wnids=WNIDS[:1]))
    message = refusal(lambda: train_session([path], settings, CONTEXT, tmp_path / "bundle"))
    assert message == "a decoder needs two classes or more; recorded: n00000001 only"
    assert not (tmp_path / "bundle").exists()


def test_one_trial_of_a_class_is_too_few(tmp_path: Path, settings: Settings) -> None:
    onsets = make_onsets()
    onsets[3] = structs.replace(onsets[3], wnid="n00000005")
    path = record(tmp_path / "1.xdf", onsets)
    assert refusal(lambda: train_session([path], settings, CONTEXT, tmp_path / "bundle")) == (
        "a decoder needs two trials or more of each class; recorded one of n00000005"
    )


def test_progress_only_grows_and_ends_at_1(
    segments: list[Path], settings: Settings, tmp_path: Path
) -> None:
    told: list[tuple[float, str]] = []
    context = replace(CONTEXT, progress=lambda done, text: told.append((done, text)))
    train_session(segments, settings, context, tmp_path / "bundle")
    done = [fraction for fraction, _ in told]
    assert done == sorted(done)
    assert (done[0] > 0, done[-1]) == (True, 1.0)
    assert any("power-lr" in text for _, text in told)


def test_what_a_nested_design_is_validated_to_is_never_told_alone(
    settings: Settings, tmp_path: Path
) -> None:
    nested = [structs.replace(each, wnid=WNIDS[each.block - 1]) for each in make_onsets()]
    told: list[str] = []
    context = replace(CONTEXT, progress=lambda _done, text: told.append(text))
    train_session([record(tmp_path / "1.xdf", nested)], settings, context, tmp_path / "bundle")
    accuracies = [text for text in told if "accuracy" in text]
    assert accuracies
    assert all(CONFOUNDED in text for text in accuracies)
    card = read_card(tmp_path / "bundle")
    assert ("validation_accuracy" in card.metrics, card.label) == (True, CONFOUNDED)
    own = (tmp_path / "bundle" / "decoder" / "card.json").read_text()
    assert ('"accuracy"' in own, CONFOUNDED in own) == (True, True)


def test_the_card_says_which_runs_were_trained_on(
    segments: list[Path], settings: Settings, tmp_path: Path
) -> None:
    train_session(segments, settings, CONTEXT, tmp_path / "bundle")
    assert read_card(tmp_path / "bundle").runs == {"record": (1, 2)}


# Trying the settings before the first image


def unfit(registry: Registry, **changes: Any) -> Settings:
    """Return settings whose decoder wants waveforms, and is given spectrograms."""
    who = {"subject": "S01", "session": "01", "decoder": "lda"}
    return structs.replace(load_settings("demo", registry, who), **changes)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"protocol": ("record",)},
        {
            "protocol": ("record", "feedback"),
            "bundle": Path("earlier"),
            "closed_loop": ClosedLoopSettings(retrain="between-runs"),
        },
    ],
    ids=["trained", "trained some day", "retrained"],
)
def test_a_decoder_that_could_never_decode_its_epochs_is_refused(
    registry: Registry, changes: dict[str, object]
) -> None:
    settings = unfit(registry, **changes)
    assert refusal(lambda: check_settings(settings, SPEC, CONTEXT)).startswith("lda")


def test_a_decoder_that_is_not_used_because_a_bundle_is_cannot_be_refused(
    registry: Registry,
) -> None:
    settings = unfit(registry, protocol=("feedback", "report"), bundle=Path("earlier"))
    check_settings(settings, SPEC, CONTEXT)


# The hash of the data


def test_the_hash_of_the_data_is_over_samples_and_trials(
    segments: list[Path], settings: Settings
) -> None:
    data, _ = collect(segments, settings, CONTEXT)
    changed = data.epochs.data.copy()
    changed[3, 1, 7] = np.nextafter(changed[3, 1, 7], np.float32(1))
    samples = replace(data, epochs=Epochs(changed, data.epochs.spec, data.epochs.tmin))
    trials = replace(data, trials=(*data.trials[1:], data.trials[0]))
    again, _ = collect(segments, settings, CONTEXT)
    assert hash_data(again) == hash_data(data)
    assert len({hash_data(each) for each in (data, samples, trials)}) == 3
