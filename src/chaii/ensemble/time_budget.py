"""Time: how long the members of an ensemble take, and how much of the budget is left."""

import time
from collections.abc import Iterable, Sequence
from itertools import chain, zip_longest
from typing import TypeVar

Item = TypeVar("Item")
_MARGIN = 1.1  # estimates are multiplied by this: a sample differs from the whole


class Budget:
    """A stop-watch with a limit, `minutes` from now; None is no limit."""

    def __init__(self, minutes: float | None) -> None:
        self.minutes = minutes
        self._began = time.monotonic()
        self._stretch = 1.0

    @property
    def seconds_taken(self) -> float:
        """Seconds since the beginning."""
        return time.monotonic() - self._began

    @property
    def seconds_left(self) -> float:
        """Seconds until the limit; infinite without one."""
        return float("inf") if self.minutes is None else 60 * self.minutes - self.seconds_taken

    def allows(self, seconds: float) -> bool:
        """Whether work that is estimated at so many seconds would end in time."""
        return seconds * self._stretch * _MARGIN <= self.seconds_left

    def learn(self, estimated: float, taken: float) -> None:
        """Raise later estimates if work took longer than its estimate."""
        if estimated > 0:
            self._stretch = max(self._stretch, taken / estimated)


def interleave(groups: Iterable[Sequence[Item]]) -> list[Item]:
    """Take the first of each group, then the second of each, so that every group comes early.

    >>> interleave(["abc", "d", "ef"])
    ['a', 'd', 'e', 'b', 'f', 'c']
    """
    nothing = object()
    turns = chain.from_iterable(zip_longest(*groups, fillvalue=nothing))
    return [item for item in turns if item is not nothing]  # type: ignore[misc]
