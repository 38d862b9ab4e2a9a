"""Private services access: the ranges of a network that Google's services may take, and who uses them.

Service Networking keeps a connection for each network; Memorystore and others take their ranges from what it
holds (behaviour/private-services-access.md#connections).
"""

from collections.abc import Iterator
from ipaddress import IPv4Network

from fogbank.resources.compute import StaticAddress
from fogbank.resources.names import ResourceName
from fogbank.resources.network_ranges import free_range
from fogbank.resources.network_users import NetworkUser, network_users
from fogbank.resources.world import Resource, World

CONNECTIONS = "servicenetworking.connections"
PRODUCER = "servicenetworking.googleapis.com"
PEERING = "servicenetworking-googleapis-com"
"""The peering's name, and the id of the connection."""


def connection_name(network: ResourceName) -> ResourceName:
    """Name the connection of a network."""
    return ResourceName(CONNECTIONS, f"{network.path}/connections/{PEERING}")


def allocated_ranges(world: World, network: ResourceName, only: str = "") -> tuple[IPv4Network, ...]:
    """List the ranges of a network's connection, or the one called ``only``; none without a connection."""
    connection = world.find(connection_name(network))
    if connection is None:
        return ()
    names = connection.body.get("reservedPeeringRanges", ())
    found = (peering_range(world, network, name) for name in names if only in {"", name})
    return tuple(StaticAddress.of(each).range for each in found if each)


def peering_range(world: World, network: ResourceName, identifier: str) -> Resource | None:
    """Find a range that is allocated for peering with ``network``; None when there is none of this name."""
    path = f"projects/{network.project}/global/addresses/{identifier}"
    name = ResourceName("compute.globalAddresses", path)
    found = world.find(name)
    if found is None:
        return None
    address = StaticAddress.of(found)
    return found if (address.purpose, address.network) == ("VPC_PEERING", network) else None


class NoAllocatedRange(LookupError):
    """A network has no free range for a service of Google's; ``connected`` when it has a connection."""

    def __init__(self, *, connected: bool) -> None:
        super().__init__("no free range")
        self.connected = connected


def free_allocated_range(world: World, network: ResourceName, only: str, prefix_length: int) -> IPv4Network:
    """Take the first free range of those allocated, or of the one called ``only``.

    NoAllocatedRange when there is none (behaviour/private-services-access.md#ranges).
    """
    allocated = allocated_ranges(world, network, only)
    taken = [each.range for each in network_users(world, network)]
    for within in allocated:
        found = free_range(taken, within, prefix_length)
        if found is not None:
            return found
    raise NoAllocatedRange(connected=world.find(connection_name(network)) is not None)


def producers(world: World, network: ResourceName) -> Iterator[NetworkUser]:
    """List the resources that have addresses in a network's allocated ranges."""
    allocated = allocated_ranges(world, network)
    for user in network_users(world, network):
        if any(user.range.subnet_of(each) for each in allocated):
            yield user
