"""Routes: the default one of each network, those that people made, those of subnetworks and of peerings.

Only the first two kinds are stored. A subnetwork's routes live exactly as long as it does, and those of a
peering as long as it is active, so they are derived whenever somebody reads. The only next hops are the
internet gateway and an address.
"""

from collections.abc import Iterable, Iterator
from ipaddress import AddressValueError, IPv4Address, IPv4Network

from fogbank.errors import invalid_value, not_built, not_found, required_field
from fogbank.resources.compute import DEFAULT_GATEWAY, StaticRoute, Subnetwork, refer
from fogbank.resources.compute_indexes import in_network
from fogbank.resources.instances import instance_at, interfaces_of
from fogbank.resources.names import ResourceName, parse_compute_reference
from fogbank.resources.world import Json, Resource, World
from fogbank.services.compute.bodies import bad_request, inputs, number, refuse_unbuilt
from fogbank.services.compute.decisions import deleted, put
from fogbank.services.compute.factories import check_free, made, make, sorted_by_name
from fogbank.services.compute.handlers import permission_tester
from fogbank.services.compute.names import check_name, gateway_link, named, new_identifier, project_of
from fogbank.services.compute.peering_routes import PEERING_ROUTE, peering_routes
from fogbank.services.compute.ranges import parse_range
from fogbank.services.compute.references import find_referred, reference
from fogbank.services.contract import Call, Decision, List, Method, Read, Write

_NEXT_HOPS = ("nextHopGateway", "nextHopIp", "nextHopInstance", "nextHopIlb", "nextHopVpnTunnel")
_BUILT_NEXT_HOPS = ("nextHopGateway", "nextHopIp", "nextHopInstance")
_OUTPUTS = (
    "nextHopNetwork",
    "nextHopPeering",
    "nextHopHub",
    "routeType",
    "routeStatus",
    "warnings",
    "asPaths",
)


def subnet_routes(world: World, project: str) -> Iterator[Resource]:
    """Derive the routes of a project's subnetworks, one for every range."""
    for resource in world.all("compute.subnetworks", f"projects/{project}/"):
        network = world.find(refer(resource.body["network"], "networks"))
        if network is not None:
            for each in Subnetwork.of(resource).ranges:
                yield _subnet_route(network, resource, each)


def _subnet_route(network: Resource, subnetwork: Resource, destination: IPv4Network) -> Resource:
    # The name says which network and which range, so it is unique and a list is in the order of addresses.
    suffix = f"{network.id % 16**8:08x}{int(destination.network_address):08x}"
    project = network.name.project
    name = ResourceName("compute.routes", f"projects/{project}/global/routes/default-route-r-{suffix}")
    link = network.name.self_link
    fields = {
        "description": f"Default local route to the subnetwork {destination}.",
        "network": link,
        "destRange": str(destination),
        "priority": 0,
        "nextHopNetwork": link,
        "routeType": "SUBNET",
    }
    identity = subnetwork.id ^ int(destination.network_address)
    return make(name, identity, subnetwork.created, fields)


def get(world: World, call: Call) -> Json:
    """Show a route, stored or derived."""
    name = named(world, call, "routes", call["route"])
    stored = world.find(name)
    if stored is not None:
        return _show(world, stored)
    for route in _derived(world, name.project):
        if name.id in {route.name.id, str(route.id)}:
            return route.body
    raise not_found(name.path)


def list_routes(world: World, call: Call) -> Iterable[Json]:
    """List a project's routes, stored and derived."""
    project = project_of(world, call)
    stored = world.all("compute.routes", f"projects/{project}/")
    return [_show(world, each) for each in sorted_by_name([*stored, *_derived(world, project)])]


def _derived(world: World, project: str) -> Iterator[Resource]:
    yield from subnet_routes(world, project)
    for network in world.all("compute.networks", f"projects/{project}/"):
        yield from peering_routes(world, network)


def _show(world: World, route: Resource) -> Json:
    """Show a route, with what keeps its next hop from taking packets (behaviour/vpc.md#next-hops)."""
    warning = _warning(world, StaticRoute.of(route))
    return route.body | ({"warnings": [warning]} if warning else {})


def _warning(world: World, route: StaticRoute) -> Json | None:
    if route.instance is not None:
        instance, path = world.find(route.instance), route.instance.path
        if instance is None:
            return _warn("NEXT_HOP_INSTANCE_NOT_FOUND", f"Next hop instance '{path}' not found.", path)
        return _idle(instance)
    if route.via is None:
        return None
    found = instance_at(world, route.network, route.via)
    if found is None:
        why = f"Next hop IP '{route.via}' is not assigned to an instance."
        return _warn("NEXT_HOP_ADDRESS_NOT_ASSIGNED", why, str(route.via), "ip_address")
    return _idle(found)


def _idle(instance: Resource) -> Json | None:
    """Warn of an instance that forwards nothing."""
    path = instance.name.path
    if not instance.body["canIpForward"]:
        return _warn("NEXT_HOP_CANNOT_IP_FORWARD", f"Next hop instance '{path}' cannot forward.", path)
    if instance.body["status"] != "RUNNING":
        return _warn("NEXT_HOP_NOT_RUNNING", f"Next hop instance '{path}' is not running.", path)
    return None


def _warn(code: str, message: str, value: str, key: str = "instance") -> Json:
    return {"code": code, "message": message, "data": [{"key": key, "value": value}]}


def insert(world: World, call: Call) -> Decision:
    """Make a static route."""
    body = inputs(call.body, _OUTPUTS)
    name = named(world, call, "routes", new_identifier(body))
    for field in ("network", "destRange"):
        if not body.get(field):
            raise required_field(f"resource.{field}")
    refuse_unbuilt("routes", body, {"params": ()})
    network = find_referred(world, "resource.network", body["network"], "networks", call)
    check_free(world, name)
    fields: Json = {"description": body["description"]} if body.get("description") else {}
    fields |= {
        "network": network.name.self_link,
        "destRange": str(_destination(world, network, body["destRange"])),
        "priority": _priority(body),
    }
    if tags := body.get("tags"):
        for index, tag in enumerate(tags):
            check_name(f"resource.tags[{index}]", tag)
        fields["tags"] = list(tags)
    return put(call, "insert", made(call, name, fields | _next_hop(world, network, body)))


def _priority(body: Json) -> int:
    priority = number(body.get("priority", 1000))
    if not 0 <= priority <= 65535:
        raise invalid_value("resource.priority", priority, "Must be between 0 and 65535.")
    return priority


def _destination(world: World, network: Resource, text: object) -> IPv4Network:
    """Read the destination; it may not be within a subnetwork (behaviour/vpc.md#routes)."""
    destination = parse_range("resource.destRange", text)
    for subnetwork in _subnetworks(world, network):
        for each in subnetwork.ranges:
            if destination.subnet_of(each):
                raise invalid_value(
                    "resource.destRange",
                    text,
                    f"The destination is within {each} of subnetwork '{subnetwork.name.id}' in region "
                    f"'{subnetwork.region}', whose own route cannot be overridden.",
                )
    for route in peering_routes(world, network):
        if not route.body["priority"] and destination.subnet_of(IPv4Network(route.body["destRange"])):
            peering = route.body["nextHopPeering"]
            raise invalid_value(
                "resource.destRange",
                text,
                f"The destination is within {route.body['destRange']} of peering '{peering}', whose own "
                "route cannot be overridden.",
            )
    return destination


def _next_hop(world: World, network: Resource, body: Json) -> Json:
    given = [hop for hop in _NEXT_HOPS if body.get(hop)]
    if len(given) != 1:
        raise bad_request(
            "Exactly one of nextHopGateway, nextHopIp and the other next hops must be specified."
        )
    hop, value = given[0], body[given[0]]
    if hop not in _BUILT_NEXT_HOPS:
        raise not_built(f"compute.routes with {hop}")
    if hop == "nextHopGateway":
        return {hop: _gateway(network.name.project, value)}
    if hop == "nextHopInstance":
        return {hop: _instance(world, network, value)}
    try:
        address = IPv4Address(str(value))
    except AddressValueError:
        raise invalid_value("resource.nextHopIp", value, "Must be an IPv4 address.") from None
    if not any(address in each.range for each in _subnetworks(world, network)):
        raise invalid_value(
            "resource.nextHopIp", value, "The next hop must be in a subnetwork of the route's network."
        )
    return {hop: str(address)}


def _instance(world: World, network: Resource, value: object) -> str:
    """Find the instance that a route leads to; it must be in the network."""
    field, project = "resource.nextHopInstance", network.name.project
    try:
        name = parse_compute_reference(str(value), "instances", project, "zones", "-")
    except (ValueError, IndexError):
        raise invalid_value(field, value, "The URL is malformed.") from None
    if name.project != project:
        raise invalid_value(field, name.path, "Cross project referencing is not allowed for this resource.")
    instance = world.get(name)
    if all(each.network != network.name for each in interfaces_of(instance)):
        why = f"Instance is not on network '{network.name.path}'."
        raise invalid_value(field, name.path, why)
    return name.self_link


def _gateway(project: str, value: object) -> str:
    if reference("resource.nextHopGateway", value, "gateways", project).id != DEFAULT_GATEWAY:
        raise invalid_value(
            "resource.nextHopGateway", value, f"The only gateway is global/gateways/{DEFAULT_GATEWAY}."
        )
    return gateway_link(project)


def _subnetworks(world: World, network: Resource) -> Iterator[Subnetwork]:
    yield from map(Subnetwork.of, in_network(world, "subnetworks", network.name))


def delete(world: World, call: Call) -> Decision:
    """Take a route away, the default one too; never that of a subnetwork."""
    name = named(world, call, "routes", call["route"])
    if world.find(name) is None and any(r.name == name for r in _derived(world, name.project)):
        kind, holder = (
            ("peering", "peering") if name.id.startswith(PEERING_ROUTE) else ("local", "subnetwork")
        )
        raise bad_request(
            f"The {kind} route '{name.path}' cannot be deleted: it lives as long as its {holder}."
        )
    return deleted(call, world.get(name))


METHODS: dict[str, Method] = {
    "routes.insert": Write(insert, "compute.routes.create"),
    "routes.get": Read(get, "compute.routes.get"),
    "routes.list": List(list_routes, permission="compute.routes.list"),
    "routes.delete": Write(delete, "compute.routes.delete"),
    "routes.testIamPermissions": permission_tester("routes"),
}
