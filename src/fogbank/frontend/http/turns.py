"""Requests of many streams begin a few at a time, connection by connection.

One HTTP/2 connection may bring a hundred requests in one packet. If all began at once, everybody else would
wait for all of them; so they take turns, and between turns the event loop serves others.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Hashable

STARTS_PER_TURN = 4


class Turns:
    """Starts what is added, in order for one owner and in turn among owners."""

    def __init__(self) -> None:
        self._waiting: dict[Hashable, deque[Callable[[], None]]] = {}
        self._scheduled = False

    def add(self, owner: Hashable, start: Callable[[], None]) -> None:
        """Call ``start`` when it is its turn; call in the event loop."""
        self._waiting.setdefault(owner, deque()).append(start)
        self._schedule()

    def forget(self, owner: Hashable) -> None:
        """Start nothing more of ``owner``."""
        self._waiting.pop(owner, None)

    def _schedule(self) -> None:
        if self._waiting and not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._turn)

    def _turn(self) -> None:
        self._scheduled = False
        for _ in range(STARTS_PER_TURN):
            if not self._waiting:
                return
            owner, starts = next(iter(self._waiting.items()))
            start = starts.popleft()
            del self._waiting[owner]
            if starts:
                self._waiting[owner] = starts  # at the end: the others come first
            start()
        self._schedule()
