"""The interfaces and BGP peers of a Cloud Router: what may be asked for, and what they show.

Interfaces are on VPN tunnels of the router's own; BFD, route policies, IPv6, router appliances and custom
learned ranges are not built (behaviour/bgp.md#peers).
"""

from collections.abc import Iterable
from ipaddress import AddressValueError, IPv4Address, IPv4Interface, IPv4Network

from fogbank.errors import invalid_value, required_field
from fogbank.resources.bgp import BASE_PRIORITY, KEYS, SESSIONS
from fogbank.resources.names import ResourceName
from fogbank.resources.world import Json, Resource, World
from fogbank.services.compute.bodies import number, one_of, refuse_unbuilt
from fogbank.services.compute.names import check_name
from fogbank.services.compute.ranges import parse_range
from fogbank.services.compute.vpn.common import regional
from fogbank.services.contract import Call

LINK_LOCAL = IPv4Network("169.254.0.0/16")
_INTERFACE_UNBUILT: dict[str, tuple[object, ...]] = {
    "linkedInterconnectAttachment": (),
    "redundantInterface": (),
    "privateIpAddress": (),
    "subnetwork": (),
    "ipVersion": ("IPV4",),
}
_PEER_UNBUILT: dict[str, tuple[object, ...]] = {
    "customLearnedIpRanges": (),
    "customLearnedRoutePriority": (),
    "enableIpv6": (),
    "exportPolicies": (),
    "importPolicies": (),
    "ipv4NexthopAddress": (),
    "ipv6NexthopAddress": (),
    "peerIpv4NexthopAddress": (),
    "peerIpv6NexthopAddress": (),
    "routerApplianceInstance": (),
}
ADVERTISE_MODES = ("DEFAULT", "CUSTOM")
_NO_BFD = {
    "minReceiveInterval": 1000,
    "minTransmitInterval": 1000,
    "multiplier": 5,
    "sessionInitializationMode": "DISABLED",
}


def interfaces(world: World, call: Call, router: ResourceName, given: Iterable[Json]) -> list[Json]:
    """Complete the interfaces of a router; one on a tunnel gets an address when it has none."""
    made: list[Json] = []
    taken = [
        _range(f"resource.interfaces[{index}].ipRange", each).network
        for index, each in enumerate(given)
        if each.get("ipRange")
    ]
    for index, body in enumerate(given):
        field = f"resource.interfaces[{index}]"
        check_name(f"{field}.name", body.get("name"))
        if any(each["name"] == body["name"] for each in made):
            raise invalid_value(f"{field}.name", body["name"], "Another interface has this name.")
        refuse_unbuilt("routers.interfaces", body, _INTERFACE_UNBUILT)
        whole: Json = body | {"ipVersion": "IPV4"}
        if value := body.get("linkedVpnTunnel"):
            tunnel = regional(world, call, f"{field}.linkedVpnTunnel", value, "vpnTunnels")
            if tunnel.body.get("router") != router.self_link:
                why = "The VPN tunnel was made with another router, or without one."
                raise invalid_value(f"{field}.linkedVpnTunnel", tunnel.name.path, why)
            whole |= {"linkedVpnTunnel": tunnel.name.self_link, "managementType": "MANAGED_BY_USER"}
            if not body.get("ipRange"):
                network = next(each for each in LINK_LOCAL.subnets(new_prefix=30) if each not in taken)
                taken.append(network)
                whole["ipRange"] = f"{network[1]}/30"
        made.append(whole)
    return made


def _range(field: str, interface: Json) -> IPv4Interface:
    """Read an interface's address in its range; one on a tunnel is link-local and has room for a peer."""
    try:
        address = IPv4Interface(interface["ipRange"])
    except ValueError:
        raise invalid_value(field, interface["ipRange"], "Must be an IPv4 range.") from None
    if interface.get("linkedVpnTunnel") and not address.network.subnet_of(LINK_LOCAL):
        raise invalid_value(field, interface["ipRange"], "Must be in 169.254.0.0/16.")
    if interface.get("linkedVpnTunnel") and address.network.num_addresses == 1:
        raise invalid_value(field, interface["ipRange"], "Must have an address for the peer, too.")
    return address


def peers(router: Json, given: Iterable[Json]) -> list[Json]:
    """Complete the BGP peers of a router whose interfaces, keys and BGP settings are those of ``router``."""
    made: list[Json] = []
    for index, body in enumerate(given):
        field = f"resource.bgpPeers[{index}]"
        check_name(f"{field}.name", body.get("name"))
        if any(each["name"] == body["name"] for each in made):
            raise invalid_value(f"{field}.name", body["name"], "Another BGP peer has this name.")
        made.append(_peer(router, field, body))
    return made


def _peer(router: Json, field: str, body: Json) -> Json:
    refuse_unbuilt("routers.bgpPeers", body, _PEER_UNBUILT)
    refuse_unbuilt("routers.bgpPeers.bfd", body.get("bfd", {}), {"sessionInitializationMode": ("DISABLED",)})
    if not router.get("bgp", {}).get("asn"):
        raise required_field("resource.bgp.asn")
    if not body.get("peerAsn"):
        raise required_field(f"{field}.peerAsn")
    interface = _interface(router, field, body)
    own = IPv4Interface(interface["ipRange"])
    if body.get("ipAddress") and body["ipAddress"] != str(own.ip):
        raise invalid_value(f"{field}.ipAddress", body["ipAddress"], f"The interface has {own.ip}.")
    one_of(f"{field}.enable", body.get("enable", "TRUE"), ("TRUE", "FALSE"))
    priority = number(body.get("advertisedRoutePriority", BASE_PRIORITY))
    if not 0 <= priority <= 65535:
        raise invalid_value(f"{field}.advertisedRoutePriority", priority, "Must be between 0 and 65535.")
    keys = {each["name"] for each in router.get("md5AuthenticationKeys", ())}
    if (key := body.get("md5AuthenticationKeyName")) and key not in keys:
        raise invalid_value(f"{field}.md5AuthenticationKeyName", key, "The router has no key of this name.")
    defaults: Json = {
        "enable": "TRUE",
        "enableIpv4": True,
        "enableIpv6": False,
        "managementType": "MANAGED_BY_USER",
        "bfd": _NO_BFD,
    }
    ends = {"ipAddress": str(own.ip), "peerIpAddress": str(_peer_address(field, body, own))}
    return defaults | body | advertising(field, body) | ends | {"advertisedRoutePriority": priority}


def _interface(router: Json, field: str, body: Json) -> Json:
    if not body.get("interfaceName"):
        raise required_field(f"{field}.interfaceName")
    for each in router.get("interfaces", ()):
        if each["name"] == body["interfaceName"] and each.get("linkedVpnTunnel"):
            found: Json = each
            return found
    why = "The router has no interface of this name on a VPN tunnel."
    raise invalid_value(f"{field}.interfaceName", body["interfaceName"], why)


def _peer_address(field: str, body: Json, own: IPv4Interface) -> IPv4Address:
    """Read the peer's address; without one it is the other one of the interface's /30."""
    given = body.get("peerIpAddress")
    if not given:
        return next(each for each in own.network.hosts() if each != own.ip)
    try:
        address = IPv4Address(str(given))
    except AddressValueError:
        raise invalid_value(f"{field}.peerIpAddress", given, "Must be an IPv4 address.") from None
    if address not in own.network or address == own.ip:
        raise invalid_value(f"{field}.peerIpAddress", given, f"Must be another address of {own.network}.")
    return address


def advertising(field: str, body: Json) -> Json:
    """Check and complete how routes are advertised, by a router or to one peer."""
    mode = body.get("advertiseMode", ADVERTISE_MODES[0])
    one_of(f"{field}.advertiseMode", mode, ADVERTISE_MODES)
    groups, ranges = body.get("advertisedGroups", ()), body.get("advertisedIpRanges", ())
    if mode == "DEFAULT" and (groups or ranges):
        why = "Custom advertisements want advertiseMode CUSTOM."
        raise invalid_value(f"{field}.advertiseMode", mode, why)
    for each in groups:
        one_of(f"{field}.advertisedGroups", each, ("ALL_SUBNETS",))
    for index, each in enumerate(ranges):
        parse_range(f"{field}.advertisedIpRanges[{index}].range", each.get("range"))
    return {"advertiseMode": mode}


def kept(before: Json, body: Json, given_keys: Iterable[Json]) -> Json:
    """Return a router's ``private``: keys of its present names, sessions of its present peers."""
    known = before.get(KEYS, {})
    names = [each["name"] for each in body.get("md5AuthenticationKeys", ())]
    new = {each["name"]: each["key"] for each in given_keys if each.get("key")}
    keys = {name: new.get(name, known.get(name, "")) for name in names}
    peers_now = {each["name"] for each in body.get("bgpPeers", ())}
    sessions = {name: each for name, each in before.get(SESSIONS, {}).items() if name in peers_now}
    rest = {key: value for key, value in before.items() if key not in (KEYS, SESSIONS)}
    return rest | ({KEYS: keys} if keys else {}) | ({SESSIONS: sessions} if sessions else {})


def sessions_seen(router: Resource, seen: Json) -> Resource | None:
    """Return a router whose sessions with some peers, by name, are as ``seen``; None when it has them so."""
    there = {each["name"] for each in router.body.get("bgpPeers", ())}
    now = router.private.get(SESSIONS, {})
    new = now | {name: session for name, session in seen.items() if name in there}
    if new == now:
        return None
    return Resource(router.name, router.id, router.created, router.body, router.private | {SESSIONS: new})
