"""External VPN gateways: what a user says about the device at the other end (behaviour/vpn.md#peers)."""

from ipaddress import AddressValueError, IPv4Address

from fogbank.errors import invalid_value, required_field
from fogbank.resources.vpn import tunnels_of
from fogbank.resources.world import Json, World
from fogbank.services.compute.bodies import inputs, number, one_of, refuse_unbuilt
from fogbank.services.compute.decisions import deleted, in_use, put
from fogbank.services.compute.factories import check_free, made
from fogbank.services.compute.handlers import permission_tester, readers
from fogbank.services.compute.names import named, new_identifier
from fogbank.services.compute.vpn.common import label_setter, labelled
from fogbank.services.contract import Call, Decision, Method, Write

KIND = "externalVpnGateways"
_REDUNDANCY = {1: "SINGLE_IP_INTERNALLY_REDUNDANT", 2: "TWO_IPS_REDUNDANCY", 4: "FOUR_IPS_REDUNDANCY"}


def insert(world: World, call: Call) -> Decision:
    """Describe a device with one, two or four addresses."""
    body = inputs(call.body, ("labelFingerprint",))
    name = named(world, call, KIND, new_identifier(body))
    refuse_unbuilt(KIND, body, {"params": ()})
    if not (interfaces := body.get("interfaces")):
        raise required_field("resource.interfaces")
    if len(interfaces) not in _REDUNDANCY:
        raise invalid_value("resource.interfaces", len(interfaces), "There may be 1, 2 or 4 interfaces.")
    redundancy = body.get("redundancyType", _REDUNDANCY[len(interfaces)])
    one_of("resource.redundancyType", redundancy, (_REDUNDANCY[len(interfaces)],))
    check_free(world, name)
    found = [_interface(index, each) for index, each in enumerate(interfaces)]
    if sorted(each["id"] for each in found) != list(range(len(found))):
        raise invalid_value("resource.interfaces.id", [each["id"] for each in found], "Ids count from 0.")
    fields = labelled(body) | {"redundancyType": redundancy, "interfaces": found}
    return put(call, "insert", made(call, name, fields), done=True)


def _interface(index: int, body: Json) -> Json:
    field = f"resource.interfaces[{index}]"
    refuse_unbuilt(f"{KIND}.interfaces", body, {"ipv6Address": ()})
    try:
        address = IPv4Address(str(body.get("ipAddress", "")))
    except AddressValueError:
        raise invalid_value(f"{field}.ipAddress", body.get("ipAddress"), "Must be an IPv4 address.") from None
    return {"id": number(body.get("id", 0)), "ipAddress": str(address)}


def delete(world: World, call: Call) -> Decision:
    """Take a description away that no tunnel refers to."""
    gateway = world.get(named(world, call, KIND, call["externalVpnGateway"]))
    user = next(tunnels_of(world, gateway.name), None)
    if user is not None:
        return in_use(call, "delete", gateway, "external_vpn_gateway", user.name)
    return deleted(call, gateway, done=True)


METHODS: dict[str, Method] = {
    f"{KIND}.insert": Write(insert, f"compute.{KIND}.create"),
    **readers(KIND, "externalVpnGateway"),
    f"{KIND}.delete": Write(delete, f"compute.{KIND}.delete"),
    f"{KIND}.setLabels": label_setter(KIND),
    f"{KIND}.testIamPermissions": permission_tester(KIND),
}
