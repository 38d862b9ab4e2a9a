"""Who has addresses in a VPC network beside compute's own resources: connectors, and whatever an API adds.

An API keeps :func:`network_use` in the private part of its resource. Compute then refuses to delete the
network or the subnetwork below it, and gives the range to nobody else (behaviour/vpc.md#ranges). The
surprising fact: no API is named here, so every collection but compute's is asked, each at the cost of one
look-up in its index.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from ipaddress import IPv4Network

from fogbank.resources.indexes import Index
from fogbank.resources.names import ResourceName
from fogbank.resources.world import Json, Resource, World


@dataclass(frozen=True, slots=True)
class NetworkUser:
    """The resource ``name`` has its addresses in ``range``.

    ``subnetwork`` is the user's subnetwork that it fills, or None when it brought a range of its own.
    """

    name: ResourceName
    range: IPv4Network
    subnetwork: ResourceName | None

    @property
    def noun(self) -> str:
        """What it is called in a refusal: ``connector``."""
        return self.name.collection.rpartition(".")[2].removesuffix("s")


def network_use(network: ResourceName, within: IPv4Network, subnetwork: ResourceName | None) -> Json:
    """Make the private part of a resource that has its addresses in the range ``within`` of ``network``."""
    return {
        "network": network.path,
        "range": str(within),
        **({"subnet": subnetwork.path} if subnetwork else {}),
    }


def network_users(world: World, network: ResourceName) -> Iterator[NetworkUser]:
    """List who has addresses in ``network``, by collection and path; one in state ERROR has none."""
    for collection in sorted(each for each in world.collections if not each.startswith("compute.")):
        for found in world.by(_by_network(collection), network.path):
            if found.body.get("state") != "ERROR":
                yield from _read(found)


@dataclass(frozen=True, slots=True)
class Peering:
    """What a network shows of its peering ``name`` with a network of Google's that has managed servers.

    ``project`` is the one at the other end, ``since`` when the first of its users was made.
    """

    name: str
    project: str
    since: datetime

    @property
    def network(self) -> ResourceName:
        identifier = self.name.removesuffix("-googleapis-com")  # servicenetworking's, as recorded
        return ResourceName("compute.networks", f"projects/{self.project}/global/networks/{identifier}")


def network_peerings(world: World, network: ResourceName) -> tuple[Peering, ...]:
    """List the peerings over which managed servers are reached: each once, by name."""
    found: dict[str, datetime] = {}
    for resource in peering_users(world, network):
        name = resource.private["peering"]
        found[name] = min(found.get(name, resource.created), resource.created)
    return tuple(Peering(name, _tenant(name), since) for name, since in sorted(found.items()))


def peering_users(world: World, network: ResourceName) -> Iterator[Resource]:
    """List the resources for which a network is peered with one of Google's, by collection."""
    for collection in sorted(each for each in world.collections if not each.startswith("compute.")):
        yield from world.by(_by_peered_network(collection), network.path)


@lru_cache(None)
def _by_peered_network(collection: str) -> Index[Resource]:
    return Index(collection, _peered_network_of)


def _peered_network_of(resource: Resource) -> tuple[str, ...]:
    private = resource.private
    return (private["network"],) if "network" in private and "peering" in private else ()


def _tenant(peering: str) -> str:
    """Name the project of Google's at the other end of a peering."""
    digits = "".join(filter(str.isdigit, peering))
    return f"{digits or peering}-tp"


def subnetwork_users(world: World, network: ResourceName, subnetwork: ResourceName) -> Iterator[ResourceName]:
    """Name who fills ``subnetwork``, which is one of ``network``."""
    return (each.name for each in network_users(world, network) if each.subnetwork == subnetwork)


@lru_cache(None)
def _by_network(collection: str) -> Index[Resource]:
    return Index(collection, _network_of)


def _network_of(resource: Resource) -> tuple[str, ...]:
    private = resource.private
    return (private["network"],) if "network" in private and "range" in private else ()


def _read(resource: Resource) -> Iterator[NetworkUser]:
    """Read the uses of a resource: its range, and those that it got later (``moreRanges``)."""
    private = resource.private
    subnet = private.get("subnet")
    subnetwork = ResourceName("compute.subnetworks", subnet) if subnet else None
    for each in (private["range"], *private.get("moreRanges", ())):
        yield NetworkUser(resource.name, IPv4Network(each), subnetwork)
