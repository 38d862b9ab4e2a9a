"""Memorystore instances: made, changed, failed over, upgraded and deleted.

An instance is READY, and its operation done, when its servers answer with the settings asked for: the
controller says so, and not the network (behaviour/memorystore-redis.md#instances).
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from hashlib import blake2b

from fogbank.resources.names import ResourceName
from fogbank.resources.network_users import network_use
from fogbank.resources.operations import Operation, OperationError, rfc3339
from fogbank.resources.private_services import PEERING
from fogbank.resources.projects import project_number
from fogbank.resources.world import Change, Delete, Json, Put, PutOperation, Resource, World
from fogbank.services.collections import Collection, Field, Outcome, bad_request
from fogbank.services.contract import Call, Decision, Method, Read, Write
from fogbank.services.redis.model import (
    IN_CHANGE,
    INSTANCES,
    PLAIN_PORT,
    TLS_PORT,
    has_read_replicas,
    number_of,
)
from fogbank.services.redis.placement import (
    PREFIX_LENGTH,
    WITH_READ_REPLICAS,
    choose_range,
    peering_name,
)
from fogbank.services.redis.read_replicas import new_nodes, resized, with_endpoints
from fogbank.services.redis.validation import (
    CONNECT_MODES,
    DEFAULT_VERSION,
    ID_PATTERN,
    READ_REPLICAS_MODES,
    TIERS,
    VERSIONS,
    authorized_network,
    check_settled,
    check_upgrade,
    configs,
    display_name,
    labels,
    maintenance,
    next_snapshot,
    one_of,
    persistence,
    size,
    unbuilt,
)

_ABSENT_WHEN_OFF = frozenset({"authEnabled", "replicaCount"})
"""What Google leaves out of an answer when it is false or 0."""

_NODES = ("readReplicasMode", "replicaCount", "secondaryIpRange")
"""What a patch may change of how many servers there are."""
_SETTINGS = ("memorySizeGb", "redisConfigs", "authEnabled", "persistenceConfig", *_NODES)
"""What a patch may change of the servers."""


def _created(world: World, call: Call, asked: Resource) -> Outcome:
    """Make an instance: its place in the network, its nodes, its secrets."""
    name, body = asked.name, asked.body
    region = name.region or ""
    network = authorized_network(world, call, name.project)
    if body.get("secondaryIpRange"):
        raise bad_request("secondary_ip_range is only for enabling read replicas.", "secondary_ip_range")
    nodes = new_nodes(body, region)
    zones = [each["zone"] for each in nodes]
    private_services = body["connectMode"] == "PRIVATE_SERVICE_ACCESS"
    wanted = str(body.get("reservedIpRange") or "")
    length = WITH_READ_REPLICAS if has_read_replicas(body) else PREFIX_LENGTH
    within = choose_range(world, network, wanted, asked.id, private_services=private_services, length=length)
    auth = bool(body.get("authEnabled"))
    private = {
        **network_use(network, within, None),
        "peering": PEERING if private_services else peering_name(network, region),
        "primary": 0,
        "secret": f"{call.new_id():x}",
        **({"password": _auth_string(call)} if auth else {}),
    }
    made = {
        "name": name.path,
        **{key: value for key, value in body.items() if key not in _ABSENT_WHEN_OFF},
        **({"authEnabled": True} if auth else {}),
        "locationId": zones[0],
        **({"alternativeLocationId": zones[1]} if len(zones) > 1 else {}),
        "currentLocationId": zones[0],
        "nodes": nodes,
        "authorizedNetwork": network.path,
        "reservedIpRange": str(within),
        "port": TLS_PORT if body["transitEncryptionMode"] == "SERVER_AUTHENTICATION" else PLAIN_PORT,
        "persistenceConfig": _scheduled(body, call.now),
        "persistenceIamIdentity": _identity(world, name.project),
        "createTime": rfc3339(call.now),
        "state": "CREATING",
    }
    return Outcome(with_endpoints(replace(asked, body=made, private=private)))


def _scheduled(body: Json, now: datetime) -> Json:
    """Say when the next snapshot is taken."""
    config = {key: value for key, value in body["persistenceConfig"].items() if key != "rdbNextSnapshotTime"}
    due = next_snapshot(config, now)
    return config | ({"rdbNextSnapshotTime": rfc3339(due)} if due else {})


def _identity(world: World, project: str) -> str:
    return f"serviceAccount:service-{project_number(world, project)}@cloud-redis.iam.gserviceaccount.com"


def _auth_string(call: Call) -> str:
    """Draw a password, which looks like a UUID."""
    digits = blake2b(f"{call.new_id()} {call.new_id()}".encode(), digest_size=16).hexdigest()
    return "-".join((digits[:8], digits[8:12], f"4{digits[13:16]}", f"a{digits[17:20]}", digits[20:]))


def _updated(world: World, call: Call, before: Resource, after: Resource, fields: frozenset[str]) -> Outcome:
    """Change an instance; what its servers need not know is done at once."""
    check_settled(before.name, before.body["state"])
    body, private = dict(after.body), dict(after.private)
    auth = bool(body.get("authEnabled"))
    if "authEnabled" in fields and auth != bool(before.body.get("authEnabled")):
        private.pop("password", None)
        if auth:
            private["password"] = _auth_string(call)
    if "persistenceConfig" in fields:
        body["persistenceConfig"] = _scheduled(body, call.now)
    policy = before.body.get("maintenancePolicy")
    if policy and "maintenancePolicy" in fields and body.get("maintenancePolicy"):
        body["maintenancePolicy"] = body["maintenancePolicy"] | {"createTime": policy["createTime"]}
    kept = {
        key: value
        for key, value in body.items()
        if value is not None and (value or key not in _ABSENT_WHEN_OFF)
    }
    changed = replace(after, body=kept, private=private)
    if not fields.isdisjoint(_NODES):
        changed = resized(world, before, changed)
    if fields.isdisjoint(_SETTINGS):
        return Outcome(changed, done=True)
    return Outcome(changed.with_body(state="UPDATING"))


def failover(world: World, call: Call) -> Decision:
    """Make the replica primary (behaviour/memorystore-redis.md#high-availability)."""
    found = COLLECTION.find(world, call)
    if found.body["tier"] != "STANDARD_HA":
        raise bad_request("Failover is only for instances of the tier STANDARD_HA.")
    check_settled(found.name, found.body["state"])
    mode = call.body.get("dataProtectionMode") or "LIMITED_DATA_LOSS"
    wanted = {"primary": found.private["primary"], "forced": mode == "FORCE_DATA_LOSS"}
    changed = replace(found.with_body(state="FAILING_OVER"), private=found.private | {"failover": wanted})
    return COLLECTION.decision(world, call, "Failover", Outcome(changed), (Put(changed),))


def moved_to_replica(world: World, name: ResourceName, primary: int) -> tuple[Change, ...]:
    """Let the node after ``primary`` be primary; nothing changes when it is that no more."""
    found = world.find(name)
    if found is None or int(found.private["primary"]) != primary:
        return ()
    nodes = found.body["nodes"]
    numbers = [number_of(each) for each in nodes]
    successor = nodes[(numbers.index(primary) + 1) % len(nodes)]
    moved = found.with_body(currentLocationId=successor["zone"])
    private = {key: value for key, value in found.private.items() if key != "failover"}
    return (Put(replace(moved, private=private | {"primary": number_of(successor)})),)


def failover_given_up(world: World, name: ResourceName, now: datetime) -> tuple[Change, ...]:
    """End a failover to a replica that does not have all data; everything stays as it was."""
    found = world.find(name)
    if found is None or "failover" not in found.private:
        return ()
    private = {key: value for key, value in found.private.items() if key != "failover"}
    error = OperationError(
        400, "FAILED_PRECONDITION", "The replica does not have all data. Use FORCE_DATA_LOSS to fail over."
    )
    return (
        Put(replace(found.with_body(state="READY"), private=private)),
        *(PutOperation(each.done(now, error=error)) for each in _running(world, name)),
    )


def upgrade(world: World, call: Call) -> Decision:
    """Show another version; the redis-server stays the one that the region has."""
    found = COLLECTION.find(world, call)
    check_settled(found.name, found.body["state"])
    version = str(call.body.get("redisVersion") or "")
    check_upgrade(found.body["redisVersion"], version)
    changed = found.with_body(redisVersion=version)
    return COLLECTION.decision(world, call, "Upgrade", Outcome(changed, done=True), (Put(changed),))


def auth_string(world: World, call: Call) -> Json:
    """Give the password of an instance with AUTH."""
    password = COLLECTION.find(world, call).private.get("password")
    return {"authString": password} if password else {}


def settled(world: World, name: ResourceName, now: datetime, certificates: list[Json]) -> tuple[Change, ...]:
    """Make an instance READY and end what waits for it: its servers are as they should be."""
    found = world.find(name)
    if found is None or found.body["state"] not in IN_CHANGE or "failover" in found.private:
        return ()
    ready = found.with_body(state="READY", **({"serverCaCerts": certificates} if certificates else {}))
    after = world.after((Put(ready),))
    return (
        Put(ready),
        *(
            PutOperation(each.done(now, COLLECTION.operation_response(after, each)))
            for each in _running(world, name)
        ),
    )


def creation_failed(world: World, name: ResourceName, why: str, now: datetime) -> tuple[Change, ...]:
    """Take away an instance that cannot be made on this machine; its operation says why."""
    found = world.find(name)
    if found is None or found.body["state"] != "CREATING":
        return ()
    error = OperationError(400, "FAILED_PRECONDITION", why)
    return (Delete(name), *(PutOperation(each.done(now, error=error)) for each in _running(world, name)))


def _running(world: World, name: ResourceName) -> Iterator[Operation]:
    return (each for each in world.running.values() if each.target == name)


def finishes(_world: World, operation: Operation) -> bool:
    """Return whether the network ends an operation: only a deletion needs no server."""
    return operation.type.endswith("DeleteInstance")


def snapshot_taken(world: World, name: ResourceName, now: datetime) -> tuple[Change, ...]:
    """Show when the next snapshot is due."""
    found = world.find(name)
    if found is None:
        return ()
    return (Put(found.with_body(persistenceConfig=_scheduled(found.body, now))),)


def _metadata(call: Call, verb: str, target: ResourceName) -> Json:
    return {
        "createTime": rfc3339(call.now),
        "target": target.path,
        "verb": verb.lower(),
        "requestedCancellation": False,
        "apiVersion": call.method.split(".")[1],
    }


COLLECTION = Collection(
    name=INSTANCES,
    noun="instance",
    id_parameter="instanceId",
    id_pattern=ID_PATTERN,
    message="google.cloud.redis.v1.Instance",
    interface="google.cloud.redis.{version}.CloudRedis",
    metadata="google.cloud.redis.v1.OperationMetadata",
    fields={
        "displayName": Field(check=display_name),
        "labels": Field(check=labels),
        "memorySizeGb": Field(required=True, check=size),
        "redisConfigs": Field(check=configs),
        "maintenancePolicy": Field(check=maintenance),
        "authEnabled": Field(),
        "persistenceConfig": Field(default={"persistenceMode": "DISABLED"}, check=persistence),
        "replicaCount": Field(),
        "secondaryIpRange": Field(),
        "readReplicasMode": Field(
            default="READ_REPLICAS_DISABLED", check=one_of("read_replicas_mode", *READ_REPLICAS_MODES)
        ),
        "tier": Field(required=True, immutable=True, check=one_of("tier", *TIERS)),
        "redisVersion": Field(
            immutable=True, default=DEFAULT_VERSION, check=one_of("redis_version", *VERSIONS)
        ),
        "connectMode": Field(
            immutable=True, default="DIRECT_PEERING", check=one_of("connect_mode", *CONNECT_MODES)
        ),
        "transitEncryptionMode": Field(
            immutable=True,
            default="DISABLED",
            check=one_of("transit_encryption_mode", "DISABLED", "SERVER_AUTHENTICATION"),
        ),
        **{
            each: Field(immutable=True)
            for each in ("locationId", "alternativeLocationId", "authorizedNetwork", "reservedIpRange")
        },
        **{
            each: Field(immutable=True, check=unbuilt(each))
            for each in ("customerManagedKey", "tags", "maintenanceVersion")
        },
    },
    created=_created,
    updated=_updated,
    operation_metadata=_metadata,
)

METHODS: Mapping[str, Method] = {
    **COLLECTION.methods(),
    "projects.locations.instances.getAuthString": Read(auth_string, "redis.instances.getAuthString"),
    "projects.locations.instances.failover": Write(failover, "redis.instances.failover"),
    "projects.locations.instances.upgrade": Write(upgrade, "redis.instances.upgrade"),
}
