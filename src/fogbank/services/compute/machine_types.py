"""Machine types, disk types and accelerators of every zone: tables that nobody changes.

No zone has accelerators, so their lists are empty.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from fogbank.errors import not_found
from fogbank.resources.machine_types import MACHINE_TYPES, MachineType, machine_type
from fogbank.resources.names import COMPUTE_PREFIX
from fogbank.resources.places import ZONES
from fogbank.resources.world import Json, World
from fogbank.services.compute.names import project_of, zone_of
from fogbank.services.contract import Call, List, Method, Read

_CREATED = "1969-12-31T16:00:00.000-08:00"
_FIRST_MACHINE_TYPE, _FIRST_DISK_TYPE = 801_000, 30_000
_IDS = {name: _FIRST_MACHINE_TYPE + number for number, name in enumerate(MACHINE_TYPES)}
_MOST_DISKS, _MOST_DISKS_SHARED = 128, 16
_MOST_DISK_GB, _MOST_DISK_GB_SHARED = 263_168, 3_072


@dataclass(frozen=True, slots=True)
class DiskType:
    """A type of persistent disk: what it is, and in GB the default, the smallest and the largest size."""

    name: str
    description: str
    default_gb: int
    smallest_gb: int = 10
    largest_gb: int = 65536


DISK_TYPES: Mapping[str, DiskType] = {
    each.name: each
    for each in (
        DiskType("hyperdisk-balanced", "Hyperdisk Balanced Persistent Disk", 100, 4),
        DiskType("pd-balanced", "Balanced Persistent Disk", 100),
        DiskType("pd-extreme", "Extreme Persistent Disk", 1000, 1),
        DiskType("pd-ssd", "SSD Persistent Disk", 100),
        DiskType("pd-standard", "Standard Persistent Disk", 500),
    )
}
"""The disk types, by name (https://cloud.google.com/compute/docs/disks)."""
_DISK_IDS = {name: _FIRST_DISK_TYPE + number for number, name in enumerate(DISK_TYPES)}


def machine_type_link(project: str, zone: str, name: str) -> str:
    """Return the link of a machine type."""
    return f"{COMPUTE_PREFIX}projects/{project}/zones/{zone}/machineTypes/{name}"


def disk_type_link(project: str, zone: str, name: str) -> str:
    """Return the link of a disk type."""
    return f"{COMPUTE_PREFIX}projects/{project}/zones/{zone}/diskTypes/{name}"


def _machine_type(project: str, zone: str, found: MachineType) -> Json:
    return {
        "kind": "compute#machineType",
        "id": str(_IDS.get(found.name, _FIRST_MACHINE_TYPE - 1)),
        "creationTimestamp": _CREATED,
        "name": found.name,
        "description": found.description,
        "guestCpus": found.cpus,
        "memoryMb": found.memory_mb,
        "imageSpaceGb": 0,
        "maximumPersistentDisks": _MOST_DISKS_SHARED if found.shared else _MOST_DISKS,
        "maximumPersistentDisksSizeGb": str(_MOST_DISK_GB_SHARED if found.shared else _MOST_DISK_GB),
        "zone": zone,
        "selfLink": machine_type_link(project, zone, found.name),
        "isSharedCpu": found.shared,
        "architecture": "X86_64",
    }


def _disk_type(project: str, zone: str, found: DiskType) -> Json:
    return {
        "kind": "compute#diskType",
        "id": str(_DISK_IDS[found.name]),
        "creationTimestamp": _CREATED,
        "name": found.name,
        "description": found.description,
        "defaultDiskSizeGb": str(found.default_gb),
        "validDiskSize": f"{found.smallest_gb}GB-{found.largest_gb}GB",
        "zone": f"{COMPUTE_PREFIX}projects/{project}/zones/{zone}",
        "selfLink": disk_type_link(project, zone, found.name),
    }


def get_machine_type(world: World, call: Call) -> Json:
    """Show a machine type, also a custom one."""
    project, zone, name = project_of(world, call), zone_of(call), call["machineType"]
    found = machine_type(name)
    if found is None:
        raise not_found(f"projects/{project}/zones/{zone}/machineTypes/{name}")
    return _machine_type(project, zone, found)


def get_disk_type(world: World, call: Call) -> Json:
    """Show a disk type."""
    project, zone, name = project_of(world, call), zone_of(call), call["diskType"]
    if name not in DISK_TYPES:
        raise not_found(f"projects/{project}/zones/{zone}/diskTypes/{name}")
    return _disk_type(project, zone, DISK_TYPES[name])


def get_accelerator_type(world: World, call: Call) -> Json:
    """Refuse: no zone has any."""
    path = f"projects/{project_of(world, call)}/zones/{zone_of(call)}/acceleratorTypes"
    raise not_found(f"{path}/{call['acceleratorType']}")


def _in_zones(world: World, call: Call, render: Callable[[str, str], Iterator[Json]]) -> Iterable[Json]:
    zones = [zone_of(call)] if "zone" in call.parameters else ZONES
    project = project_of(world, call)
    return [each for zone in zones for each in render(project, zone)]


def list_machine_types(world: World, call: Call) -> Iterable[Json]:
    """List the predefined machine types of a zone, or of all."""
    return _in_zones(world, call, lambda p, z: (_machine_type(p, z, each) for each in MACHINE_TYPES.values()))


def list_disk_types(world: World, call: Call) -> Iterable[Json]:
    """List the disk types of a zone, or of all."""
    return _in_zones(world, call, lambda p, z: (_disk_type(p, z, each) for each in DISK_TYPES.values()))


def list_accelerator_types(world: World, call: Call) -> Iterable[Json]:
    """List none."""
    return _in_zones(world, call, lambda _project, _zone: iter(()))


METHODS: dict[str, Method] = {
    "machineTypes.get": Read(get_machine_type, "compute.machineTypes.get"),
    "machineTypes.list": List(list_machine_types, permission="compute.machineTypes.list"),
    "machineTypes.aggregatedList": List(list_machine_types, permission="compute.machineTypes.list"),
    "diskTypes.get": Read(get_disk_type, "compute.diskTypes.get"),
    "diskTypes.list": List(list_disk_types, permission="compute.diskTypes.list"),
    "diskTypes.aggregatedList": List(list_disk_types, permission="compute.diskTypes.list"),
    "acceleratorTypes.get": Read(get_accelerator_type, "compute.acceleratorTypes.get"),
    "acceleratorTypes.list": List(list_accelerator_types, permission="compute.acceleratorTypes.list"),
    "acceleratorTypes.aggregatedList": List(
        list_accelerator_types, permission="compute.acceleratorTypes.list"
    ),
}
