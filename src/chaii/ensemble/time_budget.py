"""Time: what the members of an ensemble will take, and how much of the budget is left."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from itertools import chain, zip_longest
from typing import TypeVar

Item = TypeVar("Item")
_MARGIN = 1.1  # estimates are stretched by this much: a sample is never quite like the whole


class Budget:
    """A stop-watch with a limit, `minutes` from now; None is no limit."""

    def __init__(self, minutes: float | None) -> None:
        self.minutes = minutes
        self._began = time.monotonic()
        self._stretch = 1.0

    @property
    def seconds_left(self) -> float:
        """Seconds until the limit; infinite without one."""
        if self.minutes is None:
            return float("inf")
        return 60 * self.minutes - (time.monotonic() - self._began)

    def allows(self, seconds: float) -> bool:
        """Whether work estimated at so many seconds would end in time."""
        return seconds * self._stretch * _MARGIN <= self.seconds_left

    def learn(self, estimated: float, taken: float) -> None:
        """Stretch the estimates to come where work took longer than it was estimated at."""
        if estimated > 0:
            self._stretch = max(self._stretch, taken / estimated)


def interleave(groups: Iterable[Sequence[Item]]) -> list[Item]:
    """The first of each group, then the second of each, so that every group is heard early.

    >>> interleave(["abc", "d", "ef"])
    ['a', 'd', 'e', 'b', 'f', 'c']
    """
    nothing = object()
    turns = chain.from_iterable(zip_longest(*groups, fillvalue=nothing))
    return [item for item in turns if item is not nothing]  # type: ignore[misc]
