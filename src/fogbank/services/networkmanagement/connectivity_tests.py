"""Connectivity tests: made, changed, run again and deleted.

A test's operation is done when its path was analysed and, where something sends from there, a real packet was
sent: the controller does both (behaviour/connectivity-tests.md#results).
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from fogbank.resources.names import ResourceName
from fogbank.resources.operations import Operation, rfc3339
from fogbank.resources.world import Change, Json, Put, PutOperation, Resource, World
from fogbank.services.collections import Collection, Field, Outcome, bad_request
from fogbank.services.contract import Call, Decision, List, Method, Read, Write

TESTS = "networkmanagement.connectivityTests"

PROTOCOLS = ("TCP", "UDP", "ICMP")
UNBUILT_PROTOCOLS = ("ESP", "AH", "SCTP", "IPIP")

SOURCES = frozenset(
    {"instance", "ipAddress", "network", "networkType", "projectId", "port", "cloudRunRevision"}
)
DESTINATIONS = frozenset({"instance", "ipAddress", "network", "projectId", "port", "redisInstance"})
"""The fields of endpoints that are built (behaviour/connectivity-tests.md#endpoints)."""

_PLACES = frozenset({"instance", "ipAddress", "cloudRunRevision", "redisInstance"})
"""The fields of which an endpoint has at least one."""


def _endpoint(side: str, known: frozenset[str]) -> Field:
    def check(_world: World, _call: Call, value: Any) -> Json:
        given = {key: each for key, each in value.items() if each not in (None, "")}
        if unbuilt := sorted(given.keys() - known):
            raise bad_request(
                f"{side}.{unbuilt[0]} is not built yet in connectivity tests.", f"{side}.{unbuilt[0]}"
            )
        if not given.keys() & _PLACES:
            raise bad_request(f"The field '{side}' of a connectivity test names no endpoint.", side)
        return given

    return Field(required=True, check=check)


def _protocol(_world: World, _call: Call, value: str) -> str:
    if value in UNBUILT_PROTOCOLS:
        raise bad_request(f"Connectivity tests of {value} are not built yet.", "protocol")
    if value not in PROTOCOLS:
        raise bad_request(
            f"Invalid protocol {value!r}: one of {', '.join(PROTOCOLS)} is expected.", "protocol"
        )
    return value


def _not_set(name: str) -> Field:
    def check(_world: World, _call: Call, value: bool) -> bool:
        if value:
            raise bad_request(f"{name} is not built yet in connectivity tests.", name)
        return value

    return Field(check=check)


def _created(_world: World, call: Call, asked: Resource) -> Outcome:
    body = asked.body
    if body["protocol"] != "ICMP" and not body["destination"].get("port"):
        raise bad_request("The destination of a connectivity test needs a port.", "destination.port")
    moment = rfc3339(call.now)
    shown = {"displayName": asked.name.id, "createTime": moment, "updateTime": moment}
    return Outcome(_due(replace(asked, body=body | shown)))


def _updated(
    _world: World, call: Call, _before: Resource, after: Resource, _fields: frozenset[str]
) -> Outcome:
    return Outcome(_due(after.with_body(updateTime=rfc3339(call.now))))


def _due(test: Resource) -> Resource:
    """Have the controller run a test; ``due`` counts how often it was asked for since it last had results."""
    return replace(test, private=test.private | {"due": test.private.get("due", 0) + 1})


def rerun(world: World, call: Call) -> Decision:
    """Run a test again, on the network as it is now."""
    found = _due(COLLECTION.find(world, call))
    return COLLECTION.decision(world, call, "Rerun", Outcome(found), (Put(found),))


def ran(world: World, test: Resource, results: Json, now: datetime) -> tuple[Change, ...]:
    """Keep the results of ``test`` and end what waits for them.

    Nothing follows when the test was changed, asked for again or deleted while it ran: whoever asked later
    waits for a run that began later, and it ends the operations of both.
    """
    if world.find(test.name) != test:
        return ()
    done = replace(test.with_body(**results), private={})
    after = world.after((Put(done),))
    waiting = (each for each in world.running.values() if each.target == test.name)
    return (
        Put(done),
        *(PutOperation(each.done(now, COLLECTION.operation_response(after, each))) for each in waiting),
    )


def finishes(_world: World, operation: Operation) -> bool:
    """Return whether the network ends an operation: the others await their results."""
    return operation.type.endswith("DeleteConnectivityTest")


def _metadata(call: Call, verb: str, target: ResourceName) -> Json:
    return {
        "createTime": rfc3339(call.now),
        "target": target.path,
        "verb": verb.lower(),
        "cancelRequested": False,
        "apiVersion": "v1",
    }


COLLECTION = Collection(
    name=TESTS,
    noun="connectivity test",
    id_parameter="testId",
    id_pattern="[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?",
    message="google.cloud.networkmanagement.v1.ConnectivityTest",
    interface="google.cloud.networkmanagement.v1.ReachabilityService",
    metadata="google.cloud.networkmanagement.v1.OperationMetadata",
    locations=("global",),
    fields={
        "description": Field(),
        "source": _endpoint("source", SOURCES),
        "destination": _endpoint("destination", DESTINATIONS),
        "protocol": Field(default="TCP", check=_protocol),
        "relatedProjects": Field(),
        "labels": Field(),
        "roundTrip": _not_set("roundTrip"),
        "bypassFirewallChecks": _not_set("bypassFirewallChecks"),
    },
    created=_created,
    updated=_updated,
    operation_metadata=_metadata,
)

_PATH = "projects.locations.global.connectivityTests"
_PERMISSIONS = "networkmanagement.connectivitytests"

METHODS: Mapping[str, Method] = {
    f"{_PATH}.get": Read(COLLECTION.get, f"{_PERMISSIONS}.get"),
    f"{_PATH}.list": List(COLLECTION.list, "resources", permission=f"{_PERMISSIONS}.list"),
    f"{_PATH}.create": Write(COLLECTION.create, f"{_PERMISSIONS}.create"),
    f"{_PATH}.patch": Write(COLLECTION.patch, f"{_PERMISSIONS}.update"),
    f"{_PATH}.delete": Write(COLLECTION.delete, f"{_PERMISSIONS}.delete"),
    f"{_PATH}.rerun": Write(rerun, f"{_PERMISSIONS}.rerun"),
}
