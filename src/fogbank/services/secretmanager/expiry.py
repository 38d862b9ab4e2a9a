"""What secrets do by themselves: expire, and destroy versions whose delay is over.

Rules: behaviour/secret-manager.md#expiry.
"""

from collections.abc import Iterator
from datetime import datetime

from fogbank.resources.indexes import Index
from fogbank.resources.secrets import SECRETS, VERSIONS, is_due
from fogbank.resources.world import Change, Put, Resource, World
from fogbank.services.secretmanager.secrets import removal
from fogbank.services.secretmanager.versions import destroyed


def due(world: World, now: datetime) -> tuple[Change, ...]:
    """List the changes that are due at ``now``."""
    return (*_expired(world, now), *_to_destroy(world, now))


def _expired(world: World, now: datetime) -> Iterator[Change]:
    for _, secret in world.ordered(_BY_EXPIRY):
        if not is_due(secret.body["expireTime"], now):
            return
        yield from removal(world, secret)


def _to_destroy(world: World, now: datetime) -> Iterator[Change]:
    for _, version in world.ordered(_BY_DESTRUCTION):
        if not is_due(version.body["scheduledDestroyTime"], now):
            return
        yield Put(destroyed(version, now))


def _time(field: str, resource: Resource) -> tuple[datetime, ...]:
    time = resource.body.get(field)
    return (datetime.fromisoformat(time),) if time else ()


def _expiry_of(secret: Resource) -> tuple[datetime, ...]:
    return _time("expireTime", secret)


def _destruction_of(version: Resource) -> tuple[datetime, ...]:
    return _time("scheduledDestroyTime", version)


_BY_EXPIRY = Index(SECRETS, _expiry_of)
_BY_DESTRUCTION = Index(VERSIONS, _destruction_of)
