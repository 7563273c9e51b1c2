"""Each audit on recordings of which we know what is in them: noise, drift, codes, after-effects."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from msgspec import structs

from phosphene.analysis.audits.battery import audit
from phosphene.analysis.audits.clock import clock
from phosphene.analysis.audits.exemplars import exemplars
from phosphene.analysis.audits.finding import Finding, Measured, conclude
from phosphene.analysis.audits.frames import Piece
from phosphene.analysis.audits.material import Material, gather
from phosphene.analysis.audits.permutation import permutation
from phosphene.analysis.audits.pseudo_blocks import pseudo_blocks
from phosphene.analysis.audits.random_split import random_split
from phosphene.analysis.audits.rest import rest
from phosphene.analysis.audits.static_power import static_power
from phosphene.events import Onset

CLASSES = ("ant", "bee", "cat", "dog")
SFREQ = 200.0
N_CHANNELS = 6
PAUSE = 6.0


def brain2image(images: int = 20) -> list[list[str]]:
    """Return blocks of one class each, one block a class."""
    return [[wnid] * images for wnid in CLASSES]


def interleaved(blocks: int = 20, seed: int = 0) -> list[list[str]]:
    """Return blocks that show every class once."""
    rng = np.random.default_rng((1, seed))
    return [rng.permutation(CLASSES).tolist() for _ in range(blocks)]


def record(
    blocks: Sequence[Sequence[str]],
    *,
    code: float = 0.0,
    drift: float = 0.0,
    after_effect: float = 0.0,
    seed: int = 0,
) -> Material:
    """Return a recording of noise of 10 uV in four runs or, with one class a block, in one.

    ``code`` is the log gain by which classes differ while an image is there, ``drift`` that of a
    channel at random over half a minute, ``after_effect`` how much of the code stays in the pause.
    """
    rng = np.random.default_rng((2, seed))
    onsets, time = [], PAUSE
    pure = all(len(set(block)) == 1 for block in blocks)
    for number, block in enumerate(blocks):
        run = 1 if pure else 1 + 4 * number // len(blocks)
        for place, wnid in enumerate(block, start=1):
            image = f"{wnid}-{len(onsets)}"
            where = ("record", run, number + 1, 1, place, wnid, image, "")
            onsets.append(Onset(len(onsets), "stimulus", time, time, 0.5, *where))
            time += 0.5
        time += PAUSE
    times = np.arange(round(time * SFREQ)) / SFREQ
    knots = np.arange(0, time + 15, 15)
    walk = np.cumsum(rng.standard_normal((N_CHANNELS, len(knots))), axis=1)
    gain = drift * np.stack([np.interp(times, knots, each) for each in walk])
    patterns = dict(zip(CLASSES, rng.standard_normal((len(CLASSES), N_CHANNELS, 1)), strict=True))
    for index, onset in enumerate(onsets):
        end = onset.time + 0.5
        during = (onset.time <= times) & (times < end)
        gain[:, during] += code * patterns[onset.wnid]
        following = onsets[index + 1].time if index + 1 < len(onsets) else time
        rested = (end <= times) & (times < following)
        gain[:, rested] += after_effect * patterns[onset.wnid]
    data = 1e-5 * np.exp(gain) * rng.standard_normal(gain.shape)
    piece = Piece(data.astype(np.float32), times, tuple(onsets))
    return gather([piece], ["eeg"] * N_CHANNELS, seed)


def verdict(found: Measured | Finding, *, nested: bool = False) -> str:
    [concluded] = conclude([found], nested=nested)
    return concluded.verdict


def number(found: Measured | Finding) -> float:
    assert found.number is not None
    return found.number


# A0, A9, A10


def test_the_clock_tells_the_class_of_a_block_design_and_of_no_balanced_one() -> None:
    assert verdict(clock(record(brain2image()))) == "fires"
    assert verdict(clock(record(interleaved()))) == "silent"


def test_an_order_that_repeats_itself_is_told_by_the_clock() -> None:
    always_the_same = [list(CLASSES)] * 20
    assert verdict(clock(record(always_the_same))) == "fires"


def test_images_that_were_trained_on_and_tested_on_are_counted() -> None:
    material = record(interleaved())
    assert verdict(exemplars(material)) == "silent"
    fold = material.folds[0]
    leaked = fold._replace(train=np.append(fold.train, fold.test[:3]))
    careless = replace(material)
    careless.__dict__["folds"] = (leaked, *material.folds[1:])
    assert verdict(exemplars(careless)) == "fires"
    assert number(exemplars(careless)) == 3


def test_a_code_in_a_mixed_design_is_evidence_and_in_a_nested_one_there_is_none() -> None:
    assert verdict(permutation(record(interleaved(), code=0.6))) == "fires"
    assert verdict(permutation(record(interleaved(), drift=0.3))) == "silent"
    assert verdict(permutation(record(brain2image(), code=0.6))) == "not applicable"


# A1


def test_drift_is_what_a_block_design_would_have_gained() -> None:
    drifting = pseudo_blocks(record(interleaved(), drift=0.3))
    assert verdict(drifting) == "fires"
    assert number(drifting) > 0.5
    assert drifting.meaning == "information"
    assert verdict(pseudo_blocks(record(interleaved()))) == "silent"
    assert verdict(pseudo_blocks(record(interleaved(), code=0.6))) == "silent"
    assert verdict(pseudo_blocks(record(brain2image()))) == "not applicable"


# A2


def test_a_random_split_gains_where_drifting_blocks_are_of_one_class() -> None:
    blocks = [[wnid] * 8 for wnid in (*CLASSES, *CLASSES[::-1], *CLASSES[::-1], *CLASSES)]
    found = random_split(record(blocks, drift=0.4))
    assert verdict(found) == "fires"
    assert number(found) > 0
    assert verdict(random_split(record(blocks))) == "silent"


def test_a_random_split_changes_nothing_without_drift() -> None:
    assert verdict(random_split(record(interleaved()))) == "silent"
    assert verdict(random_split(record(interleaved(), code=0.6))) == "silent"
    assert verdict(random_split(record(brain2image(), drift=0.3))) == "not applicable"


# A3


def test_pauses_that_tell_the_next_class_prove_a_drift() -> None:
    blocks = [[f"class {n}"] * 12 for n in range(12)]
    found = rest(_of_many_classes(blocks, drift=0.5))
    assert verdict(found) == "fires"
    assert number(found) > 3 / 12
    assert verdict(rest(_of_many_classes(blocks, drift=0.0))) == "silent"


def test_what_an_image_leaves_behind_is_no_drift() -> None:
    assert verdict(rest(record(brain2image(), code=0.6, after_effect=0.6))) == "silent"
    assert verdict(rest(record(interleaved(), drift=0.3))) == "not applicable"


def test_three_pauses_are_too_few() -> None:
    assert verdict(rest(record(brain2image()[:3]))) == "not applicable"


def _of_many_classes(blocks: Sequence[Sequence[str]], drift: float) -> Material:
    """Return a recording of more classes than there are codes for."""
    named = {block[0]: CLASSES[index % len(CLASSES)] for index, block in enumerate(blocks)}
    material = record([[named[wnid] for wnid in block] for block in blocks], drift=drift)
    wnids = [wnid for block in blocks for wnid in block]
    return _renamed(material, wnids)


def _renamed(material: Material, wnids: Sequence[str]) -> Material:
    trials = [
        structs.replace(trial, wnid=wnid, image=f"{wnid}-{trial.seq}")
        for trial, wnid in zip(material.trials, wnids, strict=True)
    ]
    rests = material.rests
    assert rests
    firsts = [trial.wnid for trial in trials if trial.trial == 1]
    following = replace(rests, before=("", *firsts[:-1]), after=tuple(firsts))
    return replace(material, trials=tuple(trials), rests=following)


# A4


def test_power_that_explains_everything_is_doubtful_in_a_nested_design_alone() -> None:
    drifting = static_power(record(brain2image(), drift=0.5))
    assert verdict(drifting) == "fires"
    assert number(drifting) > 0.8
    assert verdict(static_power(record(interleaved(), code=0.6))) == "silent"
    nothing = static_power(record(brain2image(), seed=4))
    assert verdict(nothing) == "not applicable"


# All together


def test_what_no_audit_applies_to_says_why_in_a_sentence() -> None:
    for material in (record(brain2image()), record(interleaved())):
        for finding in audit(material):
            assert finding.sentence.endswith(".")
            assert (finding.number is None) == (finding.verdict == "not applicable")


def test_two_blocks_with_one_trial_of_each_class_are_enough_to_be_audited() -> None:
    found = {f.audit: f for f in audit(record(interleaved(blocks=2)))}
    assert found["A10"].verdict == "silent"


@pytest.mark.parametrize("drift", [0.0, 0.3])
def test_a_subject_without_a_code_gives_no_evidence_in_a_mixed_design(drift: float) -> None:
    found = {f.audit: f for f in audit(record(interleaved(), drift=drift, seed=1))}
    assert found["A10"].verdict == "silent"
    assert found["A0"].verdict == "silent"
