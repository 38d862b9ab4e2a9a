"""Where tunnels of IAP begin: a namespace beside each network with virtual machines.

Connections from there have a source in 35.235.240.0/20, which a network always routes back, and pass the
firewall rules of the machine; nobody reaches IAP itself (behaviour/iap-tcp-forwarding.md#data-path).
"""

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Interface, IPv4Network

from fogbank.lowering.netns_names import ETH0, IAP, iap_netns, vpc_netns
from fogbank.network.addressing import ANYWHERE, VPC_ROUTER
from fogbank.network.topology import (
    Address,
    Element,
    FirewallPolicy,
    Hop,
    Link,
    NetworkNamespace,
    Port,
    PortSecurity,
    Route,
)
from fogbank.resources.names import ResourceName

RANGE = IPv4Network("35.235.240.0/20")
SOURCE = IPv4Address("35.235.240.2")
"""The one address of the range that this region uses."""

_INTO, _OUT = "into-iap", "out-of-iap"


def tunnels_of_iap(network: ResourceName) -> Iterator[Element]:
    """Lower IAP's place beside a network."""
    vpc, iap = vpc_netns(network), iap_netns(network)
    yield NetworkNamespace(iap)
    yield Link(Port(vpc, IAP), Port(iap, ETH0))
    yield Address(Port(iap, ETH0), IPv4Interface(SOURCE))
    yield Route(iap, ANYWHERE, (Hop(ETH0, VPC_ROUTER),), SOURCE)
    yield Route(vpc, RANGE, (Hop(IAP, SOURCE),))
    yield FirewallPolicy(vpc, _INTO, (), "deny")
    yield FirewallPolicy(vpc, _OUT, (), "allow")
    yield PortSecurity(vpc, IAP, SOURCE, _INTO, _OUT)
