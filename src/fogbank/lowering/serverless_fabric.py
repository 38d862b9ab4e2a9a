"""The serverless fabric: where every Cloud Run instance stands, whatever else it is connected to.

Requests come in here, the metadata server and the resolver answer here, and what no VPC takes leaves here
with an address of the egress pool, which changes. Instances cannot reach one another: the fabric delivers to
them only what the front end sends from inside.
"""

from collections.abc import Iterator
from ipaddress import IPv4Interface

from fogbank.lowering.feature import Feature
from fogbank.lowering.fragments import Fragment
from fogbank.lowering.netns_names import (
    ETH0,
    FABRIC,
    INTERNET,
    LOOPBACK,
    UPLINK,
    device_named,
    device_to,
)
from fogbank.network.addressing import (
    ANYWHERE,
    EGRESS_POOL,
    FABRIC_ROUTER,
    INTERNET_ROUTER,
    LINK_LOCAL,
    METADATA,
    fabric_address,
    host,
    pool_address,
)
from fogbank.network.topology import (
    Address,
    Element,
    FirewallPolicy,
    Hop,
    Link,
    Listener,
    NetnsName,
    NetworkNamespace,
    Port,
    PortSecurity,
    Route,
    SourceNat,
    StatefulFirewall,
)
from fogbank.resources.fleet import FabricAttachment

METADATA_SERVICE = "metadata"
RESOLVER_SERVICE = "resolver"

_CLOSED = "closed"
"""Nothing that is forwarded enters an instance."""

_OPEN = "open"
"""An instance may send anywhere."""


class Fabric(Feature):
    """The fabric itself. What stands in it is lowered by the features whose instances those are."""

    def always(self) -> Fragment:
        """Lower the fabric's router and its servers."""
        return Fragment.of(_fabric())


def _fabric() -> Iterator[Element]:
    device = device_named("fabric")
    yield NetworkNamespace(FABRIC, forwards=True)
    yield Link(Port(INTERNET, device), Port(FABRIC, UPLINK))
    yield Address(Port(FABRIC, LOOPBACK), IPv4Interface(FABRIC_ROUTER))
    yield Address(Port(FABRIC, LOOPBACK), IPv4Interface(METADATA))
    yield Route(FABRIC, ANYWHERE, (Hop(UPLINK, INTERNET_ROUTER),))
    yield Route(FABRIC, LINK_LOCAL, ())
    yield Route(INTERNET, EGRESS_POOL, (Hop(device, FABRIC_ROUTER),))
    yield StatefulFirewall(FABRIC, UPLINK)
    yield FirewallPolicy(FABRIC, _CLOSED, (), "deny")
    yield FirewallPolicy(FABRIC, _OPEN, (), "allow")
    yield Listener(FABRIC, METADATA, 80, "tcp", METADATA_SERVICE)
    yield Listener(FABRIC, METADATA, 53, "udp", RESOLVER_SERVICE)
    yield Listener(FABRIC, METADATA, 53, "tcp", RESOLVER_SERVICE)


def fabric_interface(netns: NetnsName, attachment: FabricAttachment) -> Iterator[Element]:
    """Lower the first interface of the machine ``netns`` and its place in the fabric."""
    address = fabric_address(attachment.index)
    device = device_to(address)
    yield Link(Port(FABRIC, device), Port(netns, ETH0))
    yield Address(Port(netns, ETH0), IPv4Interface(address))
    yield Route(netns, LINK_LOCAL, (Hop(ETH0, FABRIC_ROUTER),), address)
    yield Route(FABRIC, host(address), (Hop(device),), FABRIC_ROUTER)
    yield PortSecurity(FABRIC, device, address, ingress=_CLOSED, egress=_OPEN)


def public_egress(netns: NetnsName, attachment: FabricAttachment) -> Iterator[Element]:
    """Lower the way out by the egress pool of the machine ``netns``; nothing when it has none."""
    address = fabric_address(attachment.index)
    for destination in attachment.destinations:
        yield Route(netns, destination, (Hop(ETH0, FABRIC_ROUTER),), address)
    if attachment.destinations:
        yield SourceNat(FABRIC, UPLINK, host(address), pool_address(attachment.pool))
