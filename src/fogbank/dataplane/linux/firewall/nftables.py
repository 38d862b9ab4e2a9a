"""Port security, filters and source NAT as nft commands: text out, nothing touched.

One table a namespace, and everything that there may be many of is an element of a set or map in it: a
packet's cost does not grow with endpoints, and adding an endpoint is a handful of commands. A packet that a
namespace forwards passes

    screen     its device and source must be those of a PortSecurity or a PeerNetwork (else ``spoofed``);
               before connection tracking. A device may choose a routing table, whose number is then the mark
    arrivals   a new flow for an address that is translated both ways goes to the one inside
    forward    replies pass; by the uplink nothing else enters (``inbound``); the egress policy of the device
               where it came from; by the uplink only what will be translated leaves (``no-nat``); the ingress
               policy of the device where it goes
    translate  a new flow takes a port of its client's block on its address

A policy returns for allow and drops for deny. A flow that finds no free port is given one that is taken, and
dies when the kernel is about to remember it, after every rule: only connection tracking's own statistics can
count it. Clients whose flows need more than that are in :mod:`first_packet_rules`.

The kernel gives away ports of connections in TIME_WAIT when a slice is nearly full; :mod:`timewait` forbids
that some microseconds after they got there, and for the time before it, a socket whose connection ended is
kept in a set.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping
from ipaddress import IPv4Address, IPv4Network
from typing import Any

from fogbank.network.topology import (
    AddressSetMember,
    DeviceName,
    FlowLog,
    NatTimeouts,
    PeerNetwork,
    PortSecurity,
    RouteSelection,
    SourceNat,
    StatefulFirewall,
    UnservedClient,
)

TABLE = "ip fogbank"
NAME = TABLE.split()[1]

SPOOFED, INBOUND, UNGUARDED, NO_NAT, INVALID = "spoofed", "inbound", "unguarded", "no-nat", "invalid"
PORTS_EXHAUSTED, UNALLOCATED = "ports-exhausted", "nat-allocation-failed"
REASONS = (SPOOFED, INBOUND, UNGUARDED, NO_NAT, INVALID, UNALLOCATED)

REFUSE, REFUSED = "refuse", "refused"
"""The chain where counted policies drop, and its set of destinations."""

KINDS = (("", ""), ("_nets", " flags interval;"))
"""Single addresses are kept in hashes: adding one to an interval set costs time for each that is there."""

_FLOW_LOGS = f"add set {TABLE} flow_logs {{ type ipv4_addr; flags interval; }}"
_SLICE = "interval ipv4_addr . inet_service"
PORTED = "meta l4proto { tcp, udp }"
_FIN = "tcp flags & fin == fin"
_NO_FIN = "tcp flags & fin != fin"
SOCKETS = "ipv4_addr . inet_service . ipv4_addr . inet_service"
_THIS = "ip saddr . tcp sport . ip daddr . tcp dport"
_PLAIN = re.compile(r"[A-Za-z0-9_]{1,40}")


def slug(name: str) -> str:
    """Make an nft identifier's tail of ``name``: itself when it is plain, else readable with a short hash."""
    if _PLAIN.fullmatch(name):
        return name
    readable = re.sub(r"[^A-Za-z0-9]+", "_", name)[:32].strip("_")
    return f"{readable}_{hashlib.blake2s(name.encode(), digest_size=4).hexdigest()}"


def drop_counter(reason: str) -> str:
    """Name the counter of packets that were dropped for ``reason``."""
    return f"drop_{slug(reason)}"


def policy_chain(name: str) -> str:
    """Name the chain that port security jumps to; its body changes, it stays."""
    return f"policy_{slug(name)}"


def address_set_name(address_set: str) -> str:
    """Name the set of a group's addresses."""
    return f"group_{slug(address_set)}"


def render_table() -> list[str]:
    """Make the namespace's table when it is not there yet."""
    return [f"add table {TABLE}"]


def render_filter(element: StatefulFirewall) -> list[str]:
    """Forward only what port security allows. Sets, maps and policies of the namespace stay as they are."""
    own = f'"{element.uplink}"' if element.uplink else None
    trusted = ", ".join(['"lo"', *([own] if own else [])])
    lines = [
        *render_table(),
        *(f"add counter {TABLE} {drop_counter(r)}" for r in REASONS),
        f"add set {TABLE} homes {{ type ifname . ipv4_addr; }}",
        f"add set {TABLE} homes_nets {{ type ifname . ipv4_addr; flags interval; }}",
        f"add set {TABLE} forwarders {{ type ifname; }}",
        f"add map {TABLE} views {{ type ifname : mark; }}",
        f"add set {TABLE} peers {{ type ifname . ipv4_addr; flags interval; }}",
        _FLOW_LOGS,
        f"add set {TABLE} {REFUSED} {{ type ipv4_addr; size 65536; flags dynamic; }}",
        f"add map {TABLE} ingress {{ type ifname : verdict; }}",
        f"add map {TABLE} egress {{ type ifname : verdict; }}",
        f"add chain {TABLE} screen {{ type filter hook prerouting priority raw; policy accept; }}",
        f"add chain {TABLE} forward {{ type filter hook forward priority filter; policy drop; }}",
        f"add chain {TABLE} arrive {{ type filter hook input priority filter; policy accept; }}",
        f"add chain {TABLE} {REFUSE}",
        *(f"flush chain {TABLE} {chain}" for chain in ("screen", "forward", "arrive", REFUSE)),
        # When the set is full nothing more is counted; the packet is dropped all the same.
        _rule(REFUSE, f"update @{REFUSED} {{ ip daddr counter }}"),
        _rule(REFUSE, "drop"),
        _rule(
            "screen",
            f"{_foreign('iifname', 'saddr')} iifname . ip saddr != @peers iifname != {{ {trusted} }}",
            drop=SPOOFED,
        ),
        _rule("screen", "meta mark set iifname map @views"),
        _rule("forward", "ct state established,related accept"),
        _rule("forward", "ct state invalid", drop=INVALID),
        # Where somebody listens, the kernel reports every change of every flow; few are wanted (render_hold).
        _rule("forward", "ct event set 0x0"),
        *(_rule("forward", f"ip {end} @flow_logs ct event set destroy") for end in ("saddr", "daddr")),
    ]
    if element.uplink:
        clients, unserved = (f"{each}_{slug(element.uplink)}" for each in ("clients", "unserved"))
        lines += [
            *(
                f"add set {TABLE} {each}{kind} {{ type ipv4_addr;{flags} }}"
                for each in (clients, unserved)
                for kind, flags in KINDS
            ),
            _rule("arrive", f"iifname {own} ct state new", drop=INBOUND),
            _rule("forward", f"iifname {own} ct status ! dnat", drop=INBOUND),
            _rule("forward", "iifname vmap @egress"),
            *(_rule("forward", f"oifname {own} ip saddr @{clients}{kind} accept") for kind, _ in KINDS),
            *(
                _rule("forward", f"oifname {own} ip saddr @{unserved}{kind}", drop=UNALLOCATED)
                for kind, _ in KINDS
            ),
            _rule("forward", f"oifname {own}", drop=NO_NAT),
            # A translation may have gone since the packet passed the rules above: each chain sees the rules
            # of its own moment.
            f"add chain {TABLE} leave {{ type filter hook postrouting priority srcnat + 20; }}",
            f"flush chain {TABLE} leave",
            _rule("leave", f"oifname {own} ct status & (snat | dnat) == 0", drop=NO_NAT),
        ]
    else:
        lines.append(_rule("forward", "iifname vmap @egress"))
    return [
        *lines,
        # What a peer's network is sent is filtered there; only endpoints may send it anything.
        *(
            _rule("forward", f"oifname . ip daddr @peers {own} accept")
            for own in ("iifname . ip saddr @homes", "iifname . ip saddr @homes_nets", "iifname @forwarders")
        ),
        _rule("forward", _foreign("oifname", "daddr"), drop=UNGUARDED),
        _rule("forward", "oifname vmap @ingress"),
        _rule("forward", "accept"),
    ]


def _foreign(device: str, address: str) -> str:
    """Match an address that is not behind its device."""
    at = f"{device} . ip {address}"
    return f"{at} != @homes {at} != @homes_nets {device} != @forwarders"


_CHAINS = ("screen", "forward", "arrive", "leave")


def render_no_filter() -> list[str]:
    """Forward freely again."""
    return [
        *(f"add chain {TABLE} {chain}" for chain in _CHAINS),
        *(f"flush chain {TABLE} {chain}" for chain in _CHAINS),
        *(f"delete chain {TABLE} {chain}" for chain in _CHAINS),
    ]


def parse_refused(objects: Iterable[Mapping[str, Any]]) -> dict[IPv4Address, int]:
    """Read the packets of each destination that ``list set`` shows."""
    found = (each["set"] for each in objects if each.get("set", {}).get("name") == REFUSED)
    elements = (element["elem"] for one in found for element in one.get("elem", ()))
    return {IPv4Address(e["val"]): int(e["counter"]["packets"]) for e in elements}


def render_flow_log(element: FlowLog) -> list[str]:
    """Have the kernel report when connections of these ranges end."""
    return [_FLOW_LOGS, f"add element {TABLE} flow_logs {{ {', '.join(map(str, element.ranges))} }}"]


def render_no_flow_log(element: FlowLog) -> list[str]:
    """Have it report them no more."""
    return [f"delete element {TABLE} flow_logs {{ {', '.join(map(str, element.ranges))} }}"]


def render_address_set_member(element: AddressSetMember) -> list[str]:
    """Put an address into its group."""
    name = address_set_name(element.address_set)
    return [
        f"add set {TABLE} {name} {{ type ipv4_addr; }}",
        f"add element {TABLE} {name} {{ {element.address} }}",
    ]


def render_no_address_set_member(element: AddressSetMember) -> list[str]:
    """Take an address out of its group."""
    return [f"delete element {TABLE} {address_set_name(element.address_set)} {{ {element.address} }}"]


def render_port_security(element: PortSecurity) -> list[str]:
    """Open the namespace for one endpoint, under its policies."""
    return [f"add element {TABLE} {name} {{ {entry} }}" for name, entry in _port_security_entries(element)]


def render_no_port_security(element: PortSecurity) -> list[str]:
    """Close the namespace for one endpoint."""
    entries = reversed(_port_security_entries(element))
    return [f"delete element {TABLE} {name} {{ {entry} }}" for name, entry in entries]


def _port_security_entries(element: PortSecurity) -> list[tuple[str, str]]:
    device = f'"{element.device}"'
    return [
        ("egress", f"{device} : jump {policy_chain(element.egress)}"),
        ("ingress", f"{device} : jump {policy_chain(element.ingress)}"),
        ("homes", f"{device} . {element.address}"),
        *(("homes_nets", f"{device} . {each}") for each in element.ranges),
        *((("forwarders", device),) if element.forwards else ()),
    ]


def render_route_selection(element: RouteSelection) -> list[str]:
    """Mark what comes in by a device with the number of its routing table."""
    return [f'add element {TABLE} views {{ "{element.device}" : {element.table} }}']


def render_no_route_selection(element: RouteSelection) -> list[str]:
    """Mark it no more."""
    return [f'delete element {TABLE} views {{ "{element.device}" : {element.table} }}']


def render_peer(element: PeerNetwork) -> list[str]:
    """Let the addresses of a peer in by its device, and packets for them out."""
    return [f"add element {TABLE} peers {{ {_peer(element)} }}"] if element.ranges else []


def render_no_peer(element: PeerNetwork) -> list[str]:
    """Close the way to a peer."""
    return [f"delete element {TABLE} peers {{ {_peer(element)} }}"] if element.ranges else []


def _peer(element: PeerNetwork) -> str:
    return ", ".join(f'"{element.device}" . {each}' for each in element.ranges)


def render_nat_device(device: DeviceName) -> list[str]:
    """Prepare translation for what leaves by ``device``; clients follow as elements."""
    name, out = slug(device), f'oifname "{device}"'
    lines = [
        *render_table(),
        f"add chain {TABLE} translate_{name} {{ type nat hook postrouting priority srcnat; }}",
        f"flush chain {TABLE} translate_{name}",
    ]
    for kind, flags in KINDS:
        maps = {"blocks": _SLICE, "outsides": "ipv4_addr"}
        lines += [
            f"add set {TABLE} clients_{name}{kind} {{ type ipv4_addr;{flags} }}",
            *_add_maps(maps, name, kind, flags),
            _rule(f"translate_{name}", f"{out} {PORTED} snat ip to ip saddr map @blocks_{name}{kind}"),
            _rule(f"translate_{name}", f"{out} snat ip to ip saddr map @outsides_{name}{kind}"),
        ]
    return lines


def render_nat_arrivals(device: DeviceName) -> list[str]:
    """Prepare the way in: new flows by ``device`` for addresses that are translated both ways."""
    name = slug(device)
    return [
        f"add map {TABLE} insides_{name} {{ type ipv4_addr : ipv4_addr; }}",
        f"add chain {TABLE} arrivals_{name} {{ type nat hook prerouting priority dstnat; }}",
        f"flush chain {TABLE} arrivals_{name}",
        _rule(f"arrivals_{name}", f'iifname "{device}" dnat ip to ip daddr map @insides_{name}'),
    ]


def render_nat_slices(device: DeviceName) -> list[str]:
    """Prepare what only clients with slices or timeouts need: two more chains that a packet passes."""
    name = slug(device)
    lines = [
        f"add counter {TABLE} {drop_counter(PORTS_EXHAUSTED)}",
        f"add set {TABLE} held_{name} {{ type {SOCKETS}; size 131072; flags dynamic,timeout; }}",
        f"add chain {TABLE} leaving_{name} {{ type filter hook postrouting priority srcnat - 10; }}",
        f"add chain {TABLE} gone_{name} {{ type filter hook postrouting priority srcnat + 10; }}",
        *(f"flush chain {TABLE} {chain}_{name}" for chain in ("leaving", "gone")),
        *(_rule(f"{chain}_{name}", f'oifname != "{device}" accept') for chain in ("leaving", "gone")),
        _rule(f"leaving_{name}", "ct state != new accept"),
        _rule(f"gone_{name}", f"ct state new {_THIS} @held_{name}", drop=PORTS_EXHAUSTED),
        _rule(f"gone_{name}", _NO_FIN + " accept"),
    ]
    for kind, flags in KINDS:
        lines += [
            *_add_maps({"timers": "verdict", "holds": "verdict"}, name, kind, flags),
            _rule(f"leaving_{name}", f"ip saddr vmap @timers_{name}{kind}"),
            _rule(f"gone_{name}", f"{_FIN} ct original ip saddr vmap @holds_{name}{kind}"),
        ]
    return lines


def _add_maps(maps: Mapping[str, str], name: str, kind: str, flags: str) -> list[str]:
    return [f"add map {TABLE} {m}_{name}{kind} {{ type ipv4_addr : {v};{flags} }}" for m, v in maps.items()]


def render_hold(device: DeviceName, seconds: int) -> list[str]:
    """Prepare the chain that sees a connection end and keeps its translated socket from new ones.

    From here on the kernel reports the flow's states and its end: :mod:`timewait` wants the last state,
    :mod:`flow_counts` the end, where anybody listens for it.
    """
    name = slug(device)
    chain = f"hold_{name}_{seconds}"
    return [
        f"add chain {TABLE} {chain}",
        f"flush chain {TABLE} {chain}",
        _rule(chain, f"update @held_{name} {{ {_THIS} timeout {seconds}s }}"),
        _rule(chain, "ct event set destroy,protoinfo"),
    ]


def render_no_hold(device: DeviceName) -> list[str]:
    """Forget which sockets are kept: their address may get another owner."""
    return [f"flush set {TABLE} held_{slug(device)}"]


Held = tuple[str, int, str, int]
"""A translated socket whose port is kept: its address and port, and those of the other end."""


def parse_held(device: DeviceName, objects: Iterable[Mapping[str, Any]]) -> dict[Held, tuple[int, int]]:
    """Read which sockets ``list set`` shows: the seconds they are kept in all, and those that are left."""
    found = (each["set"] for each in objects if each.get("set", {}).get("name") == f"held_{slug(device)}")
    elements = (element["elem"] for one in found for element in one.get("elem", ()))
    return {tuple(e["val"]["concat"]): (e["timeout"], e["expires"]) for e in elements}


def render_older(device: DeviceName, held: Mapping[Held, tuple[int, int]], seconds: int) -> list[str]:
    """Have ``seconds`` pass for sockets that are kept."""
    lines, name = [], f"{TABLE} held_{slug(device)}"
    for socket, (whole, left) in held.items():
        element = " . ".join(map(str, socket))
        # It may have gone by itself; what is added is surely there to be deleted.
        lines.append(f"add element {name} {{ {element} timeout {whole}s }}")
        lines.append(f"delete element {name} {{ {element} }}")
        if left > seconds:
            lines.append(f"add element {name} {{ {element} timeout {whole}s expires {left - seconds}s }}")
    return lines


def render_timers(timeouts: NatTimeouts) -> list[str]:
    """Prepare the chain that gives a new flow its timeouts."""
    name = _timer(timeouts)
    slow = timeouts.tcp_transitory
    states = ("syn_sent", "syn_recv", "fin_wait", "close_wait", "last_ack", "close")
    tcp = ", ".join(
        [
            *(f"{state} : {slow}" for state in states),
            f"time_wait : {timeouts.tcp_time_wait}",
            *(f"{state} : {timeouts.tcp_established}" for state in ("established", "retrans", "unack")),
        ]
    )
    udp = f"unreplied : {timeouts.udp}, replied : {timeouts.udp}"
    return [
        f"add ct timeout {TABLE} tcp_{name} {{ protocol tcp; l3proto ip; policy = {{ {tcp} }}; }}",
        f"add ct timeout {TABLE} udp_{name} {{ protocol udp; l3proto ip; policy = {{ {udp} }}; }}",
        f"add chain {TABLE} timers_{name}",
        f"flush chain {TABLE} timers_{name}",
        _rule(f"timers_{name}", f'meta l4proto tcp ct timeout set "tcp_{name}"'),
        _rule(f"timers_{name}", f'meta l4proto udp ct timeout set "udp_{name}"'),
    ]


def _timer(timeouts: NatTimeouts) -> str:
    parts = (timeouts.udp, timeouts.tcp_established, timeouts.tcp_transitory, timeouts.tcp_time_wait)
    return "_".join(str(seconds) for seconds in parts)


def render_unserved_client(element: UnservedClient) -> list[str]:
    """Count what a client without ports sends as that."""
    inside, kind = _client(element.inside)
    name = f"unserved_{slug(element.device)}{kind}"
    flags = dict(KINDS)[kind]
    return [
        *render_table(),
        f"add set {TABLE} {name} {{ type ipv4_addr;{flags} }}",
        f"add element {TABLE} {name} {{ {inside} }}",
    ]


def render_no_unserved_client(element: UnservedClient) -> list[str]:
    """Forget that a client has no ports."""
    inside, kind = _client(element.inside)
    return [f"delete element {TABLE} unserved_{slug(element.device)}{kind} {{ {inside} }}"]


def render_source_nat(element: SourceNat) -> list[str]:
    """Translate one client; its device (and its timeouts, if any) must be prepared."""
    return [f"add element {TABLE} {name} {{ {entry} }}" for name, entry in _nat_entries(element)]


def render_no_source_nat(element: SourceNat) -> list[str]:
    """Stop translating one client's new flows."""
    return [f"delete element {TABLE} {name} {{ {entry} }}" for name, entry in reversed(_nat_entries(element))]


def _nat_entries(element: SourceNat) -> list[tuple[str, str]]:
    inside, kind = _client(element.inside)
    device = slug(element.device)
    entries = [(f"clients_{device}{kind}", inside)]
    if element.hands_over:
        entries.append((f"first_{device}{kind}", inside))
    else:
        entries.append((f"outsides_{device}{kind}", f"{inside} : {element.outside}"))
    if element.ports is not None and not element.hands_over:
        entries.append((f"blocks_{device}{kind}", f"{inside} : {element.outside} . {element.ports}"))
    if element.ports is not None and element.timeouts is not None:
        hold = f"hold_{device}_{element.timeouts.tcp_time_wait}"
        entries.append((f"holds_{device}{kind}", f"{inside} : jump {hold}"))
    if element.timeouts is not None:
        entries.append((f"timers_{device}{kind}", f"{inside} : jump timers_{_timer(element.timeouts)}"))
    if element.both_ways:
        entries.append((f"insides_{device}", f"{element.outside} : {inside}"))
    return entries


def _client(network: IPv4Network) -> tuple[str, str]:
    """Return the element of a client and the kind of sets that it goes to."""
    if network.prefixlen == network.max_prefixlen:
        return str(network.network_address), KINDS[0][0]
    return str(network), KINDS[1][0]


def _rule(chain: str, match: str, *, drop: str | None = None) -> str:
    end = f" counter name {drop_counter(drop)} drop" if drop else ""
    return f"add rule {TABLE} {chain} {match}{end}"
