"""Cloud NAT: each endpoint gets its own slice of ports on a reserved address.

Google's NAT has no box in the middle: the translation belongs to each endpoint, with a port range of its own.
So a gateway lowers to one :class:`SourceNat` for every endpoint that it serves, at the way out of the VPC.
An endpoint for which no ports are left has no translation, and the filter lets nothing of it out. A drained
address gives no new ports, and the flows that carry it live on.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from ipaddress import IPv4Address

from fogbank.lowering.endpoints import Endpoint
from fogbank.lowering.lowered import Part
from fogbank.lowering.memory import remembered
from fogbank.lowering.spaces import INTERNET, UPLINK, vpc_space
from fogbank.lowering.vpc import internet_device
from fogbank.network.addressing import VPC_ROUTER, host
from fogbank.network.nat import Block, deal
from fogbank.network.topology import Element, Hop, Key, Route, SourceNat, SpaceName, Topology
from fogbank.resources.compute import NatGateway, Router, StaticAddress, Subnetwork
from fogbank.resources.names import ResourceName
from fogbank.resources.world import Resource, World

Held = Mapping[SpaceName, Mapping[IPv4Address, Block]]
"""The port blocks that exist now, by VPC and endpoint."""


@remembered(2)
def held_blocks(observed: Topology) -> Held:
    """Find the port blocks that endpoints hold in the kernel."""
    held: dict[SpaceName, dict[IPv4Address, Block]] = {}
    for element in observed.of_kind(SourceNat):
        if element.ports is not None:
            block = Block(element.outside, element.ports)
            held.setdefault(element.space, {})[element.inside.network_address] = block
    return held


@remembered(4096)
def _read(resource: Resource) -> Router:
    return Router.of(resource)


def nat_parts(
    world: World,
    routers: Iterable[Resource],
    endpoints: Sequence[Endpoint],
    subnetworks: Sequence[Subnetwork],
    held: Held,
) -> Iterator[Part]:
    """Lower the gateways of ``routers``; ``endpoints`` and ``subnetworks`` are those of all networks.

    ``subnetworks`` include the hidden ones of connectors. An endpoint is served once: by the
    first gateway, in order of paths, that covers it.
    """
    served: set[tuple[ResourceName, IPv4Address]] = set()
    routed: set[Key] = set()
    for resource in routers:
        router = _read(resource)
        elements: list[Element] = []
        for gateway in router.nats:
            clients = [
                each
                for each in _clients(gateway, endpoints, subnetworks)
                if (each.network, each.address) not in served
            ]
            served.update((each.network, each.address) for each in clients)
            elements += _translations(world, gateway, clients, held)
            for route in _ways_back(world, gateway):
                if route.key not in routed:
                    routed.add(route.key)
                    elements.append(route)
        yield Part.of(elements, router.name)


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
    world: World, gateway: NatGateway, clients: Iterable[Endpoint], held: Held
) -> Iterator[SourceNat]:
    space = vpc_space(gateway.network)
    blocks = deal(
        (client.address for client in clients),
        _addresses(world, gateway.addresses),
        gateway.ports,
        held.get(space, {}),
    )
    draining = _addresses(world, gateway.draining)
    for client, block in blocks.items():
        yield SourceNat(space, UPLINK, host(client), block.outside, block.ports, gateway.timeouts, draining)


def _ways_back(world: World, gateway: NatGateway) -> Iterator[Route]:
    device = internet_device(gateway.network)
    for address in _addresses(world, gateway.addresses + gateway.draining):
        yield Route(INTERNET, host(address), (Hop(device, VPC_ROUTER),))


def _addresses(world: World, names: Iterable[ResourceName]) -> tuple[IPv4Address, ...]:
    found = (world.find(name) for name in names)
    return tuple(StaticAddress.of(resource).address for resource in found if resource)
