"""What is found in each subject, and over subjects: the question is whether the next one has it."""

from collections import defaultdict
from collections.abc import Mapping, Sequence

import msgspec
import numpy as np

from phosphene.analysis.crossvalidation import Evaluation
from phosphene.analysis.metrics import CONFIDENCE

PERCENT = ("top-1", "top-3", "top-5")


class OverSubjects(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A measure over subjects; as text it is complete."""

    name: str
    """``top-1``, ``top-3``, ``top-5``, ``macro F1`` or ``Cohen's kappa``."""
    by_subject: dict[str, float]
    """Mean over a subject's sessions."""
    mean: float
    sd: float
    """Standard deviation between subjects (n - 1)."""
    low: float
    """Lower end of the 95 % interval of the mean: Student's t over subjects."""
    high: float
    chance: float
    """Mean over sessions."""
    label: str = ""
    """``CONFOUNDED`` if that holds for any session; part of the text."""

    @property
    def above_chance(self) -> bool:
        """Whether it is evidence of decoding in subjects like these."""
        return not self.label and self.low > self.chance

    def __str__(self) -> str:
        mean, sd, chance, low, high = map(
            self._written, (self.mean, self.sd, self.chance, self.low, self.high)
        )
        unit = " %" if self.name in PERCENT else ""
        text = (
            f"{mean}{unit} (SD {sd}) over {len(self.by_subject)} subjects "
            f"(chance {chance}{unit}, 95 % interval {low} to {high}{unit})"
        )
        return f"{text}: {self.label}" if self.label else text

    def _written(self, value: float) -> str:
        return f"{100 * value:.1f}" if self.name in PERCENT else f"{value:.3f}"


def over_subjects(found: Sequence[tuple[str, Evaluation]]) -> tuple[OverSubjects, ...]:
    """Return what holds over subjects, given with their sessions' evaluations by one decoder.

    Nothing is returned for fewer than two subjects. A measure that some session lacks, as top-5
    with four classes, is left out.
    """
    if len({subject for subject, _ in found}) < 2:
        return ()
    label = next((each.label for _, each in found if each.label), "")
    measured = [(subject, _measures(each)) for subject, each in found]
    names = [name for name in measured[0][1] if all(name in of for _, of in measured)]
    return tuple(
        _over(name, [(subject, *of[name]) for subject, of in measured], label) for name in names
    )


def _measures(found: Evaluation) -> Mapping[str, tuple[float, float]]:
    """Return value and chance by name."""
    top = {f"top-{each.k}": (each.fraction, each.chance) for each in found.top}
    return top | {each.name: (each.value, each.chance) for each in found.scores}


def _over(name: str, values: Sequence[tuple[str, float, float]], label: str) -> OverSubjects:
    from scipy.stats import t

    sessions = defaultdict(list)
    for subject, value, _ in values:
        sessions[subject].append(value)
    by_subject = {subject: float(np.mean(of)) for subject, of in sorted(sessions.items())}
    means, n = list(by_subject.values()), len(by_subject)
    mean, sd = float(np.mean(means)), float(np.std(means, ddof=1))
    reach = float(t.ppf((1 + CONFIDENCE) / 2, n - 1)) * sd / n**0.5
    chance = float(np.mean([each for _, _, each in values]))
    least = -1.0 if name not in PERCENT and chance == 0 else 0.0
    # Where all subjects are alike to the last trial, nothing is known of how they vary.
    low, high = (max(least, mean - reach), min(1.0, mean + reach)) if sd else (least, 1.0)
    return OverSubjects(name, by_subject, mean, sd, low, high, chance, label)
