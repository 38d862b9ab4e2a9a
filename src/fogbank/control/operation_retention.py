"""Forgetting: operations that ended long ago leave the World, so that a region may live for months.

A client may ask for an operation, or repeat its requestId, for a good while after it ended; then nobody does.
Unfinished operations stay, however old.
"""

from datetime import datetime, timedelta

from fogbank.clock import Clock
from fogbank.control.periodic import every
from fogbank.resources.decisions import Decision
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
    ended = [(operation.ended, operation.name) for operation in world.operations.values() if operation.ended]
    ended.sort()
    surplus = len(ended) - MOST
    return tuple(
        DeleteOperation(name)
        for place, (moment, name) in enumerate(ended)
        if now - moment > (AT_LEAST if place < surplus else KEPT)
    )


async def forget_operations(store: Store, clock: Clock) -> None:
    """Look once a minute until cancelled."""

    async def forget() -> None:
        if outdated(store.world, clock.now()):
            await store.commit(lambda world: Decision(outdated(world, clock.now())))

    await every(PAUSE_SECONDS, forget)
