"""What the network has of passthrough load balancers, as rules, groups, machines and verdicts say.

Where no machine is healthy all get packets, as at Google: a broken health check must not take a service down.
"""

from collections.abc import Iterator
from datetime import datetime

from fogbank.resources.backend_health import BackendHealth
from fogbank.resources.compute import PROTOCOLS
from fogbank.resources.instances import INSTANCES, VirtualMachine
from fogbank.resources.load_balancing import (
    FORWARDING_RULES,
    Endpoint,
    endpoints_of,
    group_network,
    group_of,
    linked,
)
from fogbank.resources.names import ResourceName
from fogbank.resources.passthrough import (
    FORWARDED,
    PASSTHROUGH,
    forwarded_name,
    is_passthrough,
    passthrough_name,
)
from fogbank.resources.world import Change, Delete, Json, Put, Resource, World
from fogbank.services.compute.controller.edge.snapshot import check_of


def passthrough_changes(world: World, health: BackendHealth, now: datetime) -> tuple[Change, ...]:
    """Say what must be stored so that the network follows the World and the verdicts."""
    wanted: dict[ResourceName, Json] = {}
    shared: dict[ResourceName, list[str]] = {}
    for rule in world.all(FORWARDING_RULES):
        found = _rule(world, health, rule) if is_passthrough(rule) else None
        if found is None:
            continue
        body, machines = found
        wanted[passthrough_name(rule.name)] = body
        for machine in machines:
            shared.setdefault(forwarded_name(machine), []).append(f"{rule.body['IPAddress']}/32")
    wanted |= {name: {"addresses": sorted(set(each))} for name, each in shared.items()}
    return tuple(_difference(world, wanted, now))


def _difference(world: World, wanted: dict[ResourceName, Json], now: datetime) -> Iterator[Change]:
    present = {each.name: each for kind in (PASSTHROUGH, FORWARDED) for each in world.all(kind)}
    for name in present.keys() - wanted.keys():
        yield Delete(name)
    for name, body in wanted.items():
        known = present.get(name)
        if known is None or known.body != body:
            yield Put(Resource(name, 0, known.created if known else now, body))


def _rule(world: World, health: BackendHealth, rule: Resource) -> tuple[Json, list[ResourceName]] | None:
    """Describe a rule and name its machines; None when it leads into no network yet."""
    service = linked(world, rule.body["backendService"])
    network = _network(world, rule, service) if service else None
    if service is None or network is None:
        return None
    check = check_of(world, service)
    members = list(_members(world, service))
    healthy = [
        endpoint for endpoint, _ in members if check is not None and health.is_healthy(check.name, endpoint)
    ]
    serving = healthy or [endpoint for endpoint, _ in members]
    protocol = rule.body["IPProtocol"].lower()
    body: Json = {
        "network": network.path,
        "address": rule.body["IPAddress"],
        "external": rule.body["loadBalancingScheme"] == "EXTERNAL",
        "everywhere": rule.body.get("allowGlobalAccess", False),
        "protocol": PROTOCOLS.get(protocol),
        "ports": list(_ports(rule)),
        "hops": sorted({str(each.address) for each in serving}),
    }
    return body, [machine.name for _, machine in members]


def _network(world: World, rule: Resource, service: Resource) -> ResourceName | None:
    link = rule.body.get("network") or service.body.get("network")
    if link:
        network = linked(world, link)
        return network.name if network else None
    groups = (world.find(group_of(each["group"])) for each in service.body["backends"])
    return next((found for group in groups if group and (found := group_network(group))), None)


def _members(world: World, service: Resource) -> Iterator[tuple[Endpoint, VirtualMachine]]:
    """List the endpoints of a service whose machines are on."""
    for backend in service.body["backends"]:
        group = world.find(group_of(backend["group"]))
        for endpoint in endpoints_of(group) if group else ():
            if group is None or endpoint.instance is None:
                continue
            zone = group.name.segment("zones")
            path = f"projects/{group.name.project}/zones/{zone}/instances/{endpoint.instance}"
            instance = world.find(ResourceName(INSTANCES, path))
            machine = VirtualMachine.of(instance) if instance else None
            if machine is not None and machine.powered:
                yield endpoint, machine


def _ports(rule: Resource) -> Iterator[list[int]]:
    for port in rule.body.get("ports", ()):
        yield [int(port), int(port)]
    if text := rule.body.get("portRange"):
        first, _, last = text.partition("-")
        if (int(first), int(last)) != (1, 65535):
            yield [int(first), int(last)]
