"""The serverless fabric: where every Cloud Run instance stands, whatever else it is connected to.

Requests come in here, the metadata server and the resolver answer here, and what no VPC takes leaves here
with an address of the egress pool, which changes. Instances cannot reach one another: the fabric delivers to
them only what the front end sends from inside.
"""

from collections.abc import Iterator
from functools import lru_cache
from ipaddress import IPv4Interface

from fogbank.lowering.lowered import Part
from fogbank.lowering.spaces import (
    ETH0,
    FABRIC,
    INTERNET,
    LOOPBACK,
    UPLINK,
    device_named,
    device_to,
    instance_space,
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
    Filter,
    Guard,
    Hop,
    Link,
    Listener,
    Policy,
    Port,
    Route,
    SourceNat,
    Space,
)
from fogbank.resources.world import Instance

METADATA_SERVICE = "metadata"
RESOLVER_SERVICE = "resolver"

_CLOSED = "closed"
"""Nothing that is forwarded enters an instance."""

_OPEN = "open"
"""An instance may send anywhere."""


@lru_cache(maxsize=1)
def fabric_part() -> Part:
    """Lower the fabric itself."""
    return Part.of(_fabric())


def _fabric() -> Iterator[Element]:
    device = device_named("fabric")
    yield Space(FABRIC, forwards=True)
    yield Link(Port(INTERNET, device), Port(FABRIC, UPLINK))
    yield Address(Port(FABRIC, LOOPBACK), IPv4Interface(FABRIC_ROUTER))
    yield Address(Port(FABRIC, LOOPBACK), IPv4Interface(METADATA))
    yield Route(FABRIC, ANYWHERE, (Hop(UPLINK, INTERNET_ROUTER),))
    yield Route(FABRIC, LINK_LOCAL, ())
    yield Route(INTERNET, EGRESS_POOL, (Hop(device, FABRIC_ROUTER),))
    yield Filter(FABRIC, UPLINK)
    yield Policy(FABRIC, _CLOSED, (), "deny")
    yield Policy(FABRIC, _OPEN, (), "allow")
    yield Listener(FABRIC, METADATA, 80, "tcp", METADATA_SERVICE)
    yield Listener(FABRIC, METADATA, 53, "udp", RESOLVER_SERVICE)
    yield Listener(FABRIC, METADATA, 53, "tcp", RESOLVER_SERVICE)


def stand(instance: Instance) -> Iterator[Element]:
    """Lower the machine of ``instance`` and its place in the fabric."""
    space, address = instance_space(instance.id), fabric_address(instance.index)
    device = device_to(address)
    yield Space(space)
    yield Link(Port(FABRIC, device), Port(space, ETH0))
    yield Address(Port(space, ETH0), IPv4Interface(address))
    yield Route(space, LINK_LOCAL, (Hop(ETH0, FABRIC_ROUTER),), address)
    yield Route(FABRIC, host(address), (Hop(device),), FABRIC_ROUTER)
    yield Guard(FABRIC, device, address, ingress=_CLOSED, egress=_OPEN)


def public_egress(instance: Instance) -> Iterator[Element]:
    """Lower the way out by the pool: for what no VPC takes."""
    address = fabric_address(instance.index)
    yield Route(instance_space(instance.id), ANYWHERE, (Hop(ETH0, FABRIC_ROUTER),), address)
    yield SourceNat(FABRIC, UPLINK, host(address), pool_address(instance.pool))
