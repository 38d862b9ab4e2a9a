"""Virtual machines and their disks as real types, and who is where among them.

A body was validated and completed before it was stored, so these readers do not doubt it. The surprising
fact: the network of a machine follows from its resource, whether or not a container runs in it.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network
from typing import Literal

from fogbank.network.topology import DeviceName
from fogbank.resources.compute import read_address, read_range, refer
from fogbank.resources.indexes import Index
from fogbank.resources.machine_types import MachineType, machine_type
from fogbank.resources.names import ResourceName, parse_compute_reference
from fogbank.resources.world import Json, Resource, World

INSTANCES = "compute.instances"
DISKS = "compute.disks"
METADATA = "compute.projectMetadata"
"""One resource for each project whose metadata was ever set, beside no client's view."""

Wanted = Literal["RUNNING", "TERMINATED", "SUSPENDED", "DELETED"]

POWERED = frozenset(
    {"PROVISIONING", "STAGING", "RUNNING", "STOPPING", "SUSPENDING", "SUSPENDED", "REPAIRING"}
)
"""The states in which a machine has its network; one that is suspended keeps it with its processes."""

IN_CHANGE = frozenset({"PROVISIONING", "STAGING", "STOPPING", "SUSPENDING", "REPAIRING"})
"""The states that end by themselves."""

_FIRST_DEVICE = 4
"""Google's Debian calls the first interface ens4."""


@dataclass(frozen=True, slots=True)
class NetworkInterface:
    """An interface of a machine: ``name`` is Google's (nic0), ``device`` the machine's own (ens4).

    ``gateway`` is its subnetwork's. ``external`` is translated to ``address`` and back, one to one.
    """

    name: str
    device: DeviceName
    network: ResourceName
    subnetwork: ResourceName
    address: IPv4Address
    gateway: IPv4Address
    aliases: tuple[IPv4Network, ...] = ()
    external: IPv4Address | None = None


@dataclass(frozen=True, slots=True)
class ServiceAccount:
    """An account that a machine acts as, and what its tokens may be used for."""

    email: str
    scopes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class AttachedDisk:
    """A disk of a machine; the first one is what it boots from."""

    source: ResourceName
    device_name: str
    boot: bool
    auto_delete: bool
    mode: str
    index: int


@dataclass(frozen=True, slots=True)
class VirtualMachine:
    """A virtual machine. ``boot`` counts its starts and resets, ``booted`` is the last that came up.

    ``status`` is what clients see, ``wanted`` where it is to come.
    """

    name: ResourceName
    id: int
    zone: str
    hostname: str
    status: str
    wanted: Wanted
    boot: int
    booted: int
    interfaces: tuple[NetworkInterface, ...]
    tags: tuple[str, ...]
    metadata: Mapping[str, str]
    accounts: tuple[ServiceAccount, ...]
    can_ip_forward: bool
    machine_type: MachineType
    disks: tuple[AttachedDisk, ...]
    automatic_restart: bool

    @classmethod
    def of(cls, resource: Resource) -> "VirtualMachine":
        """Read a ``compute.instances`` resource."""
        body, private, name = resource.body, resource.private, resource.name
        kind = machine_type(body["machineType"].rpartition("/")[2])
        if kind is None:
            raise ValueError(f"{name} has no machine type: {body['machineType']}")
        return cls(
            name,
            resource.id,
            zone_of(name),
            body.get("hostname") or internal_name(name),
            body["status"],
            private["wanted"],
            private["boot"],
            private.get("booted", 0),
            interfaces_of(resource),
            tuple(body["tags"].get("items", ())),
            metadata_of(body.get("metadata", {})),
            tuple(
                ServiceAccount(each["email"], tuple(each.get("scopes", ())))
                for each in body.get("serviceAccounts", ())
            ),
            body.get("canIpForward", False),
            kind,
            tuple(map(_attached, body.get("disks", ()))),
            body.get("scheduling", {}).get("automaticRestart", True),
        )

    @property
    def machine(self) -> str:
        """The id of its machine, which no other has: that of the namespace and of the fleet's instance."""
        return machine_id(self.id)

    @property
    def powered(self) -> bool:
        """Whether it has its network now."""
        return self.status in POWERED


def machine_id(number: int) -> str:
    """Name the machine of the instance with Google's numeric id ``number``."""
    return f"vm-{number}"


def zone_of(name: ResourceName) -> str:
    """Return the zone of an instance or a disk."""
    return name.segment("zones") or ""


def internal_name(name: ResourceName) -> str:
    """Return the zonal DNS name of an instance (behaviour/compute-instances.md#internal-names)."""
    return f"{name.id}.{zone_of(name)}.c.{name.project}.internal"


def metadata_of(metadata: Json) -> Mapping[str, str]:
    """Read metadata as a mapping."""
    return {each["key"]: each.get("value", "") for each in metadata.get("items", ())}


def interfaces_of(resource: Resource) -> tuple[NetworkInterface, ...]:
    """Read the interfaces of an instance."""
    return tuple(
        _interface(number, each, resource.private["gateways"][each["name"]])
        for number, each in enumerate(resource.body.get("networkInterfaces", ()))
    )


def _interface(number: int, body: Json, gateway: str) -> NetworkInterface:
    external = external_of(body)
    return NetworkInterface(
        body["name"],
        DeviceName(f"ens{_FIRST_DEVICE + number}"),
        refer(body["network"], "networks"),
        refer(body["subnetwork"], "subnetworks", "regions"),
        read_address(body["networkIP"]),
        read_address(gateway),
        tuple(read_range(each["ipCidrRange"]) for each in body.get("aliasIpRanges", ())),
        read_address(external) if external else None,
    )


def external_of(interface: Json) -> str | None:
    """Return the external address of an interface as its body shows it."""
    return next((each["natIP"] for each in interface.get("accessConfigs", ()) if "natIP" in each), None)


@lru_cache(maxsize=4096)
def _disk_name(reference: str) -> ResourceName:
    return parse_compute_reference(reference, "disks", "", "zones")


def _attached(body: Json) -> AttachedDisk:
    return AttachedDisk(
        _disk_name(body["source"]),
        body["deviceName"],
        body.get("boot", False),
        body.get("autoDelete", False),
        body["mode"],
        body["index"],
    )


@dataclass(frozen=True, slots=True)
class Disk:
    """A persistent disk; ``folder`` is what is kept of it on the region's own disk."""

    name: ResourceName
    id: int
    size_gb: int
    source_image: str | None

    @classmethod
    def of(cls, resource: Resource) -> "Disk":
        """Read a ``compute.disks`` resource."""
        body = resource.body
        return cls(resource.name, resource.id, int(body["sizeGb"]), body.get("sourceImage"))

    @property
    def folder(self) -> str:
        """The name of its data folder, which no other has."""
        return f"vm-disk-{self.id}"


def metadata_name(project: str) -> ResourceName:
    """Name the resource that keeps a project's common instance metadata."""
    return ResourceName(METADATA, f"projects/{project}")


def project_metadata(world: World, project: str) -> Mapping[str, str]:
    """Return the metadata that all instances of a project share."""
    found = world.find(metadata_name(project))
    return metadata_of(found.body) if found else {}


def _internal_addresses(instance: Resource) -> Iterable[tuple[str, int]]:
    return [(each["subnetwork"], int(read_address(each["networkIP"]))) for each in _nics(instance)]


def _nics(instance: Resource) -> list[Json]:
    found: list[Json] = instance.body.get("networkInterfaces", [])
    return found


_BY_INTERNAL_ADDRESS = Index(INSTANCES, _internal_addresses)


def instance_with_address(world: World, subnetwork: ResourceName, address: IPv4Address) -> Resource | None:
    """Find the instance that has an address of ``subnetwork``, whether or not it runs."""
    return next(world.by(_BY_INTERNAL_ADDRESS, (subnetwork.self_link, int(address))), None)


def addresses_of_instances(world: World, subnetwork: ResourceName) -> Iterator[int]:
    """List the addresses of a subnetwork that instances have, as numbers, the lowest first."""
    return (number for number, _ in _by_address(world, subnetwork))


def instances_in(world: World, subnetwork: ResourceName) -> Iterator[Resource]:
    """List the instances with an interface in ``subnetwork``, by address."""
    return (instance for _, instance in _by_address(world, subnetwork))


def _by_address(world: World, subnetwork: ResourceName) -> Iterator[tuple[int, Resource]]:
    link = subnetwork.self_link
    for (within, number), instance in world.ordered(_BY_INTERNAL_ADDRESS, (link, 0)):
        if within != link:
            return
        yield number, instance


def _alias_ranges(instance: Resource) -> Iterable[tuple[str, str]]:
    return [
        (each["subnetwork"], alias["ipCidrRange"])
        for each in _nics(instance)
        for alias in each.get("aliasIpRanges", ())
    ]


_BY_ALIAS_RANGE = Index(INSTANCES, _alias_ranges)


def alias_ranges_in(world: World, subnetwork: ResourceName) -> Iterator[tuple[IPv4Network, Resource]]:
    """List the alias ranges that instances have of a subnetwork, each with its instance."""
    link = subnetwork.self_link
    for (within, text), instance in world.ordered(_BY_ALIAS_RANGE, (link, "")):
        if within != link:
            return
        yield read_range(text), instance


def _external_addresses(instance: Resource) -> Iterable[str]:
    return [found for each in _nics(instance) if (found := external_of(each))]


_BY_EXTERNAL_ADDRESS = Index(INSTANCES, _external_addresses)


def instance_with_external(world: World, address: str) -> Resource | None:
    """Find the instance that has an external address."""
    return next(world.by(_BY_EXTERNAL_ADDRESS, address), None)


def external_addresses_of_instances(world: World) -> Iterator[str]:
    """List the external addresses of all instances."""
    return (address for address, _ in world.ordered(_BY_EXTERNAL_ADDRESS))


def _network_addresses(instance: Resource) -> Iterable[tuple[str, str]]:
    return [(each["network"], each["networkIP"]) for each in _nics(instance)]


_BY_NETWORK_ADDRESS = Index(INSTANCES, _network_addresses)


def instance_at(world: World, network: ResourceName, address: IPv4Address) -> Resource | None:
    """Find the instance that has ``address`` in a network."""
    return next(world.by(_BY_NETWORK_ADDRESS, (network.self_link, str(address))), None)


def _disks(instance: Resource) -> Iterable[str]:
    return [each["source"] for each in instance.body.get("disks", ())]


_BY_DISK = Index(INSTANCES, _disks)


def instances_with_disk(world: World, disk: ResourceName) -> Iterator[Resource]:
    """List the instances that a disk is attached to, by path."""
    return world.by(_BY_DISK, disk.self_link)


def _machine(instance: Resource) -> tuple[str]:
    return (machine_id(instance.id),)


_BY_MACHINE = Index(INSTANCES, _machine)


def instance_of_machine(world: World, machine: str) -> Resource | None:
    """Find the instance whose machine is ``machine``."""
    return next(world.by(_BY_MACHINE, machine), None)


def instance_named(world: World, host: str) -> Resource | None:
    """Find the instance that an internal DNS name means; without a dot at the end."""
    match host.split("."):
        case [name, zone, "c", project, "internal"]:
            path = f"projects/{project}/zones/{zone}/instances/{name}"
            return world.find(ResourceName(INSTANCES, path))
        case _:
            return None
