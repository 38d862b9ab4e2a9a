"""Classic VPN gateways, whose address comes with forwarding rules (behaviour/vpn.md#classic-gateways)."""

from fogbank.errors import required_field
from fogbank.resources.vpn import rules_of, tunnels_of
from fogbank.resources.world import Json, Resource, World
from fogbank.services.compute.bodies import inputs, refuse_unbuilt
from fogbank.services.compute.decisions import deleted, in_use, put
from fogbank.services.compute.factories import check_free, made
from fogbank.services.compute.handlers import readers
from fogbank.services.compute.names import named, new_identifier
from fogbank.services.compute.references import find_referred
from fogbank.services.compute.vpn.common import label_setter, labelled
from fogbank.services.contract import Call, Decision, Method, Write

KIND = "targetVpnGateways"
_OUTPUTS = ("region", "status", "forwardingRules", "tunnels", "labelFingerprint")


def insert(world: World, call: Call) -> Decision:
    """Make a gateway; it has no address yet."""
    body = inputs(call.body, _OUTPUTS)
    name = named(world, call, KIND, new_identifier(body))
    refuse_unbuilt(KIND, body, {"params": ()})
    if not body.get("network"):
        raise required_field("resource.network")
    network = find_referred(world, "resource.network", body["network"], "networks", call)
    check_free(world, name)
    fields = labelled(body) | {"network": network.name.self_link, "status": "READY"}
    return put(call, "insert", made(call, name, fields), done=True)


def show(world: World, gateway: Resource) -> Json:
    """Show a gateway with its forwarding rules and tunnels."""
    found = {
        "forwardingRules": [each.name.self_link for each in rules_of(world, gateway.name)],
        "tunnels": [each.name.self_link for each in tunnels_of(world, gateway.name)],
    }
    return gateway.body | {field: links for field, links in found.items() if links}


def delete(world: World, call: Call) -> Decision:
    """Take a gateway away that has neither tunnels nor forwarding rules."""
    gateway = world.get(named(world, call, KIND, call["targetVpnGateway"]))
    for user in (*tunnels_of(world, gateway.name), *rules_of(world, gateway.name)):
        return in_use(call, "delete", gateway, "target_vpn_gateway", user.name)
    return deleted(call, gateway, done=True)


METHODS: dict[str, Method] = {
    f"{KIND}.insert": Write(insert, f"compute.{KIND}.create"),
    **readers(KIND, "targetVpnGateway", show, aggregated=True),
    f"{KIND}.delete": Write(delete, f"compute.{KIND}.delete"),
    f"{KIND}.setLabels": label_setter(KIND),
}
