"""What is asked of a decoder's files: they come back the same, and no code hides in them."""

# ruff: noqa: D401 (the docstring of a demand states it)

import json
from pathlib import Path

import numpy as np

from phosphene.testing.decoders import (
    ROUNDING,
    DecoderCandidate,
    expect_equal,
    fits,
    repeats_itself,
)
from phosphene.testing.demands import ConformanceError, Demands, expect
from phosphene.testing.material import make_context
from phosphene.testing.unpickling import unpickled_by
from phosphene.testing.workplace import new_folder

SUFFIXES = (".json", ".npz", ".safetensors")

demands = Demands[DecoderCandidate]()


@demands(fits)
def saves_files(candidate: DecoderCandidate) -> None:
    """``save`` writes something into the folder that it is given."""
    expect(_files(_saved(candidate)), "save wrote no file")


@demands(saves_files)
def no_pickle_written(candidate: DecoderCandidate) -> None:
    """The files are npz, safetensors and JSON, and none of them holds a pickle."""
    for path in _files(_saved(candidate)):
        if path.suffix not in SUFFIXES:
            raise ConformanceError(
                f"save wrote {path.name}; allowed: files in {', '.join(SUFFIXES)}"
            )
        try:
            _read(path)
        except Exception as error:
            raise ConformanceError(
                f"{path.name} is no {path.suffix} file without pickles"
            ) from error


@demands(repeats_itself, saves_files)
def save_load_round_trip(candidate: DecoderCandidate) -> None:
    """What was saved comes back with the same classes and probabilities, whatever the cache."""
    decoder = candidate.config.load(_saved(candidate), make_context())
    classes = candidate.fitted.classes
    expect(decoder.classes == classes, f"expected classes {classes}, found {decoder.classes}")
    found = decoder.decode(candidate.epochs()).probabilities
    expect_equal(found, candidate.probabilities, "loaded", ROUNDING)


@demands(no_pickle_written)
def no_pickle_read(candidate: DecoderCandidate) -> None:
    """Loading unpickles nothing, not even an npz into which somebody else put a pickle."""
    folder = _saved(candidate)
    found = unpickled_by(lambda: candidate.config.load(folder, make_context()))
    expect(not found, f"load unpickled {', '.join(found)}")
    archives = [path for path in _files(folder) if path.suffix == ".npz"]
    for path in archives:
        _poison(path)
    found = unpickled_by(lambda: candidate.config.load(folder, make_context())) if archives else []
    expect(not found, "load unpickled an array of objects; say allow_pickle=False")


def _saved(candidate: DecoderCandidate) -> Path:
    """Return a new folder with what the decoder writes."""
    folder = new_folder()
    candidate.fitted.save(folder)
    return folder


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _read(path: Path) -> None:
    """Raise whatever reading a file without pickles raises."""
    if path.suffix == ".json":
        json.loads(path.read_bytes())
    elif path.suffix == ".npz":
        with np.load(path, allow_pickle=False) as arrays:
            dict(arrays)
    else:
        _read_safetensors_header(path)


def _read_safetensors_header(path: Path) -> None:
    """Eight bytes of length, little-endian, then so much JSON (safetensors' README)."""
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    json.loads(content[8 : 8 + length])


def _poison(path: Path) -> None:
    """Write every array of an npz as a pickle of the same values."""
    with np.load(path, allow_pickle=False) as arrays:
        objects = {name: array.astype(object) for name, array in arrays.items()}
    np.savez(path, **objects, allow_pickle=True)
