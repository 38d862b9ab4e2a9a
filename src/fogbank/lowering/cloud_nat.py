"""Cloud NAT: each endpoint gets its own slice of ports on a reserved address.

Google's NAT has no box in the middle: the translation belongs to each endpoint, with a port range of its own.
So a gateway lowers to one :class:`SourceNat` for every endpoint that it serves, at the way out of the VPC.
An endpoint for which no ports are left has an :class:`UnservedClient` instead, and nothing of it gets out. A
drained address gives no new ports, and the flows that carry it live on.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from ipaddress import IPv4Address, IPv4Network

from fogbank.lowering.endpoints import Endpoint
from fogbank.lowering.feature import Gateways
from fogbank.lowering.fragments import Fragment
from fogbank.lowering.netns_names import INTERNET, UPLINK, internet_device, vpc_netns
from fogbank.network.addressing import VPC_ROUTER, host
from fogbank.network.nat import Blocks, deal
from fogbank.network.topology import (
    Element,
    Hop,
    Key,
    Route,
    SourceNat,
    Topology,
    TranslationRule,
    UnservedClient,
)
from fogbank.resources.compute import NatGateway, Subnetwork
from fogbank.resources.names import ResourceName

Outsides = Mapping[ResourceName, IPv4Address]
"""Gateways' addresses by their resources."""

Held = Mapping[IPv4Address, SourceNat]
"""Translations that exist, by their client."""


def held_translations(network: ResourceName, endpoints: Iterable[Endpoint], observed: Topology) -> Held:
    """Find the translations that ``endpoints`` have now: their blocks stay where they are."""
    found: dict[IPv4Address, SourceNat] = {}
    for each in endpoints:
        known = observed.elements.get(_key(network, each.address))
        if isinstance(known, SourceNat) and known.ports:
            found[each.address] = known
    return found


def _key(network: ResourceName, address: IPv4Address) -> Key:
    return SourceNat(vpc_netns(network), UPLINK, host(address), address).key


def nat_fragments(
    routers: Iterable[Gateways],
    endpoints: Sequence[Endpoint],
    subnetworks: Sequence[Subnetwork],
    held: Held,
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
    gateway: NatGateway, clients: Iterable[Endpoint], outsides: Outsides, held: Held
) -> Iterator[Element]:
    netns = vpc_netns(gateway.network)
    wanted = _wanted(gateway, clients)
    active = _known(gateway.addresses, outsides)
    blocks_held = {client: each.blocks for client, each in held.items()}
    dealt = deal(wanted, active, blocks_held, gateway.ports if gateway.dynamic else None)
    rules = tuple(_rule_blocks(gateway, wanted, outsides, held))
    for client in wanted:
        if not dealt.get(client):
            yield UnservedClient(netns, UPLINK, host(client))
            continue
        first, *more = dealt[client]
        yield SourceNat(
            netns,
            UPLINK,
            host(client),
            first.outside,
            first.ports,
            gateway.timeouts,
            _draining(gateway, outsides, held.get(client)),
            more=tuple(more),
            rules=tuple(TranslationRule(n, to, blocks.get(client, ())) for n, to, blocks in rules),
            endpoint_independent=gateway.endpoint_independent,
            logged=gateway.logs is not None,
        )


def _wanted(gateway: NatGateway, clients: Iterable[Endpoint]) -> Mapping[IPv4Address, int]:
    """Say how many ports each client should have."""
    grown = dict(gateway.grown)
    return {
        client.address: min(max(gateway.ports, grown.get(client.address, 0)), gateway.most_ports)
        if gateway.dynamic
        else gateway.ports
        for client in clients
    }


def _rule_blocks(
    gateway: NatGateway, wanted: Mapping[IPv4Address, int], outsides: Outsides, held: Held
) -> Iterator[tuple[int, tuple[IPv4Network, ...], Mapping[IPv4Address, Blocks]]]:
    """Deal the ports of each rule, which are its own; lower numbers come first."""
    for rule in sorted(gateway.rules, key=lambda rule: rule.number):
        before = {
            client: next((known.blocks for known in each.rules if known.number == rule.number), ())
            for client, each in held.items()
        }
        least = gateway.ports if gateway.dynamic else None
        dealt = deal(wanted, _known(rule.addresses, outsides), before, least)
        yield rule.number, rule.destinations, dealt


def _draining(gateway: NatGateway, outsides: Outsides, before: SourceNat | None) -> tuple[IPv4Address, ...]:
    """List the addresses whose flows live on: drained ones, and those that were and are in use again."""
    draining = _known(gateway.all_draining, outsides)
    all_known = _known(gateway.outsides, outsides)
    again = (each for each in (before.draining if before else ()) if each in all_known)
    return tuple(dict.fromkeys((*draining, *again)))


def _ways_back(gateway: NatGateway, outsides: Outsides) -> Iterator[Route]:
    device = internet_device(gateway.network)
    for address in _known(gateway.outsides, outsides):
        yield Route(INTERNET, host(address), (Hop(device, VPC_ROUTER),))


def _known(names: Iterable[ResourceName], outsides: Outsides) -> tuple[IPv4Address, ...]:
    return tuple(outsides[name] for name in names if name in outsides)
