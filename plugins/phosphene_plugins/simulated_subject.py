"""The simulated subject as a source: ongoing activity, and responses to what is on the screen."""

import math

import numpy as np

from phosphene import Context, Onset, PhospheneError, Signal, SignalSpec, StimulusSet
from phosphene_plugins.simulated_activity import Activity
from phosphene_plugins.simulated_code import make_code
from phosphene_plugins.simulated_eyes import Glances
from phosphene_plugins.simulated_leadfield import Head, load_head
from phosphene_plugins.simulated_modulation import Induced, Modulation, Suppression
from phosphene_plugins.simulated_pulses import FLASH, TRIGGER, Pulses
from phosphene_plugins.simulated_response import Evoked
from phosphene_plugins.simulated_settings import SubjectSettings
from phosphene_plugins.simulated_tape import Reactions, Tape

LAG = 0.06
"""Seconds by which samples come late on a live clock: an onset needs time to get here before the
samples that respond to it are given away."""
BLOCK = 0.01
"""Seconds that the amplifier collects on a live clock before it sends."""
HISTORY = 0.5
"""Seconds of samples kept for the rest of a response to an onset that came too late."""
FORESIGHT = 1.0
"""Seconds that an onset may lie ahead before the clocks must be different ones."""


class SimulatedSubject:
    """A source that reacts to the onsets in the context's feed."""

    def __init__(self, settings: SubjectSettings, context: Context) -> None:
        whole = load_head()
        head = (whole.with_eog() if settings.eog else whole).reduced(settings.channels)
        seed = context.seed if settings.seed is None else settings.seed
        self._pulses = _pulses(settings, seed)
        names, types = _other_channels(settings)
        self.spec = SignalSpec(
            (*head.channels, *names), (*head.types, *types), settings.sfreq, head.electrodes()
        )
        reactions = _reactions(settings, head, context.stimuli, seed)
        activity = Activity(settings, head, seed)
        self._tape = Tape(activity, reactions, round(HISTORY * settings.sfreq))
        self._onsets, self._clock = context.onsets, context.clock
        self._jitter, self._seed = settings.jitter, seed
        self._start = context.clock.now()
        self._next = 0

    def read(self, timeout: float) -> Signal | None:
        """Return the samples up to now, on a live clock up to 60 ms ago; None if there are none.

        ``timeout`` matters on a live clock only: another one stands still while we wait.
        """
        if self._clock.live:
            self._wait(timeout)
        while self._onsets:
            self._react(self._onsets.popleft())
        end = self._index(self._clock.now() - (LAG if self._clock.live else 0.0))
        if end <= self._next:
            return None
        start, self._next = self._next, end
        stamps = self._start + np.arange(start, end) / self.spec.sfreq
        played = np.vstack((self._tape.play(start, end), self._pulses.play(start, end)))
        return Signal(played, stamps)

    def close(self) -> None:
        """Do nothing: there is no device."""

    def _wait(self, timeout: float) -> None:
        block_end = self._start + self._next / self.spec.sfreq + BLOCK + LAG
        self._clock.sleep_until(min(block_end, self._clock.now() + timeout))

    def _react(self, onset: Onset) -> None:
        ahead = onset.time - self._clock.now()
        if ahead > FORESIGHT:
            raise PhospheneError(
                f"onset {onset.seq} lies {ahead:.3f} s in the future; the simulated subject "
                "needs onsets on the LSL clock of its own computer"
            )
        late = np.random.default_rng((self._seed, 5, onset.seq)).uniform(0, self._jitter)
        self._tape.react(self._index(onset.time + late), onset)
        self._pulses.react(self._index(onset.time), onset)

    def _index(self, time: float) -> int:
        """Return the first sample at or after ``time``."""
        # A stamp that was computed from its index must give that index again.
        return math.ceil((time - self._start) * self.spec.sfreq - 1e-4)


def _other_channels(settings: SubjectSettings) -> tuple[list[str], list[str]]:
    """Return names and types of the channels that are on no head."""
    light = settings.photodiode is not None
    names = ["Photodiode"] * light + ["Trigger"] * settings.trigger
    return names, ["misc"] * light + ["stim"] * settings.trigger


def _pulses(settings: SubjectSettings, seed: int) -> Pulses:
    rows, noisy = [], []
    if settings.photodiode is not None:
        delay = round(settings.photodiode * settings.sfreq)
        rows.append((delay, round(FLASH * settings.sfreq)))
        noisy.append(True)
    if settings.trigger:
        rows.append((0, max(1, round(TRIGGER * settings.sfreq))))
        noisy.append(False)
    return Pulses(rows, noisy, seed)


def _reactions(settings: SubjectSettings, head: Head, stimuli: StimulusSet, seed: int) -> Reactions:
    """Return what images do to this subject."""
    code = make_code(settings, len(head.hind), stimuli, seed)
    evoked, glances = Evoked(settings, head, code, seed), Glances(settings, head, seed)
    alpha: list[Modulation] = [Suppression(settings)] if settings.alpha_suppression else []
    power = settings.code == "power" or (settings.code == "evoked" and settings.after_effect)
    band: list[Modulation] = [Induced(settings, code)] if power else []
    return Reactions([evoked, glances] if settings.saccades else [evoked], (alpha, band))
