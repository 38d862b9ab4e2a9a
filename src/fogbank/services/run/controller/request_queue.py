"""FIFO queue that assigns requests to instances within the concurrency limit: first come, first served."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager

from fogbank.clock import Clock
from fogbank.resources.names import ResourceName
from fogbank.services.run.controller.instance_state import InstanceState
from fogbank.services.run.controller.revision_instances import RevisionInstances
from fogbank.services.run.controller.scaling import pending_limit


class NoCapacity(Exception):
    """No instance became free within the pending limit."""


class RequestQueue:
    """Who has which instance, and who waits for one.

    ``instances`` holds each revision's; ``more_wanted`` is called when somebody has to wait for one of a
    revision.
    """

    def __init__(
        self,
        clock: Clock,
        instances: Mapping[ResourceName, RevisionInstances],
        more_wanted: Callable[[ResourceName], None],
    ) -> None:
        self._clock, self._instances, self._more_wanted = clock, instances, more_wanted
        self._waiting: dict[ResourceName, deque[asyncio.Future[InstanceState]]] = {}
        self._start_seconds = 1.0

    def waiting(self, revision: ResourceName) -> int:
        """Count those who wait for an instance of ``revision``."""
        return len(self._waiting.get(revision, ()))

    def started(self, instance: InstanceState) -> None:
        """Take note that ``instance`` is ready: who waits can have it, and how long it took counts."""
        took = self._clock.seconds() - instance.started
        self._start_seconds += (took - self._start_seconds) / 4
        self.assign(instance.revision.name)

    @asynccontextmanager
    async def lease(self, revision: ResourceName, preferred: str = "") -> AsyncIterator[InstanceState]:
        """Assign an instance of ``revision``: ``preferred`` (its id) or the least busy one.

        NoCapacity when none frees in time.
        """
        instance = None if revision in self._waiting else self._acquire(revision, preferred)
        if instance is None:
            instance = await self._wait_for_instance(revision)
        try:
            yield instance
        finally:
            self._release(revision, instance)

    def _acquire(self, revision: ResourceName, preferred: str = "") -> InstanceState | None:
        instances = self._instances.get(revision)
        return instances.acquire(preferred) if instances else None

    async def _wait_for_instance(self, revision: ResourceName) -> InstanceState:
        turn: asyncio.Future[InstanceState] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(revision, deque()).append(turn)
        try:
            self._more_wanted(revision)
            async with asyncio.timeout(pending_limit(self._start_seconds)):
                return await turn
        except BaseException as end:
            if turn.cancel() or turn.cancelled():
                self.assign(revision)
            else:  # it was their turn in the moment in which they left
                self._release(revision, turn.result())
            if isinstance(end, TimeoutError):
                raise NoCapacity(revision.path) from end
            raise

    def _release(self, revision: ResourceName, instance: InstanceState) -> None:
        instance.idle_since = self._clock.seconds()
        instances = self._instances.get(revision)
        if instances is None:  # all of them have gone
            instance.in_flight -= 1
            return
        instances.release(instance)
        self.assign(revision)

    def assign(self, revision: ResourceName) -> None:
        """Hand free instances to those who wait, in the order in which they came."""
        queue = self._waiting.pop(revision, None)
        while queue:
            if not queue[0].done():  # done are those who left
                instance = self._acquire(revision)
                if instance is None:
                    self._waiting[revision] = queue
                    return
                queue[0].set_result(instance)
            queue.popleft()
