"""What is in the secrets that a revision names, read as its service account when an instance starts.

See behaviour/cloud-run.md#secrets.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Protocol

from fogbank.resources.authorization import Access
from fogbank.resources.names import ResourceName
from fogbank.resources.projects import project_number
from fogbank.resources.run_containers import RunContainer, RunVolume, SecretReference, SecretVolume
from fogbank.resources.secrets import (
    ACCESS,
    ENABLED,
    find_secret,
    find_version,
    parse_secret,
    payload_of,
    policy_name,
)
from fogbank.resources.world import World

Values = Mapping[SecretReference, bytes]


class SecretsRefusedError(Exception):
    """Some secrets of a revision are not there or may not be read; the message says which, as Google does."""


class Holder(Protocol):
    """What has secrets: a revision or an execution."""

    @property
    def name(self) -> ResourceName:
        """Whose secrets are meant when a reference names no project."""
        ...

    @property
    def service_account(self) -> str:
        """Who reads them."""
        ...

    @property
    def containers(self) -> tuple[RunContainer, ...]:
        """Containers with secrets in their environment."""
        ...

    @property
    def volumes(self) -> tuple[RunVolume, ...]:
        """Volumes whose files are secrets."""
        ...


def references_of(revision: Holder) -> Iterator[SecretReference]:
    """List every place in a revision that names a secret."""
    for container in revision.containers:
        yield from container.secrets.values()
    for volume in revision.volumes:
        if isinstance(volume, SecretVolume):
            yield from (each.source for each in volume.files)


def read_secrets(world: World, access: Access, revision: Holder, now: datetime) -> Values:
    """Read all secrets of ``revision``; SecretsRefusedError when any cannot be read."""
    values: dict[SecretReference, bytes] = {}
    refusals: list[str] = []
    for reference in references_of(revision):
        found = _read(world, access, revision, reference, now)
        if isinstance(found, str):
            refusals.append(f"{reference.field}: {found}")
        else:
            values[reference] = found
    if refusals:
        raise SecretsRefusedError("\n\n".join(refusals))
    return values


def _read(
    world: World, access: Access, revision: Holder, reference: SecretReference, now: datetime
) -> bytes | str:
    """Return a payload, or Google's sentence about why there is none."""
    name = parse_secret(world, reference.secret, revision.name.project)
    shown = f"projects/{project_number(world, name.project)}/secrets/{name.id}/versions/{reference.version}"
    account = revision.service_account
    secret = find_secret(world, name, now)
    if not access.allows(world, account, ACCESS, name.project, policy_name(name)):
        return (
            f"Permission denied on secret: {shown} for Revision service account {account}. The service "
            "account used must be granted the 'Secret Manager Secret Accessor' role "
            "(roles/secretmanager.secretAccessor) at the secret, project or higher level."
        )
    version = find_version(world, secret, reference.version) if secret else None
    if version is None:
        return f"Secret {shown} was not found"
    if version.body["state"] != ENABLED:
        return f"Secret {shown} is in {version.body['state']} state"
    return payload_of(version)
