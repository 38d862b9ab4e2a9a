"""VPC networks: each is one router for all its regions, with a routed interface for every endpoint.

There is no segment to share, so a subnetwork is only a range that the router knows: its gateway address, and
a blackhole for the hosts that are not there. Routes, firewall rules and gateways are only read here; they are
lowered for the network as a whole, with the endpoints of all features.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import partial
from ipaddress import IPv4Address, IPv4Interface, IPv4Network

from fogbank.lowering.endpoints import Endpoint
from fogbank.lowering.feature import (
    NOTHING,
    Contribution,
    Feature,
    Find,
    Gateways,
    Membership,
    NetworkContext,
    Source,
)
from fogbank.lowering.firewall import effective_rule
from fogbank.lowering.firewall_policies import policy_contribution
from fogbank.lowering.fragments import Fragment
from fogbank.lowering.netns_names import (
    ETH1,
    INTERNET,
    LOOPBACK,
    UPLINK,
    device_to,
    internet_device,
    vpc_netns,
)
from fogbank.lowering.peering import ImportedRange, imported_route, imported_subnetwork
from fogbank.network.addressing import VPC_ROUTER, host
from fogbank.network.topology import (
    Address,
    Element,
    FlowLog,
    Hop,
    Link,
    NetworkNamespace,
    Port,
    Route,
    StatefulFirewall,
)
from fogbank.resources.bgp import BgpRouter, learned_routes
from fogbank.resources.compute import Network, Router, StaticAddress, StaticRoute, Subnetwork
from fogbank.resources.fleet import Instance
from fogbank.resources.instances import interfaces_of
from fogbank.resources.names import ResourceName
from fogbank.resources.peering import ActivePeering, active_peerings, peerings_of
from fogbank.resources.vpn import VpnTunnel
from fogbank.resources.world import Resource


class Vpc(Feature):
    """What compute's own resources add to a network."""

    resources = frozenset(
        {
            "compute.networks",
            "compute.subnetworks",
            "compute.routes",
            "compute.firewalls",
            "compute.firewallPolicies",
            "compute.routers",
            "compute.addresses",
        }
    )

    def contribution(self, source: Source, find: Find) -> Contribution:
        """Read a resource of compute's."""
        if isinstance(source, Instance):
            return NOTHING
        match source.name.collection:
            case "compute.networks":
                return _network(source, find)
            case "compute.subnetworks":
                subnetwork = Subnetwork.of(source)
                own = Membership(subnetwork.network, subnetworks=(subnetwork,))
                return _exported(own, find, partial(imported_subnetwork, subnetwork))
            case "compute.routes":
                return _route(StaticRoute.of(source), find)
            case "compute.firewalls":
                rule = effective_rule(source)
                return Contribution((Membership(rule.network, rules=(rule,)),)) if rule else NOTHING
            case "compute.firewallPolicies":
                return policy_contribution(source, find)
            case "compute.routers":
                return _router(source, find)
            case _:
                return _reserved(StaticAddress.of(source), find)

    def inside(
        self, source: Source, network: NetworkContext, endpoints: tuple[Endpoint, ...]
    ) -> Fragment | None:
        """Lower a subnetwork's gateway address and its ranges."""
        del network, endpoints
        if isinstance(source, Instance):
            return None
        subnetwork = Subnetwork.of(source)
        return Fragment.of(_subnetwork(subnetwork), subnetwork.name)


def _subnetwork(subnetwork: Subnetwork) -> Iterator[Element]:
    yield from ranges(subnetwork.network, subnetwork.gateway, subnetwork.ranges)
    if subnetwork.flow_logs:
        yield FlowLog(vpc_netns(subnetwork.network), subnetwork.name.path, subnetwork.ranges)


def _network(resource: Resource, find: Find) -> Contribution:
    """Read a network and the peers that it has; whether a peering is active depends on the other side."""
    active = (each.peer.name for each in active_peerings(resource, find))
    own = Membership(resource.name, itself=Network.of(resource), peers=tuple(active))
    return Contribution((own,), reads=tuple(each.network for each in peerings_of(resource)))


def _route(route: StaticRoute, find: Find) -> Contribution:
    """Read a route; one to an instance leads to the address that the instance has in the route's network."""
    reads = tuple(each for each in (route.instance, route.tunnel) if each)
    if route.tunnel and (found_tunnel := find(route.tunnel)):
        route = over_tunnel(route, VpnTunnel.of(found_tunnel))
    if route.instance and (instance := find(route.instance)):
        found = (each.address for each in interfaces_of(instance) if each.network == route.network)
        route = replace(route, via=next(found, None))
    own = Membership(route.network, routes=(route,))
    added = _exported(own, find, partial(imported_route, route))
    return replace(added, reads=(*added.reads, *reads))


def over_tunnel(route: StaticRoute, tunnel: VpnTunnel) -> StaticRoute:
    """Let a route lead to the gateway of its tunnel, when packets pass that."""
    if not tunnel.established:
        return route
    return replace(route, via=tunnel.interface.address, gateway=tunnel.interface.server)


def _exported(
    own: Membership, find: Find, offer: Callable[[ActivePeering], tuple[ImportedRange, ...]]
) -> Contribution:
    """Add to a network, and what is offered of it to those that are peered with it."""
    network = find(own.network)
    if network is None or not (peerings := peerings_of(network)):
        return Contribution((own,), reads=(own.network,))
    offers = ((each.peer.name, offer(each)) for each in active_peerings(network, find))
    abroad = (Membership(peer, imported=offered) for peer, offered in offers if offered)
    reads = (own.network, *(each.network for each in peerings))
    return Contribution((own, *abroad), reads=tuple(dict.fromkeys(reads)))


def _router(resource: Resource, find: Find) -> Contribution:
    """Read a router: its NAT gateways, and what its BGP peers have told."""
    added, bgp = _gateways(Router.of(resource), find), BgpRouter.of(resource)
    network = find(bgp.network)
    if not bgp.peers or network is None:
        return added
    offered = list(learned_routes(bgp, network))
    tunnels = {name: found for _, name in offered if (found := find(name))}
    routes = (over_tunnel(route, VpnTunnel.of(tunnels[name])) for route, name in offered if name in tunnels)
    # One whose tunnel is down has told nothing that still holds.
    own = replace(added.memberships[0], routes=tuple(each for each in routes if each.gateway))
    reads = (*added.reads, bgp.network, *(each.interface.tunnel for each in bgp.peers))
    return replace(added, memberships=(own,), reads=tuple(dict.fromkeys(reads)))


def _gateways(router: Router, find: Find) -> Contribution:
    names = tuple(dict.fromkeys(name for gateway in router.nats for name in gateway.outsides))
    found = ((name, find(name)) for name in names)
    outsides = tuple((name, StaticAddress.of(each).address) for name, each in found if each)
    gateways = (Gateways(router, outsides),) if router.nats else ()
    return Contribution((Membership(router.network, gateways=gateways),), reads=names)


def _reserved(address: StaticAddress, find: Find) -> Contribution:
    """Read an internal address or block, which belongs to its subnetwork's network; external ones to none."""
    if address.external or address.subnetwork is None:
        return NOTHING
    subnetwork = find(address.subnetwork)
    reserved = (
        (Membership(Subnetwork.of(subnetwork).network, reserved=tuple(address.range)),) if subnetwork else ()
    )
    return Contribution(reserved, reads=(address.subnetwork,))


def network_fragment(network: ResourceName) -> Fragment:
    """Lower a network's router and its link to the internet."""
    netns = vpc_netns(network)
    return Fragment.of(
        (
            NetworkNamespace(netns, forwards=True),
            Link(Port(INTERNET, internet_device(network)), Port(netns, UPLINK)),
            Address(Port(netns, LOOPBACK), IPv4Interface(VPC_ROUTER)),
            StatefulFirewall(netns, UPLINK),
        ),
        network,
    )


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
