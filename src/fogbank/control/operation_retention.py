"""Forgetting: operations that ended long ago leave the World, so that a region may live for months.

A client may ask for an operation, or repeat its requestId, for a good while after it ended; then nobody does.
Unfinished operations stay, however old.
"""

from datetime import datetime, timedelta
from itertools import takewhile

from fogbank.clock import Clock
from fogbank.control.periodic import every
from fogbank.resources.decisions import Decision
from fogbank.resources.indexes import OPERATIONS, Index
from fogbank.resources.operations import Operation
from fogbank.resources.world import DeleteOperation, World
from fogbank.store.store import Store

KEPT = timedelta(days=14)
"""How long an operation is kept after it ended."""

MOST = 10_000
"""How many ended operations are kept; beyond that the oldest go sooner."""

AT_LEAST = timedelta(hours=1)
"""What no number shortens: a requestId has to be known for an hour (behaviour/api.md#request-ids)."""

PAUSE_SECONDS = 60.0


def outdated(world: World, now: datetime) -> tuple[DeleteOperation, ...]:
    """Choose the operations to forget, oldest first."""
    surplus = len(world.operations) - len(world.running) - MOST

    def is_outdated(ended: tuple[int, tuple[datetime, Operation]]) -> bool:
        place, (moment, _) = ended
        return now - moment > (AT_LEAST if place < surplus else KEPT)

    oldest_first = enumerate(world.ordered(_BY_END))
    return tuple(DeleteOperation(each.name) for _, (_, each) in takewhile(is_outdated, oldest_first))


def _end_of(operation: Operation) -> tuple[datetime, ...]:
    return (operation.ended,) if operation.ended else ()


_BY_END = Index(OPERATIONS, _end_of)


async def forget_operations(store: Store, clock: Clock) -> None:
    """Look once a minute until cancelled."""

    async def forget() -> None:
        if outdated(store.world, clock.now()):
            await store.commit(lambda world: Decision(outdated(world, clock.now())))

    await every(PAUSE_SECONDS, forget)
