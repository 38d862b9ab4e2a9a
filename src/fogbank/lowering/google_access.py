"""Private Google Access: Google's front end as a network's endpoints reach it without an external address.

In a network with a subnetwork that has the access, Google's address leads to a front end of the network's own
and not to the internet, so that packets keep their private sources. A firewall policy on that side says who
may reach it: the ranges with the access, and those of Cloud NAT, which switches it on. Others time out
(behaviour/vpc.md#private-google-access).
"""

from collections.abc import Iterable, Iterator, Sequence
from ipaddress import IPv4Interface, IPv4Network

from fogbank.lowering.feature import Gateways
from fogbank.lowering.fragments import Fragment
from fogbank.lowering.internet import FRONT_END_SERVICE
from fogbank.lowering.netns_names import ETH0, GOOGLE, google_netns, vpc_netns
from fogbank.lowering.routes import StaticRoutes
from fogbank.network.addressing import (
    ANYWHERE,
    FRONT_END,
    PRIVATE_GOOGLE,
    RESTRICTED_GOOGLE,
    VPC_ROUTER,
    host,
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
    Rule,
    Traffic,
)
from fogbank.resources.compute import Subnetwork
from fogbank.resources.names import ResourceName
from fogbank.resources.sites import WEB_PORTS

POLICY = "private-google-access"
"""The policy that says who may reach Google."""

_ADDRESSES = (host(FRONT_END), RESTRICTED_GOOGLE, PRIVATE_GOOGLE)
_CLOSED = "google-opens-nothing"


def google_access_fragment(
    network: ResourceName,
    table: StaticRoutes,
    subnetworks: Sequence[Subnetwork],
    gateways: Iterable[Gateways],
) -> Fragment | None:
    """Lower Google's front end in ``network``; None when no subnetwork has the access.

    Nor does anything lead there when the route to its address has another next hop than the default internet
    gateway, or there is none.
    """
    having = [each for each in subnetworks if each.google_access]
    reached = [each for each in _ADDRESSES if _leads_out(table, each)]
    if not having or not reached:
        return None
    ranges = [part for each in having for part in each.ranges]
    nats = (nat for each in gateways for nat in each.router.nats)
    ranges += [part for nat in nats for each in subnetworks for part in nat.covers(each)]
    elements = _elements(network, tuple(sorted(set(ranges))), reached)
    return Fragment.of(elements, *(each.name for each in having))


def _length(network: IPv4Network) -> int:
    return network.prefixlen


def _leads_out(table: StaticRoutes, destination: IPv4Network) -> bool:
    towards = [each for each in table.static if destination.subnet_of(each)]
    return bool(towards) and table.leads_out(max(towards, key=_length))


def _elements(
    network: ResourceName, ranges: tuple[IPv4Network, ...], reached: Sequence[IPv4Network]
) -> Iterator[Element]:
    vpc, google = vpc_netns(network), google_netns(network)
    yield NetworkNamespace(google)
    yield Link(Port(vpc, GOOGLE), Port(google, ETH0))
    yield Address(Port(google, ETH0), IPv4Interface(FRONT_END))
    yield Route(google, ANYWHERE, (Hop(ETH0, VPC_ROUTER),), FRONT_END)
    virtual = tuple(each for each in reached if each != host(FRONT_END))
    for address in (address for each in virtual for address in each):
        yield Address(Port(google, ETH0), IPv4Interface(address))
    for address in (address for each in reached for address in each):  # longer than any route that leads out
        yield Route(vpc, host(address), (Hop(GOOGLE),))
    yield FirewallPolicy(vpc, POLICY, (Rule("allow", (Traffic(),), ranges),), "deny")
    yield FirewallPolicy(vpc, _CLOSED, (), "deny")
    yield PortSecurity(vpc, GOOGLE, FRONT_END, POLICY, _CLOSED, virtual)
    for address in (FRONT_END, *(address for each in virtual for address in each)):
        for port in WEB_PORTS:
            yield Listener(google, address, port, "tcp", FRONT_END_SERVICE)
