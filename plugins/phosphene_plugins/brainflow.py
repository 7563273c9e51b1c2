"""A board that the BrainFlow library reads: OpenBCI, Muse, BrainBit, ANT Neuro and many more.

What each board is called and needs: https://brainflow.readthedocs.io/en/stable/SupportedBoards.html.
"""

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from phosphene import Context, PhospheneError, Signal, SignalSpec, Source, SourceConfig, hookimpl
from phosphene_plugins._channels import (
    TYPES,
    VOLTAGES,
    VOLTS,
    ChannelSettings,
    cap_positions,
    electrodes,
    retyped,
    template_positions,
)

if TYPE_CHECKING:
    from brainflow.board_shim import BoardShim

CONNECTION = (
    "serial_port", "mac_address", "ip_address", "ip_port", "serial_number", "timeout", "file",
    "other_info",
)  # fmt: skip
"""Settings that BrainFlow has under the same names."""
CHUNK = 0.01
"""Seconds of signal that are worth waking up for."""
BUFFER = 60.0
"""Seconds of signal that BrainFlow keeps until they are read."""
MISC = (
    "other", "analog", "accel", "gyro", "magnetometer", "rotation", "ppg", "optical", "eda",
    "temperature",
)  # fmt: skip
"""What BrainFlow calls channels that are no voltages of the body, nor impedances."""
SAME_OFFSET = 1e-4
"""Seconds by which the clocks may drift apart before the offset is another one."""

log = logging.getLogger(__name__)


@hookimpl
def acquisition() -> Mapping[str, type[SourceConfig]]:
    """Offer the source ``brainflow``."""
    return {"brainflow": BrainFlowConfig}


class BrainFlowConfig(ChannelSettings, frozen=True, kw_only=True):
    """Which board to read and how it is connected; ``labels`` are those of the EEG channels."""

    board: str
    """BrainFlow's name of the board, e.g. ``cyton``."""
    serial_port: str | None = None
    mac_address: str | None = None
    ip_address: str | None = None
    ip_port: int | None = None
    serial_number: str | None = None
    timeout: int | None = None
    """Seconds to look for the board."""
    file: Path | None = None
    """What the board ``playback_file`` plays."""
    other_info: str | None = None
    master_board: str | None = None
    """Name of the board whose signal ``playback_file`` or ``streaming`` carries."""

    def build(self, context: Context) -> Source:
        """Open the board and start it; ``PhospheneError`` if it does not answer."""
        _load_library()
        return BrainFlowSource(self)


class BrainFlowSource:
    """One board: stamps in UNIX time as BrainFlow gives them, samples in volts."""

    def __init__(self, config: BrainFlowConfig) -> None:
        self._origin = f"BrainFlow board {config.board!r}"
        with _explained(self._origin):
            self._board = _board(config)
        with _explained(f"{self._origin} does not open ({_connection_of(config)})"):
            self._board.prepare_session()
        try:
            with _explained(self._origin):
                self._start(config)
        except BaseException:
            self.close()
            raise

    def _start(self, config: BrainFlowConfig) -> None:
        told = self._board.get_board_descr(self._board.get_board_id())
        layout = lay_out(told, config)
        self.spec, self._rows, self._gains = layout.spec, layout.rows, layout.gains
        self._stamp_row = told["timestamp_channel"]
        self._ohm_rows = list(told.get("resistance_channels", ()))
        self._ohms: dict[str, float] = {}
        self._chunk = max(1, round(CHUNK * self.spec.sfreq))
        self._offset, self._last = _measured_offset(), -np.inf
        self._board.start_stream(round(BUFFER * self.spec.sfreq))

    def read(self, timeout: float) -> Signal | None:
        """Return what has arrived since the last call, if possible 10 ms of signal, or None."""
        with _explained(f"{self._origin} broke off"):
            self._wait(timeout)
            found = self._board.get_board_data()
        if found.shape[1] == 0:
            return None
        self._ohms = dict(zip(self._ohm_names(), found[self._ohm_rows, -1].tolist(), strict=True))
        data = (found[self._rows] * self._gains).astype(np.float32)
        return self._timed(data, found[self._stamp_row])

    def impedances(self) -> Mapping[str, float]:
        """Return the newest values in ohms, where the board measures them."""
        return self._ohms

    def _ohm_names(self) -> list[str]:
        """Return what the values belong to: the EEG electrodes, if there is one for each."""
        spec = self.spec
        eeg = [name for name, kind in zip(spec.channels, spec.types, strict=True) if kind == "eeg"]
        known = len(eeg) == len(self._ohm_rows)
        return eeg if known else _numbered("resistance", len(self._ohm_rows))

    def _wait(self, timeout: float) -> None:
        """Return when there are 10 ms of signal, or no time is left."""
        end = time.perf_counter() + timeout
        while self._board.get_board_data_count() < self._chunk:
            if (left := end - time.perf_counter()) <= 0:
                return
            time.sleep(min(left, CHUNK))

    def _timed(self, data: NDArray[np.float32], stamps: NDArray[np.float64]) -> Signal:
        """Return the signal; where the system clock was set, time neither steps back nor ahead."""
        measured = _measured_offset()
        if abs(measured - self._offset) > SAME_OFFSET:
            self._offset = measured
        earliest, latest = self._last - self._offset, time.perf_counter() - self._offset
        stamps = np.maximum.accumulate(np.clip(stamps, earliest, latest))
        signal = Signal(data, stamps, self._offset)
        self._last = float(signal.times[-1])
        return signal

    def close(self) -> None:
        """Stop the board and disconnect."""
        self._board.release_session()
        # Left to the garbage collector, it would release whoever has this board by then.
        del self._board


@dataclass(frozen=True)
class Layout:
    """Which rows of a board's data are channels."""

    spec: SignalSpec
    rows: list[int]
    gains: NDArray[np.float64]
    """What to multiply each channel by to get volts, shape (n_channels, 1); 1 for misc and stim."""


def lay_out(told: Mapping[str, Any], config: BrainFlowConfig) -> Layout:
    """Return the channels of the board that BrainFlow describes so (``get_board_descr``)."""
    channels = _channels(told, _electrodes(told, config.labels))
    labels = electrodes([label for label, _ in channels.values()], config.mapping)
    types = retyped(labels, [kind for _, kind in channels.values()], config.types)
    gain = VOLTS[config.units or "microvolts"]
    gains = np.array([[gain if kind in VOLTAGES else 1.0] for kind in types])
    eeg = [label for label, kind in zip(labels, types, strict=True) if kind == "eeg"]
    positions = cap_positions(config.cap, eeg) if config.cap else template_positions(eeg)
    sfreq = float(told["sampling_rate"])
    spec = SignalSpec(labels, types, sfreq, positions, jitter=config.jitter)
    return Layout(spec, list(channels), gains)


def _channels(told: Mapping[str, Any], electrodes: Sequence[str]) -> dict[int, tuple[str, str]]:
    """Return name and type by row; what can be several kinds of voltage is EEG first."""
    found: dict[int, tuple[str, str]] = {}
    for kind in (*VOLTAGES, *MISC):
        rows = told.get(f"{kind}_channels", ())
        names = electrodes if kind == "eeg" else _numbered(kind, len(rows))
        for name, row in zip(names, rows, strict=True):
            found.setdefault(row, (name, TYPES.get(kind, "misc")))
    return found | {told["marker_channel"]: ("MARKER", "stim")}


def _electrodes(told: Mapping[str, Any], labels: Sequence[str] | None) -> Sequence[str]:
    """Return the names of the EEG channels: those given, or BrainFlow's, or numbers."""
    n_channels = len(told.get("eeg_channels", ()))
    if labels is not None:
        if len(labels) != n_channels:
            raise PhospheneError(f"{n_channels} EEG channels, but 'labels' has {len(labels)} names")
        return labels
    if "eeg_names" in told:
        return str(told["eeg_names"]).split(",")
    if n_channels:
        log.warning(
            "BrainFlow does not know where the electrodes of %s are; they are called EEG1 to EEG%d "
            "and have no positions: give all of them in order, 'labels: [Fp1, Fp2, ...]'",
            told["name"],
            n_channels,
        )
    return _numbered("eeg", n_channels)


def _numbered(kind: str, n_channels: int) -> list[str]:
    return [f"{kind.upper()}{number}" for number in range(1, n_channels + 1)]


def _load_library() -> None:
    """Raise ``PhospheneError`` unless brainflow works; it is told not to log."""
    try:
        from brainflow.board_shim import BoardShim

        BoardShim.disable_board_logger()
    except ImportError as error:
        raise PhospheneError(
            f"the source 'brainflow' needs brainflow: pip install 'phosphene[brainflow]' ({error})"
        ) from None
    except OSError as error:
        raise PhospheneError(f"brainflow cannot load its library: {error}") from None


@contextmanager
def _explained(what: str) -> Iterator[None]:
    """Say in every ``PhospheneError`` what it is about; BrainFlow's errors become one."""
    from brainflow.exit_codes import BrainFlowError

    try:
        yield
    except (BrainFlowError, PhospheneError) as error:
        raise PhospheneError(f"{what}: {error}") from None


def _board(config: BrainFlowConfig) -> "BoardShim":
    from brainflow.board_shim import BoardShim, BrainFlowInputParams

    parameters = BrainFlowInputParams()
    for field, value in _connection(config).items():
        setattr(parameters, field, value)
    if config.master_board is not None:
        parameters.master_board = _board_id(config.master_board)
    return BoardShim(_board_id(config.board), parameters)


def _connection(config: BrainFlowConfig) -> dict[str, str | int]:
    """Return the settings that were given, as BrainFlow takes them."""
    given = {field: getattr(config, field) for field in CONNECTION}
    return {
        field: str(value) if isinstance(value, Path) else value
        for field, value in given.items()
        if value is not None
    }


def _connection_of(config: BrainFlowConfig) -> str:
    given = (f"{field} {value!r}" for field, value in _connection(config).items())
    return ", ".join(given) or "no word of its connection"


def _board_id(name: str) -> int:
    """Return BrainFlow's number of a board; ``PhospheneError`` lists all boards."""
    from brainflow.board_shim import BoardIds

    boards = {each.name.lower().removesuffix("_board"): int(each) for each in BoardIds}
    del boards["no"]
    asked = name.lower().removesuffix("_board")
    if asked in boards:
        return boards[asked]
    alike = get_close_matches(asked, boards, n=1)
    hint = f" (did you mean {alike[0]!r}?)" if alike else ""
    raise PhospheneError(f"there is no board {name!r}{hint}; boards: {', '.join(boards)}")


def _measured_offset() -> float:
    """Return what added to UNIX time gives Python's clock, in seconds: the best of three looks."""
    looks = [(time.perf_counter(), time.time(), time.perf_counter()) for _ in range(3)]
    before, unix, after = min(looks, key=lambda look: look[2] - look[0])
    return (before + after) / 2 - unix
