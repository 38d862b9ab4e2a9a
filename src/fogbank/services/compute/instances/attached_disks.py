"""The disks of an instance: those that exist, and those that come to be with it.

The first disk is the one that it boots from. A disk that is written by one instance is used by no other.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NoReturn

from fogbank.errors import invalid_value, not_built, required_field, shown
from fogbank.resources.instances import DISKS, instances_with_disk
from fogbank.resources.names import ResourceName, compute_name, parse_compute_reference
from fogbank.resources.operations import OperationError
from fogbank.resources.world import Json, Resource, World
from fogbank.services.compute.bodies import one_of, refuse_unbuilt
from fogbank.services.compute.decisions import OperationFailed
from fogbank.services.compute.disks import new_disk
from fogbank.services.compute.names import check_name, project_of, zone_of
from fogbank.services.contract import Call

UNBUILT: dict[str, tuple[object, ...]] = {
    "diskEncryptionKey": (),
    "savedState": (),
    "shieldedInstanceInitialState": (),
}
NEW_UNBUILT: dict[str, tuple[object, ...]] = {
    "sourceSnapshot": (),
    "sourceImageEncryptionKey": (),
    "sourceSnapshotEncryptionKey": (),
    "replicaZones": (),
    "resourcePolicies": (),
    "storagePool": (),
    "enableConfidentialCompute": (),
    "onUpdateAction": (),
}
MOST_DISKS = 128
_MODES = ("READ_WRITE", "READ_ONLY")
_INTERFACES = ("SCSI", "NVME")


@dataclass(frozen=True, slots=True)
class Disks:
    """The entries of an instance, and the disks that are made with it."""

    entries: tuple[Json, ...]
    made: tuple[Resource, ...]


def complete(world: World, call: Call, instance: str, wanted: Sequence[Json]) -> Disks:
    """Fill in the disks of an instance that is made."""
    if not wanted:
        raise invalid_value("resource.disks", "", "No disks are specified.")
    if not wanted[0].get("boot", len(wanted) == 1) or any(each.get("boot") for each in wanted[1:]):
        why = "Boot disk must be the first disk attached to the instance."
        raise invalid_value("resource.disks", shown([each.get("boot", False) for each in wanted]), why)
    entries: list[Json] = []
    made: list[Resource] = []
    for index, body in enumerate(wanted):
        name = instance if index == 0 else f"{instance}-{index}"
        entry, disk = attached(world, call, index, body, name)
        entry["boot"] = index == 0
        check_distinct(f"resource.disks[{index}]", entry, entries)
        entries.append(entry)
        made += [disk] if disk else []
    return Disks(tuple(entries), tuple(made))


def attached(world: World, call: Call, index: int, body: Json, default: str) -> tuple[Json, Resource | None]:
    """Make the entry of one disk; ``default`` is what a new one is called that was given no name."""
    where = f"resource.disks[{index}]"
    refuse_unbuilt("instances.disks", body, UNBUILT)
    if (kind := body.get("type", "PERSISTENT")) != "PERSISTENT":
        raise not_built(f"compute.instances.disks with type={kind}")
    mode = body.get("mode", _MODES[0])
    one_of(f"{where}.mode", mode, _MODES)
    bus = body.get("interface", _INTERFACES[0])
    one_of(f"{where}.interface", bus, _INTERFACES)
    new = None
    if body.get("source"):
        disk = find_disk(world, call, f"{where}.source", body["source"])
        check_unused(world, disk, mode)
    elif body.get("initializeParams"):
        disk = new = _new(world, call, where, body["initializeParams"], default)
    else:
        raise required_field(f"{where}.source")
    device = body.get("deviceName") or f"persistent-disk-{index}"
    return {
        "kind": "compute#attachedDisk",
        "type": "PERSISTENT",
        "mode": mode,
        "source": disk.name.self_link,
        "deviceName": device,
        "index": index,
        "boot": bool(body.get("boot", False)),
        "autoDelete": bool(body.get("autoDelete", False)),
        "interface": bus,
        **_inherited(disk),
    }, new


def _inherited(disk: Resource) -> Json:
    fields: Json = {"diskSizeGb": disk.body["sizeGb"]}
    kept = ("licenses", "guestOsFeatures", "architecture")
    return fields | {key: disk.body[key] for key in kept if disk.body.get(key)}


def _new(world: World, call: Call, where: str, params: Json, default: str) -> Resource:
    refuse_unbuilt("instances.disks.initializeParams", params, NEW_UNBUILT)
    identifier = params.get("diskName") or default
    check_name(f"{where}.initializeParams.diskName", identifier)
    name = compute_name("disks", project_of(world, call), "zones", zone_of(call), identifier)
    kept = ("sourceImage", "labels", "description", "provisionedIops", "provisionedThroughput")
    body: Json = {key: params[key] for key in kept if key in params}
    body |= {"type": params.get("diskType"), "sizeGb": params.get("diskSizeGb")}
    return new_disk(world, call, name, body, f"{where}.initializeParams")


def find_disk(world: World, call: Call, field: str, reference: object) -> Resource:
    """Find a disk of the call's zone that a body names."""
    zone = zone_of(call)
    try:
        name = parse_compute_reference(str(reference), "disks", project_of(world, call), "zones", zone)
    except (ValueError, IndexError):
        raise invalid_value(field, reference, "The URL is malformed.") from None
    if name.segment("regions"):
        raise not_built("compute.instances with regional disks")
    if name.segment("zones") != zone:
        raise invalid_value(field, reference, f"The disk must be in zone '{zone}'.")
    return world.get(ResourceName(DISKS, name.path))


def check_unused(world: World, disk: Resource, mode: str) -> None:
    """Refuse a disk that another instance has, unless both only read."""
    for user in instances_with_disk(world, disk.name):
        entries = (each for each in user.body["disks"] if each["source"] == disk.name.self_link)
        if mode == "READ_WRITE" or any(each["mode"] == "READ_WRITE" for each in entries):
            _in_use(disk, user.name)


def _in_use(disk: Resource, user: ResourceName) -> NoReturn:
    message = f"The disk resource '{disk.name.path}' is already being used by '{user.path}'"
    raise OperationFailed(OperationError(400, "RESOURCE_IN_USE_BY_ANOTHER_RESOURCE", message))


def check_distinct(field: str, entry: Json, others: Sequence[Json]) -> None:
    """Refuse a device name or a disk that the instance has already."""
    for other in others:
        if other["deviceName"] == entry["deviceName"]:
            why = f"Duplicate device name '{entry['deviceName']}'."
            raise invalid_value(f"{field}.deviceName", entry["deviceName"], why)
        if other["source"] == entry["source"]:
            raise invalid_value(f"{field}.source", entry["source"], "The disk is attached twice.")


def deleted_with(instance: Resource) -> Iterator[ResourceName]:
    """Name the disks that go with an instance."""
    for each in instance.body.get("disks", ()):
        if each.get("autoDelete"):
            name = parse_compute_reference(each["source"], "disks", "", "zones")
            yield ResourceName(DISKS, name.path)
