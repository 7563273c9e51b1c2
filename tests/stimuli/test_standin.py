import subprocess
import sys
from io import BytesIO
from itertools import pairwise
from pathlib import Path

import msgspec
import numpy as np
import PIL.Image
import pytest
from sklearn.linear_model import LogisticRegression

from phosphene_stimuli.classes import paper_classes
from phosphene_stimuli.pictograms import pictograms
from phosphene_stimuli.standin import StandinConfig, standin_image

SMALL = StandinConfig(classes=3, images=4, gallery=2, size=48)


def test_the_paper_has_forty_classes_in_the_order_of_its_labels() -> None:
    wnids = list(paper_classes())
    assert len(set(wnids)) == len(wnids) == 40
    assert paper_classes()[wnids[19]] == "pizza"
    assert wnids.index("n03197337") == 34
    assert paper_classes()["n02124075"] == "Egyptian cat"


def test_every_class_of_the_paper_has_a_pictogram() -> None:
    assert pictograms().keys() == paper_classes().keys()


def test_a_set_has_the_asked_number_of_images_in_each_role(tmp_path: Path) -> None:
    stimuli = SMALL.build(tmp_path)
    assert list(stimuli.classes) == list(paper_classes())[:3]
    for wnid in stimuli.classes:
        assert len(stimuli.of(wnid, "train")) == 4
        assert len(stimuli.of(wnid, "gallery")) == 2
    assert {image.licence for image in stimuli.images} == {"CC0-1.0"}
    assert stimuli.pixels(stimuli.images[0].id).shape == (48, 48, 3)
    stimuli.verify()


def test_no_two_images_are_the_same(tmp_path: Path) -> None:
    stimuli = StandinConfig(classes=2, images=30, gallery=10, size=32).build(tmp_path)
    assert len({image.sha256 for image in stimuli.images}) == len(stimuli.images) == 80


def test_an_image_is_the_same_whenever_it_is_drawn(tmp_path: Path) -> None:
    first, second = SMALL.build(tmp_path / "a"), SMALL.build(tmp_path / "b")
    assert first.images == second.images
    more = StandinConfig(classes=2, images=5, gallery=3, size=48).build(tmp_path / "a")
    assert set(more.images) >= {image for image in first.images if image.wnid in more.classes}


def test_a_set_is_drawn_once_and_kept(tmp_path: Path) -> None:
    SMALL.build(tmp_path)
    (folder,) = tmp_path.iterdir()
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    SMALL.build(tmp_path)
    StandinConfig(classes=2, images=4, gallery=2, size=48).build(tmp_path)
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before
    assert len(list(tmp_path.iterdir())) == 2


def test_several_processes_may_draw_the_same_set_at_once(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from phosphene_stimuli.standin import StandinConfig;"
        "StandinConfig(classes=10, images=10, gallery=2).build(Path(sys.argv[1])).verify()"
    )
    processes = [
        subprocess.Popen([sys.executable, "-c", program, str(tmp_path)]) for _number in range(3)
    ]
    assert [process.wait(60) for process in processes] == [0, 0, 0]
    assert len(list(tmp_path.iterdir())) == 1


def test_drawing_that_fails_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_arguments: object) -> bytes:
        raise OSError("disk full")

    monkeypatch.setattr("phosphene_stimuli.standin.standin_image", full)
    with pytest.raises(OSError, match="disk full"):
        SMALL.build(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_classes_look_different_and_images_of_a_class_alike_but_not_equal(tmp_path: Path) -> None:
    stimuli = StandinConfig(images=4, gallery=2, size=64).build(tmp_path)
    images = {
        role: [image for image in stimuli.images if image.role == role]
        for role in ("train", "gallery")
    }
    features = {role: stimuli.features([i.id for i in found]) for role, found in images.items()}
    wnids = {role: np.array([i.wnid for i in found]) for role, found in images.items()}
    model = LogisticRegression(C=100, max_iter=1000).fit(features["train"], wnids["train"])
    assert model.score(features["gallery"], wnids["gallery"]) > 0.85
    alike = features["train"] @ features["gallery"].T
    assert alike.max() < 0.999


def test_a_picture_shows_something_on_a_background_of_its_own() -> None:
    cup = "n03063599"
    views = []
    for number in range(3):
        with PIL.Image.open(BytesIO(standin_image(cup, "train", number, 64))) as image:
            views.append(np.asarray(image).astype(float))
    for view, other in pairwise(views):
        assert view.std() > 20
        assert np.abs(view - other).mean() > 5


@pytest.mark.parametrize(
    ("field", "value", "allowed"),
    [
        ("classes", 0, "1 to 40"),
        ("classes", 41, "1 to 40"),
        ("images", 0, "1 to 1000"),
        ("gallery", 0, "1 to 1000"),
        ("size", 16, "32 to 1024"),
        ("colour", 1, "unknown field"),
    ],
)
def test_a_setting_that_cannot_be_is_refused(field: str, value: int, allowed: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=allowed):
        msgspec.convert({field: value}, StandinConfig)
