import subprocess
import sys
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from phosphene import PhospheneError
from phosphene_stimuli.folder import FolderConfig
from phosphene_stimuli.manifest import read_names, write_manifest

DOG, CUP, WATCH = "n02106662", "n03063599", "n04555897"


def add_images(folder: Path, wnid: str, count: int, suffix: str = ".JPEG") -> None:
    (folder / wnid).mkdir(parents=True)
    rng = np.random.default_rng(int(wnid[1:]))
    for number in range(count):
        noise = rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)
        PIL.Image.fromarray(noise).save(folder / wnid / f"{wnid}_{number}{suffix}")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two of the paper's classes in ImageNet's layout."""
    add_images(tmp_path / "images", DOG, 5)
    add_images(tmp_path / "images", CUP, 4, ".png")
    return tmp_path / "images"


def test_a_folder_of_images_becomes_a_set_with_names_and_a_gallery(folder: Path) -> None:
    write_manifest(folder, gallery=2, licence="research only")
    stimuli = FolderConfig(folder).build(folder)
    stimuli.verify()
    assert dict(stimuli.classes) == {DOG: "German shepherd", CUP: "coffee mug"}
    assert [image.id for image in stimuli.of(CUP, "train")] == [
        f"{CUP}/{CUP}_{n}.png" for n in (0, 1)
    ]
    assert len(stimuli.of(DOG, "gallery")) == 2
    assert {image.licence for image in stimuli.images} == {"research only"}


def test_classes_can_be_chosen_and_ordered(folder: Path) -> None:
    write_manifest(folder, gallery=1)
    assert list(FolderConfig(folder, [CUP, DOG]).build(folder).classes) == [CUP, DOG]
    with pytest.raises(
        PhospheneError, match=rf"{WATCH} not in .*manifest\.tsv; it has {DOG}, {CUP}"
    ):
        FolderConfig(folder, [CUP, WATCH]).build(folder)


def test_a_folder_without_manifest_says_how_to_make_one(folder: Path) -> None:
    with pytest.raises(PhospheneError, match=rf"python -m phosphene_stimuli\.manifest {folder}"):
        FolderConfig(folder).build(folder)


def test_a_class_that_is_not_the_papers_needs_a_name(folder: Path, tmp_path: Path) -> None:
    add_images(folder, WATCH, 3)
    with pytest.raises(PhospheneError, match=f"no human names known for {WATCH}"):
        write_manifest(folder, gallery=1)
    (tmp_path / "names").write_text(f"{WATCH}\tanalogue watch\n")
    write_manifest(folder, gallery=1, names=read_names(tmp_path / "names"))
    assert FolderConfig(folder).build(folder).classes[WATCH] == "analogue watch"


def test_a_line_that_is_no_name_is_refused(tmp_path: Path) -> None:
    (tmp_path / "names").write_text(f"{DOG}\tdog\n{CUP} mug\n")
    with pytest.raises(PhospheneError, match=f"names, line 2: found '{CUP} mug'"):
        read_names(tmp_path / "names")


def test_a_class_with_too_few_images_is_refused(folder: Path) -> None:
    with pytest.raises(PhospheneError, match=f"{CUP} holds 4 images .* more than 4 are needed"):
        write_manifest(folder, gallery=4)


def test_a_folder_without_classes_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PhospheneError, match="no folders"):
        write_manifest(tmp_path)
    with pytest.raises(PhospheneError, match="no folder"):
        write_manifest(tmp_path / "none")


def test_a_manifest_is_never_written_over(folder: Path) -> None:
    written = write_manifest(folder, gallery=1)
    with pytest.raises(PhospheneError, match="exists; remove it"):
        write_manifest(folder, gallery=2)
    assert written.read_text().count("\tgallery\t") == 2


def command(*options: str) -> subprocess.CompletedProcess[str]:
    program = [sys.executable, "-m", "phosphene_stimuli.manifest", *options]
    return subprocess.run(program, capture_output=True, text=True, check=False)


def test_the_command_line_writes_a_manifest_or_says_why_not(folder: Path) -> None:
    assert command(str(folder), "--gallery", "2", "--licence", "CC0-1.0").returncode == 0
    assert len(FolderConfig(folder).build(folder).images) == 9
    again = command(str(folder))
    assert again.returncode == 1
    assert "exists; remove it" in " ".join(again.stderr.split())
