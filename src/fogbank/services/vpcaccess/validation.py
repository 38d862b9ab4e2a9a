"""What makes a connector: its size and its place in a network, with the reasons why not.

Nearly all of it is refused at once. One thing Google finds only while building: a range that is taken;
such a connector stays in state ERROR until it is deleted (behaviour/serverless-vpc-access.md#connectors).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Network

from fogbank.resources.authorization import denied
from fogbank.resources.compute import StaticAddress, Subnetwork
from fogbank.resources.compute_indexes import addresses_in_subnetwork, in_network
from fogbank.resources.names import ResourceName, compute_name, parse_compute_reference
from fogbank.resources.vpcaccess import RATES, connectors_in, connectors_with_subnet
from fogbank.resources.world import Json, World
from fogbank.services.collections import bad_request
from fogbank.services.contract import Call

ID_PATTERN = r"^[a-z][-a-z0-9]{0,23}[a-z0-9]$"

# Private ranges that a subnet may have, and so a connector (behaviour/vpc.md#ranges).
_USABLE = tuple(
    map(
        IPv4Network,
        (
            "10.0.0.0/8",
            "172.16.0.0/12",
            "192.168.0.0/16",
            "100.64.0.0/10",
            "192.0.0.0/24",
            "198.18.0.0/15",
            "240.0.0.0/4",
        ),
    )
)
_STEP = 100
"""Throughput in Mbps that one instance counts for (behaviour/serverless-vpc-access.md#connectors)."""


@dataclass(frozen=True, slots=True)
class Size:
    """How many instances, and of which machine type."""

    minimum: int
    maximum: int
    machine_type: str

    @property
    def body(self) -> Json:
        """Render the fields of a connector that say its size."""
        return {
            "machineType": self.machine_type,
            "minInstances": self.minimum,
            "maxInstances": self.maximum,
            "minThroughput": self.minimum * _STEP,
            "maxThroughput": self.maximum * _STEP,
        }


@dataclass(frozen=True, slots=True)
class Place:
    """Where the instances get their addresses; ``subnet`` is None when Google keeps a hidden one."""

    network: ResourceName
    subnet: ResourceName | None
    range: IPv4Network


def read_size(body: Json) -> Size:
    """Read the size that ``body`` asks for; instances win over throughput, defaults fill the rest."""
    size = Size(
        _instances(body, "minInstances", "minThroughput", 2),
        _instances(body, "maxInstances", "maxThroughput", 3),
        body.get("machineType") or "e2-micro",
    )
    if not 2 <= size.minimum <= 9:
        raise bad_request("The minimum number of instances must be between 2 and 9.")
    if not 3 <= size.maximum <= 10:
        raise bad_request("The maximum number of instances must be between 3 and 10.")
    if size.minimum >= size.maximum:
        raise bad_request(
            "The minimum number of instances must be less than the maximum number of instances."
        )
    if size.machine_type not in RATES:
        raise bad_request(
            f"Machine type '{size.machine_type}' is not supported. Use one of: {', '.join(sorted(RATES))}."
        )
    return size


def _instances(body: Json, instances: str, throughput: str, default: int) -> int:
    if body.get(instances):
        return int(body[instances])
    if not body.get(throughput):
        return default
    mbps = int(body[throughput])
    if mbps % _STEP:
        raise bad_request(f"{throughput} must be a multiple of {_STEP}.")
    return mbps // _STEP


def read_place(world: World, call: Call, project: str, location: str) -> Place:
    """Read where the connector goes; with a subnet the network in the body does not count.

    What it names of another project, the caller must be allowed to use.
    """
    body = call.body
    subnet: Json = body.get("subnet") or {}
    if subnet.get("name"):
        if body.get("ipCidrRange"):
            raise bad_request("Only one of subnet and ipCidrRange may be set.")
        return _in_subnet(world, call, project, location)
    if not body.get("ipCidrRange"):
        raise bad_request("Either subnet, or network and ipCidrRange, must be set.")
    return _in_range(world, call, project)


def _check_use(world: World, call: Call, kind: str, name: ResourceName, project: str) -> None:
    permission, beside = f"compute.{kind}.use", ResourceName("compute.policies", name.path)
    if name.project == project or call.access.allows(world, call.principal, permission, name.project, beside):
        return
    raise denied(permission, name.path, service="vpcaccess")


def _in_subnet(world: World, call: Call, project: str, location: str) -> Place:
    reference: Json = call.body["subnet"]
    owner = reference.get("projectId") or project
    name = compute_name("subnetworks", owner, "regions", location, reference["name"].rpartition("/")[2])
    _check_use(world, call, "subnetworks", name, project)
    found = world.find(name)
    if found is None:
        raise bad_request(f"The subnet '{name.path}' was not found.")
    subnet = Subnetwork.of(found)
    if subnet.range.prefixlen != 28 or subnet.purpose != "PRIVATE":
        raise bad_request(
            f"The subnet '{name.path}' has range {subnet.range} and purpose {subnet.purpose}: "
            "a connector needs a /28 range of purpose PRIVATE."
        )
    for user in _users(world, subnet):
        raise bad_request(
            f"The subnet '{name.path}' is already used by '{user.path}'; a connector needs its own."
        )
    return Place(subnet.network, name, subnet.range)


def _users(world: World, subnet: Subnetwork) -> Iterator[ResourceName]:
    yield from connectors_with_subnet(world, subnet.name)
    yield from (address.name for address in addresses_in_subnetwork(world, subnet.name))


def _in_range(world: World, call: Call, project: str) -> Place:
    body = call.body
    network = parse_network(body.get("network") or "default", project)
    _check_use(world, call, "networks", network, project)
    if world.find(network) is None:
        raise bad_request(f"The network '{network.path}' was not found.")
    try:
        wanted = IPv4Network(body["ipCidrRange"])
    except ValueError:
        raise bad_request(f"'{body['ipCidrRange']}' is not an IPv4 range.") from None
    if wanted.prefixlen != 28:
        raise bad_request(
            f"The range {wanted} has prefix length {wanted.prefixlen}: a connector needs a /28."
        )
    if not any(wanted.subnet_of(usable) for usable in _USABLE):
        raise bad_request(f"The range {wanted} is not one of the private ranges that a network may use.")
    return Place(network, None, wanted)


def parse_network(reference: str, project: str) -> ResourceName:
    """Read a reference to a network; a word that names something else is refused."""
    try:
        return parse_compute_reference(reference, "networks", project, "global")
    except ValueError:
        raise bad_request(f"'{reference}' does not name a network.") from None


def is_taken(world: World, place: Place) -> bool:
    """Return whether a hidden range collides with anything in the network."""
    return place.subnet is None and any(
        place.range.overlaps(other) for other in _ranges_in(world, place.network)
    )


def _ranges_in(world: World, network: ResourceName) -> Iterator[IPv4Network]:
    for resource in in_network(world, "subnetworks", network):
        yield from Subnetwork.of(resource).ranges
    for address in map(StaticAddress.of, in_network(world, "globalAddresses", network)):
        if not address.external:
            yield address.range
    yield from (c.range for c in connectors_in(world, network) if c.subnet is None)
