"""The presets of the simulated subject are as decodable as they say, in a few seconds each.

``make calibration`` measures them with the whole pipeline and as many trials as the paper has.
"""

import re
from collections import deque
from pathlib import Path

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.signal import butter, sosfilt
from scipy.stats import binom
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.model_selection import LeaveOneGroupOut, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from phosphene import Context, Onset, ParadigmConfig, StimulusSet
from phosphene.clock import VirtualClock
from phosphene.manifest import Image
from phosphene_paradigms.brain2image import Brain2Image
from phosphene_paradigms.interleaved import Interleaved
from phosphene_paradigms.repeated_blocks import RepeatedBlocks
from phosphene_plugins.simulated import SimulatedConfig, acquisition

PRESETS = acquisition()
N_CLASSES, N_IMAGES = 5, 40
SFREQ = 250.0
DESIGNS: dict[str, ParadigmConfig] = {
    "blocks": Brain2Image(images=N_IMAGES, runs=1),
    "interleaved": Interleaved(runs=4, blocks_per_run=10, pause=1),
    "repeated-blocks": RepeatedBlocks(repeats=4, images=10, pause=5),
}
PAGE = (Path(__file__).parents[2] / "docs" / "simulated-subject.md").read_text(encoding="utf-8")


def stimuli() -> StimulusSet:
    classes = {f"n{number:08}": f"class {number}" for number in range(N_CLASSES)}
    images = [
        Image(f"{w}/{n}.png", w, "train", "", "CC0") for w in classes for n in range(N_IMAGES)
    ]
    return StimulusSet(Path("nowhere"), classes, tuple(images))


def record(
    preset: str, design: ParadigmConfig, seed: int, **changes: object
) -> tuple[NDArray[np.float32], list[Onset]]:
    """Return the EEG of a whole experiment, from 0 s on, and what was shown."""
    clock, onsets = VirtualClock(0.0), deque[Onset]()
    context = Context(stimuli(), seed, clock=clock, onsets=onsets)
    given = {"channels": 8, "sfreq": SFREQ} | changes
    source = msgspec.convert(given, PRESETS[f"simulated-{preset}"]).build(context)
    time, shown, pieces = 1.0, list[Onset](), []
    for block in design.blocks(context):
        for number, trial in enumerate(block.trials, start=1):
            place = ("record", block.run, block.block, 1, number, trial.wnid, trial.image, "")
            shown.append(Onset(len(shown), "stimulus", time, time, trial.duration, *place))
            time += trial.duration + trial.gap
        time += block.pause
    for each in shown:
        clock.sleep_until(each.time)
        if signal := source.read(0.0):
            pieces.append(signal.data)
        onsets.append(each)
    clock.sleep_until(time)
    signal = source.read(0.0)
    assert signal is not None
    return np.hstack([*pieces, signal.data]), shown


def log_power(data: NDArray[np.float32], shown: list[Onset]) -> NDArray[np.float64]:
    sos = butter(4, (14, 70), "bandpass", fs=SFREQ, output="sos")
    return np.log(np.mean(_epochs(sosfilt(sos, data), shown, 0.05, 0.5) ** 2, axis=2))


def waveform(data: NDArray[np.float32], shown: list[Onset]) -> NDArray[np.float64]:
    sos = butter(2, (0.5, 40), "bandpass", fs=SFREQ, output="sos")
    epochs = _epochs(sosfilt(sos, data), shown, 0.05, 0.53)
    return epochs.reshape(len(epochs), -1, 12).mean(axis=2)


def _epochs(
    data: NDArray[np.float64], shown: list[Onset], start: float, end: float
) -> NDArray[np.float64]:
    first = [round((onset.time + start) * SFREQ) for onset in shown]
    return np.stack([data[:, i : i + round((end - start) * SFREQ)] for i in first])


def right(preset: str, design: str, seed: int = 0, **changes: object) -> int:
    """Return how many of 200 trials are decoded, each by a decoder that did not see its image."""
    data, shown = record(preset, DESIGNS[design], seed, **changes)
    evoked = preset.endswith("evoked")
    features = (waveform if evoked else log_power)(data, shown)
    wnids = np.array([onset.wnid for onset in shown])
    assert len(wnids) == 200
    groups = [onset.trial % 5 if design == "blocks" else onset.run for onset in shown]
    lda = LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto")
    model = make_pipeline(StandardScaler(), lda)
    guesses = cross_val_predict(model, features, wnids, groups=groups, cv=LeaveOneGroupOut())
    return int(np.count_nonzero(guesses == wnids))


HIGHEST = int(binom.ppf(0.999, 200, 1 / N_CLASSES))
"""That guessing reaches: 57 of 200."""


@pytest.mark.parametrize("design", DESIGNS)
def test_null_is_at_chance_in_every_design(design: str) -> None:
    assert right("null", design) <= HIGHEST


def test_confounded_is_decoded_in_blocks_and_at_chance_where_classes_take_turns() -> None:
    assert right("confounded", "blocks", drift=0.15) > 1.3 * HIGHEST
    assert right("confounded", "interleaved", drift=0.15) <= HIGHEST


def test_confounded_is_at_chance_where_blocks_are_repeated() -> None:
    # Trials of a block share their luck: three recordings, not one, are compared.
    found = [right("confounded", "repeated-blocks", seed, drift=0.15) for seed in range(3)]
    assert np.mean(found) <= HIGHEST


@pytest.mark.parametrize(
    ("preset", "low", "high", "strength"),
    [
        ("realistic", 50, 90, 0.27),
        ("realistic-evoked", 50, 90, 0.13),
        ("genuine", 80, 140, 0.4),
        ("genuine-evoked", 80, 120, 0.2),
        ("easy", 180, 200, 1.0),
    ],
)
def test_a_code_is_decoded_as_well_as_the_preset_says(
    preset: str, low: int, high: int, strength: float
) -> None:
    subjects = [right(preset, "interleaved", seed, strength=strength) for seed in range(2)]
    assert low <= np.mean(subjects) <= high


def test_a_genuine_code_is_decoded_in_repeated_blocks_as_well() -> None:
    assert right("genuine", "repeated-blocks", strength=0.6) > 1.3 * HIGHEST


def test_presets_differ_from_the_plain_subject_by_defaults_alone() -> None:
    plain = set(SimulatedConfig.__struct_fields__)
    for config in PRESETS.values():
        assert issubclass(config, SimulatedConfig)
        assert set(config.__struct_fields__) == plain


# The document


def rows(heading: str) -> set[str]:
    """Return what the table under a heading has rows for."""
    section = PAGE.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    return set(re.findall(r"^\| `(.*?)` \|", section, flags=re.MULTILINE))


def test_every_preset_and_every_setting_is_documented() -> None:
    assert rows("Presets") == set(PRESETS)
    assert rows("Settings") == set(SimulatedConfig.__struct_fields__)
