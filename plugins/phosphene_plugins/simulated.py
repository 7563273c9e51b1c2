"""A subject with an amplifier, for demos, tests and audits: it reacts to the image shown.

The presets are the same subject with other defaults. What each of them amounts to is measured in
docs/simulated-subject.md.
"""

from collections.abc import Mapping
from typing import ClassVar

from phosphene import Context, Source, SourceConfig, hookimpl
from phosphene_plugins.simulated_settings import CodeKind, SubjectSettings


class SimulatedConfig(SubjectSettings, frozen=True):
    """Settings of the simulated subject."""

    live: ClassVar[bool] = False

    def build(self, context: Context) -> Source:
        """Return the subject, who sees the onsets in ``context.onsets``."""
        from phosphene_plugins.simulated_subject import SimulatedSubject

        return SimulatedSubject(self, context)


class NullConfig(SimulatedConfig, frozen=True):
    """Nothing of the class is in the EEG, and nothing drifts."""

    code: CodeKind = "none"


class ConfoundedConfig(NullConfig, frozen=True):
    """Nothing of the class is in the EEG, but gains drift: the paper's accuracy in its blocks."""

    drift: float = 0.016


class RealisticConfig(SimulatedConfig, frozen=True):
    """A weak code, strong drift and a little of every artefact: Purdue's randomised data."""

    strength: float = 0.145
    after_effect: float = 0.3
    drift: float = 0.08
    saccades: float = 0.2
    muscle: float = 3.0
    pops: float = 0.5
    jitter: float = 0.002


class RealisticEvokedConfig(RealisticConfig, frozen=True):
    """The same, with the code in the waveform."""

    code: CodeKind = "evoked"
    strength: float = 0.07


class GenuineConfig(SimulatedConfig, frozen=True):
    """A code as strong as the paper's accuracy would need, were it one."""

    strength: float = 0.275


class GenuineEvokedConfig(GenuineConfig, frozen=True):
    """The same, with the code in the waveform."""

    code: CodeKind = "evoked"
    strength: float = 0.138


class EasyConfig(SimulatedConfig, frozen=True):
    """A code that nobody overlooks, for tests of everything else."""

    strength: float = 0.6


@hookimpl
def acquisition() -> Mapping[str, type[SourceConfig]]:
    """Offer ``simulated`` and its presets."""
    return {
        "simulated": SimulatedConfig,
        "simulated-null": NullConfig,
        "simulated-confounded": ConfoundedConfig,
        "simulated-realistic": RealisticConfig,
        "simulated-realistic-evoked": RealisticEvokedConfig,
        "simulated-genuine": GenuineConfig,
        "simulated-genuine-evoked": GenuineEvokedConfig,
        "simulated-easy": EasyConfig,
    }
