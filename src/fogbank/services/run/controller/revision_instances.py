"""The instances of one revision, of which a request gets the least busy.

Among equals it is the one that was started first. A heap keeps the order: every change of an instance's
requests pushes a new entry, and those that have become untrue are thrown away when they come to the top, so
a request costs the logarithm of the number of instances.
"""

import heapq
from collections.abc import Iterator

from fogbank.services.run.controller.instance_state import InstanceState

_SPARE = 64
"""So many outdated entries are kept before the heap is made anew."""


class RevisionInstances:
    """Instances by id, in the order of their start; ``in_flight`` counts the requests that they serve."""

    def __init__(self) -> None:
        self._instances: dict[str, InstanceState] = {}
        self._heap: list[tuple[int, int, InstanceState]] = []
        self.in_flight = 0

    def __len__(self) -> int:
        return len(self._instances)

    def __iter__(self) -> Iterator[InstanceState]:
        return iter(self._instances.values())

    def idle_seconds(self, now: float) -> tuple[float, ...]:
        """Return for how long each has been idle; those that are busy or start have not."""
        return tuple(
            0.0 if each.in_flight or each.phase == "starting" else now - each.idle_since for each in self
        )

    def idlest(self, count: int) -> list[InstanceState]:
        """Return the ``count`` that have been idle for the longest time, but none that serves a request."""
        by_use = sorted(self, key=lambda each: (each.in_flight, each.idle_since))
        return [each for each in by_use[: max(count, 0)] if not each.in_flight]

    def add(self, instance: InstanceState) -> None:
        """Take in an instance that has just been started."""
        self._instances[instance.id] = instance

    def remove(self, instance: InstanceState) -> None:
        """Give an instance up; requests that it still serves may come back later."""
        del self._instances[instance.id]
        self.in_flight -= instance.in_flight

    def became_ready(self, instance: InstanceState) -> None:
        """Let requests have ``instance``."""
        instance.phase = "ready"
        self._push(instance)

    def became_unready(self, instance: InstanceState) -> None:
        """Let no further request have ``instance``; those that it serves go on."""
        instance.phase = "unready"

    def acquire(self, preferred: str = "") -> InstanceState | None:
        """Return the least busy instance that has room for a request, now one more; None when none has.

        The instance ``preferred``, by its id, goes before the others when it serves and has room.
        """
        known = self._instances.get(preferred)
        if known is not None and known.phase == "ready" and known.in_flight < known.revision.concurrency:
            known.in_flight += 1
            self.in_flight += 1
            self._push(known)
            return known
        heap = self._heap
        while heap and not self._is_true(heap[0]):
            heapq.heappop(heap)
        if not heap or heap[0][2].in_flight >= heap[0][2].revision.concurrency:
            return None
        instance = heap[0][2]
        instance.in_flight += 1
        self.in_flight += 1
        heapq.heapreplace(heap, (instance.in_flight, instance.number, instance))
        return instance

    def release(self, instance: InstanceState) -> None:
        """Take note that a request to ``instance`` has ended."""
        instance.in_flight -= 1
        if instance.id in self._instances:
            self.in_flight -= 1
            if instance.phase == "ready":
                self._push(instance)

    def _push(self, instance: InstanceState) -> None:
        heapq.heappush(self._heap, (instance.in_flight, instance.number, instance))
        if len(self._heap) > 2 * len(self._instances) + _SPARE:
            self._heap = [(i.in_flight, i.number, i) for i in self if i.phase == "ready"]
            heapq.heapify(self._heap)

    def _is_true(self, entry: tuple[int, int, InstanceState]) -> bool:
        in_flight, _, instance = entry
        serves = instance.phase == "ready" and instance.id in self._instances
        return serves and in_flight == instance.in_flight
