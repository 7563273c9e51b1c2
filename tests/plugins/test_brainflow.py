"""BrainFlow's boards that need no device: the synthetic one, and the one that plays a file."""

import gc
import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from phosphene import Context, PhospheneError, Signal, StimulusSet
from phosphene.interfaces import SourceWithImpedances
from phosphene.testing.sources import (
    SECONDS,
    Recorded,
    SourceCandidate,
    rate_is_that_of_its_spec,
    shapes_and_dtypes,
    stamps_are_true,
    unit_is_volts,
)
from phosphene_plugins import brainflow
from phosphene_plugins.brainflow import BrainFlowConfig, BrainFlowSource, acquisition, lay_out

board_shim = pytest.importorskip(
    "brainflow.board_shim", reason="the extra 'brainflow' is not installed"
)

pytestmark = pytest.mark.filterwarnings("ignore:.*pkg_resources:DeprecationWarning")

CONTEXT = Context(StimulusSet(Path(), {}, ()))
SYNTHETIC = BrainFlowConfig(board="synthetic")
HERTZ = 250
N_EEG = 16


@contextmanager
def _opened(config: BrainFlowConfig) -> Iterator[BrainFlowSource]:
    source = config.build(CONTEXT)
    assert isinstance(source, BrainFlowSource)
    try:
        yield source
    finally:
        source.close()


@pytest.fixture(scope="module")
def recorded() -> Recorded:
    """Two seconds of the synthetic board, and the time after each read."""
    with _opened(SYNTHETIC) as source:
        found = Recorded(source.spec, [], [], None)
        end = time.perf_counter() + SECONDS
        while time.perf_counter() < end:
            if (signal := source.read(0.01)) is not None:
                found.signals.append(signal)
                found.now.append(time.perf_counter())
        return found


def _error(**settings: Any) -> str:
    with pytest.raises(PhospheneError) as raised, _opened(BrainFlowConfig(**settings)):
        pass
    return str(raised.value)


def _described(board: str) -> dict[str, Any]:
    brainflow._load_library()
    told = board_shim.BoardShim.get_board_descr(board_shim.BoardIds[board])
    assert isinstance(told, dict)
    return told


def test_the_hook_offers_a_source_that_needs_the_real_clock() -> None:
    assert acquisition() == {"brainflow": BrainFlowConfig}
    assert BrainFlowConfig.live


@pytest.mark.parametrize(
    "demand", [shapes_and_dtypes, stamps_are_true, rate_is_that_of_its_spec, unit_is_volts]
)
def test_the_running_board_conforms(demand: Any, recorded: Recorded) -> None:
    candidate = SourceCandidate(SYNTHETIC)
    vars(candidate)["recorded"] = recorded  # What the kit would record on a virtual clock.
    demand(candidate)


def test_channels_have_brainflows_names_and_types(recorded: Recorded) -> None:
    spec = recorded.spec
    assert spec.sfreq == HERTZ
    assert spec.channels[:3] == ("Fz", "C3", "Cz")
    assert spec.types[:N_EEG] == ("eeg",) * N_EEG
    assert set(spec.channels[N_EEG:-1]) >= {"ACCEL1", "GYRO3", "EDA1"}
    assert set(spec.types[N_EEG:-1]) == {"misc"}
    assert (spec.channels[-1], spec.types[-1]) == ("MARKER", "stim")
    assert set(spec.positions) == set(spec.channels[:N_EEG])


def test_stamps_are_unix_time_and_times_are_now(recorded: Recorded) -> None:
    for signal, now in zip(recorded.signals, recorded.now, strict=True):
        assert abs(signal.stamps[-1] - time.time()) < 60
        assert now - 0.5 < signal.times[-1] <= now
    assert len({signal.offset for signal in recorded.signals}) < len(recorded.signals) / 4


def test_the_synthetic_signal_has_the_amplitude_that_brainflow_gives_it(recorded: Recorded) -> None:
    data = np.hstack([signal.data for signal in recorded.signals])
    assert 5e-6 < data[0].std() < 15e-6  # A sine of 10 µV rms.


def test_markers_come_in_the_stim_channel() -> None:
    with _opened(SYNTHETIC) as source:
        source._board.insert_marker(3.0)
        end, found = time.perf_counter() + 2, np.empty(0)
        while not found.any() and time.perf_counter() < end:
            signal = source.read(0.1)
            found = np.empty(0) if signal is None else signal.data[-1]
    assert found.max() == 3


@pytest.mark.parametrize("name", ["SYNTHETIC", "synthetic_board", "Synthetic_Board"])
def test_the_case_of_a_name_does_not_matter(name: str) -> None:
    brainflow._load_library()
    assert brainflow._board_id(name) == -1


def test_every_board_that_brainflow_describes_can_be_laid_out() -> None:
    described = [_described(each.name) for each in board_shim.BoardIds if each.value >= -1]
    assert len(described) > 50
    for told in described:
        layout = lay_out(told, BrainFlowConfig(board=told["name"]))
        assert layout.rows[: len(told.get("eeg_channels", ()))] == told.get("eeg_channels", [])
        assert told["timestamp_channel"] not in layout.rows
        assert layout.gains.shape == (layout.spec.n_channels, 1)


def test_voltages_of_other_kinds_have_rows_of_their_own() -> None:
    spec = lay_out(_described("GALEA_BOARD"), BrainFlowConfig(board="galea")).spec
    assert spec.types == ("eeg",) * 16 + ("eog",) * 2 + ("emg",) * 6 + ("misc",) * 2 + ("stim",)
    assert spec.channels[16:19] == ("EOG1", "EOG2", "EMG1")


def test_labels_types_and_units_win() -> None:
    labels = ("Fp1", "VEOG", "C3", "C4", "P7", "P8", "O1", "O2")
    types: Any = {"VEOG": "eog", "ANALOG1": "stim"}
    config = BrainFlowConfig(
        board="cyton", labels=labels, types=types, units="millivolts", jitter=0.05
    )
    layout = lay_out(_described("CYTON_BOARD"), config)
    assert layout.spec.jitter == 0.05
    given = dict(zip(layout.spec.channels, layout.spec.types, strict=True))
    assert given["VEOG"] == "eog"
    assert given["ANALOG1"] == "stim"
    assert given["ANALOG2"] == "misc"
    np.testing.assert_array_equal(layout.gains[:9, 0], [*[1e-3] * 8, 1])


def test_electrodes_that_brainflow_does_not_name_are_numbered(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.WARNING):
        layout = lay_out(_described("GANGLION_BOARD"), BrainFlowConfig(board="ganglion"))
    assert layout.spec.channels[:4] == ("EEG1", "EEG2", "EEG3", "EEG4")
    assert not layout.spec.positions
    assert "labels: [Fp1, Fp2, ...]" in caplog.text


def test_a_file_plays_in_volts(tmp_path: Path) -> None:
    from brainflow.data_filter import DataFilter

    values = np.zeros((32, 100))
    values[1:17] = np.arange(1600).reshape(16, 100)
    values[17] = 0.5
    values[30] = 1e9 + np.arange(100) / HERTZ
    DataFilter.write_file(values, str(tmp_path / "played.csv"), "w")
    config = BrainFlowConfig(
        board="playback_file", master_board="synthetic", file=tmp_path / "played.csv"
    )
    with _opened(config) as source:
        data = _until(source, 50)
    np.testing.assert_allclose(data[:16], values[1:17, : data.shape[1]] * 1e-6, rtol=1e-6)
    np.testing.assert_array_equal(data[source.spec.channels.index("ACCEL1")], 0.5)


def _until(source: BrainFlowSource, n_times: int) -> NDArray[np.float32]:
    signals: list[Signal] = []
    end = time.perf_counter() + 5
    while sum(each.n_times for each in signals) < n_times and time.perf_counter() < end:
        if (signal := source.read(0.1)) is not None:
            signals.append(signal)
    return np.hstack([signal.data for signal in signals])


class Scripted:
    """A board that has what is put into it."""

    def __init__(self) -> None:
        self.stamps: list[float] = []
        self.n_looks = 0

    def get_board_data_count(self) -> int:
        self.n_looks += 1
        return len(self.stamps)

    def get_board_data(self) -> NDArray[np.float64]:
        data = np.zeros((32, len(self.stamps)))
        data[30] = self.stamps
        self.stamps = []
        return data


@contextmanager
def _scripted(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[BrainFlowSource, Scripted]]:
    with _opened(SYNTHETIC) as source, monkeypatch.context() as patch:
        scripted = Scripted()
        patch.setattr(source, "_board", scripted)
        yield source, scripted


def test_waiting_does_not_keep_the_processor_busy(monkeypatch: pytest.MonkeyPatch) -> None:
    with _scripted(monkeypatch) as (source, board):
        before = time.perf_counter()
        assert source.read(0.0) is None
        assert source.read(0.2) is None
    assert 0.2 <= time.perf_counter() - before < 1.0
    assert board.n_looks < 30


def test_times_go_on_when_the_system_clock_is_set_back(monkeypatch: pytest.MonkeyPatch) -> None:
    times, offsets, unix = [], [], time.time
    with _scripted(monkeypatch) as (source, board):
        for shift in (0.0, 0.0, -10.0, -10.0, 5.0):
            with monkeypatch.context() as patch:
                patch.setattr(time, "time", lambda shift=shift: unix() + shift)
                board.stamps = [time.time() - 0.004, time.time()]
                signal = source.read(0.0)
            assert signal is not None
            times.append(signal.times)
            offsets.append(signal.offset)
            time.sleep(0.01)
        now = time.perf_counter()
    assert np.diff(np.concatenate(times)).min() > -1e-6
    assert now - 0.2 < times[-1][-1] <= now
    np.testing.assert_allclose(np.diff(offsets), [0, 10, 0, -15], atol=0.01)


def test_a_stamp_that_steps_back_stays_where_time_was(monkeypatch: pytest.MonkeyPatch) -> None:
    with _scripted(monkeypatch) as (source, board):
        now = time.time()
        board.stamps = [now - 1.0, now - 0.5, now - 0.8, now + 7.0]
        signal = source.read(0.0)
        after = time.time()
        board.stamps = [now - 0.9]
        later = source.read(0.0)
    assert signal is not None
    assert later is not None
    np.testing.assert_array_equal(signal.stamps[:3], [now - 1.0, now - 0.5, now - 0.5])
    assert now <= signal.stamps[3] <= after + 1e-3
    assert abs(later.times[0] - signal.times[-1]) < 1e-6


def test_an_unknown_board_is_refused_with_the_known_ones() -> None:
    text = _error(board="cytom")
    assert "there is no board 'cytom' (did you mean 'cyton'?)" in text
    assert "ganglion" in text
    assert "'no'" not in text


def test_a_board_that_is_not_there_says_how_it_was_looked_for() -> None:
    text = _error(board="cyton", serial_port="/dev/nothing-here")
    assert "BrainFlow board 'cyton' does not open (serial_port '/dev/nothing-here')" in text
    assert "UNABLE_TO_OPEN_PORT" in text
    assert "no word of its connection" in _error(board="ganglion")


def test_a_played_board_needs_to_know_which_one_it_was() -> None:
    assert "master board" in _error(board="streaming", ip_address="225.1.1.1", ip_port=6677)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"labels": ("Fp1", "Fp2")}, "16 EEG channels, but 'labels' has 2 names"),
        ({"types": {"VEOG": "eog"}}, "'types' names VEOG"),
    ],
)
def test_settings_that_do_not_fit_let_go_of_the_board(
    settings: dict[str, Any], expected: str
) -> None:
    assert expected in _error(board="synthetic", **settings)
    with _opened(SYNTHETIC) as source:
        gc.collect()
        assert source.read(1.0) is not None


def test_a_board_that_breaks_off_is_an_error() -> None:
    with _opened(SYNTHETIC) as source:
        source._board.release_session()
        with pytest.raises(PhospheneError, match="'synthetic' broke off: BOARD_NOT_CREATED"):
            source.read(0.1)
        source._board.prepare_session()


def test_brainflow_itself_writes_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    _error(board="cyton", serial_port="/dev/nothing-here")
    with _opened(SYNTHETIC):
        pass
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("missing", ["brainflow", "pkg_resources"])
def test_without_the_library_the_extra_is_named(
    missing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if missing == "pkg_resources" and sys.version_info >= (3, 12):
        pytest.skip("not imported since Python 3.12")
    monkeypatch.setitem(sys.modules, missing, None)
    monkeypatch.delitem(sys.modules, "brainflow.board_shim")
    text = _error(board="synthetic")
    assert "the source 'brainflow' needs brainflow: pip install 'phosphene[brainflow]'" in text
    assert missing in text


def test_impedances_are_told_where_the_board_measures_them() -> None:
    with _opened(SYNTHETIC) as source:
        assert isinstance(source, SourceWithImpedances)
        assert source.impedances() == {}
        end = time.perf_counter() + 5
        while not source.impedances() and time.perf_counter() < end:
            source.read(0.05)
        assert list(source.impedances()) == ["RESISTANCE1", "RESISTANCE2"]
        assert all(ohms > 0 for ohms in source.impedances().values())
