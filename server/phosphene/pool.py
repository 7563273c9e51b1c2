"""The pool: pictures that were made ahead and wait in the presenter, none shown twice."""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from phosphene.messages import MakePicture


class Pool:
    """Knows which pictures wait, and which class needs one most."""

    def __init__(self, per_class: int, session_seed: int, n_before: int = 0) -> None:
        self._per_class = per_class
        self._session_seed = session_seed
        self._classes: tuple[str, ...] = ()
        self._waiting: dict[str, str] = {}
        """Class by picture, oldest first."""
        self._ordered: dict[str, str] = {}
        """Pictures that are being made."""
        self._taken: Counter[str] = Counter()
        self._number = n_before
        """Of the last picture, also before an interruption."""

    @property
    def waiting(self) -> dict[str, str]:
        """Class by picture, oldest first."""
        return dict(self._waiting)

    @property
    def busy(self) -> bool:
        """Whether a picture is being made."""
        return bool(self._ordered)

    @property
    def stocked(self) -> bool:
        """Whether a picture of every class waits."""
        return not self._per_class or set(self._classes) <= set(self._waiting.values())

    @property
    def full(self) -> bool:
        """Whether no picture is wanting."""
        return not self._wanting()

    def restrict(self, classes: Sequence[str]) -> list[str]:
        """Keep pictures of some classes from now on; return those that are of no use any more."""
        self._classes = tuple(classes)
        useless = [picture for picture, wnid in self._waiting.items() if wnid not in classes]
        for picture in useless:
            del self._waiting[picture]
        return useless

    def name(self) -> tuple[str, int]:
        """Return a new picture's id, and its seed of 32 bits: no two of a session are alike."""
        self._number += 1
        seed = np.random.SeedSequence((self._session_seed, self._number)).generate_state(1)[0]
        return f"picture-{self._number:04d}", int(seed)

    def order(self, *, only_missing: bool) -> MakePicture | None:
        """Ask for a picture of the class that needs one most; one at a time.

        That is the class that was decided for most often by number of its pictures (D'Hondt's
        method, with which seats are given to parties). ``only_missing`` asks for none of a class
        of which there is one.
        """
        wanting = [] if self._ordered else self._wanting()
        if only_missing:
            wanting = [wnid for wnid in wanting if not self._count(wnid)]
        if not wanting:
            return None
        wnid = max(wanting, key=lambda each: (self._taken[each] + 1) / (self._count(each) + 1))
        picture, seed = self.name()
        self._ordered[picture] = wnid
        chosen = tuple(float(each == wnid) for each in self._classes)
        return MakePicture(picture, self._classes, chosen, seed)

    def made(self, picture: str) -> bool:
        """Take in a picture; False if nobody waits for it any more."""
        wnid = self._ordered.pop(picture, None)
        if wnid is None or wnid not in self._classes:
            return False
        self._waiting[picture] = wnid
        return True

    def failed(self, picture: str) -> bool:
        """Take note that a picture will not come; False if it was none of the pool's."""
        return self._ordered.pop(picture, None) is not None

    def give_up(self) -> None:
        """Expect nothing any more: who was making it has died."""
        self._ordered.clear()

    def take(self, wnid: str) -> str | None:
        """Return the oldest picture of a class, which is no longer in the pool then."""
        self._taken[wnid] += 1
        picture = next((id_ for id_, its in self._waiting.items() if its == wnid), None)
        if picture:
            del self._waiting[picture]
        return picture

    def reject(self, picture: str) -> bool:
        """Take a picture out; False if it is not there."""
        return self._waiting.pop(picture, None) is not None

    def _count(self, wnid: str) -> int:
        return sum(its == wnid for its in self._waiting.values())

    def _wanting(self) -> list[str]:
        return [wnid for wnid in self._classes if self._count(wnid) < self._per_class]
