"""VPC networks: auto mode ones keep a subnetwork in every region, custom ones have those that people make.

A network's list of subnetworks is not stored; it is gathered when somebody reads.
"""

from collections.abc import Iterable, Iterator

from fogbank.errors import invalid_value, not_built
from fogbank.resources.compute import Network
from fogbank.resources.compute_indexes import in_network
from fogbank.resources.firewall_policies import all_policies_of, policies_of
from fogbank.resources.names import COMPUTE_PREFIX, ResourceName
from fogbank.resources.network_users import network_users, peering_users
from fogbank.resources.peering import peerings_of
from fogbank.resources.world import Change, Delete, Json, Put, Resource, World
from fogbank.services.compute import subnetworks
from fogbank.services.compute.bodies import (
    bad_request,
    inputs,
    merged,
    number,
    one_of,
    refuse_unbuilt,
    unchanged,
)
from fogbank.services.compute.decisions import committed, deleted, in_use, policy_name, put
from fogbank.services.compute.factories import check_free, made
from fogbank.services.compute.firewall_policies import effective_policies
from fogbank.services.compute.handlers import getter, in_place
from fogbank.services.compute.names import gateway_link, named, new_identifier
from fogbank.services.compute.peering_routes import peering_routes
from fogbank.services.compute.peerings import shown_peerings
from fogbank.services.contract import Call, Decision, List, Method, Read, Write

ROUTING_MODES = ("REGIONAL", "GLOBAL")
PATH_SELECTIONS = ("LEGACY", "STANDARD")
INTER_REGION_COSTS = ("DEFAULT", "ADD_COST_TO_MED")
_SNAKE = {"bgpAlwaysCompareMed": "bgp_always_compare_med", "bgpInterRegionCost": "bgp_inter_region_cost"}
ENFORCEMENT_ORDERS = ("AFTER_CLASSIC_FIREWALL", "BEFORE_CLASSIC_FIREWALL")
SMALLEST_MTU, LARGEST_MTU = 1300, 8896

_OUTPUTS = ("subnetworks", "gatewayIPv4", "peerings", "firewallPolicy", "internalIpv6Range")
_UNBUILT: dict[str, tuple[object, ...]] = {
    "enableUlaInternalIpv6": (),
    "networkProfile": (),
    "params": (),
}


def show(world: World, resource: Resource) -> Json:
    """Show a network with its subnetworks, its peerings and its global firewall policy."""
    policy = next(policies_of(world, resource.name), None)
    links, peerings = _links(world, resource), shown_peerings(world, resource)
    return {
        **resource.body,
        **({"subnetworks": links} if links else {}),
        **({"peerings": peerings} if peerings else {}),
        **({"firewallPolicy": policy.name.self_link} if policy else {}),
    }


def _links(world: World, network: Resource) -> list[str]:
    return [each.name.self_link for each in in_network(world, "subnetworks", network.name)]


def list_networks(world: World, call: Call) -> Iterable[Json]:
    """List a project's networks, each with its subnetworks."""
    return in_place(world, call, "networks", show)


def insert(world: World, call: Call) -> Decision:
    """Make a network; in auto mode its subnetworks too, and in any mode the route to the internet."""
    body = inputs(call.body, _OUTPUTS)
    name = named(world, call, "networks", new_identifier(body))
    if "autoCreateSubnetworks" not in body or "IPv4Range" in body:
        raise invalid_value(
            "resource.autoCreateSubnetworks",
            "",
            "Legacy networks cannot be created any more: give true (auto mode) or false (custom mode).",
        )
    check_free(world, name)
    network = made(call, name, _settings(body))
    network = network.with_body(selfLinkWithId=f"{COMPUTE_PREFIX}{name.path.rpartition('/')[0]}/{network.id}")
    return committed(call, "insert", network, born(network, call))


def born(network: Resource, call: Call) -> Iterator[Change]:
    """List what comes to be with a network."""
    yield Put(network)
    yield Put(default_route(network, call))
    if Network.of(network).auto:
        yield from map(Put, subnetworks.automatic(network, call))


def default_route(network: Resource, call: Call) -> Resource:
    """Make the route to the internet gateway that every new network has (behaviour/vpc.md#routes)."""
    name = ResourceName(
        "compute.routes",
        f"projects/{network.name.project}/global/routes/default-route-r-{network.id % 16**8:08x}00000000",
    )
    fields = {
        "description": "Default route to the Internet.",
        "network": network.name.self_link,
        "destRange": "0.0.0.0/0",
        "priority": 1000,
        "nextHopGateway": gateway_link(network.name.project),
    }
    return made(call, name, fields, {"generated": True})


def _settings(body: Json) -> Json:
    """Fill in and check what a network's maker may choose (behaviour/vpc.md#networks)."""
    refuse_unbuilt("networks", body, _UNBUILT)
    settings: Json = {"description": body["description"]} if body.get("description") else {}
    settings["autoCreateSubnetworks"] = bool(body["autoCreateSubnetworks"])
    settings |= _mutable(body)
    settings.setdefault("routingConfig", _routing({}))
    settings.setdefault("networkFirewallPolicyEnforcementOrder", ENFORCEMENT_ORDERS[0])
    return settings


def _mutable(body: Json) -> Json:
    """Check the fields that a patch may change, and give those that are there."""
    settings: Json = {}
    if "mtu" in body:
        settings["mtu"] = mtu = number(body["mtu"])
        if not SMALLEST_MTU <= mtu <= LARGEST_MTU:
            raise invalid_value(
                "resource.mtu", mtu, f"The MTU must be between {SMALLEST_MTU} and {LARGEST_MTU}."
            )
    if "routingConfig" in body:
        settings["routingConfig"] = _routing(body["routingConfig"])
    if order := body.get("networkFirewallPolicyEnforcementOrder"):
        one_of("resource.networkFirewallPolicyEnforcementOrder", order, ENFORCEMENT_ORDERS)
        settings["networkFirewallPolicyEnforcementOrder"] = order
    return settings


def _routing(config: Json) -> Json:
    """Check how dynamic routes apply, and the choice between BGP's paths, which is kept and changes nothing.

    What refines the STANDARD choice has no place beside LEGACY (behaviour/vpc.md#networks).
    """
    mode = config.get("routingMode", "REGIONAL")
    selection = config.get("bgpBestPathSelectionMode", "LEGACY")
    one_of("resource.routingConfig.routingMode", mode, ROUTING_MODES)
    one_of("resource.routingConfig.bgpBestPathSelectionMode", selection, PATH_SELECTIONS)
    refined: Json = {
        field: config[field] for field in ("bgpAlwaysCompareMed", "bgpInterRegionCost") if field in config
    }
    for field, value in refined.items():
        if selection == "LEGACY":
            raise invalid_value(
                f"resource.routingConfig.{field}",
                value,
                f"Field {_SNAKE[field]} is not supported for LEGACY BGP Best Path Selection algorithm.",
            )
    if cost := refined.get("bgpInterRegionCost"):
        one_of("resource.routingConfig.bgpInterRegionCost", cost, INTER_REGION_COSTS)
    return {"routingMode": mode, "bgpBestPathSelectionMode": selection, **refined}


def patch(world: World, call: Call) -> Decision:
    """Change the MTU, the routing or the firewall order of a network."""
    network = world.get(named(world, call, "networks", call["network"]))
    body = inputs(call.body, _OUTPUTS)
    unchanged(network, body, ("name", "description", "autoCreateSubnetworks"))
    if body.get("enableUlaInternalIpv6"):
        raise not_built("compute.networks with enableUlaInternalIpv6=True")
    if given := call.body.get("routingConfig"):
        body["routingConfig"] = merged(network.body["routingConfig"], given)
    return put(call, "compute.networks.patch", network.with_body(**_mutable(body)))


def switch_to_custom_mode(world: World, call: Call) -> Decision:
    """Turn an auto mode network into a custom one, for good."""
    network = world.get(named(world, call, "networks", call["network"]))
    if not Network.of(network).auto:
        raise bad_request("Network must be in auto subnet mode to switch to custom subnet mode.")
    return put(call, "switchToCustomMode", network.with_body(autoCreateSubnetworks=False))


def delete(world: World, call: Call) -> Decision:
    """Take a network away, unless something is in it that people put there (behaviour/vpc.md#networks)."""
    network = world.get(named(world, call, "networks", call["network"]))
    user = next(_users(world, network), None)
    if user is not None:
        return in_use(call, "delete", network, "network", user)
    owned = [
        each.name
        for kind in ("subnetworks", "routes", "firewalls")
        for each in in_network(world, kind, network.name)
    ]
    return deleted(call, network, *map(Delete, owned), *(Delete(policy_name(each)) for each in owned))


def _users(world: World, network: Resource) -> Iterator[ResourceName]:
    """List what keeps a network from being deleted."""
    auto = Network.of(network).auto
    yield from (each.name for each in network_users(world, network.name))
    yield from (each.name for each in peering_users(world, network.name))
    yield from (each.name for each in peering_routes(world, network))
    yield from (each.network for each in peerings_of(network))
    yield from (each.name for each in all_policies_of(world, network.name))
    for kind in ("firewalls", "routers", "routes", "globalAddresses", "vpnGateways", "targetVpnGateways"):
        for each in in_network(world, kind, network.name):
            if not each.private.get("generated"):
                yield each.name
    for each in in_network(world, "subnetworks", network.name):
        yield from subnetworks.users(world, each)
        if not (auto and subnetworks.is_automatic(each)):
            yield each.name


def effective_firewalls(world: World, call: Call) -> Json:
    """Gather the firewall rules of a network, and its global firewall policy."""
    network = world.get(named(world, call, "networks", call["network"])).name
    policies = effective_policies(world, network)
    return {"firewalls": [each.body for each in in_network(world, "firewalls", network)]} | (
        {"firewallPolicys": policies} if policies else {}
    )


METHODS: dict[str, Method] = {
    "networks.insert": Write(insert, "compute.networks.create"),
    "networks.get": Read(getter("networks", "network", show), "compute.networks.get"),
    "networks.list": List(list_networks, permission="compute.networks.list"),
    "networks.patch": Write(patch, "compute.networks.update"),
    "networks.switchToCustomMode": Write(switch_to_custom_mode, "compute.networks.switchToCustomMode"),
    "networks.delete": Write(delete, "compute.networks.delete"),
    "networks.getEffectiveFirewalls": Read(effective_firewalls, "compute.networks.getEffectiveFirewalls"),
}
