"""Real LSL on this machine: outlets here and in other processes, read through the source."""

import itertools
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import mne
import msgspec
import numpy as np
import pylsl
import pytest
from numpy.typing import NDArray

from phosphene import Context, Markers, PhospheneError, Signal, SignalSpec, Source, StimulusSet
from phosphene.interfaces import SourceOfMany, SourceWithMarkers
from phosphene_plugins import _inlets, lsl
from phosphene_plugins.lsl import LslConfig, StreamSettings, acquisition, visible_streams

CONTEXT = Context(StimulusSet(Path(), {}, ()))
LABELS = ("Fp1", "Cz", "VEOG", "TRIG", "GSR")
TYPES = ("EEG", "eeg", "EOG", "Trigger", "gsr")
UNITS = ("microvolts", "µV", "mV", "", "microsiemens")
_counter = itertools.count()

Change = Callable[[pylsl.StreamInfo], None]


def _nothing(_info: pylsl.StreamInfo) -> None:
    pass


def _describe(
    info: pylsl.StreamInfo,
    labels: Sequence[str] = LABELS,
    types: Sequence[str] = TYPES,
    units: Sequence[str] = UNITS,
) -> None:
    info.set_channel_labels(list(labels))
    info.set_channel_types(list(types))
    info.set_channel_units(list(units))


def _outlet(
    name: str,
    change: Change = _describe,
    **given: Any,
) -> pylsl.StreamOutlet:
    given = {"type": "EEG", "channel_count": 5, "nominal_srate": 250, "source_id": name} | given
    info = pylsl.StreamInfo(name, **given)
    change(info)
    return pylsl.StreamOutlet(info)


@pytest.fixture(autouse=True)
def _short_search(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything here is on this computer; the search is repeated until it finds something."""
    monkeypatch.setattr(lsl, "SEARCH", 0.2)


@pytest.fixture
def name() -> str:
    """A stream name that no other test or test run has."""
    return f"amp-{os.getpid()}-{next(_counter)}"


@contextmanager
def _opened(config: LslConfig) -> Iterator[Source]:
    source = config.build(CONTEXT)
    try:
        yield source
    finally:
        source.close()


def _collect(source: Source, n_times: int) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    signals: list[Signal] = []
    end = time.perf_counter() + 20
    while sum(s.n_times for s in signals) < n_times and time.perf_counter() < end:
        if (signal := source.read(0.01)) is not None:
            assert signal.n_times > 0
            signals.append(signal)
    data = [signal.data for signal in signals]
    stamps = [signal.stamps for signal in signals]
    return np.concatenate(data, axis=1), np.concatenate(stamps)


def _error(**settings: Any) -> str:
    # pytest.raises would keep the frames of the test, and with them its outlets, alive.
    try:
        LslConfig(**settings).build(CONTEXT).close()
    except PhospheneError as error:
        return str(error)
    pytest.fail("the stream was opened")


def test_the_hook_offers_a_source_that_needs_the_real_clock() -> None:
    assert acquisition() == {"lsl": LslConfig}
    assert LslConfig.live


def test_samples_come_in_volts_with_the_amplifiers_own_stamps(name: str) -> None:
    outlet = _outlet(name)
    with _opened(LslConfig(name=name)) as source:
        assert source.spec.channels == LABELS
        assert source.spec.types == ("eeg", "eeg", "eog", "stim", "misc")
        assert source.spec.sfreq == 250
        assert source.read(0.0) is None
        stamps = 1000 + np.arange(10) / 250
        values = np.arange(50, dtype=np.float32).reshape(10, 5)
        outlet.push_chunk(values, list(stamps))
        data, found = _collect(source, 10)
    gains = np.array([1e-6, 1e-6, 1e-3, 1, 1])
    np.testing.assert_allclose(data, (values * gains).T, rtol=1e-6)
    assert data.dtype == np.float32
    assert data.flags.c_contiguous
    np.testing.assert_array_equal(found, stamps)


def test_streams_of_this_computer_need_hardly_any_clock_offset(name: str) -> None:
    outlet = _outlet(name)
    with _opened(LslConfig(name=name)) as source:
        before = time.perf_counter()
        outlet.push_sample([0.0] * 5)
        signal = source.read(5.0)
        assert signal is not None
        assert abs(signal.offset) < 0.1
        assert before - 0.1 < signal.times[0] < time.perf_counter() + 0.1


@pytest.mark.parametrize("dtype", ["int16", "double64"])
def test_whole_numbers_and_doubles_become_volts_as_well(name: str, dtype: str) -> None:
    outlet = _outlet(name, channel_format=dtype)
    with _opened(LslConfig(name=name)) as source:
        outlet.push_chunk([[1, 2, 3, 4, 5]] * 3)
        data, _ = _collect(source, 3)
    np.testing.assert_allclose(data[:, 0], [1e-6, 2e-6, 3e-3, 4, 5], rtol=1e-6)


def test_electrodes_are_where_the_ten_five_system_has_them(name: str) -> None:
    _keep = _outlet(name, lambda info: _describe(info, ("FP1", "cz", "oz", "X1", "Fz")))
    with _opened(LslConfig(name=name)) as source:
        positions = source.spec.positions
    assert set(positions) == {"FP1", "cz"}  # oz is an EOG here, Fz no voltage at all
    x, y, z = positions["cz"]
    assert abs(x) < 0.01
    assert abs(y) < 0.03
    assert 0.10 < z < 0.15


def _locations(millimetres: float) -> Change:
    def change(info: pylsl.StreamInfo) -> None:
        _describe(info)
        channel = info.desc().child("channels").child("channel")
        location = channel.append_child("location")
        for axis, share in zip("XYZ", (-0.3, 0.9, 0.1), strict=True):
            location.append_child_value(axis, str(share * millimetres))

    return change


def test_positions_that_the_stream_tells_are_used(name: str) -> None:
    _keep = _outlet(name, _locations(100))
    with _opened(LslConfig(name=name)) as source:
        assert source.spec.positions == {"Fp1": pytest.approx((-0.03, 0.09, 0.01))}


def test_positions_that_are_on_no_head_are_reported_and_replaced(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    _keep = _outlet(name, _locations(1.0))
    with _opened(LslConfig(name=name)) as source:
        assert set(source.spec.positions) == {"Fp1", "Cz"}
    assert "Fp1 is not on a head" in caplog.text


def test_what_the_stream_does_not_tell_can_be_given(name: str) -> None:
    outlet = _outlet(name, _nothing)
    config = LslConfig(
        name=name, labels=LABELS, types={"TRIG": "stim"}, units="millivolts", jitter=0.05
    )
    with _opened(config) as source:
        assert source.spec.jitter == 0.05
        assert source.spec.channels == LABELS
        assert source.spec.types == ("eeg", "eeg", "eeg", "stim", "eeg")
        outlet.push_chunk([[1.0] * 5] * 3)
        data, _ = _collect(source, 3)
    np.testing.assert_allclose(data[:, 0], [1e-3, 1e-3, 1e-3, 1, 1e-3])


def test_ambiguous_streams_are_listed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lsl, "SEARCH", 1.0)
    _keep = [_outlet(name, source_id=f"{name}-{letter}", type=name) for letter in "ab"]
    text = _error(type=name)
    assert f"2 LSL streams with type {name!r}" in text
    for letter in "ab":
        assert f"name {name!r}, type {name!r}, source_id '{name}-{letter}'" in text
    assert "5 channels, 250 Hz" in text
    with _opened(LslConfig(type=name, source_id=f"{name}-b")) as source:
        assert source.spec.channels == LABELS


def test_a_stream_that_is_not_there_is_told_with_those_that_are(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lsl, "SEARCH", 1.0)
    _keep = _outlet(name)
    while f"name {name!r}" not in visible_streams():  # A busy machine takes a while to announce it.
        pass
    text = _error(name=f"{name}-x", timeout=1.0)
    assert f"no LSL stream with name '{name}-x' with type 'EEG' within 1 s" in text
    assert f"name {name!r}" in text
    assert f"name {name!r}" in visible_streams()


def test_a_stream_that_starts_late_is_found(name: str) -> None:
    outlets = []

    def start() -> None:
        time.sleep(1.5)
        outlets.append(_outlet(name))

    thread = threading.Thread(target=start)
    thread.start()
    with _opened(LslConfig(name=name, timeout=15.0)) as source:
        assert source.spec.channels == LABELS
    thread.join()


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda info: info.set_channel_units(list(UNITS)), "labels: [Fp1, Fp2, ...]"),
        (lambda info: _describe(info, units=[""] * 5), "'units: microvolts'"),
        (
            lambda info: _describe(info, units=["counts"] * 5),
            "unit 'counts' of channel Fp1 (3 of 3",
        ),
        (lambda info: _describe(info, labels=["A", "B", "A", "C", "D"]), "found twice: A"),
    ],
    ids=["no labels", "no units", "unknown units", "duplicates"],
)
def test_metadata_that_is_missing_or_wrong_is_told_with_what_to_write(
    name: str, change: Change, expected: str
) -> None:
    _keep = _outlet(name, change)
    text = _error(name=name)
    assert expected in text
    assert text.startswith(f"LSL stream {name!r}")


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"channels": 64}, "expected channels 64, found 5"),
        ({"sfreq": 500.0}, "expected sfreq 500, found 250"),
        ({"labels": ("A", "B")}, "5 channels, but 'labels' has 2 names"),
        ({"types": {"Oz": "eeg"}}, "'types' names Oz; the channels are Fp1, Cz"),
    ],
)
def test_a_stream_that_is_not_the_expected_one_is_refused(
    name: str, settings: dict[str, Any], expected: str
) -> None:
    _keep = _outlet(name)
    assert expected in _error(name=name, **settings)


def test_text_and_irregular_streams_are_refused(name: str) -> None:
    _text = _outlet(name, type="Markers", nominal_srate=0, channel_format="string")
    assert "carries text" in _error(name=name, type="Markers")
    _slow = _outlet(f"{name}-0", nominal_srate=0)
    assert "without a fixed rate" in _error(name=f"{name}-0")


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"timeout": 0}, "timeout must be above 0 s; found 0"),
        ({"labels": ["A", "B", "A"]}, "labels must be unique; found twice: A"),
        ({"labels": ["A", ""]}, "labels must not be empty"),
        ({"jitter": -0.01}, "jitter must be 0 s or more; found -0.01"),
        ({"units": "furlongs"}, "Invalid enum value 'furlongs'"),
    ],
)
def test_impossible_settings_are_refused_before_any_stream_is_looked_for(
    settings: dict[str, Any], expected: str
) -> None:
    with pytest.raises(msgspec.ValidationError, match=expected):
        msgspec.convert(settings, LslConfig)


def test_a_lost_stream_without_source_id_is_an_error_in_words(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    outlet = _outlet(name, source_id="")
    with _opened(LslConfig(name=name)) as source:
        assert "has no source_id" in caplog.text
        outlet.push_chunk([[0.0] * 5] * 3)
        _collect(source, 3)
        del outlet
        with pytest.raises(PhospheneError, match=f"LSL stream '{name}' .* broke off"):
            _collect(source, 1)


def test_a_lost_stream_with_source_id_is_silent_until_it_returns(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_inlets, "OFFSET_INTERVAL", 0.0)
    outlet = _outlet(name)
    with _opened(LslConfig(name=name)) as source:
        outlet.push_chunk([[0.0] * 5] * 3)
        _collect(source, 3)
        del outlet
        assert source.read(0.2) is None
        outlet = _outlet(name)
        assert outlet.wait_for_consumers(20.0)
        outlet.push_chunk([[7.0] * 5] * 3)
        data, _ = _collect(source, 3)
    assert data[3, 0] == 7


def test_closing_ends_every_thread_and_connection(name: str) -> None:
    outlet = _outlet(name)
    before = len(list(Path("/proc/self/task").iterdir()))
    for _ in range(2):
        with _opened(LslConfig(name=name)) as source:
            assert outlet.wait_for_consumers(5.0)
            assert source.read(0.01) is None
    end = time.perf_counter() + 5
    while outlet.have_consumers() and time.perf_counter() < end:
        time.sleep(0.05)
    assert not outlet.have_consumers()
    # The outlet keeps a worker for each inlet that it served until it notices the end.
    while len(list(Path("/proc/self/task").iterdir())) > before and time.perf_counter() < end:
        time.sleep(0.05)
    assert len(list(Path("/proc/self/task").iterdir())) <= before


AMPLIFIER = """
import sys, time, numpy as np, pylsl
name, n_times = sys.argv[1], int(sys.argv[2])
info = pylsl.StreamInfo(name, "EEG", 128, 1000, "float32", name)
info.set_channel_labels([f"E{i}" for i in range(128)])
info.set_channel_types("EEG")
info.set_channel_units("microvolts")
outlet = pylsl.StreamOutlet(info)
outlet.wait_for_consumers(60)
values = np.arange(n_times, dtype=np.float32)[:, None] + 1000 * np.arange(128, dtype=np.float32)
start = time.perf_counter()
for first in range(0, n_times, 10):
    time.sleep(max(0, start + first / 1000 - time.perf_counter()))
    outlet.push_chunk(values[first:first + 10], start + (first + 9) / 1000)
sys.stdin.read()
"""


@contextmanager
def _process(*command: str) -> Iterator[None]:
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.communicate()
        process.wait()


def test_every_sample_of_an_amplifier_in_another_process_arrives_in_order(name: str) -> None:
    n_times = 2000
    with (
        _process(sys.executable, "-c", AMPLIFIER, name, str(n_times)),
        _opened(LslConfig(name=name, channels=128, sfreq=1000)) as source,
    ):
        data, stamps = _collect(source, n_times)
    expected = np.arange(n_times) + 1000 * np.arange(128)[:, None]
    np.testing.assert_allclose(data, expected * 1e-6, rtol=1e-6)
    np.testing.assert_allclose(np.diff(stamps), 1e-3, atol=1e-6)


def test_a_file_that_mne_lsl_plays_is_an_amplifier_as_well(name: str, tmp_path: Path) -> None:
    n_times, sfreq = 1003, 500.0  # mne-lsl 1.14 trips over whole tens
    file = tmp_path / "recording_eeg.fif"
    ramp = _save(file, n_times, sfreq)
    player = subprocess.Popen(
        [str(Path(sys.executable).with_name("mne-lsl")), "player", str(file), "--name", name],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        with _opened(LslConfig(name=name, type="", timeout=60.0)) as source:
            _assert_spec(source.spec, sfreq)
            data, stamps = _collect(source, 600)
    finally:
        player.kill()
        player.communicate()
    first = round(data[0, 0] / 1e-6)
    order = np.arange(first, first + data.shape[1]) % n_times
    np.testing.assert_allclose(data, ramp[:, order], rtol=1e-5, atol=1e-12)
    assert (np.diff(stamps) > 0).all()
    np.testing.assert_allclose((stamps[-1] - stamps[0]) / (len(stamps) - 1), 1 / sfreq, rtol=0.05)


def _save(file: Path, n_times: int, sfreq: float) -> NDArray[np.float64]:
    names = [f"EEG{i}" for i in range(62)] + ["EOG", "STI"]
    info = mne.create_info(names, sfreq, ["eeg"] * 62 + ["eog", "stim"])
    ramp = (np.arange(n_times) * 1e-6)[None] + 0.01 * np.arange(64)[:, None]
    ramp[63] = np.arange(n_times) % 5
    mne.io.RawArray(ramp, info, verbose="ERROR").save(file, fmt="double", verbose="ERROR")
    return ramp


def _assert_spec(spec: SignalSpec, sfreq: float) -> None:
    assert spec.sfreq == sfreq
    assert spec.n_channels == 64
    assert spec.channels[-2:] == ("EOG", "STI")
    assert spec.types == ("eeg",) * 62 + ("eog", "stim")


def _fails(code: str, **environment: str) -> str:
    script = (
        f"{code}\nfrom pathlib import Path\n"
        "from phosphene import Context, PhospheneError, StimulusSet\n"
        "from phosphene_plugins.lsl import LslConfig\n"
        "try: LslConfig().build(Context(StimulusSet(Path(), {}, ())))\n"
        "except PhospheneError as error: print(error)\n"
    )
    return subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, **environment},
    ).stdout


def test_a_missing_pylsl_is_told_with_how_to_install_it() -> None:
    text = _fails("import sys; sys.modules['pylsl'] = None")
    assert "pip install 'phosphene[lsl]'" in text


def test_a_library_that_does_not_load_is_an_error_in_words(tmp_path: Path) -> None:
    (tmp_path / "liblsl.so").write_text("not a library")
    text = _fails("", PYLSL_LIB=str(tmp_path / "liblsl.so"))
    assert "cannot load the library liblsl" in text
    assert "liblsl.so" in text


def test_an_lsl_clock_that_is_not_ours_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pylsl, "local_clock", lambda: time.perf_counter() + 0.01)
    assert "LSL's clock says" in _error()


def _photodiode(name: str, channels: int = 2) -> pylsl.StreamOutlet:
    labels = [f"AUX{n}" for n in range(1, channels + 1)]

    def change(info: pylsl.StreamInfo) -> None:
        _describe(info, labels, ["misc"] * channels, [""] * channels)

    given = {"type": "AUX", "channel_count": channels, "nominal_srate": 2000}
    return _outlet(name, change, **given)


def test_other_streams_are_read_beside_the_eeg_with_their_own_stamps(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lsl, "SEARCH", 1.0)
    eeg, aux = _outlet(name), _photodiode(f"{name}-aux")
    beside = (StreamSettings(name=f"{name}-aux"),)
    with _opened(LslConfig(name=name, beside=beside)) as source:
        assert isinstance(source, SourceOfMany)
        assert source.beside[f"{name}-aux"].channels == ("AUX1", "AUX2")
        assert source.beside[f"{name}-aux"].sfreq == 2000
        aux.push_chunk([[1.0, 2.0]] * 40, list(500 + np.arange(40) / 2000))
        eeg.push_chunk([[0.0] * 5] * 5, list(500 + np.arange(5) / 250))
        chunks: list[Signal] = []
        end = time.perf_counter() + 20
        while sum(chunk.n_times for chunk in chunks) < 40 and time.perf_counter() < end:
            if signal := source.read(0.05):
                chunks += signal.beside.values()
            else:
                eeg.push_sample([0.0] * 5)
    np.testing.assert_array_equal(
        np.concatenate([chunk.stamps for chunk in chunks]), 500 + np.arange(40) / 2000
    )
    assert {tuple(column) for chunk in chunks for column in chunk.data.T} == {(1.0, 2.0)}


@pytest.mark.parametrize(
    ("kind", "sample", "text"),
    [("string", ["S  1"], "S  1"), ("int32", [12], "12"), ("float32", [1.5, 2], "1.5 2")],
)
def test_streams_without_a_rate_are_read_as_markers(
    name: str, kind: str, sample: list[Any], text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lsl, "SEARCH", 1.0)
    eeg, given = _outlet(name), {"type": "Markers", "nominal_srate": 0}
    box = _outlet(f"{name}-box", _nothing, channel_count=len(sample), channel_format=kind, **given)
    beside = (StreamSettings(name=f"{name}-box"),)
    with _opened(LslConfig(name=name, beside=beside)) as source:
        assert isinstance(source, SourceWithMarkers)
        assert list(source.markers) == [f"{name}-box"]
        box.push_sample(sample, 500.25)
        found: list[Markers] = []
        end = time.perf_counter() + 20
        while not found and time.perf_counter() < end:
            eeg.push_sample([0.0] * 5)
            if signal := source.read(0.05):
                found += signal.markers.values()
    [markers] = found
    assert (markers.texts, list(markers.stamps)) == ((text,), [500.25])
    assert markers.offset == pytest.approx(0, abs=0.01)


def test_streams_that_name_a_channel_alike_are_refused(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lsl, "SEARCH", 1.0)
    _eeg, _aux = _outlet(name), _outlet(f"{name}-aux")
    problem = _error(name=name, beside=(StreamSettings(name=f"{name}-aux"),))
    assert "channels of several streams have one name: Cz, Fp1" in problem


def test_a_stream_beside_the_eeg_that_is_not_there_is_told(name: str) -> None:
    _eeg = _outlet(name)
    problem = _error(name=name, timeout=0.5, beside=(StreamSettings(name=f"{name}-aux"),))
    assert f"no LSL stream with name '{name}-aux' within 0.5 s" in problem


def test_a_mapping_says_which_electrodes_the_channels_are(name: str, tmp_path: Path) -> None:
    table = tmp_path / "cap.tsv"
    table.write_text("# Of our cap\nFp1\tPz\nCz\tOz\n")
    _eeg = _outlet(name)
    with _opened(LslConfig(name=name, mapping=table)) as source:
        assert source.spec.channels == ("Pz", "Oz", "VEOG", "TRIG", "GSR")
        assert source.spec.positions.keys() == {"Pz", "Oz"}


@pytest.mark.parametrize(
    ("table", "problem"),
    [
        ("Fp9\tPz\n", "names Fp9; the channels are Fp1, Cz, VEOG, TRIG, GSR"),
        ("Fp1 Pz\n", "line 1: expected a channel not named before, a tab and an electrode"),
        ("Fp1\tPz\nFp1\tOz\n", "line 2: expected a channel not named before"),
    ],
)
def test_a_bad_mapping_is_named(name: str, tmp_path: Path, table: str, problem: str) -> None:
    file = tmp_path / "cap.tsv"
    file.write_text(table)
    _eeg = _outlet(name)
    assert problem in _error(name=name, mapping=file)


def test_a_labs_own_cap_says_where_electrodes_are(name: str, tmp_path: Path) -> None:
    cap = tmp_path / "cap.sfp"
    cap.write_text("FidNz 0 100 0\nFidT9 -80 0 0\nFidT10 80 0 0\nFp1 -30 90 30\nCz 0 0 120\n")
    _eeg = _outlet(name)
    with _opened(LslConfig(name=name, cap=cap)) as source:
        x, y, z = source.spec.positions["Cz"]
        assert (x, y) == pytest.approx((0, 0), abs=1e-3)
        assert z == pytest.approx(0.115, abs=0.01)  # MNE scales a cap to the size of a head.
    cap.write_text("nonsense")
    assert "no electrode positions that MNE can read" in _error(name=name, cap=cap)
