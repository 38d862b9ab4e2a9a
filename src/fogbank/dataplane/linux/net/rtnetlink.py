"""Links, addresses, routes and token buckets as rtnetlink messages, and back from the kernel's dumps.

Packing is pure. Interface indexes are chosen by us (a veth's two ends get their own at birth), so nothing has
to be looked up between two messages and a whole batch leaves in one call. Traps that are avoided here: only
one end of a veth pair can be born up, a route by an interface that is down is refused, and an interface that
is set up does not send yet: it discards packets until its operational state is UP.
"""

import socket
import struct
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface, IPv4Network

from fogbank.dataplane.linux.net.netlink import (
    CREATE,
    EXCL,
    REPLACE,
    Message,
    attribute,
    attributes,
    nested,
    text,
    u32,
)

NEWLINK, DELLINK, GETLINK, SETLINK = 16, 17, 18, 19
NEWADDR, DELADDR, GETADDR = 20, 21, 22
NEWROUTE, DELROUTE, GETROUTE = 24, 25, 26
NEWRULE, DELRULE, GETRULE = 32, 33, 34
NEWQDISC, DELQDISC, GETQDISC = 36, 37, 38
GETSTATS = 94

LOOPBACK = 1
_UP = 0x1
_ROOT = 0xFFFF_FFFF
MAIN_TABLE = 254
_LOCAL_TABLE = 255
_RULE_PRIORITY = 1000
"""Before the main table's rule."""
_STATIC = 4
ONLINK = 4
_UNICAST, _BLACKHOLE, _THROW = 1, 6, 9
_UNIVERSE, _LINK_SCOPE = 0, 253
_NOPREFIXROUTE = 0x200

_IFLA_MTU, _IFLA_IFNAME, _IFLA_OPERSTATE, _IFLA_LINKINFO, _IFLA_NET_NS_FD = 4, 3, 16, 18, 28
_IFLA_EXT_MASK, _SKIP_STATISTICS = 29, 0x8
OPER_UP = 6
"""RFC 2863's operational state "up": queues are attached and packets leave (IF_OPER_UP)."""
_RTA_DST, _RTA_OIF, _RTA_GATEWAY, _RTA_PREFSRC, _RTA_MULTIPATH = 1, 4, 5, 7, 9
_RTA_TABLE, _RTA_NH_ID = 15, 30
_FRA_PRIORITY, _FRA_FWMARK, _FRA_TABLE, _FRA_FWMASK = 6, 10, 15, 16
_TO_TABLE = 1

_LINK = struct.Struct("=BxHiII")
_ADDRESS = struct.Struct("=BBBBi")
_ROUTE = struct.Struct("=BBBBBBBBI")
_HOP = struct.Struct("=HBBi")
_QDISC = struct.Struct("=BxHiIII")
_STATS = struct.Struct("=BxHII")
_COUNTERS = struct.Struct("=4Q")
_BUCKET = struct.Struct("=" + "BBHhHI" * 2 + "III")
_LINK_COUNTERS = 1
"""Both the bit that asks for an interface's own counters and the attribute that holds them."""

BURST_BYTES = 256 * 1024
LATENCY_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class End:
    """One end of a veth pair to be made: its name, index and the namespace's descriptor."""

    name: str
    index: int
    network: int


@dataclass(frozen=True, slots=True, order=True)
class Way:
    """One next hop with its interface index; ``via`` is on-link."""

    index: int
    via: IPv4Address | None


@dataclass(frozen=True, slots=True)
class LinkSeen:
    """An interface as the kernel reports it; ``up`` when its operational state is."""

    index: int
    name: str
    mtu: int
    up: bool


@dataclass(frozen=True, slots=True)
class RouteSeen:
    """A route as the kernel reports it; no ways is a blackhole, unless it ``throws``."""

    destination: IPv4Network
    ways: tuple[Way, ...]
    source: IPv4Address | None
    table: int = MAIN_TABLE
    throws: bool = False


def add_link(left: End, right: End, mtu: int) -> Message:
    """Make a veth pair, each end at once in its own namespace; ``left`` is up, ``right`` cannot be yet."""
    peer = _LINK.pack(0, 0, right.index, 0, 0) + _end(right, mtu)
    info = nested(_IFLA_LINKINFO, text(1, "veth"), nested(2, nested(1, peer)))
    payload = _LINK.pack(0, 0, left.index, _UP, _UP) + _end(left, mtu) + info
    return Message(NEWLINK, CREATE | EXCL, payload)


def _end(end: End, mtu: int) -> bytes:
    return text(_IFLA_IFNAME, end.name) + u32(_IFLA_MTU, mtu) + u32(_IFLA_NET_NS_FD, end.network)


def set_up(index: int) -> Message:
    """Bring an interface up."""
    return Message(SETLINK, 0, _LINK.pack(0, 0, index, _UP, _UP))


def set_mtu(index: int, mtu: int) -> Message:
    """Change how large a packet may be."""
    return Message(SETLINK, 0, _LINK.pack(0, 0, index, 0, 0) + u32(_IFLA_MTU, mtu))


def rename(index: int, name: str) -> Message:
    """Return an interface another name."""
    return Message(SETLINK, 0, _LINK.pack(0, 0, index, 0, 0) + text(_IFLA_IFNAME, name))


def delete_link(index: int) -> Message:
    """Remove an interface, and with a veth its peer."""
    return Message(DELLINK, 0, _LINK.pack(0, 0, index, 0, 0))


def add_address(index: int, interface: IPv4Interface) -> Message:
    """Configure an address, without the route to its network: all routes are told.

    On the loopback the whole network becomes local.
    """
    flags = 0 if index == LOOPBACK else _NOPREFIXROUTE
    return Message(NEWADDR, CREATE | REPLACE, _address(index, interface) + u32(8, flags))


def delete_address(index: int, interface: IPv4Interface) -> Message:
    """Take an address away."""
    return Message(DELADDR, 0, _address(index, interface))


def _address(index: int, interface: IPv4Interface) -> bytes:
    head = _ADDRESS.pack(socket.AF_INET, interface.network.prefixlen, 0, 0, index)
    raw = interface.ip.packed
    return head + attribute(2, raw) + attribute(1, raw)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a route stands: its destination and its table. One that ``throws`` leaves packets to others."""

    destination: IPv4Network
    table: int = MAIN_TABLE
    throws: bool = False


def put_route(place: Place | IPv4Network, ways: tuple[Way, ...], source: IPv4Address | None) -> Message:
    """Create or replace a route, of the main table without a place; without ways it discards silently."""
    where = place if isinstance(place, Place) else Place(place)
    return Message(NEWROUTE, CREATE | REPLACE, _route(where, ways, source))


def delete_route(place: Place | IPv4Network) -> Message:
    """Take a table's route to exactly a destination away; the main table's without a place."""
    where = place if isinstance(place, Place) else Place(place)
    return Message(DELROUTE, 0, _route_head(where, 0, 255, 0, 0))


def _route_head(place: Place, protocol: int, scope: int, kind: int, flags: int) -> bytes:
    """Begin a route's message: its table in an attribute, for numbers that one byte does not hold."""
    destination = place.destination
    head = _ROUTE.pack(socket.AF_INET, destination.prefixlen, 0, 0, 0, protocol, scope, kind, flags)
    return head + attribute(_RTA_DST, destination.network_address.packed) + u32(_RTA_TABLE, place.table)


def _route(place: Place, ways: tuple[Way, ...], source: IPv4Address | None) -> bytes:
    kind = _UNICAST if ways else _THROW if place.throws else _BLACKHOLE
    routed = not ways or any(way.via for way in ways)
    scope = _UNIVERSE if routed else _LINK_SCOPE
    flags = ONLINK if len(ways) == 1 and ways[0].via else 0
    parts = [_route_head(place, _STATIC, scope, kind, flags)]
    if source is not None:
        parts.append(attribute(_RTA_PREFSRC, source.packed))
    if len(ways) == 1:
        parts.append(u32(_RTA_OIF, ways[0].index))
        if ways[0].via:
            parts.append(attribute(_RTA_GATEWAY, ways[0].via.packed))
    elif ways:
        parts.append(attribute(_RTA_MULTIPATH, b"".join(_hop(way) for way in ways)))
    return b"".join(parts)


def put_group_route(
    place: Place | IPv4Network, group: int, source: IPv4Address | None, *, routed: bool
) -> Message:
    """Create or replace a route by a group of next hops, ``routed`` when these are gateways."""
    where = place if isinstance(place, Place) else Place(place)
    scope = _UNIVERSE if routed else _LINK_SCOPE
    parts = [_route_head(where, _STATIC, scope, _UNICAST, 0), u32(_RTA_NH_ID, group)]
    if source is not None:
        parts.append(attribute(_RTA_PREFSRC, source.packed))
    return Message(NEWROUTE, CREATE | REPLACE, b"".join(parts))


def add_rule(table: int) -> Message:
    """Have packets that are marked with a table's number routed by it, before the main table."""
    return Message(NEWRULE, CREATE | EXCL, _rule(table))


def delete_rule(table: int) -> Message:
    """Take the rule of a table away."""
    return Message(DELRULE, 0, _rule(table))


def _rule(table: int) -> bytes:
    head = _ROUTE.pack(socket.AF_INET, 0, 0, 0, 0, 0, 0, _TO_TABLE, 0)
    return (
        head
        + u32(_FRA_PRIORITY, _RULE_PRIORITY)
        + u32(_FRA_FWMARK, table)
        + u32(_FRA_FWMASK, 0xFFFF_FFFF)
        + u32(_FRA_TABLE, table)
    )


def list_rules() -> Message:
    """Ask for all IPv4 rules."""
    return Message(GETRULE, 0, _ROUTE.pack(socket.AF_INET, 0, 0, 0, 0, 0, 0, 0, 0))


def parse_rule(payload: bytes) -> int | None:
    """Read the table of a rule for marked packets; other rules give None."""
    found = attributes(payload, _ROUTE.size)
    if _FRA_FWMARK not in found:
        return None
    mark, table = (int(struct.unpack("=I", found[each])[0]) for each in (_FRA_FWMARK, _FRA_TABLE))
    return table if mark == table else None


def _hop(way: Way) -> bytes:
    gateway = attribute(_RTA_GATEWAY, way.via.packed) if way.via else b""
    return _HOP.pack(8 + len(gateway), ONLINK if way.via else 0, 0, way.index) + gateway


def put_bucket(index: int, bits_per_second: int) -> Message:
    """Hold what leaves by an interface to a rate (``tbf rate … burst 256k latency 50ms``)."""
    rate = bits_per_second // 8
    burst = max(BURST_BYTES, rate // 1000)
    limit = int(rate * LATENCY_SECONDS) + burst
    # The kernel counts a bucket's depth in ticks of 64 ns at the given rate.
    ticks = min(burst * 1_000_000_000 // rate // 64, 0xFFFF_FFFF)
    low = min(rate, 0xFFFF_FFFF)
    parameters = _BUCKET.pack(0, 1, 0, 0, 0, low, 0, 0, 0, 0, 0, 0, limit, ticks, 0)
    parts = [attribute(1, parameters), u32(6, burst)]
    if rate > low:
        parts.append(attribute(4, struct.pack("=Q", rate)))
    head = _QDISC.pack(0, 0, index, 0, _ROOT, 0)
    return Message(NEWQDISC, CREATE | REPLACE, head + text(1, "tbf") + nested(2, *parts))


def delete_bucket(index: int) -> Message:
    """Return an interface to its own speed."""
    return Message(DELQDISC, 0, _QDISC.pack(0, 0, index, 0, _ROOT, 0))


def get_link(index: int) -> Message:
    """Ask for one interface. Since Linux 6.8 the kernel first finishes a change of its state that is due."""
    return Message(GETLINK, 0, _LINK.pack(0, 0, index, 0, 0) + u32(_IFLA_EXT_MASK, _SKIP_STATISTICS))


def list_links() -> Message:
    """Ask for all interfaces."""
    return Message(GETLINK, 0, _LINK.pack(0, 0, 0, 0, 0))


def list_addresses() -> Message:
    """Ask for all IPv4 addresses."""
    return Message(GETADDR, 0, _ADDRESS.pack(socket.AF_INET, 0, 0, 0, 0))


def list_routes() -> Message:
    """Ask for all IPv4 routes."""
    return Message(GETROUTE, 0, _ROUTE.pack(socket.AF_INET, 0, 0, 0, 0, 0, 0, 0, 0))


def list_qdiscs() -> Message:
    """Ask for all queueing disciplines."""
    return Message(GETQDISC, 0, _QDISC.pack(0, 0, 0, 0, 0, 0))


def list_counters() -> Message:
    """Ask for the 64-bit counters of all interfaces, and for nothing else about them."""
    return Message(GETSTATS, 0, _STATS.pack(0, 0, 0, _LINK_COUNTERS))


def parse_counters(payload: bytes) -> tuple[int, tuple[int, int, int, int]]:
    """Read (interface index, (bytes received, bytes sent, packets received, packets sent))."""
    _, _, index, _ = _STATS.unpack_from(payload)
    counters = _COUNTERS.unpack_from(attributes(payload, _STATS.size)[_LINK_COUNTERS])
    received_packets, sent_packets, received, sent = counters
    return index, (received, sent, received_packets, sent_packets)


def parse_link(payload: bytes) -> LinkSeen:
    """Read one interface."""
    _, _, index, flags, _ = _LINK.unpack_from(payload)
    found = attributes(payload, _LINK.size)
    name = found[_IFLA_IFNAME].rstrip(b"\0").decode()
    up = bool(flags & _UP) and found[_IFLA_OPERSTATE][0] == OPER_UP
    return LinkSeen(index, name, struct.unpack("=I", found[_IFLA_MTU])[0], up)


def parse_address(payload: bytes) -> tuple[int, IPv4Interface]:
    """Read one address with its interface's index."""
    _, prefix, _, _, index = _ADDRESS.unpack_from(payload)
    found = attributes(payload, _ADDRESS.size)
    return index, IPv4Interface((found.get(2) or found[1], prefix))


def parse_route(payload: bytes) -> RouteSeen | None:
    """Read one route; those of the kernel's local table, and of kinds that we do not make, give None."""
    _, prefix, _, _, _, _, _, kind, _ = _ROUTE.unpack_from(payload)
    found = attributes(payload, _ROUTE.size)
    table = int(struct.unpack("=I", found[_RTA_TABLE])[0])
    if table == _LOCAL_TABLE or kind not in (_UNICAST, _BLACKHOLE, _THROW):
        return None
    destination = IPv4Network((found.get(_RTA_DST, b"\0\0\0\0"), prefix))
    source = IPv4Address(found[_RTA_PREFSRC]) if _RTA_PREFSRC in found else None
    if kind != _UNICAST:
        return RouteSeen(destination, (), source, table, kind == _THROW)
    if _RTA_MULTIPATH in found:
        return RouteSeen(destination, tuple(_parse_hops(found[_RTA_MULTIPATH])), source, table)
    via = IPv4Address(found[_RTA_GATEWAY]) if _RTA_GATEWAY in found else None
    way = Way(struct.unpack("=i", found[_RTA_OIF])[0], via)
    return RouteSeen(destination, (way,), source, table)


def _parse_hops(data: bytes) -> list[Way]:
    ways = []
    offset = 0
    while offset + _HOP.size <= len(data):
        length, _, _, index = _HOP.unpack_from(data, offset)
        found = attributes(data[offset + _HOP.size : offset + length])
        gateway = found.get(_RTA_GATEWAY)
        ways.append(Way(index, IPv4Address(gateway) if gateway else None))
        offset += (length + 3) & ~3
    return ways


def parse_bucket(payload: bytes) -> tuple[int, int] | None:
    """Read (interface index, bits per second) of a root token bucket; other disciplines give None."""
    _, _, index, _, parent, _ = _QDISC.unpack_from(payload)
    found = attributes(payload, _QDISC.size)
    if parent != _ROOT or found.get(1, b"").rstrip(b"\0") != b"tbf":
        return None
    options = attributes(found[2])
    rate = struct.unpack_from("=Q", options[4])[0] if 4 in options else _BUCKET.unpack(options[1])[5]
    return index, rate * 8
