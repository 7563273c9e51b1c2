"""A subject with an amplifier, for demos, tests and audits: it reacts to the image shown."""

from collections.abc import Mapping
from typing import ClassVar

from phosphene import Context, Source, SourceConfig, hookimpl
from phosphene_plugins.simulated_settings import SubjectSettings


class SimulatedConfig(SubjectSettings, frozen=True):
    """Settings of the simulated subject."""

    live: ClassVar[bool] = False

    def build(self, context: Context) -> Source:
        """Return the subject, who sees the onsets in ``context.onsets``."""
        from phosphene_plugins.simulated_subject import SimulatedSubject

        return SimulatedSubject(self, context)


@hookimpl
def acquisition() -> Mapping[str, type[SourceConfig]]:
    """Offer ``simulated``."""
    return {"simulated": SimulatedConfig}
