"""Pictures compared with what was seen: exact, at chance without knowledge, never unlabelled."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import nan
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import PIL.Image
import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from typer.testing import CliRunner, Result

from phosphene import Context, PhospheneError, StimulusSet
from phosphene.analysis import picture_measures
from phosphene.analysis.crossvalidation import Evaluation
from phosphene.analysis.evaluation import SessionEvaluation
from phosphene.analysis.metrics import CONFOUNDED, accuracy
from phosphene.analysis.picture_evaluation import (
    MEANING,
    PictureEvaluation,
    describe,
    evaluate_pictures,
    read_picture_evaluation,
)
from phosphene.analysis.picture_measures import (
    Compared,
    identified,
    interval_of_cosines,
    interval_of_fractions,
)
from phosphene.choice import choose
from phosphene.cli.pictures import evaluate_pictures as command
from phosphene.dataset.study import SessionFolder
from phosphene.feedback_table import FeedbackTrial, append_trial
from phosphene.journal import Journal
from phosphene.manifest import Image
from phosphene.messages import BlockDone, BlockStarted
from phosphene.registry import load_registry
from phosphene.settings import load_settings, write_resolved

REGISTRY = load_registry()
WNIDS = tuple(f"n{number:08}" for number in range(12))
N_IMAGES = 6
TINY = {
    "embed_dim": 8,
    "vision_cfg": {"image_size": 32, "layers": 1, "width": 16, "head_width": 8, "patch_size": 16},
    "text_cfg": {"context_length": 4, "vocab_size": 16, "width": 8, "heads": 1, "layers": 1},
}

Array = NDArray[np.float64]
Pixels = NDArray[np.uint8]
Choose = Callable[[str, int], tuple[str, Pixels]]
"""From the class and number of the image that was seen to the decision and its picture."""


def paint(wnid: str, index: int) -> Pixels:
    """Return an image of 64 x 64 pixels: half of it tells the class, half the image."""
    tiles = 0.5 * np.random.default_rng(int(wnid[1:])).random((4, 4, 3))
    tiles += 0.5 * np.random.default_rng((int(wnid[1:]), index)).random((4, 4, 3))
    return np.kron(255 * tiles, np.ones((16, 16, 1))).astype(np.uint8)


@pytest.fixture(scope="module")
def stimuli(tmp_path_factory: pytest.TempPathFactory) -> StimulusSet:
    root, images = tmp_path_factory.mktemp("images"), []
    for wnid in WNIDS:
        for index in range(N_IMAGES):
            path = root / f"{wnid}-{index}.png"
            PIL.Image.fromarray(paint(wnid, index)).save(path)
            sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
            images.append(Image(path.name, wnid, "train", sha256, "CC0-1.0"))
    return StimulusSet(root, {wnid: f"class {wnid[-2:]}" for wnid in WNIDS}, tuple(images))


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The choice of a CLIP of random weights, as a downloaded repository holds it."""
    torch = pytest.importorskip("torch")
    open_clip = pytest.importorskip("open_clip")
    from safetensors.torch import save_model

    folder = tmp_path_factory.mktemp("tiny-clip")
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": TINY}))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        save_model(open_clip.model.CLIP(**TINY), str(folder / "open_clip_model.safetensors"))
    return {"clip": {"checkpoint": str(folder)}}


@dataclass
class Session:
    """A session of which nothing is on disk but what the evaluation of its pictures reads."""

    folder: SessionFolder
    stimuli: StimulusSet
    sham: bool = False
    n: int = 0

    def show(self, wnid: str, index: int, made: tuple[str, Pixels], **changes: Any) -> None:
        """File a trial of feedback and its picture."""
        self.n += 1
        decision, pixels = made
        picture = f"picture-{self.n:04}"
        PIL.Image.fromarray(pixels).save(self.folder.pictures / f"{picture}.png")
        values: dict[str, Any] = {
            name: nan if kind is float else ""
            for name, kind in FeedbackTrial.__annotations__.items()
        }
        values |= {"phase": "feedback", "run": 1, "block": 1, "attempt": 1, "trial": self.n}
        values |= {"wnid": wnid, "image": f"{wnid}-{index}.png", "arm": "true", "outcome": "shown"}
        values |= {"decision": decision, "answer": decision, "picture": picture, "posterior": {}}
        values |= {"repetitions": 1, "ahead": True}
        table = self.folder.sealed_feedback_file if self.sham else self.folder.feedback_file
        append_trial(table, FeedbackTrial(**(values | changes)))

    def show_all(self, choose: Choose) -> None:
        """Show every image of every class, with the picture that is chosen for it."""
        for index in range(N_IMAGES):
            for wnid in WNIDS:
                self.show(wnid, index, choose(wnid, index))

    def evaluate(self, encoder: object = "descriptor", **options: bool) -> PictureEvaluation:
        chosen = choose(REGISTRY, "image_encoder", encoder)
        return evaluate_pictures(self.folder, chosen, Context(self.stimuli, seed=3), **options)


@pytest.fixture
def session(tmp_path: Path, stimuli: StimulusSet) -> Session:
    folder = SessionFolder.create(tmp_path, "01", "01")
    for place in folder.path, folder.pictures:
        place.mkdir(parents=True, exist_ok=True)
    folder.journal_file.touch()
    judge(folder, "")
    return Session(folder, stimuli)


def judge(folder: SessionFolder, label: str) -> None:
    """Write an evaluation of the decoding."""
    live = Evaluation({}, "live", bool(label), label, 9, {}, (), {}, {}, ())
    folder.evaluation_file.write_bytes(msgspec.json.encode(SessionEvaluation(None, live)))


def perfect(wnid: str, index: int) -> tuple[str, Pixels]:
    return wnid, paint(wnid, index)


def another_of_the_class(wnid: str, index: int) -> tuple[str, Pixels]:
    return wnid, paint(wnid, 100 + index)


def at_random(wnid: str, index: int) -> tuple[str, Pixels]:
    rng = np.random.default_rng((int(wnid[1:]), index))
    decision = str(rng.choice(WNIDS))
    return decision, paint(decision, 100 + index)


def mostly_right(wnid: str, index: int) -> tuple[str, Pixels]:
    decision = wnid if index % 3 else WNIDS[WNIDS.index(wnid) - 1]
    return decision, paint(decision, 100 + index)


def fractions(found: PictureEvaluation) -> dict[tuple[int, int], float]:
    return {(each.n, each.k): each.fraction for each in found.all.identification}


@st.composite
def _drawings(draw: st.DrawFn) -> tuple[int, int, int, int]:
    n_others = draw(st.integers(1, 8))
    n = draw(st.integers(2, n_others + 1))
    return draw(st.integers(0, n_others)), n_others, n, draw(st.integers(1, n))


@given(_drawings())
def test_the_probability_of_identification_is_what_all_drawings_give(
    drawing: tuple[int, int, int, int],
) -> None:
    n_closer, n_others, n, k = drawing
    drawings = list(combinations([True] * n_closer + [False] * (n_others - n_closer), n - 1))
    found = [sum(drawn) < k for drawn in drawings]
    assert identified(n_closer, n_others, n, k) == pytest.approx(np.mean(found))


@given(st.integers(1, 40), st.data())
def test_hits_and_misses_have_the_interval_of_an_accuracy(n: int, data: st.DataObject) -> None:
    n_hits = data.draw(st.integers(0, n))
    hits = np.array([1.0] * n_hits + [0.0] * (n - n_hits))
    expected = accuracy(n_hits, n, 0.5)
    assert interval_of_fractions(hits) == pytest.approx((expected.low, expected.high), abs=1e-9)


@pytest.mark.parametrize("n", [2, 5, 20])
def test_the_interval_covers_the_mean_of_fractions(n: int) -> None:
    drawn = np.random.default_rng(0).beta(0.1, 0.3, (1000, n))
    intervals = [interval_of_fractions(values) for values in drawn]
    assert np.mean([low <= 0.25 <= high for low, high in intervals]) >= 0.95


def test_the_interval_of_cosines_is_students() -> None:
    assert interval_of_cosines(np.array([0.1, 0.2, 0.3])) == pytest.approx(
        (-0.0484, 0.4484), abs=1e-3
    )
    assert interval_of_cosines(np.array([0.7])) == (-1, 1)


@pytest.mark.parametrize("encoder", ["descriptor", "clip"])
def test_the_image_itself_is_always_identified(
    session: Session, clip: dict[str, Any], encoder: str
) -> None:
    session.show_all(perfect)
    found = session.evaluate(clip if encoder == "clip" else encoder)
    assert fractions(found) == {(2, 1): 1, (10, 1): 1, (12, 1): 1}
    assert found.all.similarity.mean == pytest.approx(1, abs=1e-5)
    assert found.all.similarity.shuffled < 0.999
    assert all(each.p == pytest.approx(1e-4, rel=0.1) for each in found.all.identification)
    assert found.all.identification[0].low < 1
    assert found.right == msgspec.structs.replace(
        found.all,
        identification=tuple(
            msgspec.structs.replace(each, p=None) for each in found.all.identification
        ),
        similarity=msgspec.structs.replace(found.all.similarity, p=None),
    )
    assert found.wrong is None


def test_pictures_of_random_classes_are_at_chance(session: Session) -> None:
    session.show_all(at_random)
    found = session.evaluate()
    for each in found.all.identification:
        assert each.chance == each.k / each.n
        assert each.shuffled == pytest.approx(each.chance, abs=0.02)
        assert each.low < each.chance < each.high
        assert each.p is not None
        assert each.p > 0.05
    similarity = found.all.similarity
    assert similarity.low < similarity.shuffled < similarity.high


def test_another_image_of_the_class_lies_between_chance_and_the_image_itself(
    session: Session,
) -> None:
    session.show_all(another_of_the_class)
    found = session.evaluate()
    for each in found.all.identification:
        assert each.low > each.chance
        assert each.fraction < 1
    similarity = found.all.similarity
    assert similarity.shuffled < similarity.low < similarity.high < 0.999
    # Nothing but the class is in it.
    assert similarity.same_class is not None
    assert similarity.low < similarity.same_class < similarity.high


def test_right_and_wrong_decisions_are_told_apart(session: Session) -> None:
    session.show_all(mostly_right)
    found = session.evaluate()
    assert found.right is not None
    assert found.wrong is not None
    assert found.right.similarity.n_pictures == 48
    assert found.wrong.similarity.n_pictures == 24
    for right, each, wrong in zip(
        found.right.identification,
        found.all.identification,
        found.wrong.identification,
        strict=True,
    ):
        assert right.fraction > each.fraction > wrong.fraction
        assert each.fraction == pytest.approx((2 * right.fraction + wrong.fraction) / 3)
        assert right.p is None
        assert right.shuffled == each.shuffled
    assert found.right.similarity.mean > found.wrong.similarity.mean


def cosines_of_noise(rng: np.random.Generator, n_classes: int, n_trials: int) -> Array:
    """Return images and pictures with looks by class; pictures are of random classes."""
    looks = rng.normal(size=(n_classes, 8))
    seen = looks[np.arange(n_trials) % n_classes] + rng.normal(size=(n_trials, 8))
    made = looks[rng.integers(n_classes, size=n_trials)] + rng.normal(size=(n_trials, 8))
    unit = [rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (seen, made)]
    return np.asarray(unit[0] @ unit[1].T)


def test_over_many_sessions_what_knows_nothing_is_at_chance(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(picture_measures, "PERMUTATIONS", 199)
    wnids = [WNIDS[trial % 4] for trial in range(24)]
    images = [str(trial) for trial in range(24)]
    found, p = [], []
    for seed in range(150):
        rng = np.random.default_rng(seed)
        scores = Compared(wnids, images, cosines_of_noise(rng, 4, 24), rng).scores()
        two, four = scores.identification
        found.append((two.fraction, four.fraction))
        p += [two.p, four.p, scores.similarity.p]
    error = np.std(found, axis=0) / np.sqrt(len(found))
    assert (np.abs(np.mean(found, axis=0) - [1 / 2, 1 / 4]) < 3 * error).all()
    assert (error < 0.01).all()
    # 450 tests at 5 %, in threes: 22.5 expected.
    assert 8 <= sum(each is not None and each <= 0.05 for each in p) <= 40


def test_a_picture_for_all_trials_is_at_chance_though_one_class_was_seen_more_often() -> None:
    wnids = ["a"] * 30 + ["b"] * 5 + ["c"] * 5
    cosines = np.tile(np.where(np.array(wnids) == "a", 0.9, 0.1)[:, np.newaxis], 40)
    cosines += np.random.default_rng(0).normal(0, 0.01, (40, 1))
    scores = Compared(wnids, wnids, cosines, np.random.default_rng(0)).scores()
    for each in scores.identification:
        assert each.fraction > each.chance + 0.2
        assert each.shuffled == pytest.approx(each.fraction)
        assert each.p == 1


def test_an_encoder_that_tells_nothing_apart_identifies_nothing() -> None:
    wnids = list(WNIDS) * 2
    scores = Compared(wnids, wnids, np.ones((24, 24)), np.random.default_rng(0)).scores()
    assert [each.fraction for each in scores.identification] == [0, 0, 0]
    assert scores.similarity.same_class is None


@pytest.mark.parametrize(
    ("n_classes", "expected"),
    [
        (2, [(2, 1)]),
        (3, [(2, 1), (3, 1)]),
        (10, [(2, 1), (10, 1)]),
        (40, [(2, 1), (10, 1), (40, 1), (40, 5)]),
        (60, [(2, 1), (10, 1), (50, 1), (50, 5), (60, 1), (60, 5)]),
    ],
)
def test_as_many_ways_as_there_are_classes(
    n_classes: int, expected: list[tuple[int, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(picture_measures, "PERMUTATIONS", 9)
    wnids = [str(number) for number in range(n_classes)]
    scores = Compared(wnids, wnids, np.eye(n_classes), np.random.default_rng(0)).scores()
    assert [(each.n, each.k) for each in scores.identification] == expected
    assert {each.fraction for each in scores.identification} == {1}


def test_no_number_is_written_without_chance_interval_and_what_it_means(session: Session) -> None:
    session.show_all(mostly_right)
    lines = describe(session.evaluate())
    numbers = [line for line in lines if line.startswith(("all:", "decided"))]
    assert len(numbers) == 3 * 4
    for line in numbers:
        assert "chance" in line
        assert "95 % interval" in line
        assert "shuffled over trials" in line
        assert " pictures" in line
    assert MEANING in lines
    assert "not decoding accuracy" in MEANING
    assert any("ImageNet classifier" in line for line in lines)


def test_every_number_of_a_confounded_session_says_so(session: Session) -> None:
    judge(session.folder, CONFOUNDED)
    session.show_all(mostly_right)
    found = session.evaluate()
    assert found.label == CONFOUNDED
    numbers = [line for line in describe(found) if line.startswith(("all:", "decided"))]
    assert all(line.endswith(CONFOUNDED) for line in numbers)


def test_only_the_stand_in_says_that_it_is_one(session: Session, clip: dict[str, Any]) -> None:
    session.show_all(another_of_the_class)
    assert any("a stand-in for CLIP" in line for line in describe(session.evaluate()))
    found = session.evaluate(clip)
    assert not any("a stand-in for CLIP" in line for line in describe(found))
    assert found.encoder == {"clip": {"model": "", "pretrained": "", **clip["clip"]}}
    assert found.space.startswith("tiny-clip")


def test_what_was_written_reads_back_and_is_the_same_the_second_time(session: Session) -> None:
    assert read_picture_evaluation(session.folder) is None
    session.show_all(mostly_right)
    found = session.evaluate()
    path = session.folder.derivatives / "pictures.json"
    content = path.read_bytes()
    assert read_picture_evaluation(session.folder) == found
    assert MEANING in content.decode()
    session.evaluate()
    assert path.read_bytes() == content
    path.write_bytes(content[:-9])
    with pytest.raises(PhospheneError, match=r"pictures\.json: .*makes it anew"):
        read_picture_evaluation(session.folder)


def test_only_pictures_that_answered_own_decodings_of_complete_blocks_count(
    session: Session,
) -> None:
    session.show_all(perfect)
    wrong = another_of_the_class(WNIDS[1], 0)
    changes: Sequence[Mapping[str, Any]] = [
        {"arm": "rehearsal"}, {"outcome": "late", "picture": ""}, {"block": 2},
    ]  # fmt: skip
    for change in changes:
        session.show(WNIDS[0], 0, wrong, **change)
    journal = Journal(session.folder.journal_file)
    journal.append(BlockStarted("feedback", 1, 2, 1, 0.0))
    journal.append(BlockDone("feedback", 1, 2, 1, 9.0, 1, 0, 0, True))
    journal.close()
    found = session.evaluate()
    assert found.all.similarity.n_pictures == len(WNIDS) * N_IMAGES
    assert found.wrong is None


def test_sham_feedback_stays_sealed_until_it_is_asked_for(session: Session) -> None:
    session.sham = True
    session.show_all(perfect)
    session.show(WNIDS[0], 0, another_of_the_class(WNIDS[1], 0), arm="sham")
    with pytest.raises(PhospheneError, match=r"sealed: .*--unblind"):
        session.evaluate()
    found = session.evaluate(unblind=True)
    assert found.all.similarity.n_pictures == len(WNIDS) * N_IMAGES
    assert read_picture_evaluation(session.folder) is None
    assert read_picture_evaluation(session.folder, unblind=True) == found
    assert not (session.folder.derivatives / "pictures.json").exists()


def test_a_missing_picture_is_counted_and_a_damaged_one_named(session: Session) -> None:
    session.show_all(perfect)
    (session.folder.pictures / "picture-0002.png").unlink()
    found = session.evaluate()
    assert found.n_missing == 1
    assert "1 pictures were left out: their files are missing" in describe(found)
    (session.folder.pictures / "picture-0003.png").write_bytes(b"damaged")
    with pytest.raises(PhospheneError, match=r"picture-0003\.png: the picture cannot be read"):
        session.evaluate()


def test_what_cannot_be_compared_is_refused_with_the_reason(session: Session) -> None:
    with pytest.raises(PhospheneError, match="found 0 trials of 0 classes"):
        session.evaluate()
    session.show(WNIDS[0], 0, perfect(WNIDS[0], 0))
    with pytest.raises(PhospheneError, match="found 1 trials of 1 classes"):
        session.evaluate()
    session.show(WNIDS[1], 0, perfect(WNIDS[1], 0))
    session.folder.evaluation_file.unlink()
    with pytest.raises(PhospheneError, match="phosphene evaluate makes it"):
        session.evaluate()


@pytest.fixture
def recorded(tmp_path: Path) -> Session:
    """A session with settings, of stand-in images, each answered by itself."""
    file = tmp_path / "session.yaml"
    file.write_text(
        "format: 1\nextends: demo\n"
        "stimuli:\n  standin: {classes: 10, images: 12, gallery: 1, size: 32}\n"
        f"output: {tmp_path / 'study'}\ncache: {tmp_path / 'cache'}\n"
    )
    settings = load_settings(file, REGISTRY)
    stimuli = settings.stimuli.config.build(settings.cache)
    folder = SessionFolder.create(settings.output, settings.subject, settings.session)
    folder.pictures.mkdir(parents=True)
    write_resolved(settings, folder.settings_file)
    folder.journal_file.touch()
    judge(folder, "")
    session = Session(folder, stimuli)
    for wnid in stimuli.classes:
        for image in stimuli.of(wnid, "train")[:2]:
            session.show(wnid, 0, (wnid, stimuli.pixels(image.id)), image=image.id)
    return session


def run(*arguments: str) -> Result:
    app = typer.Typer()
    app.command()(command)
    return CliRunner().invoke(app, arguments, catch_exceptions=True)


def test_the_command_prints_what_the_numbers_mean(recorded: Session, clip: dict[str, Any]) -> None:
    place = str(recorded.folder.path)
    done = run(place)
    assert done.exit_code == 0, done.output
    assert "all: 10-way top-1 identification 100.0 % of 20 pictures (chance 10.0 %" in done.output
    assert "pictures compared by descriptor" in done.output
    assert "a stand-in for CLIP" in done.output
    assert MEANING in done.output
    assert f"to have it in the report: phosphene report {place}\n" in done.output
    done = run(place, "--json", "--encoder", json.dumps(clip))
    assert done.exit_code == 0, done.output
    found = msgspec.json.decode(done.stdout.splitlines()[-1], type=PictureEvaluation)
    assert found == read_picture_evaluation(recorded.folder)
    assert "clip" in found.encoder


def test_an_encoder_that_there_is_not_is_refused(recorded: Session) -> None:
    done = run(str(recorded.folder.path), "--encoder", "clap")
    assert isinstance(done.exception, PhospheneError)
    assert "image_encoder 'clap' (did you mean 'clip'?)" in str(done.exception)
