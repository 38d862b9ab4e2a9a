"""What makes a connector: its size and its place in a network, with the reasons why not.

Most of it is refused at once. Some Google finds only while building, so the operation fails: a range that
is taken, a subnet that does not exist, limits that are not given
(behaviour/serverless-vpc-access.md#connectors).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Network
from typing import Literal

from fogbank.resources.authorization import denied
from fogbank.resources.compute import Subnetwork
from fogbank.resources.compute_indexes import addresses_in_subnetwork
from fogbank.resources.names import ResourceName, compute_name, parse_compute_reference
from fogbank.resources.network_ranges import taken_ranges
from fogbank.resources.network_users import subnetwork_users
from fogbank.resources.shared_vpc import may_share
from fogbank.resources.vpcaccess import RATES
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
_LIMITS = ("minInstances", "maxInstances", "minThroughput", "maxThroughput")
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


def missing_limit(body: Json) -> str:
    """Say what a new connector's operation fails with when a limit is missing; empty when none is.

    See behaviour/serverless-vpc-access.md#connectors; unverified but for the first sentence.
    """
    if not any(body.get(each) for each in _LIMITS):
        return "Operation failed: A Connector must specify either max_throughput or max_instances."
    if not (body.get("maxInstances") or body.get("maxThroughput")):
        return "Operation failed: The maximum number of instances must be greater than the minimum."
    if not (body.get("minInstances") or body.get("minThroughput")):
        return "Operation failed: The minimum number of instances must be greater than or equal to 2."
    return ""


def read_size(body: Json) -> Size:
    """Read the size that ``body`` asks for; instances win over throughput.

    A refusal names the field that the client gave (behaviour/serverless-vpc-access.md#connectors).
    """
    smallest, largest = _instances(body, "min", 2, 9), _instances(body, "max", 3, 10)
    size = Size(smallest, largest, body.get("machineType") or "e2-micro")
    if size.minimum >= size.maximum:
        unit = "instances" if body.get("maxInstances") else "throughput"
        raise bad_request(
            f"Connector minimum {unit} must be less than maximum {unit}.", f"connector.min_{unit}"
        )
    if size.machine_type not in RATES:
        raise bad_request(
            f"Machine type '{size.machine_type}' is not supported. Use one of: {', '.join(sorted(RATES))}.",
            "connector.machine_type",
        )
    return size


def _instances(body: Json, end: Literal["min", "max"], least: int, most: int) -> int:
    """Read how many instances there are at one ``end``, from whichever of its two fields is given."""
    mbps = int(body.get(f"{end}Throughput") or 0)
    given = body.get(f"{end}Instances")
    if (mbps or not given) and (mbps % _STEP or not least * _STEP <= mbps <= most * _STEP):
        raise bad_request(
            f"Connector {end}imum throughput must be a multiple of {_STEP} between {least * _STEP} and "
            f"{most * _STEP} in Mbps.",
            f"connector.{end}_throughput",
        )
    if given:
        if not least <= int(given) <= most:
            raise bad_request(
                f"Connector {end}imum instances must be between {least} and {most}.",
                f"connector.{end}_instances",
            )
        return int(given)
    return mbps // _STEP


def read_place(world: World, call: Call, project: str, location: str) -> Place | None:
    """Read where the connector goes; None when its subnet does not exist.

    With a subnet the network in the body does not count.
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
    if name.project == project:
        return
    shared = may_share(world, name.project, project)
    if shared and call.access.allows(world, call.principal, permission, name.project, beside):
        return
    raise denied(permission, name.path, service="vpcaccess")


def _in_subnet(world: World, call: Call, project: str, location: str) -> Place | None:
    reference: Json = call.body["subnet"]
    owner = reference.get("projectId") or project
    name = compute_name("subnetworks", owner, "regions", location, reference["name"].rpartition("/")[2])
    _check_use(world, call, "subnetworks", name, project)
    found = world.find(name)
    if found is None:
        return None
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
    yield from subnetwork_users(world, subnet.network, subnet.name)
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
        place.range.overlaps(taken.range) for taken in taken_ranges(world, place.network)
    )
