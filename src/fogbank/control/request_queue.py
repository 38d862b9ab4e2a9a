"""Lends the instances of revisions to requests: whoever comes first is served first."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from fogbank.clock import Clock
from fogbank.control.instance_state import InstanceState
from fogbank.control.scaling import pending_limit
from fogbank.resources.names import ResourceName


class NoCapacity(Exception):
    """No instance became free within the pending limit."""


class RequestQueue:
    """Who has which copy, and who waits for one.

    ``states_of`` lists a revision's copies, ``more_wanted`` is called when somebody has to wait.
    """

    def __init__(
        self,
        clock: Clock,
        states_of: Callable[[ResourceName], list[InstanceState]],
        more_wanted: Callable[[], None],
    ) -> None:
        self._clock, self._states_of, self._more_wanted = clock, states_of, more_wanted
        self._waiting: dict[ResourceName, deque[asyncio.Future[InstanceState]]] = {}
        self._start_seconds = 1.0

    def waiting(self, revision: ResourceName) -> int:
        """Count those who wait for a copy of ``revision``."""
        return len(self._waiting.get(revision, ()))

    def started(self, state: InstanceState) -> None:
        """Take note that ``state`` is ready: those who wait can have it, and how long it took counts."""
        took = self._clock.seconds() - state.started
        self._start_seconds += (took - self._start_seconds) / 4
        self._deal(state.revision.name)

    @asynccontextmanager
    async def lease(self, revision: ResourceName) -> AsyncIterator[InstanceState]:
        """Lend the least busy copy of ``revision``; NoInstance when none frees in time."""
        state = None if revision in self._waiting else self._free_instance(revision)
        if state is not None:
            state.in_flight += 1
        else:
            state = await self._wait_for_instance(revision)
        try:
            yield state
        finally:
            self._give_back(state)

    def _free_instance(self, revision: ResourceName) -> InstanceState | None:
        ready = [c for c in self._states_of(revision) if c.phase == "ready"]
        free = [c for c in ready if c.in_flight < c.revision.concurrency]
        return min(free, key=lambda state: state.in_flight, default=None)

    async def _wait_for_instance(self, revision: ResourceName) -> InstanceState:
        turn: asyncio.Future[InstanceState] = asyncio.get_running_loop().create_future()
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
                raise NoCapacity(revision.path) from end
            raise

    def _give_back(self, state: InstanceState) -> None:
        state.in_flight -= 1
        state.idle_since = self._clock.seconds()
        self._deal(state.revision.name)

    def _deal(self, revision: ResourceName) -> None:
        """Hand free copies to those who wait, in the order in which they came."""
        queue = self._waiting.pop(revision, None)
        while queue:
            if not queue[0].done():  # done are those who left
                state = self._free_instance(revision)
                if state is None:
                    self._waiting[revision] = queue
                    return
                state.in_flight += 1
                queue[0].set_result(state)
            queue.popleft()
