import hashlib
from io import BytesIO
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from hypothesis import given
from hypothesis import strategies as st

from phosphene import PhospheneError, StimulusSet

HEADER = ["wnid", "name", "role", "file", "sha256", "licence"]
DOG, CUP = "n02106662", "n03063599"


def picture(seed: int, mode: str = "RGB", kind: str = "PNG") -> bytes:
    noise = np.random.default_rng(seed).integers(0, 256, (24, 32, 3), dtype=np.uint8)
    buffer = BytesIO()
    PIL.Image.fromarray(noise).convert(mode).save(buffer, kind)
    return buffer.getvalue()


class Folder:
    """An image set on disk whose rows can be tampered with before it is read."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows = [
            self.row(DOG, "dog", "train", f"{DOG}/1.png", picture(1)),
            self.row(DOG, "dog", "gallery", f"{DOG}/2.png", picture(2)),
            self.row(CUP, "coffee mug", "train", f"{CUP}/1.png", picture(3)),
        ]

    def row(self, wnid: str, name: str, role: str, file: str, content: bytes) -> list[str]:
        target = self.path / file
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
        return [wnid, name, role, file, hashlib.sha256(content).hexdigest(), "CC0-1.0"]

    def write(self, text: str) -> None:
        (self.path / "manifest.tsv").write_bytes(text.encode())

    def text(self) -> str:
        return "".join("\t".join(row) + "\n" for row in [HEADER, *self.rows])

    def read(self) -> StimulusSet:
        self.write(self.text())
        return StimulusSet.read(self.path)

    def refusal(self) -> str:
        with pytest.raises(PhospheneError) as caught:
            self.read()
        return str(caught.value)


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path / "images")


def test_a_set_is_what_its_manifest_lists(folder: Folder) -> None:
    stimuli = folder.read()
    assert dict(stimuli.classes) == {DOG: "dog", CUP: "coffee mug"}
    assert [image.id for image in stimuli.images] == [row[3] for row in folder.rows]
    assert [image.id for image in stimuli.of(DOG, "gallery")] == [f"{DOG}/2.png"]
    assert stimuli[f"{CUP}/1.png"].licence == "CC0-1.0"
    assert stimuli.path(f"{CUP}/1.png") == folder.path / CUP / "1.png"
    stimuli.verify()


def test_a_manifest_from_a_spreadsheet_on_windows_reads_the_same(folder: Folder) -> None:
    plain = folder.read()
    folder.write("\ufeff" + folder.text().replace("\n", "\r\n"))
    assert StimulusSet.read(folder.path).images == plain.images


@pytest.mark.parametrize(
    ("column", "value", "allowed"),
    [
        ("wnid", "dog", "n and eight digits"),
        ("wnid", "n0210666", "n and eight digits"),
        ("name", "", "printable text"),
        ("name", " mug", "printable text"),
        ("name", "mug\x1b[2J", "printable text"),
        ("role", "test", "train, gallery"),
        ("file", "", "a relative path inside the folder"),
        ("file", "/etc/hostname", "a relative path inside the folder"),
        ("file", "../secret.png", "a relative path inside the folder"),
        ("file", f"{CUP}/../{CUP}/1.png", "a relative path inside the folder"),
        ("file", f"./{CUP}/1.png", "a relative path inside the folder"),
        ("file", f"{CUP}\\1.png", "a relative path inside the folder"),
        ("file", "C:1.png", "a relative path inside the folder"),
        ("file", f"{CUP}/none.png", "a file in"),
        ("sha256", "0" * 63, "64 hexadecimal digits"),
        ("licence", "", "printable text"),
    ],
)
def test_a_wrong_value_is_refused_with_its_place_and_what_is_allowed(
    folder: Folder, column: str, value: str, allowed: str
) -> None:
    folder.rows[2][HEADER.index(column)] = value
    message = folder.refusal()
    assert f"manifest.tsv, line 4, column {column}: found" in message
    assert repr(value) in message
    assert f"allowed: {allowed}" in message


def test_columns_that_are_missing_or_renamed_are_refused(folder: Folder) -> None:
    folder.write(folder.text().replace("licence", "license", 1))
    with pytest.raises(PhospheneError, match=r"line 1, column \(header\).*license.*allowed: wnid"):
        StimulusSet.read(folder.path)
    folder.rows[1].pop()
    assert "line 3, column (all): found 5 columns; allowed: 6 columns" in folder.refusal()


def test_a_picture_listed_twice_is_refused(folder: Folder) -> None:
    again = folder.rows[0].copy()
    folder.rows.append(again)
    assert f"line 5, column file: found '{DOG}/1.png'; allowed: each file once" in folder.refusal()
    folder.rows[-1] = folder.row(DOG, "dog", "gallery", f"{DOG}/copy.png", picture(1))
    message = folder.refusal()
    assert "line 5, column sha256" in message
    assert f"line 2 lists it as train {DOG}/1.png" in message


def test_a_class_with_two_names_is_refused(folder: Folder) -> None:
    folder.rows[1][1] = "hound"
    assert "line 3, column name: found 'hound'; allowed: 'dog'" in folder.refusal()


@pytest.mark.parametrize("linked", [DOG, f"{DOG}/1.png"])
def test_symbolic_links_are_refused(folder: Folder, linked: str) -> None:
    target = folder.path / linked
    moved = target.rename(folder.path.parent / "elsewhere")
    target.symlink_to(moved)
    assert f"found '{linked}', a symbolic link" in folder.refusal()


def test_a_manifest_that_is_missing_empty_or_no_text_is_refused(folder: Folder) -> None:
    with pytest.raises(PhospheneError, match=r"cannot read .*manifest\.tsv"):
        StimulusSet.read(folder.path)
    folder.rows.clear()
    assert "lists no images" in folder.refusal()
    (folder.path / "manifest.tsv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(PhospheneError, match="not UTF-8"):
        StimulusSet.read(folder.path)


@given(content=st.text() | st.lists(st.text()).map("\t".join))
def test_any_other_text_is_refused_by_name(
    tmp_path_factory: pytest.TempPathFactory, content: str
) -> None:
    folder = Folder(tmp_path_factory.getbasetemp() / "any")
    folder.write("\t".join(HEADER) + "\n" + content.encode("utf-8", "replace").decode())
    with pytest.raises(PhospheneError, match=r"manifest\.tsv"):
        StimulusSet.read(folder.path)


def test_one_error_lists_every_image_that_cannot_be_shown(folder: Folder) -> None:
    huge = BytesIO()
    PIL.Image.new("1", (8000, 6000)).save(huge, "PNG")
    bad = {
        "truncated.jpg": picture(11, kind="JPEG")[:-300],
        "huge.png": huge.getvalue(),
        "text.png": b"no picture",
        "gif.gif": picture(12, "P", "GIF"),
        "changed.png": picture(13),
        "emptied.png": picture(14),
        "gone.png": picture(15),
    }
    folder.rows += [folder.row(CUP, "coffee mug", "train", *item) for item in bad.items()]
    stimuli = folder.read()
    (folder.path / "changed.png").write_bytes(picture(16))
    (folder.path / "emptied.png").write_bytes(b"")
    (folder.path / "gone.png").unlink()
    with pytest.raises(PhospheneError) as caught:
        stimuli.verify()
    first, *lines = str(caught.value).splitlines()
    assert "7 of 10 images" in first
    reasons = dict(line.strip().split(": ", 1) for line in lines)
    assert reasons.keys() == bad.keys()
    assert "truncated" in reasons["truncated.jpg"]
    assert "8000 x 6000 pixels" in reasons["huge.png"]
    assert "no BMP, JPEG, PNG, WEBP file" in reasons["gif.gif"]
    assert "sha256" in reasons["changed.png"]
    assert "0 bytes" in reasons["emptied.png"]


@pytest.mark.parametrize("mode", ["RGB", "CMYK", "L", "RGBA", "P"])
def test_every_colour_mode_is_shown_as_srgb(folder: Folder, mode: str) -> None:
    kind = "JPEG" if mode == "CMYK" else "PNG"
    folder.rows.append(folder.row(CUP, "coffee mug", "train", "odd", picture(4, mode, kind)))
    stimuli = folder.read()
    stimuli.verify()
    pixels = stimuli.pixels("odd")
    assert pixels.shape == (24, 32, 3)
    assert pixels.dtype == np.uint8


def test_an_image_that_is_gone_is_named_when_it_is_to_be_shown(folder: Folder) -> None:
    stimuli = folder.read()
    stimuli.path(f"{DOG}/1.png").unlink()
    with pytest.raises(PhospheneError, match=rf"cannot show .*{DOG}/1.png"):
        stimuli.pixels(f"{DOG}/1.png")


def test_features_are_repeatable_rows_of_unit_length(folder: Folder) -> None:
    stimuli = folder.read()
    ids = [image.id for image in stimuli.images]
    features = stimuli.features(ids)
    assert features.shape == (3, 240)
    assert features.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(features, axis=1), 1, rtol=1e-5)
    np.testing.assert_array_equal(features[::-1], stimuli.features(ids[::-1]))


def plain(colour: tuple[int, int, int], stripes: int = 0, *, across: bool = False) -> bytes:
    pixels = np.full((64, 64, 3), colour, dtype=np.uint8)
    if stripes:
        pixels[:, :: 64 // stripes] = 255
    buffer = BytesIO()
    PIL.Image.fromarray(pixels.swapaxes(0, 1) if across else pixels).save(buffer, "PNG")
    return buffer.getvalue()


def test_features_tell_colours_and_orientations_apart(folder: Folder) -> None:
    red, green = (220, 30, 30), (30, 220, 30)
    contents = [
        plain(red, 8),
        plain((200, 40, 40), 8),
        plain(green, 8),
        plain(red, 8, across=True),
    ]
    folder.rows = [
        folder.row(DOG, "dog", "train", f"{number}.png", content)
        for number, content in enumerate(contents)
    ]
    likeness = folder.read().features([f"{n}.png" for n in range(4)])
    same, colour, orientation = likeness[1:] @ likeness[0]
    assert same > 0.95
    assert colour < 0.8
    assert orientation < 0.8


def test_only_keeps_the_classes_asked_for_in_that_order(folder: Folder) -> None:
    reduced = folder.read().only([CUP])
    assert list(reduced.classes) == [CUP]
    assert [image.wnid for image in reduced.images] == [CUP]
