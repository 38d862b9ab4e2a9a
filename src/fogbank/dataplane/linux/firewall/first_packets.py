"""First packets: which range of ports a new flow gets, where a rule cannot say.

One thread takes the first packet of every flow of the clients that need it (:mod:`first_packet_rules`) and
sends it again, for one range after another, until the kernel accepts it: its table alone knows which
ports are free, and a packet whose flow finds none is refused at once (EPERM). So the number of flows is exact
for any number of ranges and addresses, and each outcome is known with its flow, which nothing else tells.

Endpoint-independent clients keep one outside port for an inside port as long as any flow of it lives. The
kernel prefers the port that a living flow of the same socket has; here it is made sure that it can.
"""

import contextlib
import errno
import logging
import select
import socket
import struct
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network

from fogbank.dataplane.driver import OUT_OF_RESOURCES, FirstPacket, NatRefusal
from fogbank.dataplane.linux.firewall import conntrack
from fogbank.dataplane.linux.firewall.conntrack import ICMP, TCP, UDP, FlowTuple
from fogbank.dataplane.linux.firewall.first_packet_rules import LOG_GROUP
from fogbank.dataplane.linux.firewall.log_groups import (
    LOG_MARK,
    LOG_PACKET,
    LOG_PAYLOAD,
    LOG_THRESHOLD,
    bind_log_group,
)
from fogbank.dataplane.linux.net.namespaces import NetworkNamespaces
from fogbank.dataplane.linux.net.netlink import NETLINK_NETFILTER, Netlink, attributes, big32, messages
from fogbank.network.topology import DeviceName, NetnsName, PortBlock, SourceNat

_log = logging.getLogger(__name__)

_LONGEST = 0xFFFF
_RECEIVE_BYTES = 1024 * 1024
_KEPT_RECORDS = 20_000
_MAPPINGS = 10_000
_AGAIN = 8
_CHECKSUMS = {TCP: 16, UDP: 6}
"""Where in a segment its checksum is."""

Ranges = tuple[tuple[int, PortBlock], ...]
"""Ranges of ports with their numbers."""


@dataclass(slots=True)
class _Client:
    """A client as it is served: its ranges, and from which of them the last flow got its port."""

    nat: SourceNat
    numbers: Mapping[PortBlock, Ranges]
    last: int = 0

    def ranges(self, destination: IPv4Address) -> Ranges:
        """Return the ranges of a flow to ``destination``, the one that was used last first."""
        found = tuple(part for block in self.nat.blocks_for(destination) for part in self.numbers[block])
        place = next((place for place, (number, _) in enumerate(found) if number == self.last), 0)
        return found[place:] + found[:place]


@dataclass(slots=True)
class _Namespace:
    """What is served in one namespace."""

    link: Netlink
    asking: Netlink
    raw: dict[DeviceName, socket.socket] = field(default_factory=dict)
    clients: dict[IPv4Address, _Client] = field(default_factory=dict)
    ranges: dict[IPv4Network, _Client] = field(default_factory=dict)
    mapped: dict[tuple[int, IPv4Address, int], tuple[IPv4Address, int]] = field(default_factory=dict)
    records: deque[FirstPacket] = field(default_factory=lambda: deque(maxlen=_KEPT_RECORDS))
    looked_through: int = _MAPPINGS
    tried: int = 0
    refused: int = 0

    def client(self, address: IPv4Address) -> _Client | None:
        known = self.clients.get(address)
        if known is not None:
            return known
        return next((client for inside, client in self.ranges.items() if address in inside), None)

    def close(self) -> None:
        self.link.close()
        self.asking.close()
        for raw in self.raw.values():
            raw.close()


class FirstPackets:
    """Serves the namespaces that it was asked to, from a thread of its own."""

    def __init__(self, namespaces: NetworkNamespaces) -> None:
        self._namespaces = namespaces
        self._served: dict[NetnsName, _Namespace] = {}
        self._by_descriptor: dict[int, tuple[NetnsName, _Namespace]] = {}
        self._poll = select.epoll()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._wake_read, self._wake_write = socket.socketpair()

    def listen(self, netns: NetnsName, device: DeviceName) -> None:
        """Be ready for first packets that leave ``netns`` by ``device``."""
        place = self._served.get(netns)
        if place is None:
            with self._namespaces.inside(netns):
                place = _Namespace(Netlink(NETLINK_NETFILTER), Netlink(NETLINK_NETFILTER))
            _take_packets(place.link)
            with self._lock:
                self._served[netns] = place
                self._by_descriptor[place.link.socket.fileno()] = netns, place
                self._poll.register(place.link.socket.fileno(), select.EPOLLIN)
        if device not in place.raw:
            with self._namespaces.inside(netns):
                raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device.encode() + b"\0")
            with self._lock:
                place.raw[device] = raw
        if self._thread is None:
            self._poll.register(self._wake_read.fileno(), select.EPOLLIN)
            self._thread = threading.Thread(target=self._run, name="first-packets", daemon=True)
            self._thread.start()

    def serve(self, nat: SourceNat, numbers: Mapping[PortBlock, Ranges]) -> None:
        """Decide for the client of ``nat`` from now on."""
        place = self._served[nat.netns]
        client = _Client(nat, numbers)
        with self._lock:
            if nat.inside.prefixlen == nat.inside.max_prefixlen:
                place.clients[nat.inside.network_address] = client
            else:
                place.ranges[nat.inside] = client

    def leave(self, nat: SourceNat) -> None:
        """Decide for the client of ``nat`` no more: its first packets go nowhere."""
        place = self._served.get(nat.netns)
        if place is not None:
            with self._lock:
                place.clients.pop(nat.inside.network_address, None)
                place.ranges.pop(nat.inside, None)

    def take_records(self, netns: NetnsName) -> tuple[FirstPacket, ...]:
        """Return what became of the first packets since the last call: refusals, and what is logged."""
        place = self._served.get(netns)
        if place is None:
            return ()
        with self._lock:
            found = tuple(place.records)
            place.records.clear()
        return found

    def tries_and_refusals(self, netns: NetnsName) -> tuple[int, int]:
        """Count the ranges that had no room, and the flows for which none had."""
        place = self._served.get(netns)
        if place is None:
            return 0, 0
        with self._lock:
            return place.tried, place.refused

    def forget(self, netns: NetnsName) -> None:
        """Let ``netns`` go."""
        with self._lock:
            place = self._served.pop(netns, None)
            if place is not None:
                descriptor = place.link.socket.fileno()
                self._poll.unregister(descriptor)
                del self._by_descriptor[descriptor]
                place.close()

    def close(self) -> None:
        """End the thread and let every namespace go."""
        if self._thread is not None:
            self._wake_write.send(b"x")
            self._thread.join()
            self._thread = None
        for netns in tuple(self._served):
            self.forget(netns)
        self._wake_read.close()
        self._wake_write.close()
        self._poll.close()

    def _run(self) -> None:
        while True:
            for descriptor, _ in self._poll.poll():
                if descriptor == self._wake_read.fileno():
                    return
                with self._lock:
                    found = self._by_descriptor.get(descriptor)
                    if found is not None:
                        try:
                            _receive(*found)
                        except OSError:  # other namespaces still need this thread
                            _log.exception("first packets of %s were lost", found[0])


def _take_packets(link: Netlink) -> None:
    bind_log_group(link, LOG_GROUP, _LONGEST, big32(LOG_THRESHOLD, 1))
    link.socket.setblocking(False)
    with contextlib.suppress(OSError):
        link.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 * 1024 * 1024)


def _receive(netns: NetnsName, place: _Namespace) -> None:
    """Take what one read gives; the rest is there at the next turn."""
    try:
        data = place.link.socket.recv(_RECEIVE_BYTES)
    except BlockingIOError:
        return
    except OSError as error:
        if error.errno != errno.ENOBUFS:
            raise
        _log.warning("%s opens flows faster than they can be decided; some must send again", netns)
        return
    for kind, _, _, payload in messages(data):
        if kind == LOG_PACKET and (packet := attributes(payload, 4)).get(LOG_PAYLOAD):
            mark = int.from_bytes(packet.get(LOG_MARK, b""), "big")
            _decide(netns, place, _Packet(with_checksum(packet[LOG_PAYLOAD]), mark))


def flow_of(packet: bytes) -> FlowTuple:
    """Read whose packet it is; of protocols without ports these are 0, and ICMP's first is its identifier."""
    protocol, head = packet[9], (packet[0] & 15) * 4
    source_port = destination_port = 0
    if protocol in _CHECKSUMS:
        source_port, destination_port = struct.unpack_from(">HH", packet, head)
    elif protocol == ICMP:
        (source_port,) = struct.unpack_from(">H", packet, head + 4)
    return FlowTuple(
        protocol, IPv4Address(packet[12:16]), source_port, IPv4Address(packet[16:20]), destination_port
    )


def with_checksum(packet: bytes) -> bytes:
    """Complete a segment's checksum: machines of this world leave that to their network devices."""
    protocol, head = packet[9], (packet[0] & 15) * 4
    place = _CHECKSUMS.get(protocol)
    if place is None:
        return packet
    segment = bytearray(packet[head:])
    segment[place : place + 2] = b"\0\0"
    summed = packet[12:20] + struct.pack(">HH", protocol, len(segment)) + segment + b"\0" * (len(segment) % 2)
    checksum = ~(int.from_bytes(summed, "big") % 0xFFFF) & 0xFFFF or 0xFFFF
    segment[place : place + 2] = struct.pack(">H", checksum)
    return packet[:head] + bytes(segment)


@dataclass(frozen=True, slots=True)
class _Packet:
    """A packet that is complete, and the mark that chooses its routing table."""

    data: bytes
    mark: int


def _decide(netns: NetnsName, place: _Namespace, packet: _Packet) -> None:
    flow = flow_of(packet.data)
    client = place.client(flow.source)
    if client is None:  # it went meanwhile
        return
    nat = client.nat
    ranges = client.ranges(flow.destination)
    refused: NatRefusal | None = OUT_OF_RESOURCES
    if (nat.endpoint_independent or nat.logged) and conntrack.find(place.asking, flow) is not None:
        _send(place, nat.device, packet, flow, ranges[:1])  # two came before the first was sent
        return
    if nat.endpoint_independent:
        ranges, refused = _mapped(place, flow, ranges)
    number = _send(place, nat.device, packet, flow, ranges)
    if number is not None:
        client.last, refused = number, None
    elif refused is not None:
        place.refused += 1
    _record(netns, place, client, flow, refused)


def _mapped(place: _Namespace, flow: FlowTuple, ranges: Ranges) -> tuple[Ranges, NatRefusal]:
    """Find which ranges a flow may take so that its socket keeps its outside port, and why none if none."""
    key = flow.protocol, flow.source, flow.source_port
    known = place.mapped.get(key)
    if known is None:
        return ranges, OUT_OF_RESOURCES
    outside, port = known
    back = FlowTuple(flow.protocol, flow.destination, flow.destination_port, outside, port)
    own = tuple((number, each) for number, each in ranges if each.outside == outside and port in each.ports)
    if own and conntrack.find(place.asking, back, reply=True) is None:
        return own, "ENDPOINT_INDEPENDENCE_CONFLICT"
    if _lives(place, key):
        return (), "ENDPOINT_INDEPENDENCE_CONFLICT"
    del place.mapped[key]
    return ranges, OUT_OF_RESOURCES


def _lives(place: _Namespace, key: tuple[int, IPv4Address, int]) -> bool:
    return any(
        (each.original.protocol, each.original.source, each.original.source_port) == key
        for each in conntrack.entries(place.asking)
    )


def _send(
    place: _Namespace,
    device: DeviceName,
    packet: _Packet,
    flow: FlowTuple,
    ranges: Sequence[tuple[int, PortBlock]],
) -> int | None:
    """Send the packet by the first of ``ranges`` that has room; None when none has."""
    raw, to = place.raw[device], (str(flow.destination), 0)
    # Just before a range is full the kernel may look at ports of ended connections first; the second time it
    # finds the free ones.
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, packet.mark)
    for number, _ in (*ranges, *ranges[:_AGAIN]):
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_PRIORITY, number)
        try:
            raw.sendto(packet.data, to)
        except PermissionError:
            place.tried += 1
        except OSError as error:
            _log.debug("a first packet to %s could not be sent: %s", flow.destination, error)
            return None
        else:
            return number
    return None


def _record(
    netns: NetnsName, place: _Namespace, client: _Client, flow: FlowTuple, refused: NatRefusal | None
) -> None:
    """Keep what became of a flow: refusals always, others when somebody asks for them."""
    nat = client.nat
    outside: tuple[IPv4Address, int] | None = None
    if refused is None:
        if not (nat.logged or nat.endpoint_independent) or flow.protocol not in _CHECKSUMS:
            return
        entry = conntrack.find(place.asking, flow)
        if entry is None:  # it ended at once
            return
        outside = entry.reply.destination, entry.reply.destination_port
        if nat.endpoint_independent:
            _remember(place, (flow.protocol, flow.source, flow.source_port), outside)
        if not nat.logged:
            return
    place.records.append(
        FirstPacket(
            netns,
            flow.protocol,
            flow.source,
            flow.source_port,
            flow.destination,
            flow.destination_port,
            outside,
            refused,
        )
    )


def _remember(place: _Namespace, key: tuple[int, IPv4Address, int], outside: tuple[IPv4Address, int]) -> None:
    """Keep a mapping; when there are many, forget those without a living flow."""
    if len(place.mapped) >= place.looked_through and key not in place.mapped:
        living = {
            (e.original.protocol, e.original.source, e.original.source_port)
            for e in conntrack.entries(place.asking)
        }
        place.mapped = {known: to for known, to in place.mapped.items() if known in living}
        place.looked_through = max(_MAPPINGS, 2 * len(place.mapped))
    place.mapped[key] = outside
