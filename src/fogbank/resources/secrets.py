"""Secrets of Secret Manager and their versions, as whoever reads them needs them.

A secret is stored under its project's id and shown under the number. A version keeps its payload in the
``private`` part of its resource until it is destroyed; nothing encrypts it there. Cloud Run reads secrets
here and never the API.
"""

from base64 import b64decode, b64encode
from collections.abc import Iterator
from datetime import datetime

from fogbank.resources.names import ResourceName
from fogbank.resources.projects import project_id
from fogbank.resources.world import Json, Resource, World

SECRETS = "secretmanager.secrets"
VERSIONS = "secretmanager.versions"
POLICIES = "secretmanager.policies"

ACCESS = "secretmanager.versions.access"
"""The permission to read a payload."""
LATEST = "latest"

_PAYLOAD, _VERSIONS = "payload", "versions"
ENABLED, DISABLED, DESTROYED = "ENABLED", "DISABLED", "DESTROYED"


def secret_name(project: str, identifier: str) -> ResourceName:
    """Name a secret by its project's id."""
    return ResourceName(SECRETS, f"projects/{project}/secrets/{identifier}")


def parse_secret(world: World, reference: str, project: str) -> ResourceName:
    """Read how somebody in ``project`` calls a secret: by its id, or ``projects/P/secrets/S``."""
    parts = reference.strip("/").split("/")
    if len(parts) == 4 and (parts[0], parts[2]) == ("projects", "secrets"):
        return secret_name(project_id(world, parts[1]), parts[3])
    return secret_name(project, reference)


def policy_name(secret: ResourceName) -> ResourceName:
    """Name a secret's IAM policy."""
    return ResourceName(POLICIES, secret.path)


def version_name(secret: ResourceName, number: int) -> ResourceName:
    """Name a version of a secret."""
    return ResourceName(VERSIONS, f"{secret.path}/versions/{number}")


def find_secret(world: World, name: ResourceName, now: datetime) -> Resource | None:
    """Find a secret; one that has expired is gone, though the disk may have it still."""
    found = world.find(name)
    return None if found is None or is_due(found.body.get("expireTime"), now) else found


def is_due(time: str | None, now: datetime) -> bool:
    """Return whether a time of Google's JSON has come."""
    return time is not None and datetime.fromisoformat(time) <= now


def newest_version(secret: Resource) -> int:
    """Return the number of a secret's newest version, 0 without any."""
    return int(secret.private.get(_VERSIONS, 0))


def with_newest(number: int) -> Json:
    """Make the private part of a secret whose newest version is ``number``."""
    return {_VERSIONS: number}


def versions_of(world: World, secret: Resource, below: int | None = None) -> Iterator[Resource]:
    """List the versions of a secret, newest first; with ``below`` only older ones than that number."""
    newest = newest_version(secret) if below is None else below - 1
    found = (world.find(version_name(secret.name, number)) for number in range(newest, 0, -1))
    return (each for each in found if each is not None)


def find_version(world: World, secret: Resource, reference: str) -> Resource | None:
    """Find a version by its number, an alias, or ``latest``: the newest, whatever its state.

    See behaviour/secret-manager.md#versions.
    """
    if reference == LATEST:
        number = newest_version(secret)
    elif reference.isdigit():
        number = int(reference)
    else:
        number = int(secret.body.get("versionAliases", {}).get(reference, 0))
    return world.find(version_name(secret.name, number)) if number else None


def payload_of(version: Resource) -> bytes:
    """Return the payload of a version that is not destroyed."""
    return b64decode(version.private[_PAYLOAD])


def with_payload(payload: bytes) -> Json:
    """Make the private part of a version that has a payload."""
    return {_PAYLOAD: b64encode(payload).decode()}
