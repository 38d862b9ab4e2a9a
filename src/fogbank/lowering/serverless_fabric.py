"""The serverless fabric: where every Cloud Run instance stands, whatever else it is connected to.

Requests come in here, the metadata server and the resolver answer here, and what no VPC takes leaves here
with an address of the egress pool, which changes. Instances cannot reach one another: the fabric delivers to
them only what the front end sends from inside.
"""

from collections.abc import Iterator
from functools import lru_cache
from ipaddress import IPv4Interface

from fogbank.lowering.fragments import Fragment
from fogbank.lowering.netns_names import (
    ETH0,
    FABRIC,
    INTERNET,
    LOOPBACK,
    UPLINK,
    device_named,
    device_to,
    instance_netns,
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
    NetworkNamespace,
    Port,
    PortSecurity,
    Route,
    SourceNat,
    StatefulFirewall,
)
from fogbank.resources.fleet import Instance

METADATA_SERVICE = "metadata"
RESOLVER_SERVICE = "resolver"

_CLOSED = "closed"
"""Nothing that is forwarded enters an instance."""

_OPEN = "open"
"""An instance may send anywhere."""


@lru_cache(maxsize=1)
def fabric_fragment() -> Fragment:
    """Lower the fabric itself."""
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


def instance_attachment(instance: Instance) -> Iterator[Element]:
    """Lower the machine of ``instance`` and its place in the fabric."""
    netns, address = instance_netns(instance.id), fabric_address(instance.fabric.index)
    device = device_to(address)
    yield NetworkNamespace(netns)
    yield Link(Port(FABRIC, device), Port(netns, ETH0))
    yield Address(Port(netns, ETH0), IPv4Interface(address))
    yield Route(netns, LINK_LOCAL, (Hop(ETH0, FABRIC_ROUTER),), address)
    yield Route(FABRIC, host(address), (Hop(device),), FABRIC_ROUTER)
    yield PortSecurity(FABRIC, device, address, ingress=_CLOSED, egress=_OPEN)


def public_egress(instance: Instance) -> Iterator[Element]:
    """Lower the way out by the pool: for what no VPC takes."""
    address = fabric_address(instance.fabric.index)
    yield Route(instance_netns(instance.id), ANYWHERE, (Hop(ETH0, FABRIC_ROUTER),), address)
    yield SourceNat(FABRIC, UPLINK, host(address), pool_address(instance.fabric.pool))
