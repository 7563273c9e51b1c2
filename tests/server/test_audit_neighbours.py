"""What comes before and after an image, the eyes and the picture itself can pass for decoding."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from phosphene.analysis.audits.eyes import eyes
from phosphene.analysis.audits.finding import Finding, Measured, conclude
from phosphene.analysis.audits.frames import Piece
from phosphene.analysis.audits.image_statistics import image_statistics
from phosphene.analysis.audits.lags import lags
from phosphene.analysis.audits.material import Material, gather
from phosphene.analysis.audits.neighbours import still_to_come
from phosphene.analysis.audits.picture_features import measure
from phosphene.analysis.audits.prestimulus import prestimulus
from phosphene.analysis.audits.sequence import sequence
from phosphene.events import Onset
from phosphene.manifest import Image
from phosphene.stimulus import StimulusSet

CLASSES = ("ant", "bee", "cat", "dog")
SFREQ = 200.0
N_CHANNELS = 6
DURATION = 0.5
PAUSE = 3.0
RUNS = 2

Blocks = Sequence[Sequence[str]]


def mixed(blocks: int = 40, seed: int = 0) -> Blocks:
    """Every class once in every block, in random order."""
    rng = np.random.default_rng((1, seed))
    return [rng.permutation(CLASSES).tolist() for _ in range(blocks)]


def always_in_a_circle(blocks: int = 40) -> Blocks:
    """Every class once in every block; where the circle begins is random."""
    rng = np.random.default_rng(1)
    return [np.roll(CLASSES, rng.integers(len(CLASSES))).tolist() for _ in range(blocks)]


def one_class_each(repeats: int = 4, images: int = 10) -> Blocks:
    """Blocks of one class, as many a class as ``repeats``."""
    return [[wnid] * images for _ in range(repeats) for wnid in CLASSES]


@dataclass(frozen=True)
class Subject:
    """Noise of 10 uV, and what is added to it."""

    code: float = 0.0
    """uV by which classes differ at the peak of a response, 100 to 500 ms after the onset."""
    eye_code: float = 0.0
    """The same in the EOG channels."""
    luminance: float = 0.0
    """uV by standard deviation of the images' luminance."""
    early: float = 0.0
    """Seconds by which the response comes too early, or the marker too late."""
    gap: float = 0.0
    seed: int = 0

    def record(self, blocks: Blocks, stimuli: StimulusSet | None = None) -> Material:
        """Return a recording in ``RUNS`` runs, with two EOG channels."""
        rng = np.random.default_rng((2, self.seed))
        onsets = self._onsets(blocks, stimuli)
        times = np.arange(round((onsets[-1].time + PAUSE) * SFREQ)) / SFREQ
        data = 10 * rng.standard_normal((N_CHANNELS + 2, len(times)))
        patterns = dict(zip(CLASSES, rng.standard_normal((len(CLASSES), len(data))), strict=True))
        scale = np.repeat([self.code, self.eye_code], (N_CHANNELS, 2))
        bright = _brightness(onsets, stimuli) if stimuli else np.zeros(len(onsets))
        topography = rng.standard_normal(len(data))
        for onset, light in zip(onsets, bright, strict=True):
            phase = (times - onset.time - 0.1 + self.early) / 0.4
            shape = np.where((phase > 0) & (phase < 1), np.sin(np.pi * phase) ** 2, 0.0)
            field = scale * patterns[onset.wnid] + self.luminance * light * topography
            data += field[:, np.newaxis] * shape
        piece = Piece((1e-6 * data).astype(np.float32), times, tuple(onsets))
        return gather([piece], ["eeg"] * N_CHANNELS + ["eog"] * 2, self.seed, stimuli)

    def _onsets(self, blocks: Blocks, stimuli: StimulusSet | None) -> list[Onset]:
        images = {w: iter(stimuli.of(w, "train")) for w in CLASSES} if stimuli else None
        onsets, time = [], PAUSE
        for number, block in enumerate(blocks):
            run = 1 + RUNS * number // len(blocks)
            for place, wnid in enumerate(block, start=1):
                image = next(images[wnid]).id if images else f"{wnid}-{len(onsets)}"
                where = ("record", run, number + 1, 1, place, wnid, image, "")
                onsets.append(Onset(len(onsets), "stimulus", time, time, DURATION, *where))
                time += DURATION + self.gap
            time += PAUSE
        return onsets


def _brightness(onsets: Sequence[Onset], stimuli: StimulusSet) -> NDArray[np.float64]:
    found = np.array([measure(stimuli.pixels(onset.image))[0] for onset in onsets])
    return np.asarray((found - found.mean()) / found.std())


def verdict(found: Measured | Finding) -> str:
    [concluded] = conclude([found], nested=False)
    return concluded.verdict


def number(found: Measured | Finding) -> float:
    assert found.number is not None
    return found.number


# A5


def test_a_response_is_decoded_after_its_image_and_not_before() -> None:
    found = lags(Subject(code=5).record(mixed()))
    assert verdict(found) == "silent"
    accuracy = {round(x, 1): y for x, y, *_ in found.curve}
    assert max(accuracy, key=lambda x: accuracy[x]) in (0.3, 0.5)
    assert accuracy[0.3] > 0.8
    assert max(accuracy[-0.5], accuracy[-0.3], accuracy[-0.1]) < 0.4
    assert list(accuracy) == [-0.5, -0.3, -0.1, 0.1, 0.3, 0.5, 0.7]
    assert all(low <= y <= high for _, y, low, high in found.curve)


def test_a_response_that_comes_before_its_image_is_none() -> None:
    material = Subject(code=5, early=0.6).record(mixed())
    assert verdict(lags(material)) == "fires"
    assert verdict(prestimulus(material)) == "fires"


def test_noise_is_not_decoded_before_the_image() -> None:
    material = Subject().record(mixed())
    assert verdict(lags(material)) == verdict(prestimulus(material)) == "silent"


def test_lags_say_nothing_where_neighbours_are_of_one_class() -> None:
    found = lags(Subject(code=5).record(one_class_each()))
    assert verdict(found) == "not applicable"


# A6


def test_what_the_image_before_left_behind_is_no_leak() -> None:
    """It tells which class cannot come, where each comes once in a block."""
    found = prestimulus(Subject(code=30).record(mixed()))
    assert verdict(found) == "silent"
    assert found.null is not None
    assert found.null > 1 / len(CLASSES)


def test_before_an_image_without_a_gap_there_is_the_image_before() -> None:
    assert verdict(prestimulus(Subject().record(one_class_each()))) == "not applicable"
    assert verdict(prestimulus(Subject(gap=0.3).record(one_class_each()))) == "silent"
    late = Subject(code=10, early=0.4, gap=0.3).record(one_class_each(repeats=8))
    assert verdict(prestimulus(late)) == "fires"


# A11


def test_a_random_order_tells_nothing_whatever_images_leave_behind() -> None:
    found = sequence(Subject(code=5).record(mixed()))
    assert verdict(found) == "silent"
    assert isinstance(found, Measured)
    assert "chance" in found.if_silent


def test_an_order_that_can_be_learnt_tells_the_class() -> None:
    found = sequence(Subject().record(always_in_a_circle()))
    assert verdict(found) == "fires"
    assert number(found) == 1
    assert verdict(sequence(Subject().record(one_class_each()))) == "fires"


def test_markers_that_come_one_image_late_make_the_next_class_known() -> None:
    found = sequence(Subject(code=5, early=0.6).record(mixed()))
    assert verdict(found) == "fires"
    assert isinstance(found, Measured)
    assert found.quantity == "accuracy of the next class"


def test_blocks_of_one_image_have_no_order() -> None:
    assert verdict(sequence(Subject().record([[w] for w in CLASSES * 8]))) == "not applicable"


@given(st.lists(st.lists(st.sampled_from(CLASSES), min_size=1), min_size=1, max_size=4))
def test_what_a_block_still_has_to_show_holds_what_it_shows_next(blocks: Blocks) -> None:
    trials = [
        Onset(0, "stimulus", 0.0, 0.0, 0.5, "record", 1, number, 1, place, wnid, wnid, "")
        for number, block in enumerate(blocks)
        for place, wnid in enumerate(block, start=1)
    ]
    classes = sorted({trial.wnid for trial in trials})
    guess = still_to_come(trials)
    assert guess.sum(axis=1) == pytest.approx(1)
    for trial, row in zip(trials, guess, strict=True):
        left = blocks[trial.block][trial.trial - 1 :]
        assert row == pytest.approx([left.count(wnid) / len(left) for wnid in classes])


# A13


def test_eyes_that_follow_the_class_are_found_and_others_are_not() -> None:
    assert verdict(eyes(Subject(eye_code=6).record(mixed()))) == "fires"
    assert verdict(eyes(Subject().record(mixed()))) == "silent"
    assert verdict(eyes(Subject(code=6).record(mixed()))) == "silent"


def test_eyes_that_nobody_recorded_are_not_judged() -> None:
    piece = Subject().record(mixed())
    without = Material(piece.trials, piece.frames)
    assert verdict(eyes(without)) == "not applicable"


# A14


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> StimulusSet:
    """Grey images: classes differ in luminance, and so do the images of a class."""
    root, rng = tmp_path_factory.mktemp("pictures"), np.random.default_rng(3)
    images = []
    for level, wnid in enumerate(CLASSES):
        for index in range(40):
            grey = 90 + 20 * level + 30 * rng.standard_normal()
            pixels = np.clip(grey + 5 * rng.standard_normal((16, 16, 3)), 0, 255).astype(np.uint8)
            path = root / f"{wnid}-{index}.png"
            PIL.Image.fromarray(pixels).save(path)
            sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
            images.append(Image(path.name, wnid, "train", sha256, "CC0-1.0"))
    return StimulusSet(root, {wnid: wnid for wnid in CLASSES}, tuple(images))


def test_an_eeg_that_follows_luminance_is_found(pictures: StimulusSet) -> None:
    found = image_statistics(Subject(luminance=6).record(mixed(), pictures))
    assert verdict(found) == "fires"
    assert number(found) > 0.1


def test_a_code_of_the_class_itself_is_not_taken_for_luminance(pictures: StimulusSet) -> None:
    found = image_statistics(Subject(code=6, seed=1).record(mixed(), pictures))
    assert verdict(found) == "silent"
    assert isinstance(found, Measured)
    assert "without any EEG, tell the class in" in found.if_silent
    assert "chance 25.0 %, 95 % interval" in found.if_silent


def test_images_that_are_not_there_are_not_measured(pictures: StimulusSet, tmp_path: Path) -> None:
    assert verdict(image_statistics(Subject().record(mixed()))) == "not applicable"
    moved = StimulusSet(tmp_path, pictures.classes, pictures.images)
    material = Subject().record(mixed(), pictures)
    found = image_statistics(Material(material.trials, material.frames, stimuli=moved))
    assert verdict(found) == "not applicable"
    assert isinstance(found, Finding)
    assert "cannot be read" in found.sentence


def test_statistics_of_an_image_are_what_they_are_called() -> None:
    grey = np.full((64, 64, 3), 188, np.uint8)
    luminance, contrast, frequency = measure(grey)
    assert luminance == pytest.approx(0.5, abs=0.01)
    assert contrast == pytest.approx(0, abs=1e-9)
    assert frequency == 0
    fine, coarse = (measure(_grating(cycles)) for cycles in (32, 4))
    assert fine[2] == pytest.approx(5, abs=0.3)
    assert coarse[2] == pytest.approx(2, abs=0.3)
    assert coarse[1] > 0.3


def _grating(cycles: int) -> NDArray[np.uint8]:
    wave = np.sin(2 * np.pi * cycles * np.arange(128) / 128 + 0.3)
    return np.tile((127.5 + 127 * wave).astype(np.uint8)[np.newaxis, :, np.newaxis], (128, 1, 3))
