"""Managed zones: public ones, private ones that VPC networks see, forwarding and peering ones.

A new zone has its SOA and NS records; it can be deleted when it has nothing else
(behaviour/cloud-dns.md#zones).
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace

from fogbank.errors import not_built
from fogbank.resources.dns import ZONES, record_set_name, records_of, zone_name
from fogbank.resources.listings import listing
from fogbank.resources.names import ResourceName
from fogbank.resources.world import Change, Delete, Json, Put, Resource, World
from fogbank.services.contract import Call, Decision
from fogbank.services.dns.networks import read_network, read_networks, read_targets
from fogbank.services.dns.records import read_name
from fogbank.services.dns.refusals import bad, exists, invalid, missing
from fogbank.services.labels import check_labels
from fogbank.services.segments import segments

CHANGES = "dns.changes"
OPERATIONS = "dns.managedZoneOperations"

_NAME = re.compile(r"[a-z](?:[-a-z0-9]{0,61}[a-z0-9])?")
_UNBUILT = ("serviceDirectoryConfig", "nameServerSet")
_TTL = 21600
_CHANGEABLE = (
    "dnssecConfig",
    "description",
    "labels",
    "privateVisibilityConfig",
    "peeringConfig",
    "forwardingConfig",
    "cloudLoggingConfig",
)
_NO_DNSSEC = {"kind": "dns#managedZoneDnsSecConfig", "state": "off"}
_VISIBLE = "dns#managedZonePrivateVisibilityConfigNetwork"
_PRIVATE_SERVER = "ns-gcp-private.googledomains.com."


def find(world: World, call: Call) -> Resource:
    """Find the zone that the path names, by name or number; Google's 404 otherwise."""
    wanted = call["managedZone"]
    found = world.find(zone_name(call["project"], wanted))
    if found is not None:
        return found
    for zone in world.all(ZONES, f"projects/{call['project']}/") if wanted.isdecimal() else ():
        if str(zone.id) == wanted:
            return zone
    raise missing("managedZone", wanted)


def get(world: World, call: Call) -> Json:
    """Show a zone."""
    return find(world, call).body


def list_(world: World, call: Call) -> Iterable[Json]:
    """List a project's zones; with ``dnsName`` only those of that name."""
    under = f"projects/{call['project']}/managedZones/"
    wanted = str(call.parameters.get("dnsName") or "")
    if not wanted:
        return listing(world, ZONES, under, lambda zone: zone.body)
    return [zone.body for zone in world.all(ZONES, under) if zone.body["dnsName"] == wanted]


def create(world: World, call: Call) -> Decision:
    """Make a zone with its SOA and NS records."""
    body = call.body
    identifier = str(body.get("name") or "")
    if not _NAME.fullmatch(identifier):
        raise invalid("entity.managedZone.name", identifier)
    name = zone_name(call["project"], identifier)
    if world.find(name) is not None:
        raise exists("entity.managedZone", identifier)
    if "description" not in body:
        message = "The 'entity.managedZone.description' parameter is required but was missing."
        raise bad(message, "required")
    _refuse_unbuilt(body)
    origin = read_name(body.get("dnsName"), "entity.managedZone.dnsName")
    visibility = body.get("visibility") or "public"
    number = call.new_id()
    kept: Json = {
        "kind": "dns#managedZone",
        "name": identifier,
        "dnsName": origin,
        "description": body["description"],
        "id": str(number),
        "nameServers": _name_servers(visibility, number),
        "creationTime": _time(call),
        "visibility": visibility,
        "cloudLoggingConfig": _logging(body),
    }
    zone = Resource(name, number, call.now, kept, {"changes": 1})
    zone = _with_networks(world, call, zone, body)
    if body.get("labels"):
        check_labels(body["labels"])
        zone = zone.with_body(labels=body["labels"])
    if body.get("dnssecConfig"):
        zone = zone.with_body(dnssecConfig=_NO_DNSSEC)
    if body.get("reverseLookupConfig"):
        zone = zone.with_body(reverseLookupConfig={"kind": "dns#managedZoneReverseLookupConfig"})
    first = tuple(_own_records(zone, call))
    return Decision((Put(zone), *first), answer=zone.body)


def patch(world: World, call: Call) -> Decision:
    """Change what the body names; the answer is an operation, which is done."""
    return _changed(world, call, find(world, call), call.body)


def update(world: World, call: Call) -> Decision:
    """Replace what may be changed by what the body has."""
    given: Json = {field: call.body.get(field) for field in _CHANGEABLE}
    return _changed(world, call, find(world, call), call.body | given)


def delete(world: World, call: Call) -> Decision:
    """Delete a zone that has its SOA and NS records and no others."""
    zone = find(world, call)
    own = [Delete(each.name) for each in records_of(world, zone.name)]
    if any(not is_own(zone, each) for each in records_of(world, zone.name)):
        raise bad(
            f"The resource named '{zone.name.id}' cannot be deleted because it contains one or more "
            "'resource records'.",
            "containerNotEmpty",
        )
    under = f"{zone.name.path}/"
    beside = [Delete(each.name) for kind in (CHANGES, OPERATIONS) for each in world.all(kind, under)]
    policy = Delete(ResourceName("dns.policies", zone.name.path))
    return Decision((*own, *beside, policy, Delete(zone.name)), answer={})


def guarded(world: World, call: Call) -> ResourceName:
    """Name the policy of the zone that a call of IAM is about."""
    parts = segments(call)
    name = zone_name(parts["projects"], parts["managedZones"])
    if world.find(name) is None:
        raise missing("managedZone", name.id)
    return ResourceName("dns.policies", name.path)


def is_own(zone: Resource, records: Resource) -> bool:
    """Return whether a record set came with its zone and goes with it."""
    return records.body["name"] == zone.body["dnsName"] and records.body["type"] in ("NS", "SOA")


def operations(world: World, call: Call) -> Iterable[Json]:
    """List the changes of a zone's own fields."""
    return [each.body for each in world.all(OPERATIONS, f"{find(world, call).name.path}/")]


def operation(world: World, call: Call) -> Json:
    """Show one change of a zone's own fields."""
    found = world.find(ResourceName(OPERATIONS, f"{find(world, call).name.path}/{call['operation']}"))
    if found is None:
        raise missing("operation", call["operation"])
    return found.body


def _changed(world: World, call: Call, zone: Resource, given: Json) -> Decision:
    _refuse_unbuilt(given)
    for field in ("name", "dnsName", "visibility"):
        if given.get(field) and given[field] != zone.body[field]:
            raise invalid(f"entity.managedZone.{field}", given[field])
    changed = zone
    if "description" in given:
        changed = changed.with_body(description=given["description"] or "")
    if "labels" in given:
        check_labels(given["labels"] or {})
        changed = changed.with_body(labels=given["labels"] or None)
    if given.get("dnssecConfig"):
        changed = changed.with_body(dnssecConfig=_NO_DNSSEC)
    if "cloudLoggingConfig" in given:
        changed = changed.with_body(cloudLoggingConfig=_logging(given))
    if any(
        given.get(each) is not None
        for each in ("privateVisibilityConfig", "peeringConfig", "forwardingConfig")
    ):
        changed = _with_networks(world, call, changed, zone.body | given)
    number = str(call.new_id())
    done: Json = {
        "kind": "dns#operation",
        "id": number,
        "startTime": _time(call),
        "status": "done",
        "type": "update",
        "user": call.principal,
        "zoneContext": {"oldValue": zone.body, "newValue": changed.body},
    }
    kept = Resource(ResourceName(OPERATIONS, f"{zone.name.path}/{number}"), int(number), call.now, done)
    return Decision((Put(changed), Put(kept)), answer=done)


def _time(call: Call) -> str:
    return call.now.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _refuse_unbuilt(body: Json) -> None:
    for field in _UNBUILT:
        if body.get(field):
            raise not_built(f"dns.managedZones with {field}")
    if (body.get("dnssecConfig") or {}).get("state", "off").lower() != "off":
        raise not_built("dns.managedZones with DNSSEC")


def _logging(body: Json) -> Json:
    config: Json = {"kind": "dns#managedZoneCloudLoggingConfig"}
    if "enableLogging" in (given := body.get("cloudLoggingConfig") or {}):
        config["enableLogging"] = bool(given["enableLogging"])
    return config


def _with_networks(world: World, call: Call, zone: Resource, body: Json) -> Resource:
    """Read who sees a private zone, and whose view it shows when it is a peering zone."""
    seen = (body.get("privateVisibilityConfig") or {}).get("networks") or ()
    peer = (body.get("peeringConfig") or {}).get("targetNetwork") or {}
    if zone.body["visibility"] == "public":
        if seen or peer or body.get("forwardingConfig"):
            message = "A public zone cannot have networks: 'entity.managedZone.privateVisibilityConfig'."
            raise bad(message, "invalid")
        return zone
    if (body.get("privateVisibilityConfig") or {}).get("gkeClusters"):
        raise not_built("dns.managedZones that clusters see")
    field = "entity.managedZone.privateVisibilityConfig.networks"
    networks = read_networks(world, call, seen, field, "bindPrivateDNSZone")
    config: Json = {
        "kind": "dns#managedZonePrivateVisibilityConfig",
        "networks": [{"kind": _VISIBLE, "networkUrl": each.self_link} for each in networks],
    }
    private: Json = {**zone.private, "networks": [each.path for each in networks]}
    zone = zone.with_body(privateVisibilityConfig=config)
    if peer:
        where = "entity.managedZone.peeringConfig.targetNetwork.networkUrl"
        target = read_network(world, call, peer.get("networkUrl"), where, "targetWithPeeringZone")
        url = {"kind": "dns#managedZonePeeringConfigTargetNetwork", "networkUrl": target.self_link}
        zone = zone.with_body(peeringConfig={"kind": "dns#managedZonePeeringConfig", "targetNetwork": url})
        private["peer"] = target.path
    where = "entity.managedZone.forwardingConfig"
    if targets := read_targets(body.get("forwardingConfig"), where, "dns#managedZoneForwardingConfig"):
        if peer:
            raise bad("A zone has either 'forwardingConfig' or 'peeringConfig'.", "invalid")
        zone = zone.with_body(forwardingConfig=targets)
    return replace(zone, private=private)


def _name_servers(visibility: str, number: int) -> list[str]:
    """Name the servers of a zone; a public one has one of five sets of four."""
    if visibility == "private":
        return [_PRIVATE_SERVER]
    letter = "abcde"[number % 5]
    return [f"ns-cloud-{letter}{each}.googledomains.com." for each in range(1, 5)]


def _own_records(zone: Resource, call: Call) -> Iterator[Change]:
    """Make the records of a new zone, and the first of its changes, which brings them."""
    origin, servers = zone.body["dnsName"], zone.body["nameServers"]
    contact = "cloud-dns-hostmaster.google.com."
    data = {"NS": servers, "SOA": [f"{servers[0]} {contact} 1 21600 3600 259200 300"]}
    sets = [
        {"kind": "dns#resourceRecordSet", "name": origin, "type": kind, "ttl": _TTL, "rrdatas": texts}
        for kind, texts in data.items()
    ]
    for each in sets:
        yield Put(Resource(record_set_name(zone.name, origin, each["type"]), call.new_id(), call.now, each))
    yield Put(change_of(zone, 0, call, additions=sets))


def change_of(
    zone: Resource, number: int, call: Call, additions: Iterable[Json] = (), deletions: Iterable[Json] = ()
) -> Resource:
    """Make the record of an atomic change of a zone's records; it is in force, so it is done."""
    body: Json = {
        "kind": "dns#change",
        "id": str(number),
        "startTime": _time(call),
        "status": "done",
        **({"additions": list(additions)} if additions else {}),
        **({"deletions": list(deletions)} if deletions else {}),
    }
    name = ResourceName(CHANGES, f"{zone.name.path}/changes/{number}")
    return Resource(name, call.new_id(), call.now, body)
