"""Recordings played as amplifiers: files that MNE reads, our own XDF and other people's."""

import gzip
import struct
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from xml.sax.saxutils import escape

import mne
import mne_bids
import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from phosphene import Context, PhospheneError, Signal, SignalSpec, Source, StimulusSet
from phosphene.clock import Clock, RealClock, VirtualClock
from phosphene.dataset.xdf import XdfWriter
from phosphene_plugins.replay import ReplayConfig, acquisition

SFREQ = 250.0
N_TIMES = 1000
CHANNELS = ("Fp1", "CZ", "EOG", "STI")
TYPES = ("eeg", "eeg", "eog", "stim")
RNG = np.random.default_rng(0)
DATA = RNG.normal(0, 1e-5, (4, N_TIMES)).astype(np.float32)
DATA[3] = np.arange(N_TIMES) % 3


@pytest.fixture(scope="module")
def fif(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("replay") / "recording_raw.fif"
    _raw().save(file, verbose="ERROR")
    return file


def _raw() -> mne.io.RawArray:
    info = mne.create_info(list(CHANNELS), SFREQ, list(TYPES))
    return mne.io.RawArray(DATA, info, verbose="ERROR")


def _build(config: ReplayConfig, clock: Clock) -> Source:
    return config.build(Context(StimulusSet(Path(), {}, ()), clock=clock))


def _until(source: Source, clock: VirtualClock, end: float, step: float = 0.1) -> Signal:
    """Return everything that a source delivers until ``end``."""
    signals = []
    while clock.now() < end:
        clock.sleep_until(min(end, clock.now() + step))
        if (signal := source.read(0.0)) is not None:
            signals.append(signal)
    data = np.concatenate([signal.data for signal in signals], axis=1)
    return Signal(data, np.concatenate([signal.stamps for signal in signals]))


def _all_of(config: ReplayConfig) -> tuple[SignalSpec, Signal]:
    clock = VirtualClock(50.0)
    source = _build(config, clock)
    signal = _until(source, clock, 60.0, step=10.0)
    assert source.read(0.0) is None
    source.close()
    return source.spec, signal


def test_the_hook_offers_a_source_that_also_runs_on_a_virtual_clock() -> None:
    assert acquisition() == {"replay": ReplayConfig}
    assert not ReplayConfig.live


def test_a_file_of_mne_plays_from_now_in_volts(fif: Path) -> None:
    spec, signal = _all_of(ReplayConfig(file=fif))
    assert spec.channels == CHANNELS
    assert spec.types == TYPES
    assert spec.sfreq == SFREQ
    np.testing.assert_allclose(signal.data, DATA, rtol=1e-6)
    assert signal.data.dtype == np.float32
    np.testing.assert_allclose(signal.times, 50.0 + np.arange(N_TIMES) / SFREQ)


@given(times=st.lists(st.floats(0, 6), min_size=1, max_size=30))
@settings(max_examples=30, deadline=None)
def test_however_it_is_read_every_sample_comes_once_and_in_time(
    fif: Path, times: list[float]
) -> None:
    clock = VirtualClock(3.0)
    source = _build(ReplayConfig(file=fif), clock)
    signals = []
    for now in sorted(times):
        clock.sleep_until(3.0 + now)
        signal = source.read(0.0)
        if signal is not None:
            assert signal.n_times == len(signal.stamps) > 0
            assert signal.stamps[-1] <= clock.now()
            signals.append(signal)
    source.close()
    n_times = min(N_TIMES, int(np.floor((clock.now() - 3.0) * SFREQ + 1e-9)) + 1)
    data = np.concatenate([signal.data for signal in signals], axis=1)
    assert abs(data.shape[1] - n_times) <= 1  # whether the last one is due is a matter of rounding
    np.testing.assert_allclose(data, DATA[:, : data.shape[1]], rtol=1e-6)


def test_behind_the_end_nothing_comes_any_more(fif: Path) -> None:
    clock = VirtualClock()
    source = _build(ReplayConfig(file=fif), clock)
    clock.sleep_until(100.0)
    signal = source.read(0.0)
    assert signal is not None
    assert signal.n_times == N_TIMES
    clock.sleep_until(200.0)
    assert source.read(0.5) is None
    source.close()


def test_a_loop_goes_on_without_a_pause(fif: Path) -> None:
    clock = VirtualClock(10.0)
    source = _build(ReplayConfig(file=fif, loop=True), clock)
    signal = _until(source, clock, 10.0 + 2.5 * N_TIMES / SFREQ)
    source.close()
    np.testing.assert_allclose(np.diff(signal.times), 1 / SFREQ)
    repeated = np.tile(DATA, 3)[:, : signal.n_times]
    np.testing.assert_allclose(signal.data, repeated, rtol=1e-6)
    assert signal.n_times >= 2.5 * N_TIMES - 1


def test_on_the_real_clock_samples_come_when_they_are_due(fif: Path) -> None:
    source = _build(ReplayConfig(file=fif), RealClock())
    start, n_times = time.perf_counter(), 0
    while n_times < 0.3 * SFREQ:
        signal = source.read(0.01)
        if signal is not None:
            n_times += signal.n_times
            assert signal.times[-1] <= time.perf_counter()
    source.close()
    assert time.perf_counter() - start > 0.28


def test_positions_come_from_the_file(tmp_path: Path) -> None:
    raw = _raw()
    positions = {"Fp1": (-0.03, 0.09, 0.01), "CZ": (0.0, 0.0, 0.1)}
    raw.set_montage(mne.channels.make_dig_montage(positions, coord_frame="head"))
    raw.save(tmp_path / "with_raw.fif", verbose="ERROR")
    spec, _ = _all_of(ReplayConfig(file=tmp_path / "with_raw.fif"))
    assert spec.positions == {k: pytest.approx(v, abs=1e-6) for k, v in positions.items()}


def test_a_file_without_positions_gets_those_of_the_ten_five_system(fif: Path) -> None:
    spec, _ = _all_of(ReplayConfig(file=fif))
    assert set(spec.positions) == {"Fp1", "CZ"}


def test_brainvision_files_play_as_well(tmp_path: Path) -> None:
    file = tmp_path / "recording.vhdr"
    raw = _raw().drop_channels(["STI"])
    mne.export.export_raw(file, raw, verbose="ERROR")
    spec, signal = _all_of(ReplayConfig(file=file))
    assert spec.channels == CHANNELS[:3]
    assert spec.sfreq == SFREQ
    np.testing.assert_allclose(signal.data, DATA[:3], atol=2e-8)


SPEC = SignalSpec(CHANNELS, TYPES, SFREQ, {"Fp1": (-0.03, 0.09, 0.01)})


def test_our_own_recordings_play_with_their_gaps(tmp_path: Path) -> None:
    stamps = 900.0 + np.arange(N_TIMES) / SFREQ
    stamps[500:] += 0.7
    file = tmp_path / "ours.xdf"
    writer = XdfWriter(file, SPEC)
    for start in range(0, N_TIMES, 25):
        part = slice(start, start + 25)
        writer.write_signal(Signal(DATA[:, part], stamps[part], offset=12.0))
    writer.close()
    spec, signal = _all_of(ReplayConfig(file=file))
    assert spec.channels == CHANNELS
    assert spec.types == TYPES
    assert spec.positions == {"Fp1": pytest.approx((-0.03, 0.09, 0.01))}
    np.testing.assert_array_equal(signal.data, DATA)
    np.testing.assert_allclose(signal.times, stamps - 850.0)


def _xml(name: str, kind: str, dtype: str, unit: str) -> str:
    channels = "".join(
        f"<channel><label>{label}</label><type>EEG</type><unit>{escape(unit)}</unit></channel>"
        for label in ("Fz", "Oz")
    )
    return (
        f"<?xml version='1.0'?><info><name>{name}</name><type>{kind}</type>"
        f"<channel_count>2</channel_count><nominal_srate>100</nominal_srate>"
        f"<channel_format>{dtype}</channel_format><desc><channels>{channels}</channels></desc></info>"
    )


def _chunk(tag: int, content: bytes) -> bytes:
    return struct.pack("<BIH", 4, len(content) + 2, tag) + content


def _write_xdf(file: Path, *headers: str, values: NDArray[np.int16]) -> None:
    """Write what LabRecorder might: each stream has the same int16 samples."""
    content = b"XDF:" + _chunk(1, b"<info><version>1.0</version></info>")
    for stream, header in enumerate(headers, 1):
        content += _chunk(2, struct.pack("<I", stream) + header.encode())
        body = b"".join(
            struct.pack("<Bd2h", 8, 5.0 + i / 100, *row) for i, row in enumerate(values.tolist())
        )
        content += _chunk(3, struct.pack("<IBI", stream, 4, len(values)) + body)
    file.write_bytes(content)


VALUES = np.arange(400, dtype=np.int16).reshape(200, 2)


@pytest.mark.parametrize(("unit", "gain"), [("microvolts", 1e-6), ("mV", 1e-3)])
def test_recordings_of_other_programs_play_their_eeg_in_volts(
    tmp_path: Path, unit: str, gain: float
) -> None:
    headers = _xml("aux", "Accelerometer", "int16", "g"), _xml("amp", "EEG", "int16", unit)
    _write_xdf(tmp_path / "lab.xdf", *headers, values=VALUES)
    spec, signal = _all_of(ReplayConfig(file=tmp_path / "lab.xdf"))
    assert spec.channels == ("Fz", "Oz")
    assert spec.sfreq == 100
    np.testing.assert_allclose(signal.data, VALUES.T * gain, rtol=1e-6)


def test_a_compressed_recording_plays_as_well(tmp_path: Path) -> None:
    plain, packed = tmp_path / "lab.xdf", tmp_path / "sub-01.lab.xdf.gz"
    _write_xdf(plain, _xml("amp", "EEG", "int16", "uV"), values=VALUES)
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    _, signal = _all_of(ReplayConfig(file=packed))
    np.testing.assert_array_equal(signal.data, _all_of(ReplayConfig(file=plain))[1].data)


def test_one_of_several_eeg_streams_has_to_be_chosen(tmp_path: Path) -> None:
    headers = [_xml(name, "EEG", "int16", "uV") for name in ("left", "right")]
    file = tmp_path / "two.xdf"
    _write_xdf(file, *headers, values=VALUES)
    assert "choose one by 'stream', there are: left (type EEG), right" in _error(
        ReplayConfig(file=file)
    )
    spec, _ = _all_of(ReplayConfig(file=file, stream="right"))
    assert spec.channels == ("Fz", "Oz")
    assert "0 streams have the name 'up'" in _error(ReplayConfig(file=file, stream="up"))


def test_what_an_xdf_file_does_not_tell_can_be_given(tmp_path: Path) -> None:
    file = tmp_path / "bare.xdf"
    _write_xdf(file, _xml("amp", "EEG", "int16", ""), values=VALUES)
    assert "'units: microvolts'" in _error(ReplayConfig(file=file))
    given = ReplayConfig(
        file=file, units="microvolts", labels=("A", "B"), types={"B": "eog"}, stream="amp"
    )
    spec, signal = _all_of(given)
    assert (spec.channels, spec.types) == (("A", "B"), ("eeg", "eog"))
    np.testing.assert_allclose(signal.data, VALUES.T * 1e-6, rtol=1e-6)


def _error(config: ReplayConfig) -> str:
    with pytest.raises(PhospheneError) as caught:
        _build(config, VirtualClock())
    text = str(caught.value)
    assert str(config.file) in text
    return text


@pytest.mark.parametrize("name", ["none.fif", "none.xdf"])
def test_a_missing_file_is_named(tmp_path: Path, name: str) -> None:
    assert "there is no file" in _error(ReplayConfig(file=tmp_path / name))


@pytest.mark.parametrize("name", ["bad.fif", "bad.vhdr", "bad.edf", "bad.xdf", "bad.txt"])
def test_an_unreadable_file_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"this is not a recording" * 100)
    assert "cannot read" in _error(ReplayConfig(file=tmp_path / name))


def test_an_empty_recording_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "empty.xdf"
    _write_xdf(file, _xml("amp", "EEG", "int16", "uV"), values=VALUES[:0])
    assert "holds no samples" in _error(ReplayConfig(file=file))


@pytest.mark.parametrize(
    "given_for_xdf",
    [{"units": "volts"}, {"labels": ["A"]}, {"types": {"A": "eog"}}, {"stream": "s"}],
)
def test_only_xdf_files_can_be_corrected(given_for_xdf: dict[str, Sequence[str]]) -> None:
    field = next(iter(given_for_xdf))
    with pytest.raises(msgspec.ValidationError, match=f"{field} can be given for XDF only"):
        msgspec.convert(
            {"file": "recording.fif", **given_for_xdf},
            ReplayConfig,
            dec_hook=lambda kind, text: kind(text),
        )


def test_a_bids_run_plays_with_the_types_of_its_sidecar(tmp_path: Path) -> None:
    info = mne.create_info(["Cz", "AUX"], 100.0, ["eeg", "stim"])
    raw = mne.io.RawArray(np.zeros((2, 300)), info, verbose="ERROR")
    run = mne_bids.BIDSPath(subject="01", task="rest", root=tmp_path, datatype="eeg")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mne_bids.write_raw_bids(raw, run, format="BrainVision", allow_preload=True, verbose="ERROR")
    spec, _ = _all_of(ReplayConfig(file=tmp_path / "sub-01/eeg/sub-01_task-rest_eeg.vhdr"))
    assert spec.types == ("eeg", "stim")
