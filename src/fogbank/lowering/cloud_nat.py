"""Cloud NAT: each endpoint gets its own slice of ports on a reserved address.

Google's NAT has no box in the middle: the translation belongs to each endpoint, with a port range of its own.
So a gateway lowers to one :class:`SourceNat` for every endpoint that it serves, at the way out of the VPC.
An endpoint for which no ports are left has no translation, and the filter lets nothing of it out. A drained
address gives no new ports, and the flows that carry it live on.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from ipaddress import IPv4Address

from fogbank.lowering.endpoints import Endpoint
from fogbank.lowering.fragments import Fragment
from fogbank.lowering.memoize import interned, memoized
from fogbank.lowering.netns_names import INTERNET, UPLINK, vpc_netns
from fogbank.lowering.reading import grouped
from fogbank.lowering.vpc import internet_device
from fogbank.network.addressing import VPC_ROUTER, host
from fogbank.network.nat import Block, deal
from fogbank.network.topology import Element, Hop, Key, NetnsName, Route, SourceNat, Topology
from fogbank.resources.compute import NatGateway, Router, StaticAddress, Subnetwork
from fogbank.resources.names import ResourceName
from fogbank.resources.world import Resource, World

Held = tuple[SourceNat, ...]
"""The translations of one VPC that exist now: port blocks stay where they are."""

Outsides = Mapping[ResourceName, IPv4Address]
"""Gateways' addresses by their resources."""


@memoized
def held_blocks(observed: Topology) -> Mapping[NetnsName, Held]:
    """Find the translations that exist in the kernel, by the namespace that does them."""
    return grouped(observed.of_kind(SourceNat), lambda each: each.netns)


@memoized
def _read(resource: Resource) -> Router:
    return Router.of(resource)


def addresses_of(world: World, routers: Iterable[Resource]) -> tuple[Resource, ...]:
    """List the addresses that the gateways of ``routers`` use."""
    names = (name for each in routers for gateway in _read(each).nats for name in gateway.outsides)
    return interned(*(found for found in map(world.find, names) if found))


def nat_fragments(
    routers: Iterable[Resource],
    addresses: Iterable[Resource],
    endpoints: Sequence[Endpoint],
    subnetworks: Sequence[Subnetwork],
    held: Held,
) -> Iterator[Fragment]:
    """Lower the gateways of ``routers``, whose ``addresses`` are given; everything is of one network.

    ``subnetworks`` include the hidden ones of connectors. An endpoint is served once: by the
    first gateway, in order of paths, that covers it.
    """
    outsides = {each.name: StaticAddress.of(each).address for each in addresses}
    blocks = {each.inside.network_address: Block(each.outside, each.ports) for each in held if each.ports}
    served: set[IPv4Address] = set()
    routed: set[Key] = set()
    for resource in routers:
        router = _read(resource)
        elements: list[Element] = []
        for gateway in router.nats:
            clients = [
                each for each in _clients(gateway, endpoints, subnetworks) if each.address not in served
            ]
            served.update(each.address for each in clients)
            elements += _translations(gateway, clients, outsides, blocks)
            for route in _ways_back(gateway, outsides):
                if route.key not in routed:
                    routed.add(route.key)
                    elements.append(route)
        yield Fragment.of(elements, router.name)


def _clients(
    gateway: NatGateway, endpoints: Iterable[Endpoint], subnetworks: Iterable[Subnetwork]
) -> Iterator[Endpoint]:
    covered = [part for subnetwork in subnetworks for part in gateway.covers(subnetwork)]
    for endpoint in endpoints:
        if (endpoint.network, endpoint.region) == (gateway.network, gateway.region) and any(
            endpoint.address in part for part in covered
        ):
            yield endpoint


def _translations(
    gateway: NatGateway, clients: Iterable[Endpoint], outsides: Outsides, held: Mapping[IPv4Address, Block]
) -> Iterator[SourceNat]:
    netns = vpc_netns(gateway.network)
    dealt = deal(
        (client.address for client in clients), _known(gateway.addresses, outsides), gateway.ports, held
    )
    draining = _known(gateway.draining, outsides)
    for client, block in dealt.items():
        yield SourceNat(netns, UPLINK, host(client), block.outside, block.ports, gateway.timeouts, draining)


def _ways_back(gateway: NatGateway, outsides: Outsides) -> Iterator[Route]:
    device = internet_device(gateway.network)
    for address in _known(gateway.outsides, outsides):
        yield Route(INTERNET, host(address), (Hop(device, VPC_ROUTER),))


def _known(names: Iterable[ResourceName], outsides: Outsides) -> tuple[IPv4Address, ...]:
    return tuple(outsides[name] for name in names if name in outsides)
