"""What is wrong with channels is found, and told by name."""

from collections import deque
from typing import Any

import numpy as np
import pytest

from phosphene import PhospheneError, Signal, SignalSpec
from phosphene.channels import bad_channels, examine, told
from phosphene.clock import VirtualClock
from phosphene.messages import Channels, OpenSegment, Prepare, Ready
from phosphene.roles.acquire import Acquisition

NAMES = ("Fp1", "Cz", "Oz", "Pz", "EOG")
SPEC = SignalSpec(NAMES, ("eeg",) * 4 + ("eog",), 500.0)
TIMES = np.arange(500) / 500


def second() -> np.ndarray:
    """Return a second as amplifiers give it: 15 uV on an offset that drifts, some of the line."""
    rng = np.random.default_rng(0)
    data = 1.5e-5 * rng.standard_normal((5, 500)) + 1e-5 * np.sin(2 * np.pi * 50 * TIMES)
    return (data + 0.2 + 1e-4 * TIMES).astype(np.float64)


SPOILT: dict[str, Any] = {
    "samples that are no numbers": lambda data: np.where(TIMES == 0.5, np.nan, data),
    "flat": lambda data: 0 * data + 0.2,
    "saturated": lambda data: np.clip(data, -1, np.quantile(data, 0.8)),
    "nothing but the power line": lambda data: data + 1e-3 * np.sin(2 * np.pi * 60 * TIMES),
}


@pytest.mark.parametrize("problem", SPOILT)
def test_each_problem_is_told_by_name(problem: str) -> None:
    data = second()
    data[2] = SPOILT[problem](data[2])
    assert examine(data, SPEC) == {"Oz": problem}


def test_a_sound_signal_has_no_problem_and_other_channels_are_not_judged() -> None:
    data = second()
    data[4] = 0
    assert examine(data, SPEC) == {}


@pytest.mark.parametrize("factor", [1e-3, 1e3])
def test_a_unit_that_is_a_thousand_times_off_is_refused(factor: float) -> None:
    with pytest.raises(PhospheneError, match=r"V rms, which no brain makes: is the unit wrong"):
        examine(second() * factor, SPEC)


def test_most_channels_bad_is_refused_by_name() -> None:
    data = second()
    data[:3] = 0
    with pytest.raises(PhospheneError, match="most EEG channels are bad: flat: Fp1, Cz, Oz"):
        examine(data, SPEC)


def test_channels_of_one_problem_are_told_together() -> None:
    assert told({"Fp1": "flat", "Cz": "saturated", "Oz": "flat"}) == "flat: Fp1, Oz; saturated: Cz"


class Source:
    """Delivers the same second again and again, in tenths."""

    spec = SPEC

    def __init__(self, data: np.ndarray) -> None:
        self._data, self._n = data.astype(np.float32), 0

    def read(self, timeout: float) -> Signal | None:
        first, self._n = self._n % 500, self._n + 50
        return Signal(self._data[:, first : first + 50], (self._n + np.arange(50)) / 500)

    def close(self) -> None:
        pass


def test_acquisition_looks_before_it_is_ready_and_then_every_second(tmp_path: Any) -> None:
    data = second()
    data[1] = 0.2
    clock = VirtualClock()
    acquisition = Acquisition(Source(data), deque(), clock)
    assert acquisition.handle(Prepare()) == []
    said = [message for n in range(10) for _, message in acquisition.poll(n / 10)]
    assert said == [Ready("acquisition", spec=SPEC, problem="flat: Cz")]
    acquisition.handle(OpenSegment("record", 1, str(tmp_path / "a.xdf")))
    later = [message for n in range(10, 30) for _, message in acquisition.poll(n / 10)]
    seconds = [message for message in later if isinstance(message, Channels)]
    assert [each.bad for each in seconds] == [{"Cz": "flat"}] * 2
    acquisition.close()


def test_bad_channels_may_be_most_of_them_while_it_runs() -> None:
    assert len(bad_channels(0 * second(), SPEC)) == 4
