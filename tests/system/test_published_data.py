"""A file of the published data's structure becomes a study, and the paper's table."""

import json
import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest

from phosphene import PhospheneError
from phosphene.dataset.study import SessionFolder
from phosphene.dataset.xdf_reader import read_segment
from phosphene.registry import load_registry
from phosphene.testing import examine
from phosphene_plugins.eeg_cvpr40 import EegCvpr40Config

torch = pytest.importorskip("torch")

WNIDS = ["n02389026", "n03888257", "n03584829", "n02607072"]
N_IMAGES, N_CHANNELS, SUBJECTS = 6, 8, (1, 2)
LABEL = "confounded by design: not evidence of decoding"
SMALL = ["--decoder", "power-lr", "--decoder", "{plain-stft: {widths: [8, 8], epochs: 2}}"]


def published(seed: int = 0, numbers: type = int, **more: Any) -> dict[str, Any]:
    """Return what such a file holds: two segments of a length that nobody uses are in it."""
    rng = np.random.default_rng(seed)
    names = [f"{wnid}_{index}" for wnid in WNIDS for index in range(N_IMAGES)]
    segments = []
    for subject in SUBJECTS:
        for image, name in enumerate(names):
            label = WNIDS.index(name.partition("_")[0])
            gain = 1 + 0.5 * np.random.default_rng(label).random((N_CHANNELS, 1))
            eeg = gain * rng.standard_normal((N_CHANNELS, 500 + image % 3))
            segments.append(segment(eeg, image, label, subject, numbers))
    segments += [segment(np.ones((N_CHANNELS, n)), 0, 0, 1, numbers) for n in (400, 700)]
    return {"dataset": segments, "labels": WNIDS, "images": names, **more}


def segment(eeg: Any, image: int, label: int, subject: int, numbers: type) -> dict[str, Any]:
    values = torch.tensor(eeg, dtype=torch.float32)
    named = {"image": image, "label": label, "subject": subject}
    return {"eeg": values, **{key: numbers(value) for key, value in named.items()}}


def save(path: Path, content: Any) -> Path:
    torch.save(content, path)
    return path


def phosphene(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "phosphene", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def split(path: Path) -> Path:
    """Return a split by image: the last of each class tests, the one before validates."""
    names = published()["images"]
    part = [
        "test" if i % N_IMAGES == 5 else "val" if i % N_IMAGES == 4 else "train"
        for i in range(len(names))
    ]
    rows = {p: [i for i in range(2 * len(names)) if part[i % len(names)] == p] for p in set(part)}
    return save(path, {"splits": [rows]})


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The study that is imported, with images."""
    place = tmp_path_factory.mktemp("published")
    images = place / "imagenet"
    rng = np.random.default_rng(0)
    for name in published()["images"]:
        folder = images / name.partition("_")[0]
        folder.mkdir(parents=True, exist_ok=True)
        PIL.Image.fromarray(rng.integers(0, 255, (16, 16, 3), np.uint8)).save(
            folder / f"{name}.JPEG"
        )
    file = save(place / "eeg_14_70_std.pth", published())
    splits = split(place / "splits.pth")
    done = phosphene(
        "import", "eeg-cvpr40", file, "--output", place / "study", "--images", images,
        "--splits", splits,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "2 of 50 segments were left out" in done.stdout
    assert "24 images, 2 subjects" in done.stdout
    return place / "study"


def test_every_subject_is_a_session_whose_classes_go_by_wnid(study: Path) -> None:
    folders = SessionFolder.all_at(study)
    assert [folder.subject for folder in folders] == ["01", "02"]
    [path] = folders[0].segments("record")
    recorded = read_segment(path)
    onsets = recorded.onsets
    assert len(onsets) == 24
    assert {onset.wnid for onset in onsets} == set(WNIDS)
    assert all(onset.image.startswith(f"{onset.wnid}/{onset.wnid}_") for onset in onsets)
    assert [onset.block for onset in onsets] == [1 + n // N_IMAGES for n in range(24)]
    signal = np.hstack([each.data for each in recorded.signals()])
    first = published()["dataset"][0]["eeg"].numpy()[:, :500] * 1e-6
    np.testing.assert_allclose(signal[:, :500], first, rtol=1e-6)


@pytest.mark.parametrize("how", ["paper", "published"])
def test_it_is_evaluated_with_the_papers_split_or_the_published_one(study: Path, how: str) -> None:
    done = phosphene("evaluate", study, "--cluster", "none", "--split", how, "--json")
    assert done.returncode == 0, done.stderr
    for session in json.loads(done.stdout)["sessions"]:
        found = session["decoders"]["kd-stft" if "kd-stft" in session["decoders"] else "power-lr"]
        judged = found["cross_validation"]
        assert judged["label"] == LABEL
        assert judged["n_trials"] == (24 if how == "paper" else 4)
        assert found["audits"]["nested"]


def test_other_splits_are_refused(study: Path) -> None:
    done = phosphene("evaluate", study, "--cluster", "none", "--split", "leave-one-run-out")
    assert done.returncode != 0
    assert "class and time are one variable" in done.stderr


def test_the_papers_table_stands_beside_the_published_one_and_is_labelled(study: Path) -> None:
    done = phosphene("reproduce", "paper", "--data", study, "--cluster", "none", *SMALL)
    assert done.returncode == 0, done.stderr
    page = (study / "derivatives" / "phosphene" / "paper" / "paper.md").read_text()
    assert page.startswith(f"# Table 1 of the paper: {LABEL}")
    rows = [line.split(" | ") for line in page.splitlines() if line.startswith("| ")][1:]
    assert [row[:2] for row in rows] == [
        ["| LR on average square signal", "published"],
        ["| power-lr", "here"],
        ["| plain CNN on spectrograms", "published"],
        ["| plain-stft", "here"],
    ]
    assert rows[0][2] == "36.0 %"
    drawn = list((study / "derivatives" / "phosphene" / "paper").glob("*.svg"))
    assert len(drawn) == 1 + 2 * (1 + 2)
    assert all(LABEL in figure.read_text() for figure in drawn)
    full = [line for line in page.splitlines() if "over 2 subjects" in line and "(SD" in line]
    assert len(full) == 2 * 4
    assert all(line.endswith(LABEL) for line in full)


def test_without_images_the_teacher_is_left_out_and_that_is_said(tmp_path: Path) -> None:
    file = save(tmp_path / "data.pth", published(numbers=np.int64))
    done = phosphene("import", "eeg-cvpr40", file, "--output", tmp_path / "study")
    assert done.returncode == 0, done.stderr
    done = phosphene(
        "reproduce", "paper", "--data", tmp_path / "study", "--cluster", "none",
        "--decoder", "kd-stft", "--decoder", "power-lr",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "kd-stft was left out: its teacher looks at the images" in done.stdout


def test_means_and_deviations_of_the_older_release_are_taken_out(tmp_path: Path) -> None:
    more = {"means": torch.full((N_CHANNELS, 1), 2.0), "stddevs": torch.full((N_CHANNELS, 1), 4.0)}
    data = EegCvpr40Config(save(tmp_path / "old.pth", published(**more))).open()
    _, signal = next(data.trials("01"))
    plain = published()["dataset"][0]["eeg"].numpy()[:, :500]
    np.testing.assert_allclose(signal.data, (plain - 2) / 4 * 1e-6, rtol=1e-5)
    assert any("Means and deviations" in note for note in data.notes)


def test_it_conforms(tmp_path: Path) -> None:
    given = {"file": str(save(tmp_path / "data.pth", published()))}
    report = examine("dataset", "eeg-cvpr40", given, load_registry())
    assert {result.check: result.text for result in report.failed} == {}
    assert len(report.results) > 4


class Evil:
    def __reduce__(self) -> Any:
        return os.system, ("echo gotcha",)


def test_a_file_that_holds_code_is_not_opened(tmp_path: Path) -> None:
    for name, content in (("a.pth", published(x=Evil())), ("b.pth", {"dataset": [Evil()]})):
        with pytest.raises(PhospheneError, match=r"is no file of tensors, texts and numbers"):
            EegCvpr40Config(save(tmp_path / name, content)).open()
    plain = tmp_path / "c.pth"
    plain.write_bytes(pickle.dumps(Evil()))
    with pytest.raises(PhospheneError, match="is not opened"):
        EegCvpr40Config(plain).open()


def wrong(**changes: Any) -> dict[str, Any]:
    return {**published(), **changes}


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ([1, 2], "expected dataset, .* found list"),
        ({"dataset": []}, "found dataset"),
        (wrong(dataset=[]), "no segment"),
        (wrong(dataset=[{"eeg": torch.zeros(2, 500)}]), "segment 0: expected eeg"),
        (wrong(labels=WNIDS[:2]), r"segment 12, label: found 2; allowed: 0 to 1"),
        (wrong(means=torch.zeros(3), stddevs=torch.ones(3)), "expected 8 of each"),
    ],
)
def test_what_is_not_as_published_is_told_by_field(tmp_path: Path, content: Any, says: str) -> None:
    with pytest.raises(PhospheneError, match=says):
        EegCvpr40Config(save(tmp_path / "wrong.pth", content)).open()


def test_a_split_that_shares_an_image_is_refused(tmp_path: Path) -> None:
    file = save(tmp_path / "data.pth", published())
    rows = {"train": [0, 1, 2], "val": [3], "test": [24]}
    with pytest.raises(PhospheneError, match="1 images are in test and in another part"):
        EegCvpr40Config(file, save(tmp_path / "split.pth", {"splits": [rows]})).open()


def test_a_study_that_is_there_is_not_written_over(study: Path, tmp_path: Path) -> None:
    file = save(tmp_path / "data.pth", published())
    done = phosphene("import", "eeg-cvpr40", file, "--output", study)
    assert done.returncode != 0
    assert "is not empty" in done.stderr
    assert "Traceback" not in done.stderr
