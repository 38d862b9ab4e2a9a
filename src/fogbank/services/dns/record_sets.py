"""Record sets, one by one or by atomic changes: a change has all of its additions and deletions or none.

A name has one CNAME or records of other types (RFC 1034, section 3.6.2); a zone keeps its SOA and NS
(behaviour/cloud-dns.md#records).
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from fogbank.resources.dns import record_set_name, records_of
from fogbank.resources.names import ResourceName
from fogbank.resources.world import Change, Delete, Json, Put, Resource, World
from fogbank.services.contract import Call, Decision
from fogbank.services.dns.records import read_record_set
from fogbank.services.dns.refusals import bad, exists, invalid, missing
from fogbank.services.dns.zones import CHANGES, change_of, find, is_own

_OWN = 2
"""Record sets that a zone always has: SOA and NS, at its apex."""

_Given = tuple[str, Json]
"""The field that a refusal names, and the record set in it."""


def list_(world: World, call: Call) -> Iterable[Json]:
    """List a zone's record sets; ``name`` and ``type`` choose."""
    zone = find(world, call)
    name, kind = str(call.parameters.get("name") or "").lower(), str(call.parameters.get("type") or "")
    if kind and not name:
        raise invalid("parameters.name", "")
    found = (each.body for each in records_of(world, zone.name))
    return [each for each in found if name in ("", each["name"]) and kind in ("", each["type"])]


def get(world: World, call: Call) -> Json:
    """Show a record set."""
    return _named(world, call, find(world, call)).body


def create(world: World, call: Call) -> Decision:
    """Make a record set."""
    zone, field = find(world, call), "entity.resourceRecordSet"
    wanted = read_record_set(call.body, field, zone.body["dnsName"])
    return Decision(_apply(world, call, zone, [(field, wanted)], []), answer=wanted)


def patch(world: World, call: Call) -> Decision:
    """Replace a record set by one with the fields of the body."""
    zone, field = find(world, call), "entity.resourceRecordSet"
    found = _named(world, call, zone)
    before = dict(found.body)
    if call.body.get("routingPolicy"):
        before.pop("rrdatas", None)
    if call.body.get("rrdatas"):
        before.pop("routingPolicy", None)
    wanted = read_record_set(before | call.body, field, zone.body["dnsName"])
    return Decision(_apply(world, call, zone, [(field, wanted)], [(field, found.body)]), answer=wanted)


def delete(world: World, call: Call) -> Decision:
    """Delete a record set; a zone keeps its own."""
    zone = find(world, call)
    found = _named(world, call, zone)
    return Decision(_apply(world, call, zone, [], [("entity.resourceRecordSet", found.body)]), answer={})


def create_change(world: World, call: Call) -> Decision:
    """Make an atomic change: each deletion must be exactly what there is."""
    zone = find(world, call)
    origin = zone.body["dnsName"]
    added = _read_all(call.body.get("additions") or (), "entity.change.additions", origin)
    gone = _read_all(call.body.get("deletions") or (), "entity.change.deletions", origin)
    if not added and not gone:
        raise bad("The 'entity.change' parameter is required but was missing.", "required")
    changes, record = _applied(world, call, zone, added, gone)
    return Decision((*changes, Put(record)), answer=record.body)


def get_change(world: World, call: Call) -> Json:
    """Show a change."""
    found = world.find(ResourceName(CHANGES, f"{find(world, call).name.path}/changes/{call['changeId']}"))
    if found is None:
        raise missing("changeId", call["changeId"])
    return found.body


def list_changes(world: World, call: Call) -> Iterable[Json]:
    """List a zone's changes, the newest first."""
    found = [each.body for each in world.all(CHANGES, f"{find(world, call).name.path}/changes/")]
    oldest_first = call.parameters.get("sortOrder") == "ascending"
    return sorted(found, key=lambda each: int(each["id"]), reverse=not oldest_first)


def _read_all(given: Sequence[Json], field: str, origin: str) -> list[_Given]:
    found = []
    for place, each in enumerate(given):
        where = f"{field}[{place}]"
        found.append((where, read_record_set(each, where, origin)))
    return found


def _named(world: World, call: Call, zone: Resource) -> Resource:
    name, kind = call["name"].lower(), call["type"]
    found = world.find(record_set_name(zone.name, name, kind))
    if found is None:
        raise missing("name", f"{call['name']} ({kind})")
    return found


def _apply(
    world: World, call: Call, zone: Resource, added: Sequence[_Given], gone: Sequence[_Given]
) -> tuple[Change, ...]:
    changes, record = _applied(world, call, zone, added, gone)
    return (*changes, Put(record))


def _applied(
    world: World, call: Call, zone: Resource, added: Sequence[_Given], gone: Sequence[_Given]
) -> tuple[tuple[Change, ...], Resource]:
    """Change a zone's records, deletions first; also return the record of the change."""
    left = {each.name: each for each in records_of(world, zone.name)}
    changes: list[Change] = []
    for field, deletion in gone:
        name = record_set_name(zone.name, deletion["name"], deletion["type"])
        found = left.pop(name, None)
        if found is None or not _same(found.body, deletion):
            raise bad(f"Precondition not met for '{field}'", "conditionNotMet", "FAILED_PRECONDITION", 412)
        changes.append(Delete(name))
    for field, addition in added:
        name = record_set_name(zone.name, addition["name"], addition["type"])
        if name in left:
            shown = f"{addition['name']} ({addition['type']})"
            raise exists(f"{field.partition('[')[0]}[{addition['name']}][{addition['type']}]", shown)
        _check_alias(zone, field, addition, left.values())
        made = Resource(name, call.new_id(), call.now, addition)
        left[name] = made
        changes.append(Put(made))
    if sum(is_own(zone, each) for each in left.values()) != _OWN:
        raise bad(
            f"The resource record set '{(gone or added)[0][0]}' is invalid because a zone must contain "
            "exactly one resource record set of type 'SOA' and one of type 'NS' at the apex.",
            "containerRequirementsNotMet",
        )
    number = int(zone.private["changes"])
    counted = replace(zone, private=zone.private | {"changes": number + 1})
    record = change_of(zone, number, call, [each for _, each in added], [each for _, each in gone])
    return (*changes, Put(counted)), record


def _same(one: Json, other: Json) -> bool:
    if int(one.get("ttl", 0)) != int(other.get("ttl", 0)):
        return False
    if one.get("routingPolicy") != other.get("routingPolicy"):
        return False
    return sorted(one.get("rrdatas", ())) == sorted(other.get("rrdatas", ()))


def _check_alias(zone: Resource, field: str, addition: Json, left: Iterable[Resource]) -> None:
    """Refuse a CNAME beside records of other types, and at the apex."""
    beside = {each.body["type"] for each in left if each.body["name"] == addition["name"]}
    if addition["type"] == "CNAME" and addition["name"] == zone.body["dnsName"]:
        message = (
            f"The resource record set '{field}' is invalid because the DNS name '{addition['name']}' is the "
            "apex of the zone, which cannot have a CNAME resource record set."
        )
        raise bad(message, "invalidZoneApex")
    if beside and (addition["type"] == "CNAME" or "CNAME" in beside):
        raise bad(
            f"The resource record set '{field}' is invalid because the DNS name '{addition['name']}' may "
            "have either one CNAME resource record set or resource record sets of other types, but not both.",
            "cnameResourceRecordSetConflict",
        )
