"""Google's front ends of load balancers: a namespace on the internet with forwarding rules' addresses.

A proxy runs in it (`services.compute.controller.edge`). It has a way into each VPC network with backends,
from addresses in the ranges of Google's front ends and health checks; what comes from there passes the
firewall rules of the network like anything else. The surprising fact: networks may have the same ranges, so
each way has a routing table of its own, for sockets that are bound to its device.
"""

import hashlib
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Interface, IPv4Network

from fogbank.lowering.netns_names import (
    ETH0,
    INTERNET,
    LOOPBACK,
    device_named,
    instance_netns,
    vpc_netns,
)
from fogbank.network.addressing import ANYWHERE, INTERNET_ROUTER, VPC_ROUTER, host
from fogbank.network.topology import (
    Address,
    DeviceName,
    Element,
    FirewallPolicy,
    Hop,
    Link,
    NetworkNamespace,
    Port,
    PortSecurity,
    Route,
    RoutingTable,
)
from fogbank.resources.names import ResourceName

EDGE_ID = "edge"
"""The id of the fleet's instance that is the proxy."""

EDGE = instance_netns(EDGE_ID)

FRONT_END_RANGE = IPv4Network("35.191.0.0/16")
PROBE_RANGE = IPv4Network("130.211.0.0/22")
"""Where proxies and health checks come from (behaviour/load-balancing.md#health-checks)."""

PROXY_SOURCE = IPv4Address("35.191.0.2")
PROBE_SOURCE = IPv4Address("130.211.0.2")
"""The address of each range that this region uses."""

_ROUTER = IPv4Address("169.254.1.7")
"""Where the internet sends what is for the addresses of forwarding rules."""

_TO_EDGE = DeviceName("edge")
_INTO, _OUT = "into-front-ends", "out-of-front-ends"
_FIRST_TABLE = 10_000


def edge() -> Iterator[Element]:
    """Lower the namespace itself and its way to the internet."""
    yield NetworkNamespace(EDGE)
    yield Link(Port(INTERNET, _TO_EDGE), Port(EDGE, ETH0))
    for address in (_ROUTER, PROXY_SOURCE, PROBE_SOURCE):
        yield Address(Port(EDGE, LOOPBACK), IPv4Interface(address))
    yield Route(EDGE, ANYWHERE, (Hop(ETH0, INTERNET_ROUTER),))
    yield Route(INTERNET, host(PROXY_SOURCE), (Hop(_TO_EDGE, _ROUTER),))


def edge_address(address: IPv4Address) -> Iterator[Element]:
    """Lower the address of a forwarding rule."""
    yield Address(Port(EDGE, LOOPBACK), IPv4Interface(address))
    yield Route(INTERNET, host(address), (Hop(_TO_EDGE, _ROUTER),))


def way_into(network: ResourceName) -> Iterator[Element]:
    """Lower the way from the front ends into a network, and back."""
    vpc, device = vpc_netns(network), edge_device(network)
    number = _table(network)
    yield Link(Port(vpc, _TO_EDGE), Port(EDGE, device))
    yield RoutingTable(EDGE, number, device)
    yield Route(EDGE, ANYWHERE, (Hop(device, VPC_ROUTER),), table=number)
    yield FirewallPolicy(vpc, _INTO, (), "deny")
    yield FirewallPolicy(vpc, _OUT, (), "allow")
    yield PortSecurity(vpc, _TO_EDGE, PROXY_SOURCE, _INTO, _OUT, (FRONT_END_RANGE, PROBE_RANGE))
    for each in (FRONT_END_RANGE, PROBE_RANGE):
        yield Route(vpc, each, (Hop(_TO_EDGE, _ROUTER),))


def edge_device(network: ResourceName) -> DeviceName:
    """Name the front ends' device that leads into ``network``."""
    return device_named(f"{network.project}.{network.id}")


def _table(network: ResourceName) -> int:
    digest = hashlib.sha256(network.path.encode()).digest()
    return _FIRST_TABLE + int.from_bytes(digest[:4], "big") // 2
