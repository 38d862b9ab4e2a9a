"""Lends the copies of revisions to requests: whoever comes first is served first."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from fogbank.clock import Clock
from fogbank.control.copies import Copy
from fogbank.control.scaling import pending_limit
from fogbank.resources.names import ResourceName


class NoInstance(Exception):
    """No instance became free within the pending limit."""


class Leases:
    """Who has which copy, and who waits for one.

    ``copies_of`` lists a revision's copies, ``more_wanted`` is called when somebody has to wait.
    """

    def __init__(
        self,
        clock: Clock,
        copies_of: Callable[[ResourceName], list[Copy]],
        more_wanted: Callable[[], None],
    ) -> None:
        self._clock, self._copies_of, self._more_wanted = clock, copies_of, more_wanted
        self._waiting: dict[ResourceName, deque[asyncio.Future[Copy]]] = {}
        self._start_seconds = 1.0

    def waiting(self, revision: ResourceName) -> int:
        """Count those who wait for a copy of ``revision``."""
        return len(self._waiting.get(revision, ()))

    def started(self, copy: Copy) -> None:
        """Take note that ``copy`` is ready: those who wait can have it, and how long it took counts."""
        took = self._clock.seconds() - copy.started
        self._start_seconds += (took - self._start_seconds) / 4
        self._deal(copy.revision.name)

    @asynccontextmanager
    async def lease(self, revision: ResourceName) -> AsyncIterator[Copy]:
        """Lend the least busy copy of ``revision``; NoInstance when none frees in time."""
        copy = None if revision in self._waiting else self._free_copy(revision)
        if copy is not None:
            copy.in_flight += 1
        else:
            copy = await self._wait_for_copy(revision)
        try:
            yield copy
        finally:
            self._give_back(copy)

    def _free_copy(self, revision: ResourceName) -> Copy | None:
        ready = [c for c in self._copies_of(revision) if c.state == "ready"]
        free = [c for c in ready if c.in_flight < c.revision.concurrency]
        return min(free, key=lambda copy: copy.in_flight, default=None)

    async def _wait_for_copy(self, revision: ResourceName) -> Copy:
        turn: asyncio.Future[Copy] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(revision, deque()).append(turn)
        try:
            self._more_wanted()
            async with asyncio.timeout(pending_limit(self._start_seconds)):
                return await turn
        except BaseException as end:
            if turn.cancel() or turn.cancelled():
                self._deal(revision)
            else:  # it was their turn in the moment in which they left
                self._give_back(turn.result())
            if isinstance(end, TimeoutError):
                raise NoInstance(revision.path) from end
            raise

    def _give_back(self, copy: Copy) -> None:
        copy.in_flight -= 1
        copy.idle_since = self._clock.seconds()
        self._deal(copy.revision.name)

    def _deal(self, revision: ResourceName) -> None:
        """Hand free copies to those who wait, in the order in which they came."""
        queue = self._waiting.pop(revision, None)
        while queue:
            if not queue[0].done():  # done are those who left
                copy = self._free_copy(revision)
                if copy is None:
                    self._waiting[revision] = queue
                    return
                copy.in_flight += 1
                queue[0].set_result(copy)
            queue.popleft()
