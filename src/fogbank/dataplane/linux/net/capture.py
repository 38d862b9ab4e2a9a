"""Probing: send one real connection request and watch it in every namespace on its way.

Address translation changes a packet's addresses and ports but never its TCP sequence number, so that is how
one packet is known again everywhere. Watching costs a socket in each namespace, only while the probe lasts.
"""

import errno
import select
import socket
import struct
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from ipaddress import IPv4Address
from typing import Literal

from fogbank.dataplane.linux.net.namespaces import NetworkNamespaces
from fogbank.errors import DriverError
from fogbank.network.packet_captures import CapturedPacket, ProbeResult
from fogbank.network.topology import DeviceName, NetnsName

_ETH_P_ALL = 0x0003
_OUTGOING = 4
_SO_TIMESTAMPNS = 35
_SYN, _ACK = 0x02, 0x10
_TCP = 6
SETTLE_SECONDS = 0.05
"""How long the last sightings may take to arrive after the connection has its verdict."""

Verdict = Literal["connected", "refused", "timeout", "unreachable"]
_Seen = tuple[int, CapturedPacket]


def probe(
    namespaces: NetworkNamespaces,
    start: NetnsName,
    destination: IPv4Address,
    port: int,
    *,
    watch: Iterable[NetnsName],
    seconds: float,
    source: IPv4Address | None = None,
) -> ProbeResult:
    """Connect by TCP from ``start`` to ``destination``:``port`` and report where the request was seen.

    Blocks for ``seconds`` at most. The connection is closed at once; the other side sees an ordinary, empty
    one.
    """
    with ExitStack() as open_sockets:
        ears = {
            open_sockets.enter_context(_listen(namespaces, name)): name
            for name in {start, *watch}
            if name in namespaces
        }
        connection = open_sockets.enter_context(namespaces.open_socket(start, socket.SOCK_STREAM))
        connection.setblocking(False)
        began, began_wall = time.monotonic(), time.time()
        try:
            if source is not None:
                connection.bind((str(source), 0))
            connection.connect_ex((str(destination), port))  # the outcome is read when there is one
            source_port = int(connection.getsockname()[1])
        except OSError as error:
            raise DriverError(f"no probe can start in {start}: {error.strerror}") from error
        seen: list[_Seen] = []
        verdict, took = _watch(connection, ears, (began, began_wall), seconds, seen.append)
    return ProbeResult(_same_packet(seen, source_port), verdict, source_port, took)


def _listen(namespaces: NetworkNamespaces, name: NetnsName) -> socket.socket:
    with namespaces.inside(name):
        ear = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(_ETH_P_ALL))
    ear.setblocking(False)
    # Ears are read one after another; the kernel's own time stamps tell the true order.
    ear.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
    return ear


def _watch(
    connection: socket.socket,
    ears: dict[socket.socket, NetnsName],
    began: tuple[float, float],
    seconds: float,
    note: Callable[[_Seen], None],
) -> tuple[Verdict, float]:
    """Collect what the ears hear until the connection has its verdict, and a moment longer.

    ``began`` is the beginning by the monotonic clock and by the wall clock, which stamps packets. Give the
    verdict and the seconds that it took.
    """
    poll = select.poll()
    by_descriptor = {ear.fileno(): ear for ear in ears}
    for descriptor in by_descriptor:
        poll.register(descriptor, select.POLLIN)
    poll.register(connection.fileno(), select.POLLOUT)
    verdict: Verdict = "timeout"
    took = seconds
    deadline = began[0] + seconds
    while (left := deadline - time.monotonic()) > 0:
        for descriptor, _event in poll.poll(left * 1000):
            if descriptor == connection.fileno():
                verdict, took = _verdict(connection), time.monotonic() - began[0]
                poll.unregister(descriptor)
                deadline = min(deadline, time.monotonic() + SETTLE_SECONDS)
            else:
                ear = by_descriptor[descriptor]
                _drain(ear, ears[ear], began[1], note)
    return verdict, took


def _verdict(connection: socket.socket) -> Verdict:
    code = connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if code == 0:
        return "connected"
    known: dict[int, Verdict] = {errno.ECONNREFUSED: "refused", errno.ETIMEDOUT: "timeout"}
    return known.get(code, "unreachable")


def _drain(ear: socket.socket, netns: NetnsName, began: float, note: Callable[[_Seen], None]) -> None:
    while True:
        try:
            packet, stamps, _flags, (device, _protocol, kind, *_rest) = ear.recvmsg(128, 64)
        except BlockingIOError:
            return
        if (found := parse_request(packet)) is not None:
            sequence, source, source_port, destination, destination_port = found
            direction: Literal["in", "out"] = "out" if kind == _OUTGOING else "in"
            note(
                (
                    sequence,
                    CapturedPacket(
                        netns,
                        DeviceName(device),
                        direction,
                        source,
                        source_port,
                        destination,
                        destination_port,
                        _stamp(stamps) - began,
                    ),
                )
            )


def _stamp(ancillary: list[tuple[int, int, bytes]]) -> float:
    """Read when the kernel saw the packet, in seconds of the wall clock."""
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == _SO_TIMESTAMPNS:
            seconds, nanoseconds = struct.unpack_from("qq", data)
            return float(seconds + nanoseconds / 1e9)
    return time.time()


def parse_request(packet: bytes) -> tuple[int, IPv4Address, int, IPv4Address, int] | None:
    """Read a TCP connection request: its sequence number and both ends; None if it is another packet."""
    if len(packet) < 40 or packet[0] >> 4 != 4 or packet[9] != _TCP:
        return None
    at = (packet[0] & 0x0F) * 4
    if len(packet) < at + 20 or packet[at + 13] & (_SYN | _ACK) != _SYN:
        return None
    source_port, destination_port, sequence = struct.unpack_from("!HHI", packet, at)
    return sequence, IPv4Address(packet[12:16]), source_port, IPv4Address(packet[16:20]), destination_port


def _same_packet(seen: list[_Seen], source_port: int) -> tuple[CapturedPacket, ...]:
    """Keep the sightings of the request that left ``source_port``, one for each device and direction."""
    first = next((sequence for sequence, s in seen if s.source_port == source_port), None)
    kept: dict[tuple[str, str, str], CapturedPacket] = {}
    for sequence, packet in seen:
        if sequence == first:
            kept.setdefault((packet.netns, packet.device, packet.direction), packet)
    return tuple(sorted(kept.values(), key=lambda s: s.seconds))
