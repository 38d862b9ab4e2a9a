"""Queries that Cloud DNS forwards: to name servers in a VPC network or behind it, or on the internet.

Those through the network come from one address of 35.199.192.0/19 beside it; the target's firewall and routes
must let it in and lead back (behaviour/cloud-dns.md#forwarding). The targets are asked in order: the next
one when one is silent.
"""

import asyncio
import socket
import struct
from collections.abc import Callable
from typing import TYPE_CHECKING

from fogbank.lowering.google_sources import FORWARDING_SOURCE
from fogbank.lowering.netns_names import INTERNET, dns_netns
from fogbank.network.addressing import FRONT_END
from fogbank.network.topology import NetnsName
from fogbank.resources.dns_policies import ForwardingTarget

if TYPE_CHECKING:
    from dns.message import Message

    from fogbank.servers.dns_messages import Pending

OpenSocket = Callable[[NetnsName, socket.SocketKind], socket.socket]

_TRIES = 2
_SECONDS = 2.0
"""How long one try waits: a client that waits five seconds, as most do, still hears of a second target."""
_MOST = 512
"""Queries that are under way at a time; more are answered SERVFAIL."""
_LARGEST = 65535


class Forwarder:
    """Asks other name servers from the sockets that ``open_socket`` makes in a namespace."""

    def __init__(self, open_socket: OpenSocket) -> None:
        self._open_socket = open_socket
        self._under_way = 0

    async def finish(self, pending: "Pending") -> bytes:
        """Answer a query with what the first target says that answers at all."""
        if self._under_way >= _MOST:
            return pending.finish(None)
        self._under_way += 1
        try:
            return pending.finish(await self._ask(pending))
        finally:
            self._under_way -= 1

    async def _ask(self, pending: "Pending") -> "Message | None":
        for _ in range(_TRIES):
            for target in pending.forward.targets:
                place = dns_netns(pending.forward.network) if target.private else INTERNET
                try:
                    async with asyncio.timeout(_SECONDS):
                        return await self._exchange(place, target, pending.question())
                except (OSError, TimeoutError):
                    continue  # unreachable, closed or silent: the next one may answer
        return None

    async def _exchange(self, place: NetnsName, target: ForwardingTarget, query: "Message") -> "Message":
        with await self._connect(place, target, socket.SOCK_DGRAM) as opened:
            answer = await _over_udp(opened, query)
        if answer is not None:
            return answer
        with await self._connect(place, target, socket.SOCK_STREAM) as opened:
            return await _over_tcp(opened, query)

    async def _connect(
        self, place: NetnsName, target: ForwardingTarget, kind: socket.SocketKind
    ) -> socket.socket:
        opened = self._open_socket(place, kind)
        try:
            opened.setblocking(False)
            opened.bind((str(FORWARDING_SOURCE if target.private else FRONT_END), 0))
            await asyncio.get_running_loop().sock_connect(opened, (str(target.address), 53))
        except BaseException:
            opened.close()
            raise
        return opened


async def _over_udp(opened: socket.socket, query: "Message") -> "Message | None":
    """Ask once; None when the answer does not fit a datagram."""
    import dns.exception  # its library takes 25 ms, which a start need not wait for
    import dns.flags
    import dns.message

    loop = asyncio.get_running_loop()
    await loop.sock_sendall(opened, query.to_wire())
    while True:
        received = await loop.sock_recv(opened, _LARGEST)
        try:
            answer = dns.message.from_wire(received, ignore_trailing=True, raise_on_truncation=False)
        except (dns.exception.DNSException, ValueError):
            continue  # no DNS message: the right one may still come
        if query.is_response(answer):
            return None if answer.flags & dns.flags.TC else answer


async def _over_tcp(opened: socket.socket, query: "Message") -> "Message":
    import dns.exception  # its library takes 25 ms, which a start need not wait for
    import dns.message

    loop = asyncio.get_running_loop()
    wire = query.to_wire()
    await loop.sock_sendall(opened, struct.pack("!H", len(wire)) + wire)
    (length,) = struct.unpack("!H", await _receive(opened, 2))
    try:
        return dns.message.from_wire(await _receive(opened, length))
    except (dns.exception.DNSException, ValueError) as error:
        raise ConnectionError("the name server sent no DNS message") from error


async def _receive(opened: socket.socket, length: int) -> bytes:
    received = b""
    while len(received) < length:
        more = await asyncio.get_running_loop().sock_recv(opened, length - len(received))
        if not more:
            raise ConnectionError("the name server closed the connection")
        received += more
    return received
