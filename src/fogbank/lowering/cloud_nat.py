"""Cloud NAT: each endpoint gets its own slice of ports on a reserved address.

Google's NAT has no box in the middle: the translation belongs to each endpoint, with a port range of its own.
So a gateway lowers to one :class:`SourceNat` for every endpoint that it serves, at the way out of the VPC.
An endpoint for which no ports are left has no translation, and the filter lets nothing of it out. A drained
address gives no new ports, and the flows that carry it live on.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from ipaddress import IPv4Address

from fogbank.lowering.endpoints import Endpoint
from fogbank.lowering.feature import Gateways
from fogbank.lowering.fragments import Fragment
from fogbank.lowering.netns_names import INTERNET, UPLINK, internet_device, vpc_netns
from fogbank.network.addressing import VPC_ROUTER, host
from fogbank.network.nat import Block, deal
from fogbank.network.topology import Element, Hop, Key, Route, SourceNat, Topology
from fogbank.resources.compute import NatGateway, Subnetwork
from fogbank.resources.names import ResourceName

Outsides = Mapping[ResourceName, IPv4Address]
"""Gateways' addresses by their resources."""


def held_blocks(
    network: ResourceName, endpoints: Iterable[Endpoint], observed: Topology
) -> Mapping[IPv4Address, Block]:
    """Find the port blocks that ``endpoints`` have now: they stay where they are."""
    found: dict[IPv4Address, Block] = {}
    for each in endpoints:
        known = observed.elements.get(_key(network, each.address))
        if isinstance(known, SourceNat) and known.ports:
            found[each.address] = Block(known.outside, known.ports)
    return found


def _key(network: ResourceName, address: IPv4Address) -> Key:
    return SourceNat(vpc_netns(network), UPLINK, host(address), address).key


def nat_fragments(
    routers: Iterable[Gateways],
    endpoints: Sequence[Endpoint],
    subnetworks: Sequence[Subnetwork],
    held: Mapping[IPv4Address, Block],
) -> Iterator[tuple[ResourceName, Fragment]]:
    """Lower the gateways of ``routers``, for each the router and its fragment; all is of one network.

    ``subnetworks`` include hidden ones. An endpoint is served once: by the first gateway, in the order
    given, that covers it.
    """
    served: set[IPv4Address] = set()
    routed: set[Key] = set()
    for each in routers:
        outsides = dict(each.outsides)
        elements: list[Element] = []
        for gateway in each.router.nats:
            clients = [
                client for client in _clients(gateway, endpoints, subnetworks) if client.address not in served
            ]
            served.update(client.address for client in clients)
            elements += _translations(gateway, clients, outsides, held)
            for route in _ways_back(gateway, outsides):
                if route.key not in routed:
                    routed.add(route.key)
                    elements.append(route)
        yield each.router.name, Fragment.of(elements, each.router.name)


def _clients(
    gateway: NatGateway, endpoints: Iterable[Endpoint], subnetworks: Iterable[Subnetwork]
) -> Iterator[Endpoint]:
    covered = [part for subnetwork in subnetworks for part in gateway.covers(subnetwork)]
    for endpoint in endpoints:
        here = endpoint.nat and (endpoint.network, endpoint.region) == (gateway.network, gateway.region)
        if here and any(endpoint.address in part for part in covered):
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
