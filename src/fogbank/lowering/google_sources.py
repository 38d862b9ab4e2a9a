"""Where Google's own connections into a VPC network begin: a namespace beside it with one address of a range.

The network always routes the range back there; firewall rules of the machine judge what comes, and nobody
reaches the namespace itself. IAP's tunnels and Cloud DNS's forwarded queries begin in such places.
"""

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Interface, IPv4Network

from fogbank.lowering.netns_names import DNS, ETH0, dns_netns, vpc_netns
from fogbank.network.addressing import ANYWHERE, VPC_ROUTER
from fogbank.network.topology import (
    Address,
    DeviceName,
    Element,
    FirewallPolicy,
    Hop,
    Link,
    NetnsName,
    NetworkNamespace,
    Port,
    PortSecurity,
    Route,
)
from fogbank.resources.names import ResourceName

FORWARDING_RANGE = IPv4Network("35.199.192.0/19")
FORWARDING_SOURCE = IPv4Address("35.199.192.2")
"""The one address of the range from which queries are forwarded (behaviour/cloud-dns.md#forwarding)."""


def google_source(
    network: ResourceName, netns: NetnsName, device: DeviceName, source: IPv4Address, within: IPv4Network
) -> Iterator[Element]:
    """Lower a place beside a network whose connections come from ``source``, one address ``within`` many."""
    vpc = vpc_netns(network)
    into, out = f"into-{device}", f"out-of-{device}"
    yield NetworkNamespace(netns)
    yield Link(Port(vpc, device), Port(netns, ETH0))
    yield Address(Port(netns, ETH0), IPv4Interface(source))
    yield Route(netns, ANYWHERE, (Hop(ETH0, VPC_ROUTER),), source)
    yield Route(vpc, within, (Hop(device, source),))
    yield FirewallPolicy(vpc, into, (), "deny")
    yield FirewallPolicy(vpc, out, (), "allow")
    yield PortSecurity(vpc, device, source, into, out)


def forwarded_queries(network: ResourceName) -> Iterator[Element]:
    """Lower where queries begin that Cloud DNS forwards through a network."""
    return google_source(network, dns_netns(network), DNS, FORWARDING_SOURCE, FORWARDING_RANGE)
