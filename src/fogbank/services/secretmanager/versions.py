"""Versions of a secret: each holds one payload, which never changes and is gone once it is destroyed.

See behaviour/secret-manager.md#versions.
"""

from base64 import b64decode, b64encode
from binascii import Error as NotBase64
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta

from fogbank.resources.listings import Listing
from fogbank.resources.operations import rfc3339
from fogbank.resources.secrets import (
    DESTROYED,
    DISABLED,
    ENABLED,
    find_version,
    newest_version,
    payload_of,
    version_name,
    versions_of,
    with_newest,
    with_payload,
)
from fogbank.resources.world import Json, Put, Resource, World
from fogbank.services.collections import bad_request
from fogbank.services.contract import Call, Decision
from fogbank.services.secretmanager.checksums import crc32c
from fogbank.services.secretmanager.lookup import (
    check_etag,
    etag_of,
    find,
    missing,
    precondition,
    shown_path,
)
from fogbank.services.segments import segments

MOST_BYTES = 64 * 1024
"""The size of a payload (https://cloud.google.com/secret-manager/quotas)."""


def add(world: World, call: Call) -> Decision:
    """Add a version with a payload."""
    secret = find(world, call)
    payload, checked = _payload(call.body.get("payload") or {})
    number = newest_version(secret) + 1
    body = {
        "createTime": rfc3339(call.now),
        "state": ENABLED,
        "replicationStatus": _replication_status(secret.body["replication"]),
        **({"clientSpecifiedPayloadChecksum": True} if checked else {}),
    }
    name = version_name(secret.name, number)
    made = Resource(name, call.new_id(), call.now, body, with_payload(payload))
    newest = replace(secret, private=secret.private | with_newest(number))
    return Decision((Put(newest), Put(made)), answer=show(world, made))


def _payload(given: Json) -> tuple[bytes, bool]:
    """Read a payload; whether the client sent a checksum, which must be right."""
    try:
        payload = b64decode(given.get("data") or "", altchars=b"-_", validate=False)
    except NotBase64:
        raise bad_request("The payload's data is not base64.", "payload.data") from None
    if not payload:
        raise bad_request("Secret Payload cannot be empty.", "payload")
    if len(payload) > MOST_BYTES:
        raise bad_request(
            f"The payload is {len(payload)} bytes long; it may have at most {MOST_BYTES} bytes.", "payload"
        )
    checksum = given.get("dataCrc32c")
    if checksum is not None and int(checksum) != crc32c(payload):
        raise bad_request("The payload's checksum does not match its data.", "payload.data_crc32c")
    return payload, checksum is not None


def _replication_status(replication: Json) -> Json:
    replicas = replication.get("userManaged", {}).get("replicas")
    if replicas is None:
        return {"automatic": {}}
    return {"userManaged": {"replicas": [{"location": each["location"]} for each in replicas]}}


def get(world: World, call: Call) -> Json:
    """Show a version without its payload."""
    return show(world, _find(world, call))


def list_(world: World, call: Call) -> Listing[Resource]:
    """List the versions of a secret, newest first."""
    secret = find(world, call)

    def members(after: str) -> Iterator[Resource]:
        return versions_of(world, secret, int(after.rpartition("/")[2]) if after else None)

    return Listing(members, lambda each: show(world, each))


def access(world: World, call: Call) -> Json:
    """Read a payload; only an enabled version has one to give."""
    version = _find(world, call)
    _check_state(world, version, ENABLED)
    payload = payload_of(version)
    return {
        "name": shown_path(world, version.name),
        "payload": {"data": b64encode(payload).decode(), "dataCrc32c": str(crc32c(payload))},
    }


def enable(world: World, call: Call) -> Decision:
    """Let a version be read again; a destruction that was planned is called off."""
    return _changed(world, call, ENABLED)


def disable(world: World, call: Call) -> Decision:
    """Have nobody read a version until it is enabled."""
    return _changed(world, call, DISABLED)


def _changed(world: World, call: Call, state: str) -> Decision:
    version = _find(world, call)
    check_etag(call.body.get("etag"), version)
    _check_state(world, version, ENABLED, DISABLED)
    changed = version.with_body(state=state, scheduledDestroyTime=None)
    return Decision((Put(changed),), answer=show(world, changed))


def destroy(world: World, call: Call) -> Decision:
    """Destroy a payload for good, now or, when its secret says so, disable it first and destroy it later."""
    secret, version = find(world, call), _find(world, call)
    check_etag(call.body.get("etag"), version)
    _check_state(world, version, ENABLED, DISABLED)
    delay = secret.body.get("versionDestroyTtl")
    if delay and "scheduledDestroyTime" not in version.body:
        when = call.now + timedelta(seconds=float(delay.removesuffix("s")))
        changed = version.with_body(state=DISABLED, scheduledDestroyTime=rfc3339(when))
    else:
        changed = destroyed(version, call.now)
    return Decision((Put(changed),), answer=show(world, changed))


def destroyed(version: Resource, now: datetime) -> Resource:
    """Return a version without its payload."""
    changed = version.with_body(state=DESTROYED, destroyTime=rfc3339(now), scheduledDestroyTime=None)
    return replace(changed, private={})


def _find(world: World, call: Call) -> Resource:
    """Find a version by number, alias or ``latest``, in Google's words when there is none."""
    reference = segments(call)["versions"]
    reading = call.method.endswith(".access")
    secret = find(world, call, " or has no versions" if reading else "")
    if not newest_version(secret):
        raise missing(f"Secret [{shown_path(world, secret.name)}] not found or has no versions.")
    found = find_version(world, secret, reference)
    if found is None:
        path = f"{shown_path(world, secret.name)}/versions/{reference}"
        raise missing(f"Secret Version [{path}] not found.")
    return found


def _check_state(world: World, version: Resource, *allowed: str) -> None:
    """Refuse a version that is in another state than one of ``allowed``."""
    state = version.body["state"]
    if state not in allowed:
        raise precondition(f"Secret Version [{shown_path(world, version.name)}] is in {state} state.")


def show(world: World, version: Resource) -> Json:
    """Render a version."""
    return {"name": shown_path(world, version.name), **version.body, "etag": etag_of(version)}
