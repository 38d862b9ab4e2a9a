"""Forwarding rules of classic VPN gateways: ESP, UDP 500 and UDP 4500 of one external address.

Those of load balancers are none of these (behaviour/vpn.md#classic-gateways).
"""

from fogbank.errors import invalid_value, not_built, required_field
from fogbank.resources.compute import read_address
from fogbank.resources.compute_indexes import external_address
from fogbank.resources.names import ResourceName
from fogbank.resources.vpn import (
    GATEWAY_OF_RULE,
    GatewayInterface,
    rules_of,
    rules_with_address,
    server_id,
    tunnels_of,
)
from fogbank.resources.world import Json, Resource, World
from fogbank.services.compute import address_choice
from fogbank.services.compute.address_users import user_of
from fogbank.services.compute.bodies import inputs, one_of, refuse_unbuilt
from fogbank.services.compute.decisions import deleted, in_use, put
from fogbank.services.compute.factories import check_free, made
from fogbank.services.compute.handlers import readers
from fogbank.services.compute.names import by_id, named, new_identifier, project_of
from fogbank.services.compute.references import reference
from fogbank.services.compute.vpn.common import label_setter, labelled, network_of, regional
from fogbank.services.contract import Call, Decision, Method, Write

KIND = "forwardingRules"
_OUTPUTS = ("region", "labelFingerprint", "fingerprint", "pscConnectionId", "serviceName")
_UNBUILT: dict[str, tuple[object, ...]] = {
    "ipVersion": ("IPV4",),
    "loadBalancingScheme": ("EXTERNAL",),
    "networkTier": ("PREMIUM",),
    "ports": (),
    "backendService": (),
    "subnetwork": (),
    "isMirroringCollector": (),
    "allowGlobalAccess": (),
}
_PORTS = {"ESP": (None,), "UDP": ("500-500", "4500-4500")}


def is_vpn(body: Json) -> bool:
    """Return whether a rule's target is a classic VPN gateway."""
    return "/targetVpnGateways/" in str(body.get("target", ""))


def insert(world: World, call: Call) -> Decision:
    """Give a classic gateway one of the three things that it needs."""
    body = inputs(call.body, _OUTPUTS)
    if not is_vpn(body):
        raise not_built("compute.forwardingRules whose target is no targetVpnGateway")
    name = named(world, call, KIND, new_identifier(body))
    refuse_unbuilt(KIND, body, _UNBUILT)
    gateway = regional(world, call, "resource.target", body["target"], "targetVpnGateways")
    protocol = str(body.get("IPProtocol") or "").upper()
    if not protocol:
        raise required_field("resource.IPProtocol")
    one_of("resource.IPProtocol", protocol, _PORTS)
    ports = _port_range(protocol, body)
    check_free(world, name)
    address = _address(world, call, gateway, body)
    fields: Json = labelled(body) | {
        "IPAddress": address,
        "IPProtocol": protocol,
        **({"portRange": ports} if ports else {}),
        "target": gateway.name.self_link,
        "loadBalancingScheme": "EXTERNAL",
        "networkTier": "PREMIUM",
    }
    _check_new(world, gateway, fields)
    interface = GatewayInterface(server_id(gateway, 0), network_of(gateway), read_address(address))
    return put(call, "insert", made(call, name, fields, {GATEWAY_OF_RULE: interface.kept}))


def _port_range(protocol: str, body: Json) -> str | None:
    given = body.get("portRange")
    if given is not None and "-" not in str(given):
        given = f"{given}-{given}"
    if given not in _PORTS[protocol]:
        why = "A VPN gateway takes ESP without ports, UDP 500 and UDP 4500."
        raise invalid_value("resource.portRange", body.get("portRange", ""), why)
    return given


def _address(world: World, call: Call, gateway: Resource, body: Json) -> str:
    """Find the address: one that is reserved, that of the gateway's other rules, or a new one."""
    present = {each.body["IPAddress"] for each in rules_of(world, gateway.name)}
    wanted = body.get("IPAddress")
    if not wanted:
        address = next(iter(present), "") or str(address_choice.external(world))
    else:
        address = _wanted(world, call, str(wanted))
    if present and address not in present:
        why = f"The gateway has {next(iter(present))}: all its rules must have one address."
        raise invalid_value("resource.IPAddress", address, why)
    return address


def _wanted(world: World, call: Call, wanted: str) -> str:
    field, project = "resource.IPAddress", project_of(world, call)
    if wanted[0].isdigit():
        found = external_address(world, wanted)
        if found is None or found.name.project != project or found.name.region != call["region"]:
            raise invalid_value(field, wanted, "It is no reserved external address of this region.")
    else:
        found = world.get(by_id(world, reference(field, wanted, "addresses", project, call["region"])))
    user = user_of(world, found.name)
    if user is not None and user.collection != f"compute.{KIND}":
        raise invalid_value(field, wanted, f"The address is already being used by '{user.path}'.")
    return str(found.body["address"])


def _check_new(world: World, gateway: Resource, fields: Json) -> None:
    """Refuse what is forwarded already."""
    for each in rules_with_address(world, fields["IPAddress"]):
        same = (each.body["IPProtocol"], each.body.get("portRange"))
        if same == (fields["IPProtocol"], fields.get("portRange")):
            why = f"'{each.name.path}' already forwards this to '{gateway.name.id}'."
            raise invalid_value("resource.IPAddress", fields["IPAddress"], why)


def complete_interface(world: World, gateway: Resource) -> GatewayInterface | None:
    """Return the interface of a classic gateway; None when it lacks one of its three rules."""
    rules = list(rules_of(world, gateway.name))
    there = {(each.body["IPProtocol"], each.body.get("portRange")) for each in rules}
    if not all((protocol, ports) in there for protocol, found in _PORTS.items() for ports in found):
        return None
    return GatewayInterface.of(rules[0].private[GATEWAY_OF_RULE])


def user_of_rule(world: World, rule: Resource) -> ResourceName | None:
    """Find a tunnel that needs a VPN forwarding rule."""
    if GATEWAY_OF_RULE not in rule.private:
        return None
    gateway = ResourceName("compute.targetVpnGateways", rule.body["target"].partition("/v1/")[2])
    return next((each.name for each in tunnels_of(world, gateway)), None)


def delete(world: World, call: Call) -> Decision:
    """Take a rule away that no tunnel needs."""
    rule = world.get(named(world, call, KIND, call["forwardingRule"]))
    user = user_of_rule(world, rule)
    if user is not None:
        return in_use(call, "delete", rule, "forwarding_rule", user)
    return deleted(call, rule)


METHODS: dict[str, Method] = {
    f"{KIND}.insert": Write(insert, f"compute.{KIND}.create"),
    **readers(KIND, "forwardingRule", aggregated=True),
    f"{KIND}.delete": Write(delete, f"compute.{KIND}.delete"),
    f"{KIND}.setLabels": label_setter(KIND),
}
