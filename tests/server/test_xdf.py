"""Recordings: what was written comes back bit for bit, whatever cut the file off."""

import resource
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
import numpy as np
import pytest
import pyxdf
from hypothesis import given, settings
from hypothesis import strategies as st

from phosphene import Onset, PhospheneError, Signal, SignalSpec
from phosphene.dataset.xdf import XdfWriter
from phosphene.dataset.xdf_format import BOUNDARY_UUID
from phosphene.dataset.xdf_reader import Segment, read_segment

SPEC = SignalSpec(
    ("Fz", "Ölz <&>", "EOG 1"),
    ("eeg", "eeg", "eog"),
    512.0,
    {"Fz": (0.0003122, 0.058512, 0.1), "nasion": (0.0, 1 / 3, -1e-9)},
    jitter=0.05,
)
SESSION = {"phase": "record", "run": "1"}
Piece = Signal | Onset


def make_onset(seq: int, time: float = 1.0, image: str = "ö/1.png") -> Onset:
    trial = seq + 1
    return Onset(
        seq, "stimulus", time, time, 0.5, "record", 1, 1, 1, trial, "n02389026", image, "ab"
    )


def make_signal(n_times: int, offset: float = 0.25, start: float = 100.0) -> Signal:
    data = np.random.default_rng(n_times).standard_normal((3, n_times), np.float32)
    return Signal(data, start + np.arange(n_times) / SPEC.sfreq, offset)


def write(path: Path, pieces: Iterable[Piece]) -> list[int]:
    """Return the length of the file before and after each piece, and when closed."""
    writer = XdfWriter(path, SPEC, SESSION)
    lengths = [writer.n_bytes]
    for piece in pieces:
        if isinstance(piece, Onset):
            writer.write_marker(piece)
        else:
            writer.write_signal(piece)
        lengths.append(writer.n_bytes)
    writer.close()
    return [*lengths, writer.n_bytes]


def write_and_die(path: Path, pieces: Iterable[Piece]) -> None:
    """Leave the file as it is when the process is killed behind the last piece."""
    *_, length, _ = write(path, pieces)
    path.write_bytes(path.read_bytes()[:length])


def bits(signals: Iterable[Signal]) -> list[tuple[bytes, bytes, bytes]]:
    return [(s.data.tobytes(), s.stamps.tobytes(), np.float64(s.offset).tobytes()) for s in signals]


def content(pieces: Iterable[Piece]) -> list[object]:
    """What a recording must give back, in a form that compares bit for bit."""
    pieces = list(pieces)
    signals = bits(piece for piece in pieces if isinstance(piece, Signal))
    return [signals, [piece for piece in pieces if isinstance(piece, Onset)]]


def content_of(segment: Segment) -> list[object]:
    return [bits(segment.signals()), list(segment.onsets)]


@st.composite
def any_signal(draw: st.DrawFn) -> Signal:
    n_times = draw(st.integers(1, 6))
    data = draw(st.binary(min_size=12 * n_times, max_size=12 * n_times))
    stamps = draw(st.binary(min_size=8 * n_times, max_size=8 * n_times))
    return Signal(
        np.frombuffer(data, np.float32).reshape(3, n_times),
        np.frombuffer(stamps, np.float64),
        draw(st.floats()),
    )


any_onset = st.builds(
    make_onset,
    st.integers(0, 10**6),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(),
)
any_pieces = st.lists(any_signal() | any_onset, max_size=12)


@settings(deadline=None)
@given(any_pieces)
def test_any_chunks_in_any_order_come_back_bit_for_bit(pieces: list[Piece]) -> None:
    with TemporaryDirectory() as folder:
        *_, length = write(Path(folder, "any.xdf"), pieces)
        segment = read_segment(Path(folder, "any.xdf"))
        assert content_of(segment) == content(pieces)
    assert segment.spec == SPEC
    assert segment.session == SESSION
    assert segment.complete
    assert (segment.n_bytes, segment.n_torn) == (length, 0)


@settings(deadline=None)
@given(any_pieces, st.floats(0, 1))
def test_a_file_cut_off_anywhere_holds_a_prefix(pieces: list[Piece], where: float) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder, "torn.xdf")
        head, *ends, whole = write(path, pieces)
        cut = head + round(where * (whole - 1 - head))
        path.write_bytes(path.read_bytes()[:cut])
        segment = read_segment(path)
        assert content_of(segment) == content(pieces[: sum(end <= cut for end in ends)])
    assert not segment.complete
    assert segment.n_bytes + segment.n_torn == cut


def test_every_byte_of_a_file_is_a_place_where_it_may_be_cut(tmp_path: Path) -> None:
    path = tmp_path / "torn.xdf"
    pieces: list[Piece] = [make_signal(2), make_onset(0), make_signal(3, 0.5), make_onset(1)]
    head, *_, length = write(path, pieces)
    whole, found = path.read_bytes(), []
    for cut in range(head, length + 1):
        path.write_bytes(whole[:cut])
        segment = read_segment(path)
        found.append(segment.n_samples + len(segment.onsets))
        assert segment.complete is (cut == length)
    assert found == sorted(found)
    assert set(found) == {0, 2, 3, 6, 7}


def test_a_file_cut_off_in_its_header_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "torn.xdf"
    head, *_ = write(path, [])
    whole = path.read_bytes()
    for cut in range(0, head, 7):
        path.write_bytes(whole[:cut])
        with pytest.raises(PhospheneError, match=r"torn\.xdf"):
            read_segment(path)


def test_zeros_that_a_power_cut_left_at_the_end_are_not_read(tmp_path: Path) -> None:
    path = tmp_path / "power.xdf"
    write_and_die(path, [make_signal(4)])
    with path.open("ab") as file:
        file.write(bytes(1000))
    segment = read_segment(path)
    assert content_of(segment) == content([make_signal(4)])
    assert segment.n_torn == 1000


@pytest.mark.parametrize("synchronized", [True, False])
@pytest.mark.parametrize("torn", [0, 20])
def test_pyxdf_reads_the_same(tmp_path: Path, synchronized: bool, torn: int) -> None:
    signals = [make_signal(50, start=100 + n * 50 / SPEC.sfreq) for n in range(300)]
    pieces: list[Piece] = [*signals[:200], make_onset(0, 100.5), *signals[200:]]
    path = tmp_path / "recording.xdf"
    write_and_die(path, pieces)
    path.write_bytes(path.read_bytes()[: -torn or None])
    kept = signals[:-1] if torn else signals
    (eeg, markers), _ = pyxdf.load_xdf(
        path, synchronize_clocks=synchronized, dejitter_timestamps=False
    )
    stamps = np.concatenate([s.times if synchronized else s.stamps for s in kept])
    np.testing.assert_array_equal(eeg["time_stamps"], stamps)
    np.testing.assert_array_equal(eeg["time_series"], np.concatenate([s.data.T for s in kept]))
    np.testing.assert_array_equal(markers["time_stamps"], [100.5])
    assert msgspec.json.decode(markers["time_series"][0][0], type=Onset) == make_onset(0, 100.5)


def test_pyxdf_knows_the_channels_and_the_length_of_a_closed_file(tmp_path: Path) -> None:
    path = tmp_path / "recording.xdf"
    write(path, [make_signal(7), make_onset(0)])
    (eeg, markers), _ = pyxdf.load_xdf(path, dejitter_timestamps=False)
    info, footer = eeg["info"], eeg["footer"]["info"]
    channels = info["desc"][0]["channels"][0]["channel"]
    assert [c["label"] for c in channels] == [["Fz"], ["Ölz <&>"], ["EOG 1"]]
    assert [c["type"] for c in channels] == [["EEG"], ["EEG"], ["EOG"]]
    assert {c["unit"][0] for c in channels} == {"V"}
    assert channels[0]["location"][0]["Y"] == ["58.512"]
    assert (info["name"], info["type"], info["nominal_srate"]) == (["EEG"], ["EEG"], ["512.0"])
    assert footer["sample_count"] == ["7"]
    assert (markers["info"]["name"], markers["info"]["type"]) == (["Markers"], ["Markers"])
    assert markers["footer"]["info"]["sample_count"] == ["1"]


def test_a_mark_every_ten_seconds_lets_readers_go_on_behind_damage(tmp_path: Path) -> None:
    path = tmp_path / "long.xdf"
    write(path, (make_signal(512) for _ in range(35)))
    assert path.read_bytes().count(BOUNDARY_UUID) == 3


def test_a_killed_process_loses_nothing_that_it_has_written(tmp_path: Path) -> None:
    script = """
import os, signal, sys
from pathlib import Path
import numpy as np
from phosphene import Signal, SignalSpec
from phosphene.dataset.xdf import XdfWriter
writer = XdfWriter(Path(sys.argv[1]), SignalSpec(("Cz",), ("eeg",), 100.0))
for n in range(123):
    writer.write_signal(Signal(np.full((1, 1), n, np.float32), np.array([n / 100])))
os.kill(os.getpid(), signal.SIGKILL)
"""
    path = tmp_path / "killed.xdf"
    killed = subprocess.run([sys.executable, "-c", script, str(path)], check=False)
    assert killed.returncode == -signal.SIGKILL
    values = [float(s.data[0, 0]) for s in read_segment(path).signals()]
    assert values == list(range(123))


@contextmanager
def files_no_longer_than(n_bytes: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_leaves_a_whole_file_that_can_be_continued(tmp_path: Path) -> None:
    path = tmp_path / "full.xdf"
    writer = XdfWriter(path, SPEC)
    writer.write_signal(make_signal(5))
    with (
        files_no_longer_than(writer.n_bytes + 30),
        pytest.raises(PhospheneError, match=r"full\.xdf cannot be written"),
    ):
        writer.write_signal(make_signal(50))
    assert read_segment(path).n_torn == 0
    writer.write_signal(make_signal(6))
    writer.close()
    assert content_of(read_segment(path)) == content([make_signal(5), make_signal(6)])


def test_a_file_is_never_written_twice(tmp_path: Path) -> None:
    path = tmp_path / "once.xdf"
    write(path, [make_signal(1)])
    before = path.read_bytes()
    with pytest.raises(PhospheneError, match=r"once\.xdf exists"):
        XdfWriter(path, SPEC)
    assert path.read_bytes() == before


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "link.xdf").symlink_to(tmp_path / "elsewhere.xdf")
    with pytest.raises(PhospheneError, match="exists"):
        XdfWriter(tmp_path / "link.xdf", SPEC)
    assert not (tmp_path / "elsewhere.xdf").exists()


def test_counters_say_what_is_in_the_file_before_it_is_closed(tmp_path: Path) -> None:
    path = tmp_path / "a.xdf"
    writer = XdfWriter(path, SPEC)
    for n_times in (3, 4):
        writer.write_signal(make_signal(n_times))
    writer.write_marker(make_onset(0))
    writer.sync().result()
    assert (writer.n_samples, writer.n_markers) == (7, 1)
    assert writer.n_bytes == path.stat().st_size
    segment = read_segment(path)
    assert (segment.n_samples, len(segment.onsets)) == (7, 1)
    writer.close()


def test_closing_twice_is_closing_once(tmp_path: Path) -> None:
    writer = XdfWriter(tmp_path / "a.xdf", SPEC)
    writer.close()
    length = writer.n_bytes
    writer.close()
    assert (tmp_path / "a.xdf").stat().st_size == length


def test_data_of_another_shape_than_announced_is_refused(tmp_path: Path) -> None:
    writer = XdfWriter(tmp_path / "a.xdf", SPEC)
    with pytest.raises(PhospheneError, match="3 channels; found data of shape \\(1, 4\\)"):
        writer.write_signal(Signal(np.zeros((1, 4), np.float32), np.arange(4, dtype=np.float64)))
    with pytest.raises(PhospheneError, match="with 5 stamps"):
        writer.write_signal(Signal(np.zeros((3, 4), np.float32), np.arange(5, dtype=np.float64)))
    writer.close()
    assert read_segment(tmp_path / "a.xdf").n_samples == 0


@pytest.mark.parametrize("name", ["a\0b", "a\rb", "\ud800"])
def test_a_channel_name_that_xml_cannot_hold_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(PhospheneError, match="channel names must be"):
        XdfWriter(tmp_path / "a.xdf", SignalSpec((name,), ("eeg",), 100.0))
    assert not (tmp_path / "a.xdf").exists()


def test_words_about_the_session_that_xml_cannot_hold_are_refused(tmp_path: Path) -> None:
    with pytest.raises(PhospheneError, match="about the session"):
        XdfWriter(tmp_path / "a.xdf", SPEC, {"planned run": "1"})


@pytest.mark.parametrize("text", [b"", b"XDF:", b"XDF:" + bytes(500), b"Brain Vision"])
def test_a_file_of_another_kind_is_refused_by_name(tmp_path: Path, text: bytes) -> None:
    path = tmp_path / "other.xdf"
    path.write_bytes(text)
    with pytest.raises(PhospheneError, match=r"other\.xdf is not"):
        read_segment(path)


def test_damage_before_the_end_is_an_error_that_names_the_place(tmp_path: Path) -> None:
    path = tmp_path / "damaged.xdf"
    write(path, [make_onset(0), make_signal(5)])
    path.write_bytes(path.read_bytes().replace(b'"seq":0', b'"seq":x'))
    with pytest.raises(PhospheneError, match=r"damaged\.xdf is damaged at byte \d+"):
        read_segment(path)
