"""Lowering: compile the whole World into the network that should exist.

Each feature lowers its own resources into parts; here they are only put together. Unchanged resources
give the parts that the last pass made, so a pass costs what changed and not what there is.
"""

from collections.abc import Iterator, Mapping
from ipaddress import IPv4Address, IPv4Network

from fogbank.lowering.cloud_nat import held_blocks, nat_parts
from fogbank.lowering.firewall import RuleSet, guards_part, no_rules, policies_parts, rule_sets
from fogbank.lowering.internet import internet_parts
from fogbank.lowering.lowered import Lowered, Part
from fogbank.lowering.memory import remembered
from fogbank.lowering.reading import by_network, grouped, resources
from fogbank.lowering.routes import Table, routes_parts, table_of
from fogbank.lowering.serverless_connector import connector_part, hub_part, network_of, running
from fogbank.lowering.serverless_fabric import fabric_part
from fogbank.lowering.vpc import network_part, read_subnetwork, subnetwork_part
from fogbank.lowering.workloads import instance_part, shape_of
from fogbank.network.topology import Topology
from fogbank.resources.names import ResourceName
from fogbank.resources.vpcaccess import CONNECTORS
from fogbank.resources.world import Fleet, Resource, World


def lower(world: World, fleet: Fleet, observed: Topology) -> Lowered:
    """Compile ``world`` and the instances of ``fleet``; ``observed`` holds the port blocks to keep."""
    return Lowered.of(_parts(world, fleet, observed))


def _parts(world: World, fleet: Fleet, observed: Topology) -> Iterator[Part]:
    yield from internet_parts(world)
    yield fabric_part()
    yield from _networks(world)
    yield from _gateways(world, observed)
    yield from _serverless(world, fleet)


def _networks(world: World) -> Iterator[Part]:
    subnetworks = by_network(resources(world, "compute.subnetworks"))
    routes = by_network(resources(world, "compute.routes"))
    rules = rule_sets(resources(world, "compute.firewalls"))
    connectors = _connectors_by_network(resources(world, CONNECTORS))
    for network in resources(world, "compute.networks"):
        name = network.name
        inside, mine = subnetworks.get(name, ()), connectors.get(name, ())
        table = table_of(network, routes.get(name, ()), inside, _hidden_ranges(mine))
        yield network_part(network)
        yield from map(subnetwork_part, inside)
        yield from routes_parts(table)
        yield from _connectors(network, mine, table)
        yield from _firewall(rules.get(name) or no_rules(network), mine)


def _connectors(network: Resource, connectors: tuple[Resource, ...], table: Table) -> Iterator[Part]:
    for connector in connectors:
        yield connector_part(connector, network, table)


def _firewall(rules: RuleSet, connectors: tuple[Resource, ...]) -> Iterator[Part]:
    found = [each for each in map(running, connectors) if each]
    for each in found:
        yield guards_part(rules, each.endpoints, each.connector.name)
    yield from policies_parts(rules, (endpoint for each in found for endpoint in each.endpoints))


def _gateways(world: World, observed: Topology) -> Iterator[Part]:
    found = [each for each in map(running, resources(world, CONNECTORS)) if each]
    shown = [read_subnetwork(each) for each in resources(world, "compute.subnetworks")]
    yield from nat_parts(
        world,
        resources(world, "compute.routers"),
        [endpoint for each in found for endpoint in each.endpoints],
        [*shown, *(each.hidden for each in found if each.hidden)],
        held_blocks(observed),
    )


def _serverless(world: World, fleet: Fleet) -> Iterator[Part]:
    hubs: dict[ResourceName, tuple[IPv4Address, ...]] = {}
    for resource in resources(world, CONNECTORS):
        found = running(resource)
        hubs[resource.name] = found.addresses if found else ()
    for instance in fleet.instances.values():
        revision = world.find(instance.owner)
        if revision is not None:
            shape = shape_of(revision)
            if shape.connector:
                hubs.setdefault(shape.connector, ())
            yield instance_part(instance, shape)
    for connector, machines in hubs.items():
        yield hub_part(connector, machines)


@remembered(64)
def _connectors_by_network(
    connectors: tuple[Resource, ...],
) -> Mapping[ResourceName, tuple[Resource, ...]]:
    """Group the connectors by the network that they lead to."""
    return grouped(connectors, network_of)


@remembered(64)
def _hidden_ranges(connectors: tuple[Resource, ...]) -> tuple[IPv4Network, ...]:
    """List the ranges of connectors that no subnetwork shows."""
    found = (running(each) for each in connectors)
    return tuple(each.connector.range for each in found if each and each.hidden)
