"""What ``fogbank status`` says of revisions that serve and cannot do all that they promise."""

from collections.abc import Iterable, Iterator
from datetime import datetime

from fogbank.control.progress import Failure
from fogbank.resources.names import ResourceName
from fogbank.resources.run import Revision
from fogbank.resources.world import World
from fogbank.services.run.connectors import connector_missing_message, has_connector
from fogbank.services.run.objects import find_condition


def without_network(
    world: World, revisions: Iterable[Revision], now: datetime
) -> Iterator[tuple[ResourceName, Failure]]:
    """List the ``revisions`` whose connector is gone: what they send through it is lost."""
    for revision in revisions:
        if revision.connector is None or has_connector(world, revision.connector):
            continue
        why = (
            f"{connector_missing_message(revision.connector)} What its instances send to the VPC is dropped. "
            "Create the connector again, or deploy without it."
        )
        yield (
            revision.name,
            Failure("its way to the VPC", why, 1, _since(world, revision, now), frozenset({revision.name})),
        )


def _since(world: World, revision: Revision, now: datetime) -> datetime:
    found = world.find(revision.name)
    shown = find_condition(found.body, "ResourcesAvailable") if found else None
    return datetime.fromisoformat(shown["lastTransitionTime"]) if shown else now
