"""Connection tracking over ctnetlink: list flows, end flows.

A flow is known by its two tuples: as its first packet came, and as the reply is expected, which shows the
translation.
"""

import errno
import socket
import struct
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address

from fogbank.dataplane.driver import TrackedFlow
from fogbank.dataplane.linux.net.netlink import Message, Netlink, attribute, attributes, big32, nested
from fogbank.network.topology import NetnsName

NEW, GET, DELETE, STATISTICS = 0x100, 0x101, 0x102, 0x104

TUPLE_ORIG, TUPLE_REPLY, STATUS, PROTOINFO, TIMEOUT = 1, 2, 3, 4, 7
TCP, UDP, ICMP = 6, 17, 1
TIME_WAIT = 7
FIXED_TIMEOUT = 1 << 10

_STATES = (
    "NONE",
    "SYN_SENT",
    "SYN_RECV",
    "ESTABLISHED",
    "FIN_WAIT",
    "CLOSE_WAIT",
    "LAST_ACK",
    "TIME_WAIT",
    "CLOSE",
    "SYN_SENT2",
)
_SEEN_REPLY = 1 << 1
_INSERT_FAILED = 10
HEAD = struct.pack("=BBH", socket.AF_INET, 0, 0)


@dataclass(frozen=True, slots=True)
class FlowTuple:
    """One direction of a flow; for ICMP ``source_port`` is the identifier."""

    protocol: int
    source: IPv4Address
    source_port: int
    destination: IPv4Address
    destination_port: int


@dataclass(frozen=True, slots=True)
class ConntrackEntry:
    """A tracked flow: ``raw`` is the packed original tuple, the key for changing it."""

    original: FlowTuple
    reply: FlowTuple
    raw: bytes
    status: int
    tcp_state: int
    seconds: int


def parse_entry(payload: bytes) -> ConntrackEntry:
    """Read one entry of a dump or an event."""
    found = attributes(payload, 4)
    protocol = attributes(attributes(found[PROTOINFO]).get(1, b"")) if PROTOINFO in found else {}
    return ConntrackEntry(
        original=parse_tuple(found[TUPLE_ORIG]),
        reply=parse_tuple(found[TUPLE_REPLY]),
        raw=found[TUPLE_ORIG],
        status=_big(found.get(STATUS, b"\0\0\0\0")),
        tcp_state=protocol.get(1, b"\0")[0],
        seconds=_big(found.get(TIMEOUT, b"\0\0\0\0")),
    )


def _big(raw: bytes) -> int:
    return int.from_bytes(raw, "big")


def parse_tuple(raw: bytes) -> FlowTuple:
    """Read one direction of a flow."""
    found = attributes(raw)
    addresses = attributes(found[1])
    protocol = attributes(found[2])
    return FlowTuple(
        protocol=protocol[1][0],
        source=IPv4Address(addresses[1]),
        source_port=_big(protocol.get(2) or protocol.get(4, b"")),
        destination=IPv4Address(addresses[2]),
        destination_port=_big(protocol.get(3, b"")),
    )


def describe(entry: ConntrackEntry, netns: NetnsName) -> TrackedFlow:
    """Turn an entry into what the layers above know."""
    if entry.original.protocol == TCP:
        state = _STATES[entry.tcp_state] if entry.tcp_state < len(_STATES) else str(entry.tcp_state)
    else:
        state = "REPLIED" if entry.status & _SEEN_REPLY else "UNREPLIED"
    came, back = entry.original, entry.reply
    return TrackedFlow(
        netns=netns,
        protocol=came.protocol,
        source=came.source,
        source_port=came.source_port,
        destination=came.destination,
        destination_port=came.destination_port,
        translated_source=back.destination,
        translated_port=back.destination_port if came.protocol in (TCP, UDP) else back.source_port,
        state=state,
    )


def key_of(raw: bytes) -> bytes:
    """Pack what names an entry in a request: its packed original tuple."""
    return attribute(TUPLE_ORIG | 0x8000, raw)


def entries(link: Netlink) -> list[ConntrackEntry]:
    """List every IPv4 flow of the namespace that ``link`` (a NETLINK_NETFILTER socket) was made in."""
    rows = link.dump(Message(GET, 0, HEAD))
    return [parse_entry(payload) for _, payload in rows if payload[0] == socket.AF_INET]


def find(link: Netlink, flow: FlowTuple, *, reply: bool = False) -> ConntrackEntry | None:
    """Find the entry of a TCP or UDP flow by its first packet, or by a ``reply`` to it."""
    addresses = attribute(1, flow.source.packed) + attribute(2, flow.destination.packed)
    ports = (
        attribute(1, bytes([flow.protocol]))
        + attribute(2, struct.pack(">H", flow.source_port))
        + attribute(3, struct.pack(">H", flow.destination_port))
    )
    kind = TUPLE_REPLY if reply else TUPLE_ORIG
    try:
        _, payload = link.query(Message(GET, 0, HEAD + nested(kind, nested(1, addresses), nested(2, ports))))
    except FileNotFoundError:
        return None
    return parse_entry(payload)


def end_flows(link: Netlink, which: Callable[[ConntrackEntry], bool]) -> int:
    """Forget the flows that ``which`` chooses, and give their number; their next packets match nothing."""
    return _end(link, [HEAD + key_of(entry.raw) for entry in entries(link) if which(entry)])


def advance_conntrack_timeouts(link: Netlink, seconds: int) -> None:
    """Have ``seconds`` pass for every flow: whose time is over ends, the others have less left.

    An entry whose time is fixed can only end: what it kept must be kept otherwise. One may become so while it
    is looked at (TIME_WAIT is pinned); the kernel then refuses another timeout (EPERM).
    """
    ending, requests = [], []
    for entry in entries(link):
        key = HEAD + key_of(entry.raw)
        if entry.seconds <= seconds or entry.status & FIXED_TIMEOUT:
            ending.append(key)
        else:
            requests.append((key, Message(NEW, 0, key + big32(TIMEOUT, entry.seconds - seconds))))
    refusals = _ask(link, [message for _, message in requests], errno.ENOENT, errno.EPERM)
    pinned = [key for (key, _), refused in zip(requests, refusals, strict=True) if refused == errno.EPERM]
    _end(link, [*ending, *pinned])


def _end(link: Netlink, keys: Iterable[bytes]) -> int:
    """Delete the entries with ``keys``; return how many were still there."""
    return _ask(link, [Message(DELETE, 0, key) for key in keys], errno.ENOENT).count(None)


def _ask(link: Netlink, requests: Sequence[Message], *expected: int) -> list[int | None]:
    """Send requests; return the ``expected`` error of each, None where it was done. Raises any other."""
    refusals = link.ask_all(requests)
    for refusal in refusals:
        if refusal is not None and refusal.errno not in expected:
            raise refusal
    return [None if refusal is None else refusal.errno for refusal in refusals]


def collisions(link: Netlink) -> int:
    """Count the flows that were dropped because another one holds all that they could be translated to."""
    rows = link.dump(Message(STATISTICS, 0, HEAD))
    return sum(_big(attributes(payload, 4).get(_INSERT_FAILED, b"")) for _, payload in rows)
