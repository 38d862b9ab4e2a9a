"""VPC Network Peering: a router between two networks' own, over which each reaches the other's ranges.

The router between them belongs to the peering and has only routes to what is exchanged, so that nothing else
passes and nothing passes on to a third network. Each network's firewall judges its own endpoints
(behaviour/vpc.md#peering). Whose name comes first lowers the router; each side lowers its own link and the
way to what it imports.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Interface, IPv4Network, collapse_addresses

from fogbank.lowering.fragments import Fragment
from fogbank.lowering.netns_names import LOOPBACK, peering_device, peering_netns, vpc_netns
from fogbank.network.addressing import LINK_LOCAL, PEERING_ROUTER, VPC_ROUTER
from fogbank.network.topology import (
    Address,
    Element,
    Hop,
    Link,
    NetnsName,
    NetworkNamespace,
    PeerNetwork,
    Port,
    Route,
)
from fogbank.resources.compute import StaticRoute, Subnetwork
from fogbank.resources.names import ResourceName
from fogbank.resources.peering import ActivePeering


@dataclass(frozen=True, slots=True, order=True)
class ImportedRange:
    """``destination`` is reached through the network ``peer``, because of ``owner`` there.

    ``priority`` is that of a static route, None for a subnet route.
    """

    peer: ResourceName
    destination: IPv4Network
    owner: ResourceName
    priority: int | None = None


def imported_subnetwork(subnetwork: Subnetwork, peering: ActivePeering) -> tuple[ImportedRange, ...]:
    """Say what the peer imports of ``subnetwork``, which is on the near side of ``peering``."""
    return tuple(
        ImportedRange(subnetwork.network, each, subnetwork.name)
        for each in subnetwork.ranges
        if peering.exports(each)
    )


def imported_route(route: StaticRoute, peering: ActivePeering) -> tuple[ImportedRange, ...]:
    """Say what the peer imports of a static route: nothing of one to the internet, or with tags."""
    if not peering.exports_custom or route.to_internet or route.tags:
        return ()
    return (ImportedRange(route.network, route.destination, route.name, route.priority),)


def effective_imports(
    imported: Iterable[ImportedRange], own: Iterable[IPv4Network], static: Iterable[IPv4Network]
) -> tuple[ImportedRange, ...]:
    """Choose among what a network is offered: subnet routes all, a static one where nothing stronger is.

    Stronger are a subnet route that contains it, a static route of the network's own to the same
    destination, and of two peers' the one with the lower priority.
    """
    offered = sorted(imported, key=lambda each: (each.destination, each.priority or 0, each))
    subnets = [each for each in offered if each.priority is None]
    ranges = [*own, *(each.destination for each in subnets)]
    taken = set(static)
    chosen = list(subnets)
    for each in offered:
        inside = any(each.destination.subnet_of(one) for one in ranges)
        if each.priority is not None and not inside and each.destination not in taken:
            taken.add(each.destination)
            chosen.append(each)
    return tuple(chosen)


def peering_fragment(
    network: ResourceName, peer: ResourceName, mtu: int, imported: Iterable[ImportedRange]
) -> Fragment:
    """Lower the side of ``network``: its link to the peering's router, and the way to what it imports."""
    wanted = [each for each in imported if each.peer == peer]
    between, near = peering_netns(network, peer), vpc_netns(network)
    here, there = peering_device(peer), peering_device(network)
    ranges = tuple(collapse_addresses(each.destination for each in wanted))
    elements: list[Element] = [
        *(_router(between) if network.path < peer.path else ()),
        Link(Port(near, here), Port(between, there), mtu),
        PeerNetwork(near, here, ranges),
    ]
    parts = [Fragment.of(elements, network, *(each.owner for each in wanted))]
    parts += [Fragment.of(_ways(near, between, each), each.owner) for each in wanted]
    return Fragment.joined(parts)


def _router(between: NetnsName) -> Iterator[Element]:
    yield NetworkNamespace(between, forwards=True)
    yield Address(Port(between, LOOPBACK), IPv4Interface(PEERING_ROUTER))
    yield Route(between, LINK_LOCAL, ())


def _ways(near: NetnsName, between: NetnsName, imported: ImportedRange) -> Iterator[Element]:
    yield Route(near, imported.destination, (Hop(peering_device(imported.peer), PEERING_ROUTER),))
    yield Route(between, imported.destination, (Hop(peering_device(imported.peer), VPC_ROUTER),))
