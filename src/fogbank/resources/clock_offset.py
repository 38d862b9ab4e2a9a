"""Skipped time: how far the region's clock was advanced, kept like everything that was acknowledged."""

from collections.abc import Callable
from datetime import datetime, timedelta

from fogbank.resources.names import ResourceName
from fogbank.resources.world import Put, Resource, World

NAME = ResourceName("fogbank.clock", "clock")


def stored_offset(world: World) -> timedelta:
    """Return how far the clock was advanced in all."""
    found = world.find(NAME)
    return timedelta(seconds=found.body["offsetSeconds"]) if found else timedelta()


def advanced_offset(world: World, by: timedelta, now: datetime, new_id: Callable[[], int]) -> Put:
    """Decide to advance the clock by ``by``."""
    offset = stored_offset(world) + by
    return Put(Resource(NAME, new_id(), now, {"offsetSeconds": offset.total_seconds()}))
