"""Secrets: a name, who may read it, and rules for its versions; the payloads are in the versions.

Answers name a project by its number (behaviour/secret-manager.md#secrets).
"""

import re
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

from fogbank.errors import ApiError, not_built
from fogbank.resources.listings import Listing
from fogbank.resources.names import ResourceName
from fogbank.resources.operations import rfc3339
from fogbank.resources.places import REGIONS
from fogbank.resources.secrets import (
    LATEST,
    SECRETS,
    find_secret,
    newest_version,
    policy_name,
    secret_name,
    versions_of,
)
from fogbank.resources.tags import bound_at_birth, values_asked
from fogbank.resources.world import Change, Delete, Json, Put, Resource, World
from fogbank.services.collections import bad_request, changed_fields
from fogbank.services.contract import Call, Decision
from fogbank.services.labels import check_labels
from fogbank.services.masks import mask_paths
from fogbank.services.secretmanager.lookup import check_etag, etag_of, find, shown_path
from fogbank.services.segments import project_of

_ID = re.compile(r"[A-Za-z0-9_-]{1,255}")
_LABEL = re.compile(r"[a-z][a-z0-9_-]{0,62}")
_ALIAS = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,62}")
_DURATION = re.compile(r"(\d{1,11})(?:\.\d{1,9})?s")
_MOST_ANNOTATION_BYTES = 16 * 1024
_MOST_ALIASES = 50
_LEAST_DELAY = timedelta(days=1)

_WRITABLE = ("labels", "annotations", "versionAliases", "expireTime", "ttl", "versionDestroyTtl")
_LATER = {
    "topics": "Pub/Sub topics of secrets",
    "rotation": "rotation of secrets",
    "customerManagedEncryption": "customer-managed encryption keys of secrets",
}


def create(world: World, call: Call) -> Decision:
    """Make a secret without a version."""
    project, identifier = project_of(world, call), str(call.parameters.get("secretId") or "")
    if not _ID.fullmatch(identifier):
        raise bad_request(
            f"The provided Secret ID [{identifier}] does not match the expected format [[a-zA-Z_0-9]+]",
            "secret_id",
        )
    name = secret_name(project, identifier)
    if find_secret(world, name, call.now) is not None:
        shown = shown_path(world, name)
        raise ApiError(409, f"Secret [{shown}] already exists.", "ALREADY_EXISTS", "alreadyExists")
    refuse_unbuilt(call.body)
    body = {
        "replication": _replication(call.body.get("replication")),
        "createTime": rfc3339(call.now),
        **_fields(call.body, _WRITABLE, call.now, newest=0),
    }
    made = Resource(name, call.new_id(), call.now, {k: v for k, v in body.items() if v is not None})
    tags = values_asked(world, call.access, call.principal, call.body.get("tags") or {})
    bound = bound_at_birth(world, made, [(each, call.new_id()) for each in tags])
    return Decision((Put(made), *bound), answer=show(world, made))


def get(world: World, call: Call) -> Json:
    """Show a secret."""
    return show(world, find(world, call))


def list_(world: World, call: Call) -> Listing[Resource]:
    """List the secrets of a project, by name."""
    under = f"projects/{project_of(world, call)}/secrets/"

    def members(after: str) -> Iterator[Resource]:
        last = f"{under}{after.rpartition('/')[2]}" if after else ""
        return (
            each
            for each in world.all(SECRETS, under, last)
            if find_secret(world, each.name, call.now) is not None
        )

    return Listing(members, lambda each: show(world, each))


def patch(world: World, call: Call) -> Decision:
    """Change the fields that the mask names."""
    found = find(world, call)
    check_etag(call.body.get("etag"), found)
    paths = mask_paths(call)
    if not paths:
        raise bad_request("The update mask is required and must name at least one field.", "update_mask")
    refuse_unbuilt({key: value for key, value in call.body.items() if key in paths})
    if "tags" in paths:
        raise bad_request("The tags of a secret are changed by tag bindings.", "update_mask.paths")
    if "replication" in paths:
        raise bad_request("The replication policy of a secret cannot be changed.", "update_mask.paths")
    names = {each.partition(".")[0] for each in paths if each.partition(".")[0] not in _LATER}
    fields = changed_fields(names, call.body, _WRITABLE, "secret")
    written = _fields(call.body, tuple(fields), call.now, newest=newest_version(found))
    changed = found.with_body(**{key: value or None for key, value in written.items()})
    return Decision((Put(changed),), answer=show(world, changed))


def delete(world: World, call: Call) -> Decision:
    """Delete a secret with its versions."""
    found = find(world, call)
    check_etag(call.parameters.get("etag"), found)
    return Decision(removal(world, found), answer={})


def removal(world: World, secret: Resource) -> tuple[Change, ...]:
    """Take a secret away with its versions and its policy."""
    versions = (Delete(each.name) for each in versions_of(world, secret))
    return (*versions, Delete(policy_name(secret.name)), Delete(secret.name))


def guarded(world: World, call: Call) -> ResourceName:
    """Name the policy of a secret."""
    return policy_name(find(world, call).name)


def show(world: World, secret: Resource) -> Json:
    """Render a secret."""
    return {"name": shown_path(world, secret.name), **secret.body, "etag": etag_of(secret)}


def refuse_unbuilt(body: Json) -> None:
    """Refuse by name what a secret of this region cannot have."""
    for key, what in _LATER.items():
        if body.get(key):
            raise not_built(f"{what} ({key})")


def _replication(given: Json | None) -> Json:
    """Read where a secret is to be kept: one region plays all of Google's, so it is only remembered."""
    automatic = (given or {}).get("automatic")
    replicas = ((given or {}).get("userManaged") or {}).get("replicas") or ()
    if automatic is None and not replicas:
        raise bad_request("The replication policy of a secret is required.", "secret.replication")
    if (automatic or {}).get("customerManagedEncryption") or any(
        each.get("customerManagedEncryption") for each in replicas
    ):
        raise not_built(_LATER["customerManagedEncryption"])
    if automatic is not None:
        return {"automatic": {}}
    for each in replicas:
        if each.get("location") not in REGIONS:
            raise bad_request(
                f"'{each.get('location', '')}' is not a valid location.",
                "secret.replication.user_managed.replicas",
            )
    return {"userManaged": {"replicas": [{"location": each["location"]} for each in replicas]}}


def _fields(body: Json, names: tuple[str, ...], now: datetime, *, newest: int) -> dict[str, Any]:
    """Read the fields ``names`` of a secret whose newest version is ``newest``; None for one to remove."""
    found: dict[str, Any] = {}
    for name in names:
        value = body.get(name)
        match name:
            case "labels":
                found["labels"] = _labels(value or {})
            case "annotations":
                found["annotations"] = _annotations(value or {})
            case "versionAliases":
                found["versionAliases"] = _aliases(value or {}, newest)
            case "versionDestroyTtl":
                found["versionDestroyTtl"] = _delay(value)
            case _:
                found["expireTime"] = _expiry(body, now)
    return {key: value or None for key, value in found.items()}


def _labels(labels: Mapping[str, str]) -> Mapping[str, str]:
    check_labels(labels)
    for key in labels:
        if not _LABEL.fullmatch(key):
            raise bad_request(f"The label key '{key}' is invalid.", "secret.labels")
    return labels


def _annotations(annotations: Mapping[str, str]) -> Mapping[str, str]:
    if sum(len(key.encode()) + len(value.encode()) for key, value in annotations.items()) > (
        _MOST_ANNOTATION_BYTES
    ):
        raise bad_request(
            f"The annotations of a secret may have at most {_MOST_ANNOTATION_BYTES} bytes.",
            "secret.annotations",
        )
    return annotations


def _aliases(aliases: Mapping[str, str], newest: int) -> Mapping[str, str]:
    if len(aliases) > _MOST_ALIASES:
        raise bad_request(f"A secret may have at most {_MOST_ALIASES} version aliases.")
    for alias, number in aliases.items():
        if alias == LATEST or not _ALIAS.fullmatch(alias):
            raise bad_request(f"The version alias '{alias}' is invalid.", "secret.version_aliases")
        if not 0 < int(number) <= newest:
            raise bad_request(
                f"The version alias '{alias}' points to version {number}, which does not exist.",
                "secret.version_aliases",
            )
    return {alias: str(number) for alias, number in aliases.items()}


def _delay(value: str | None) -> str | None:
    if value is None:
        return None
    if _seconds(value) < _LEAST_DELAY:
        raise bad_request("version_destroy_ttl must be at least 86400s.", "secret.version_destroy_ttl")
    return value


def _expiry(body: Json, now: datetime) -> str | None:
    """Return when a secret expires, by ``ttl`` or ``expireTime``; None when never."""
    if body.get("ttl"):
        return rfc3339(now + _seconds(body["ttl"]))
    if not body.get("expireTime"):
        return None
    try:
        expires = datetime.fromisoformat(body["expireTime"])
    except ValueError:
        raise bad_request(f"'{body['expireTime']}' is not a time.", "secret.expire_time") from None
    if expires.tzinfo is None or expires <= now:
        raise bad_request("Secret cannot have an expiration that is in the past.", "secret.expire_time")
    return str(body["expireTime"])  # as it was given: it may have nanoseconds


def _seconds(duration: str) -> timedelta:
    if not (found := _DURATION.fullmatch(duration)):
        raise bad_request(f"'{duration}' is not a duration such as 3600s.")
    return timedelta(seconds=int(found[1]))
