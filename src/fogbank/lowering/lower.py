"""Lowering: compile the whole World into the network that should exist.

Each feature lowers its own resources into parts; here they are only put together, network by network.
Unchanged resources give the parts that the last pass made, so a pass costs what changed and not what there
is.
"""

from collections.abc import Iterator, Mapping
from ipaddress import IPv4Address

from fogbank.lowering.cloud_nat import Held, addresses_of, held_blocks, nat_parts
from fogbank.lowering.endpoints import Endpoint
from fogbank.lowering.firewall import RuleSet, guards_part, no_rules, policies_parts, rule_sets
from fogbank.lowering.internet import internet_part
from fogbank.lowering.lowered import Lowered, Part
from fogbank.lowering.memory import new_pass, remembered, together
from fogbank.lowering.reading import by_network, grouped, resources
from fogbank.lowering.routes import routes_parts, table_of
from fogbank.lowering.serverless_connector import connector_part, hub_part, network_of, running
from fogbank.lowering.serverless_fabric import fabric_part
from fogbank.lowering.spaces import vpc_space
from fogbank.lowering.vpc import network_part, read_subnetwork, subnetwork_part
from fogbank.lowering.workloads import instance_part, shape_of
from fogbank.network.topology import Topology
from fogbank.resources.compute import Subnetwork
from fogbank.resources.names import ResourceName
from fogbank.resources.sites import SITES
from fogbank.resources.vpcaccess import CONNECTORS
from fogbank.resources.world import Fleet, Resource, World

Resources = tuple[Resource, ...]


def lower(world: World, fleet: Fleet, observed: Topology) -> Lowered:
    """Compile ``world`` and the instances of ``fleet``; ``observed`` holds the port blocks to keep.

    What gives the same network is the very same answer.
    """
    new_pass()
    return _lowered(*_parts(world, fleet, observed))


@remembered
def _lowered(*parts: Part) -> Lowered:
    return Lowered.of(parts)


def _parts(world: World, fleet: Fleet, observed: Topology) -> Iterator[Part]:
    yield internet_part(resources(world, SITES))
    yield fabric_part()
    yield from _networks(world, observed)
    yield from _serverless(world, fleet)


def _networks(world: World, observed: Topology) -> Iterator[Part]:
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
            blocks = held.get(vpc_space(name), ())
            yield _gateways(gateways, addresses_of(world, gateways), inside, mine, blocks)


@remembered
def _network(
    network: Resource, subnetworks: Resources, routes: Resources, rules: RuleSet, connectors: Resources
) -> Part:
    """Lower a network and all that is in it, but its gateways."""
    hidden = together(*(each.range for each in _hidden(connectors)))
    table = table_of(network, routes, subnetworks, hidden)
    return Part.joined(
        (
            network_part(network),
            *map(subnetwork_part, subnetworks),
            *routes_parts(table),
            *(connector_part(each, network, table) for each in connectors),
            *_firewall(rules, connectors),
        )
    )


def _firewall(rules: RuleSet, connectors: Resources) -> Iterator[Part]:
    found = [each for each in map(running, connectors) if each]
    for each in found:
        yield guards_part(rules, each.endpoints, each.connector.name)
    yield from policies_parts(rules, (endpoint for each in found for endpoint in each.endpoints))


@remembered
def _gateways(
    routers: Resources,
    addresses: Resources,
    subnetworks: Resources,
    connectors: Resources,
    held: Held,
) -> Part:
    """Lower the gateways of one network's routers; those of no other network reach its endpoints."""
    found = [each for each in map(running, connectors) if each]
    endpoints: list[Endpoint] = [endpoint for each in found for endpoint in each.endpoints]
    covered = [*map(read_subnetwork, subnetworks), *_hidden(connectors)]
    return Part.joined(nat_parts(routers, addresses, endpoints, covered, held))


def _serverless(world: World, fleet: Fleet) -> Iterator[Part]:
    hubs: dict[ResourceName, tuple[IPv4Address, ...]] = {}
    for resource in resources(world, CONNECTORS):
        found = running(resource)
        hubs[resource.name] = found.addresses if found else ()
    for instance in fleet.instances.values():
        shape = shape_of(instance.revision)
        if shape.connector:
            hubs.setdefault(shape.connector, ())
        yield instance_part(instance, shape)
    for connector, machines in hubs.items():
        yield hub_part(connector, machines)


@remembered
def _connectors_by_network(connectors: Resources) -> Mapping[ResourceName, Resources]:
    """Group the connectors by the network that they lead to."""
    return grouped(connectors, network_of)


def _hidden(connectors: Resources) -> Iterator[Subnetwork]:
    """List the subnetworks of connectors that nobody else sees."""
    found = (running(each) for each in connectors)
    return (each.hidden for each in found if each and each.hidden)
