"""Lowering: compile the whole World into the network that should exist.

Each feature lowers its own resources into parts; here they are only put together, network by network.
Unchanged resources give the parts that the last pass made, so a pass costs what changed and not what there
is.
"""

from collections.abc import Iterator, Mapping
from ipaddress import IPv4Address

from fogbank.lowering.cloud_nat import Held, addresses_of, held_blocks, nat_fragments
from fogbank.lowering.endpoints import Endpoint
from fogbank.lowering.firewall import RuleSet, no_rules, policy_fragments, port_security_fragment, rule_sets
from fogbank.lowering.fragments import Fragment, Lowered
from fogbank.lowering.internet import internet_fragment
from fogbank.lowering.memoize import begin_generation, interned, memoized
from fogbank.lowering.netns_names import vpc_netns
from fogbank.lowering.reading import by_network, grouped, resources
from fogbank.lowering.routes import route_fragments, table_of
from fogbank.lowering.serverless_connector import (
    connector_fragment,
    hub_fragment,
    network_of,
    running_connector,
)
from fogbank.lowering.serverless_fabric import fabric_fragment
from fogbank.lowering.vpc import network_fragment, read_subnetwork, subnetwork_fragment
from fogbank.lowering.workloads import instance_fragment
from fogbank.network.topology import Topology
from fogbank.resources.compute import Subnetwork
from fogbank.resources.fleet import ConnectorAttachment, Fleet
from fogbank.resources.names import ResourceName
from fogbank.resources.sites import SITES
from fogbank.resources.vpcaccess import CONNECTORS
from fogbank.resources.world import Resource, World

Resources = tuple[Resource, ...]


def lower(world: World, fleet: Fleet, observed: Topology) -> Lowered:
    """Compile ``world`` and the instances of ``fleet``; ``observed`` holds the port blocks to keep.

    What gives the same network is the very same answer.
    """
    begin_generation()
    return _lowered(*_parts(world, fleet, observed))


@memoized
def _lowered(*parts: Fragment) -> Lowered:
    return Lowered.of(parts)


def _parts(world: World, fleet: Fleet, observed: Topology) -> Iterator[Fragment]:
    yield internet_fragment(resources(world, SITES))
    yield fabric_fragment()
    yield from _networks(world, observed)
    yield from _serverless(world, fleet)


def _networks(world: World, observed: Topology) -> Iterator[Fragment]:
    subnetworks = by_network(resources(world, "compute.subnetworks"))
    routes = by_network(resources(world, "compute.routes"))
    routers = by_network(resources(world, "compute.routers"))
    rules = rule_sets(resources(world, "compute.firewalls"))
    connectors = _connectors_by_network(resources(world, CONNECTORS))
    held = held_blocks(observed)
    for network in resources(world, "compute.networks"):
        name = network.name
        inside, mine = subnetworks.get(name, ()), connectors.get(name, ())
        yield _network(network, inside, routes.get(name, ()), rules.get(name) or no_rules(network), mine)
        if gateways := routers.get(name):
            blocks = held.get(vpc_netns(name), ())
            yield _gateways(gateways, addresses_of(world, gateways), inside, mine, blocks)


@memoized
def _network(
    network: Resource, subnetworks: Resources, routes: Resources, rules: RuleSet, connectors: Resources
) -> Fragment:
    """Lower a network and all that is in it, but its gateways."""
    hidden = interned(*(each.range for each in _hidden(connectors)))
    table = table_of(network, routes, subnetworks, hidden)
    return Fragment.joined(
        (
            network_fragment(network),
            *map(subnetwork_fragment, subnetworks),
            *route_fragments(table),
            *(connector_fragment(each, network, table) for each in connectors),
            *_firewall(rules, connectors),
        )
    )


def _firewall(rules: RuleSet, connectors: Resources) -> Iterator[Fragment]:
    found = [each for each in map(running_connector, connectors) if each]
    for each in found:
        yield port_security_fragment(rules, each.endpoints, each.connector.name)
    yield from policy_fragments(rules, (endpoint for each in found for endpoint in each.endpoints))


@memoized
def _gateways(
    routers: Resources,
    addresses: Resources,
    subnetworks: Resources,
    connectors: Resources,
    held: Held,
) -> Fragment:
    """Lower the gateways of one network's routers; those of no other network reach its endpoints."""
    found = [each for each in map(running_connector, connectors) if each]
    endpoints: list[Endpoint] = [endpoint for each in found for endpoint in each.endpoints]
    covered = [*map(read_subnetwork, subnetworks), *_hidden(connectors)]
    return Fragment.joined(nat_fragments(routers, addresses, endpoints, covered, held))


def _serverless(world: World, fleet: Fleet) -> Iterator[Fragment]:
    hubs: dict[ResourceName, tuple[IPv4Address, ...]] = {}
    for resource in resources(world, CONNECTORS):
        found = running_connector(resource)
        hubs[resource.name] = found.addresses if found else ()
    for instance in fleet.instances.values():
        for each in instance.attachments:
            if isinstance(each, ConnectorAttachment):
                hubs.setdefault(each.connector, ())
        yield instance_fragment(instance)
    for connector, machines in hubs.items():
        yield hub_fragment(connector, machines)


@memoized
def _connectors_by_network(connectors: Resources) -> Mapping[ResourceName, Resources]:
    """Group the connectors by the network that they lead to."""
    return grouped(connectors, network_of)


def _hidden(connectors: Resources) -> Iterator[Subnetwork]:
    """List the subnetworks of connectors that nobody else sees."""
    found = (running_connector(each) for each in connectors)
    return (each.hidden for each in found if each and each.hidden)
