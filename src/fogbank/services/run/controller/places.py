"""Places in the serverless fabric, 1 to ``count``: each instance has one, which gives its address.

A place that was given back is used again only after all that have waited longer, so what comes too late for
one instance does not meet the next.
"""

from collections import deque


class Places:
    """Hands out places in constant time."""

    def __init__(self, count: int) -> None:
        self._count, self._used = count, 0
        self._returned: deque[int] = deque()

    def __len__(self) -> int:
        return self._count

    def take(self) -> int | None:
        """Take the place that has been free for the longest time; None when there is none."""
        if self._used < self._count:
            self._used += 1
            return self._used
        return self._returned.popleft() if self._returned else None

    def give_back(self, place: int) -> None:
        """Give a place back."""
        self._returned.append(place)
