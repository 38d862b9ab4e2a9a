"""HA VPN gateways: two interfaces, each with an external address that Google chooses.

See behaviour/vpn.md#gateways.
"""

from collections import defaultdict

from fogbank.errors import required_field
from fogbank.resources.vpn import tunnels_of
from fogbank.resources.world import Json, Resource, World
from fogbank.services.compute import address_choice
from fogbank.services.compute.bodies import inputs, one_of, refuse_unbuilt
from fogbank.services.compute.decisions import deleted, in_use, put
from fogbank.services.compute.factories import check_free, made
from fogbank.services.compute.handlers import permission_tester, readers
from fogbank.services.compute.names import named, new_identifier
from fogbank.services.compute.references import find_referred
from fogbank.services.compute.vpn.common import label_setter, labelled
from fogbank.services.contract import Call, Decision, Method, Read, Write

KIND = "vpnGateways"
_OUTPUTS = ("region", "labelFingerprint")
_UNBUILT: dict[str, tuple[object, ...]] = {
    "gatewayIpVersion": ("IPV4",),
    "stackType": ("IPV4_ONLY",),
    "params": (),
}
_INTERFACE_UNBUILT: dict[str, tuple[object, ...]] = {"interconnectAttachment": (), "ipv6Address": ()}


def insert(world: World, call: Call) -> Decision:
    """Make a gateway with two interfaces."""
    body = inputs(call.body, _OUTPUTS)
    name = named(world, call, KIND, new_identifier(body))
    refuse_unbuilt(KIND, body, _UNBUILT)
    if not body.get("network"):
        raise required_field("resource.network")
    network = find_referred(world, "resource.network", body["network"], "networks", call)
    check_free(world, name)
    for each in body.get("vpnInterfaces", ()):
        refuse_unbuilt(f"{KIND}.vpnInterfaces", each, _INTERFACE_UNBUILT)
        one_of("resource.vpnInterfaces.id", str(each.get("id", 0)), ("0", "1"))
    first = address_choice.external(world)
    second = address_choice.external(world, also_taken=(first,))
    fields = labelled(body) | {
        "network": network.name.self_link,
        "vpnInterfaces": [{"id": number, "ipAddress": str(at)} for number, at in enumerate((first, second))],
        "gatewayIpVersion": "IPV4",
        "stackType": "IPV4_ONLY",
    }
    return put(call, "insert", made(call, name, fields))


def delete(world: World, call: Call) -> Decision:
    """Take a gateway away that no tunnel has as an end."""
    gateway = world.get(named(world, call, KIND, call["vpnGateway"]))
    user = next(tunnels_of(world, gateway.name), None)
    if user is not None:
        return in_use(call, "delete", gateway, "vpn_gateway", user.name)
    return deleted(call, gateway)


def get_status(world: World, call: Call) -> Json:
    """Tell for each peer whether its tunnels are as redundant as the 99.99 % agreement wants.

    See behaviour/vpn.md#high-availability.
    """
    gateway = world.get(named(world, call, KIND, call["vpnGateway"]))
    peers: dict[tuple[str, str], list[Resource]] = defaultdict(list)
    for tunnel in tunnels_of(world, gateway.name):
        if tunnel.body.get("vpnGateway") != gateway.name.self_link:
            continue
        field = "peerExternalGateway" if tunnel.body.get("peerExternalGateway") else "peerGcpGateway"
        peers[field, tunnel.body.get(field, "")].append(tunnel)
    return {"result": {"vpnConnections": [_connection(world, *peer, found) for peer, found in peers.items()]}}


def _connection(world: World, field: str, peer: str, tunnels: list[Resource]) -> Json:
    ends = [
        {
            "localGatewayInterface": each.body["vpnGatewayInterface"],
            "peerGatewayInterface": each.body.get(
                "peerExternalGatewayInterface", each.body["vpnGatewayInterface"]
            ),
            "tunnelUrl": each.name.self_link,
        }
        for each in tunnels
    ]
    state: Json = {"state": "CONNECTION_REDUNDANCY_MET"}
    if not _redundant(world, field, tunnels, ends):
        reason = "INCOMPLETE_TUNNELS_COVERAGE"
        state = {"state": "CONNECTION_REDUNDANCY_NOT_MET", "unsatisfiedReason": reason}
    return {field: peer, "state": state, "tunnels": ends}


def _redundant(world: World, field: str, tunnels: list[Resource], ends: list[Json]) -> bool:
    """Return whether each interface has a tunnel, and each interface of the peer has one."""
    if {each["localGatewayInterface"] for each in ends} != {0, 1}:
        return False
    if field == "peerGcpGateway":
        return True
    link = tunnels[0].body[field]
    peer = next(each for each in world.all("compute.externalVpnGateways") if each.name.self_link == link)
    wanted = {each["id"] for each in peer.body["interfaces"]}
    return wanted == {each["peerGatewayInterface"] for each in ends}


METHODS: dict[str, Method] = {
    f"{KIND}.insert": Write(insert, f"compute.{KIND}.create"),
    **readers(KIND, "vpnGateway", aggregated=True),
    f"{KIND}.delete": Write(delete, f"compute.{KIND}.delete"),
    f"{KIND}.getStatus": Read(get_status, f"compute.{KIND}.get"),
    f"{KIND}.setLabels": label_setter(KIND),
    f"{KIND}.testIamPermissions": permission_tester(KIND),
}
