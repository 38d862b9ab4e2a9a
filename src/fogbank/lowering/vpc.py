"""VPC networks: each is one router for all its regions, with a routed interface for every endpoint.

There is no segment to share, so a subnetwork is only a range that the router knows: its gateway address,
and a black hole for the hosts that are not there.
"""

from collections.abc import Iterable, Iterator
from ipaddress import IPv4Address, IPv4Interface, IPv4Network

from fogbank.lowering.endpoints import Endpoint
from fogbank.lowering.fragments import Fragment
from fogbank.lowering.memoize import memoized
from fogbank.lowering.netns_names import (
    ETH1,
    INTERNET,
    LOOPBACK,
    UPLINK,
    device_named,
    device_to,
    vpc_netns,
)
from fogbank.network.addressing import VPC_ROUTER, host
from fogbank.network.topology import (
    Address,
    DeviceName,
    Element,
    Hop,
    Link,
    NetworkNamespace,
    Port,
    Route,
    StatefulFirewall,
)
from fogbank.resources.compute import Network, Subnetwork
from fogbank.resources.names import ResourceName
from fogbank.resources.world import Resource


@memoized
def network_fragment(resource: Resource) -> Fragment:
    """Lower a network's router and its link to the internet."""
    network = Network.of(resource)
    return Fragment.of(_network(network.name), network.name)


@memoized
def read_mtu(resource: Resource) -> int:
    """Return the largest packet that a network carries, in bytes."""
    return Network.of(resource).mtu


def internet_device(network: ResourceName) -> DeviceName:
    """Name the internet's device that leads to ``network``."""
    return device_named(f"{network.project}.{network.id}")


def _network(network: ResourceName) -> Iterator[Element]:
    netns = vpc_netns(network)
    yield NetworkNamespace(netns, forwards=True)
    yield Link(Port(INTERNET, internet_device(network)), Port(netns, UPLINK))
    yield Address(Port(netns, LOOPBACK), IPv4Interface(VPC_ROUTER))
    yield StatefulFirewall(netns, UPLINK)


@memoized
def read_subnetwork(resource: Resource) -> Subnetwork:
    """Read a subnetwork once."""
    return Subnetwork.of(resource)


@memoized
def subnetwork_fragment(resource: Resource) -> Fragment:
    """Lower a subnetwork's gateway address and its ranges."""
    subnetwork = read_subnetwork(resource)
    elements = ranges(subnetwork.network, subnetwork.gateway, subnetwork.ranges)
    return Fragment.of(elements, subnetwork.name)


def ranges(network: ResourceName, gateway: IPv4Address, of: Iterable[IPv4Network]) -> Iterator[Element]:
    """Lower ranges of ``network``: the router answers on ``gateway``, absent hosts swallow what they get."""
    netns = vpc_netns(network)
    yield Address(Port(netns, LOOPBACK), IPv4Interface(gateway))
    for each in of:
        yield Route(netns, each, ())


def interface(endpoint: Endpoint, mtu: int) -> Iterator[Element]:
    """Lower the routed interface of ``endpoint``."""
    netns, device = vpc_netns(endpoint.network), device_to(endpoint.address)
    yield Link(Port(netns, device), Port(endpoint.netns, ETH1), mtu)
    yield Address(Port(endpoint.netns, ETH1), IPv4Interface(endpoint.address))
    yield Route(netns, host(endpoint.address), (Hop(device),))
