"""VPN tunnels: IKEv2 with a shared secret, from a gateway's interface to a peer's address.

What a tunnel does is told by its status, which the region's controller writes from what IKE says. The secret
is never shown (behaviour/vpn.md#tunnels).
"""

import hashlib
from base64 import b64encode
from collections.abc import Iterable
from ipaddress import AddressValueError, IPv4Address, IPv4Network

from fogbank.errors import ApiError, invalid_value, not_built, required_field
from fogbank.resources.authorization import denied
from fogbank.resources.vpn import (
    ANY,
    GatewayInterface,
    VpnTunnel,
    interfaces_of,
    routers_with_tunnel,
    routes_over,
    tunnels_of,
)
from fogbank.resources.world import Change, Json, Put, Resource, World
from fogbank.services.compute.bodies import inputs, number, refuse_unbuilt
from fogbank.services.compute.decisions import deleted, in_use, policy_name, put
from fogbank.services.compute.factories import check_free, made
from fogbank.services.compute.handlers import readers
from fogbank.services.compute.names import by_id, named, new_identifier, project_of
from fogbank.services.compute.ranges import parse_range
from fogbank.services.compute.references import reference
from fogbank.services.compute.vpn.common import label_setter, labelled, network_of, regional
from fogbank.services.compute.vpn.forwarding_rules import complete_interface
from fogbank.services.contract import Call, Decision, Method, Write

KIND = "vpnTunnels"
HIDDEN_SECRET = "*************"  # noqa: S105 - what answers show instead
MOST_SECRET = 4096
"""Bytes of a shared secret (unverified); VICI's values have at most 65,535."""
_TO_PEER = "compute.vpnGateways.use"
_OUTPUTS = ("region", "status", "detailedStatus", "sharedSecretHash", "labelFingerprint")
_UNBUILT: dict[str, tuple[object, ...]] = {"cipherSuite": (), "params": ()}


def insert(world: World, call: Call) -> Decision:
    """Make a tunnel; IKE begins as soon as the network has it."""
    body = inputs(call.body, _OUTPUTS)
    name = named(world, call, KIND, new_identifier(body))
    refuse_unbuilt(KIND, body, _UNBUILT)
    if number(body.get("ikeVersion", 2)) != 2:
        raise not_built("compute.vpnTunnels with ikeVersion=1")
    if not (secret := body.get("sharedSecret")):
        raise required_field("resource.sharedSecret")
    if not isinstance(secret, str) or len(secret.encode(errors="replace")) > MOST_SECRET:
        message = (
            f"Invalid value for field 'resource.sharedSecret': Must be text of at most {MOST_SECRET} bytes."
        )
        raise ApiError(400, message, "INVALID_ARGUMENT", "invalid")
    check_free(world, name)
    gateway, interface, ends = _near_end(world, call, body)
    ends |= _far_end(world, call, body, ends)
    ends |= _router(world, call, body, gateway)
    selectors = {
        "localTrafficSelector": _selector(body, "localTrafficSelector"),
        "remoteTrafficSelector": _selector(body, "remoteTrafficSelector"),
    }
    fields = labelled(body) | ends | selectors
    fields |= {
        "ikeVersion": 2,
        "sharedSecret": HIDDEN_SECRET,
        "sharedSecretHash": _hash(secret),
        "status": "FIRST_HANDSHAKE",
        "detailedStatus": "Waiting for the first handshake.",
    }
    made_tunnel = made(call, name, fields, {"secret": secret, "interface": interface.kept})
    _check_beside(world, gateway, made_tunnel)
    return put(call, "insert", made_tunnel)


def _near_end(world: World, call: Call, body: Json) -> tuple[Resource, GatewayInterface, Json]:
    """Find the gateway of the tunnel, and which of its interfaces it has."""
    if bool(body.get("vpnGateway")) == bool(body.get("targetVpnGateway")):
        raise invalid_value(
            "resource.vpnGateway", body.get("vpnGateway", ""), "Name a vpnGateway or a targetVpnGateway."
        )
    if value := body.get("vpnGateway"):
        gateway = regional(world, call, "resource.vpnGateway", value, "vpnGateways")
        chosen, interfaces = number(body.get("vpnGatewayInterface", 0)), interfaces_of(gateway)
        if chosen not in range(len(interfaces)):
            raise invalid_value("resource.vpnGatewayInterface", chosen, "The gateway has 0 and 1.")
        ends: Json = {"vpnGateway": gateway.name.self_link, "vpnGatewayInterface": chosen}
        return gateway, interfaces[chosen], ends
    value = body["targetVpnGateway"]
    gateway = regional(world, call, "resource.targetVpnGateway", value, "targetVpnGateways")
    interface = complete_interface(world, gateway)
    if interface is None:
        why = "The gateway needs forwarding rules for ESP, UDP 500 and UDP 4500 before it has tunnels."
        raise ApiError(
            400,
            f"The resource '{gateway.name.path}' is not ready. {why}",
            "INVALID_ARGUMENT",
            "resourceNotReady",
        )
    return gateway, interface, {"targetVpnGateway": gateway.name.self_link}


def _far_end(world: World, call: Call, body: Json, ends: Json) -> Json:
    """Find the peer: an address, an interface of an external gateway, or another gateway of Google's."""
    given = [each for each in ("peerExternalGateway", "peerGcpGateway") if body.get(each)]
    if len(given) > 1 or (given and "targetVpnGateway" in ends):
        raise invalid_value(f"resource.{given[0]}", body[given[0]], "A tunnel has one peer.")
    if not given:
        return {"peerIp": _peer_address(body)}
    if given[0] == "peerExternalGateway":
        return _external_peer(world, call, body)
    field, project = "resource.peerGcpGateway", project_of(world, call)
    peer_name = by_id(world, reference(field, body["peerGcpGateway"], "vpnGateways", project, call["region"]))
    if peer_name.project != project and not call.access.allows(
        world, call.principal, _TO_PEER, peer_name.project, policy_name(peer_name)
    ):
        raise denied(_TO_PEER, peer_name.path, service="compute")
    peer = world.get(peer_name)
    found = interfaces_of(peer)[ends["vpnGatewayInterface"]]
    return {"peerGcpGateway": peer.name.self_link, "peerIp": str(found.address)}


def _external_peer(world: World, call: Call, body: Json) -> Json:
    field, project = "resource.peerExternalGateway", project_of(world, call)
    value = body["peerExternalGateway"]
    peer = world.get(by_id(world, reference(field, value, "externalVpnGateways", project)))
    chosen = number(body.get("peerExternalGatewayInterface", 0))
    addresses = {each["id"]: each["ipAddress"] for each in peer.body["interfaces"]}
    if chosen not in addresses:
        raise invalid_value(
            "resource.peerExternalGatewayInterface", chosen, "The gateway has no such interface."
        )
    if body.get("peerIp") and body["peerIp"] != addresses[chosen]:
        raise invalid_value("resource.peerIp", body["peerIp"], f"The interface has {addresses[chosen]}.")
    return {
        "peerExternalGateway": peer.name.self_link,
        "peerExternalGatewayInterface": chosen,
        "peerIp": addresses[chosen],
    }


def _peer_address(body: Json) -> str:
    if not body.get("peerIp"):
        raise required_field("resource.peerIp")
    try:
        return str(IPv4Address(str(body["peerIp"])))
    except AddressValueError:
        raise invalid_value("resource.peerIp", body["peerIp"], "Must be an IPv4 address.") from None


def _router(world: World, call: Call, body: Json, gateway: Resource) -> Json:
    """Find the router that speaks BGP over the tunnel; one of an HA gateway needs it."""
    if not body.get("router"):
        if "vpnInterfaces" in gateway.body:
            raise required_field("resource.router")
        return {}
    router = regional(world, call, "resource.router", body["router"], "routers")
    if network_of(router) != network_of(gateway):
        raise invalid_value("resource.router", router.name.path, "It must be in the network of the gateway.")
    return {"router": router.name.self_link}


def _selector(body: Json, field: str) -> list[str]:
    """Read a traffic selector; everything when none is given, or when routes come by BGP."""
    given = body.get(field)
    if not given:
        return [str(each) for each in ANY]
    if body.get("router") and given != ["0.0.0.0/0"]:
        raise invalid_value(f"resource.{field}", given, "A tunnel with a router has no traffic selector.")
    return [str(parse_range(f"resource.{field}[{index}]", each)) for index, each in enumerate(given)]


def _hash(secret: str) -> str:
    """Return what answers show of a secret, so that two can be compared."""
    return b64encode(hashlib.sha256(secret.encode()).digest()).decode().rstrip("=")


def _check_beside(world: World, gateway: Resource, tunnel: Resource) -> None:
    """Refuse a tunnel that its gateway could not tell from another one of the same interface.

    Which tunnel a packet takes is decided there by traffic selectors, so two that overlap are not built.
    """
    new = VpnTunnel.of(tunnel)
    for resource in tunnels_of(world, gateway.name):
        each = VpnTunnel.of(resource)
        if each.interface != new.interface:
            continue
        if each.peer == new.peer:
            raise invalid_value(
                "resource.peerIp", str(new.peer), f"'{each.name.path}' already has this peer."
            )
        if _overlap(each.far, new.far) and _overlap(each.near, new.near):
            raise not_built(
                f"compute.vpnTunnels with traffic selectors that overlap those of '{each.name.id}', "
                "a tunnel of the same gateway interface,"
            )


def _overlap(one: Iterable[IPv4Network], other: Iterable[IPv4Network]) -> bool:
    others = tuple(other)
    return any(each.overlaps(them) for each in one for them in others)


def delete(world: World, call: Call) -> Decision:
    """Take a tunnel away that no route and no router's interface needs."""
    tunnel = world.get(named(world, call, KIND, call["vpnTunnel"]))
    for user in (*routes_over(world, tunnel.name), *routers_with_tunnel(world, tunnel.name)):
        return in_use(call, "delete", tunnel, "vpn_tunnel", user.name)
    return deleted(call, tunnel)


def tunnel_seen(world: World, tunnel: Resource, status: str, detail: str) -> tuple[Change, ...]:
    """Write what IKE says of a tunnel; nothing when it is gone or another one by now."""
    found = world.find(tunnel.name)
    if found is None or found.id != tunnel.id or found.body["status"] == status:
        return ()
    return (Put(found.with_body(status=status, detailedStatus=detail)),)


METHODS: dict[str, Method] = {
    f"{KIND}.insert": Write(insert, f"compute.{KIND}.create"),
    **readers(KIND, "vpnTunnel", aggregated=True),
    f"{KIND}.delete": Write(delete, f"compute.{KIND}.delete"),
    f"{KIND}.setLabels": label_setter(KIND),
}
