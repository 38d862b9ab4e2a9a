"""DNS for the inside of the world: it knows exactly the names that exist here.

It answers on sockets that the driver opened in the world (``resolver`` listeners). What a name means is a
pure function given at construction. There is no recursion: what is not here does not exist, and an instance
learns that at once instead of waiting. Only what a zone or policy forwards is asked elsewhere.
"""

import asyncio
import contextlib
import logging
import socket
import struct
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from ipaddress import IPv4Address
from typing import TYPE_CHECKING, cast

from fogbank.lowering.google_sources import FORWARDING_SOURCE
from fogbank.network.topology import Listener
from fogbank.resources.dns import Answers, Forward, Resolution, address_record, resolve
from fogbank.resources.dns_queries import Query
from fogbank.resources.names import ResourceName
from fogbank.resources.world import World

if TYPE_CHECKING:
    from fogbank.servers.dns_forwarding import Forwarder
    from fogbank.servers.dns_messages import Pending

_log = logging.getLogger(__name__)

METADATA_ADDRESS = IPv4Address("169.254.169.254")
METADATA_NAMES = frozenset({"metadata.google.internal.", "metadata."})

_IDLE_SECONDS = 10.0
_MOST_STREAMS = 32
"""TCP connections that one client may have at a time."""


def world_answers(
    world: Callable[[], World],
    network_of: Callable[[IPv4Address], ResourceName | None],
    note: Callable[[World, Query], None] | None = None,
) -> Answers:
    """Resolve names in the present ``world`` as a client sees them.

    ``network_of`` tells in which VPC network a client is: it sees that network's private zones. ``note`` is
    told what was asked and answered, but for the metadata server's own names.
    """

    def answers(client: IPv4Address, name: str, kind: str) -> Resolution:
        if name in METADATA_NAMES:
            return address_record(name, (METADATA_ADDRESS,), kind)
        seen, network = world(), network_of(client)
        found = resolve(seen, network, name, kind)
        if note is None:
            return found
        if isinstance(found, Forward):
            return replace(
                found, note=lambda records: note(seen, Query(client, network, name, kind, records))
            )
        note(seen, Query(client, network, name, kind, found))
        return found

    return answers


def import_messages() -> None:
    """Import the library of messages, for which the first query would have to wait."""
    import fogbank.servers.dns_messages  # noqa: F401


class DnsServer:
    """Answers DNS on any number of sockets with ``answers``, and what they forward by ``forwarder``."""

    def __init__(self, answers: Answers, forwarder: "Forwarder | None" = None) -> None:
        self._answers, self._forwarder = answers, forwarder
        self._streams: Counter[str] = Counter()

    async def serve(self, listener: Listener, sock: socket.socket) -> None:
        """Answer on ``sock`` until cancelled; then it is closed."""
        if listener.protocol == "udp":
            await self._serve_datagrams(sock)
        else:
            await self._serve_streams(sock)

    def reply(self, query: bytes, client: IPv4Address) -> "bytes | Pending | None":
        """Answer one message, or say who must be asked; None when it is not even the beginning of a query."""
        from fogbank.servers.dns_messages import (
            reply,
        )  # its library takes 25 ms, which a start need not wait for

        return reply(query, client, self._answers)

    async def finish(self, pending: "Pending", client: IPv4Address) -> bytes:
        """Answer what must be forwarded; what was forwarded once is not again, for it could go round."""
        if self._forwarder is None or client == FORWARDING_SOURCE:
            return pending.finish(None)
        return await self._forwarder.finish(pending)

    async def _serve_datagrams(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
            lambda: _Datagrams(self), sock=sock
        )
        try:
            await asyncio.Event().wait()
        finally:
            transport.close()

    async def _serve_streams(self, sock: socket.socket) -> None:
        server = await asyncio.start_server(self._admit, sock=sock)
        try:
            await asyncio.Event().wait()
        finally:
            server.close()

    async def _admit(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = writer.get_extra_info("peername")
        if peer is None or self._streams[peer[0]] >= _MOST_STREAMS:
            writer.transport.abort()  # it is gone already, or one too many
            return
        self._streams[peer[0]] += 1
        try:
            await self._converse(reader, writer, IPv4Address(peer[0]))
        finally:
            self._streams.subtract({peer[0]: 1})
            self._streams += Counter()  # forgets who has none

    async def _converse(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, client: IPv4Address
    ) -> None:
        try:
            while True:
                async with asyncio.timeout(_IDLE_SECONDS):
                    (length,) = struct.unpack("!H", await reader.readexactly(2))
                    query = await reader.readexactly(length)
                answer = self.reply(query, client)
                if answer is None:
                    return
                if not isinstance(answer, bytes):
                    answer = await self.finish(answer, client)
                writer.write(struct.pack("!H", len(answer)) + answer)
                await writer.drain()
        except (asyncio.IncompleteReadError, TimeoutError, OSError):
            return  # the client is done
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, resolver: DnsServer) -> None:
        self._resolver = resolver
        self._transport: asyncio.DatagramTransport | None = None
        self._forwarded: set[asyncio.Task[None]] = set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)  # uvloop's are no subclasses

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        try:
            answer = self._resolver.reply(data, IPv4Address(addr[0]))
        except Exception:  # noqa: BLE001 - one bad packet must not silence the name service
            _log.exception("a DNS query from %s could not be answered", addr[0])
            return
        if answer is not None and self._transport is not None:
            if isinstance(answer, bytes):
                self._transport.sendto(answer, addr)
            else:
                task = asyncio.ensure_future(self._finish(answer, addr))
                self._forwarded.add(task)
                task.add_done_callback(self._forwarded.discard)

    async def _finish(self, pending: "Pending", addr: tuple[str, int]) -> None:
        try:
            answer = await self._resolver.finish(pending, IPv4Address(addr[0]))
        except Exception:  # noqa: BLE001 - nobody awaits it
            _log.exception("a DNS query from %s could not be forwarded", addr[0])
            return
        if self._transport is not None and not self._transport.is_closing():
            self._transport.sendto(answer, addr)
