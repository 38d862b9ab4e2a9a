"""VPC networks: each is one router for all its regions, with a routed interface for every endpoint.

There is no segment to share, so a subnetwork is only a range that the router knows: its gateway address,
and a black hole for the hosts that are not there.
"""

from collections.abc import Iterable, Iterator
from ipaddress import IPv4Address, IPv4Interface, IPv4Network

from fogbank.lowering.endpoints import Endpoint
from fogbank.lowering.lowered import Part
from fogbank.lowering.memory import remembered
from fogbank.lowering.spaces import (
    ETH1,
    INTERNET,
    LOOPBACK,
    UPLINK,
    device_named,
    device_to,
    vpc_space,
)
from fogbank.network.addressing import VPC_ROUTER, host
from fogbank.network.topology import (
    Address,
    DeviceName,
    Element,
    Filter,
    Hop,
    Link,
    Port,
    Route,
    Space,
)
from fogbank.resources.compute import Network, Subnetwork
from fogbank.resources.names import ResourceName
from fogbank.resources.world import Resource


@remembered
def network_part(resource: Resource) -> Part:
    """Lower a network's router and its link to the internet."""
    network = Network.of(resource)
    return Part.of(_network(network.name), network.name)


@remembered
def read_mtu(resource: Resource) -> int:
    """Tell the largest packet that a network carries, in bytes."""
    return Network.of(resource).mtu


def internet_device(network: ResourceName) -> DeviceName:
    """Name the internet's device that leads to ``network``."""
    return device_named(f"{network.project}.{network.id}")


def _network(network: ResourceName) -> Iterator[Element]:
    space = vpc_space(network)
    yield Space(space, forwards=True)
    yield Link(Port(INTERNET, internet_device(network)), Port(space, UPLINK))
    yield Address(Port(space, LOOPBACK), IPv4Interface(VPC_ROUTER))
    yield Filter(space, UPLINK)


@remembered
def read_subnetwork(resource: Resource) -> Subnetwork:
    """Read a subnetwork once."""
    return Subnetwork.of(resource)


@remembered
def subnetwork_part(resource: Resource) -> Part:
    """Lower a subnetwork's gateway address and its ranges."""
    subnetwork = read_subnetwork(resource)
    elements = ranges(subnetwork.network, subnetwork.gateway, subnetwork.ranges)
    return Part.of(elements, subnetwork.name)


def ranges(network: ResourceName, gateway: IPv4Address, of: Iterable[IPv4Network]) -> Iterator[Element]:
    """Lower ranges of ``network``: the router answers on ``gateway``, absent hosts swallow what they get."""
    space = vpc_space(network)
    yield Address(Port(space, LOOPBACK), IPv4Interface(gateway))
    for each in of:
        yield Route(space, each, ())


def interface(endpoint: Endpoint, mtu: int) -> Iterator[Element]:
    """Lower the routed interface of ``endpoint``."""
    space, device = vpc_space(endpoint.network), device_to(endpoint.address)
    yield Link(Port(space, device), Port(endpoint.space, ETH1), mtu)
    yield Address(Port(endpoint.space, ETH1), IPv4Interface(endpoint.address))
    yield Route(space, host(endpoint.address), (Hop(device),))
