"""The third parties themselves: web servers on sockets that live in the world's internet.

Each ``site_access_log`` listener is in the namespace of one third party (``site/HOST``), which says who
answers. Port 80 speaks HTTP, 443 the same under TLS; a port of the operator's own takes any connection, notes
it, holds it open, and answers when it hears HTTP. Every request is in the log before it is answered.
"""

import asyncio
import logging
import socket
import ssl
from collections.abc import Callable
from datetime import datetime
from functools import cached_property
from http import HTTPStatus
from ipaddress import IPv4Address
from typing import cast

import httptools

from fogbank.limits import HEAD_LIMIT, HEAD_SECONDS, STALL_SECONDS, ConnectionTable
from fogbank.network.topology import Listener
from fogbank.resources.sites import Site
from fogbank.servers.access_log import AccessLog, AccessLogEntry
from fogbank.servers.site_responses import REFUSED, SiteRequest, SiteResponse, answer

_log = logging.getLogger(__name__)

_HTTP_PORT, _HTTPS_PORT = 80, 443
_MOST_CONNECTIONS = 6000
_PHRASES = {status.value: status.phrase for status in HTTPStatus}
_HTTP_BEGINNINGS = (b"GET ", b"HEAD", b"POST", b"PUT ", b"DELE", b"OPTI", b"PATC", b"TRAC", b"CONN")


class Sites:
    """All third parties. ``find_site`` gives the present state of one, ``tls`` the certificate of a host."""

    def __init__(
        self,
        find_site: Callable[[str], Site | None],
        tls: Callable[[str], ssl.SSLContext],
        log: AccessLog,
        now: Callable[[], datetime],
    ) -> None:
        self._find_site = find_site
        self._tls = tls
        self._log = log
        self._now = now

    @cached_property
    def table(self) -> ConnectionTable:
        """The connections of all third parties; their limits are checked from the first one on."""
        table = ConnectionTable(_MOST_CONNECTIONS, most_new=_MOST_CONNECTIONS)
        table.start()
        return table

    async def serve(self, listener: Listener, sock: socket.socket) -> None:
        """Serve the third party of ``listener`` on ``sock`` until cancelled; then its connections are cut."""
        host = listener.netns.removeprefix("site/")
        sock.setblocking(False)
        if listener.protocol == "udp":
            await self._serve_datagrams(host, sock)
        else:
            await self._serve_connections(host, listener.port, sock)

    async def _serve_connections(self, host: str, port: int, sock: socket.socket) -> None:
        context = self._tls(host) if port == _HTTPS_PORT else None
        scheme = "https" if context else "http"
        plain = port not in {_HTTP_PORT, _HTTPS_PORT}
        open_here: set[asyncio.Transport] = set()
        server = await asyncio.get_running_loop().create_server(
            lambda: _Conversation(self, host, scheme, open_here, plain=plain),
            sock=sock,
            ssl=context,
            backlog=4096,
            ssl_handshake_timeout=HEAD_SECONDS if context else None,
        )
        try:
            await asyncio.Event().wait()
        finally:
            server.close()
            for connection in list(open_here):
                connection.abort()

    async def _serve_datagrams(self, host: str, sock: socket.socket) -> None:
        transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
            lambda: _Datagrams(self, host), sock=sock
        )
        try:
            await asyncio.Event().wait()
        finally:
            transport.close()

    def site(self, host: str) -> Site | None:
        """Find the third party; None when it has just been removed."""
        return self._find_site(host)

    def note(self, host: str, source: tuple[IPv4Address, int], method: str, path: str, status: int) -> None:
        """Write down what happened."""
        self._log.append(AccessLogEntry(self._now(), source[0], source[1], host, method, path, status))


class _Conversation(asyncio.Protocol):
    """One connection to a third party; a ``plain`` one may never speak HTTP."""

    def __init__(
        self, internet: Sites, host: str, scheme: str, open_here: set[asyncio.Transport], *, plain: bool
    ) -> None:
        self._internet = internet
        self._host = host
        self._scheme = scheme
        self._open_here = open_here
        self._plain = plain
        self._transport: asyncio.Transport | None = None
        self._source = (IPv4Address(0), 0)
        self._parser: httptools.HttpRequestParser | None = None
        self._beginning = b""
        self._unread = 0
        self._noted = False
        self._foreign = False
        self._target = ""
        self._headers: dict[str, str] = {}
        self._began: float | None = None
        self._stalled: float | None = None
        self.opened = internet.table.now

    # What the table asks. A connection without a request may stay: whoever holds ports open wants just that.

    @property
    def waiting(self) -> bool:
        return True

    @property
    def held(self) -> int:
        return self._transport.get_write_buffer_size() if self._transport else 0

    def overdue(self, now: float) -> bool:
        late = self._began is not None and now - self._began > HEAD_SECONDS
        return late or (self._stalled is not None and now - self._stalled > STALL_SECONDS)

    def drop(self) -> None:
        if self._transport:
            self._transport.abort()

    def shutdown(self) -> None:
        self.drop()

    # What the transport calls.

    def pause_writing(self) -> None:
        """Read no more from a client that does not read."""
        self._stalled = self._internet.table.now
        if self._transport:
            self._transport.pause_reading()

    def resume_writing(self) -> None:
        self._stalled = None
        if self._transport:
            self._transport.resume_reading()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        stream = cast("asyncio.Transport", transport)  # uvloop's are no subclasses
        peer = stream.get_extra_info("peername")
        self._transport = stream
        self._open_here.add(stream)
        self._internet.table.add(self)
        if peer is None:
            self._noted = True  # it is gone already: nothing to write down
            stream.abort()
            return
        self._source = (IPv4Address(peer[0]), peer[1])
        if self._plain:
            site = self._internet.site(self._host)
            admitted = site is not None and site.admits(self._source[0])
            self._note("TCP", "", 0 if admitted else 403)
            if not admitted:
                stream.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self._internet.table.remove(self)
        if self._transport:
            self._open_here.discard(self._transport)
        if not self._noted:
            self._note("TCP", "", 0)  # somebody connected and asked nothing

    def data_received(self, data: bytes) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        if self._parser is None and not self._begins_http(data):
            return
        if self._beginning:
            data, self._beginning = self._beginning, b""
        self._unread += len(data)
        try:
            if self._parser is None:
                self._parser = httptools.HttpRequestParser(self)
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._close()
            return
        except httptools.HttpParserError:
            self._note("?", "", 400)
            self._send(SiteResponse("Bad Request\n", status=400), keep=False, with_body=True)
            return
        if self._unread > HEAD_LIMIT:
            self._note("?", "", 431)
            self._send(
                SiteResponse("Request Header Fields Too Large\n", status=431), keep=False, with_body=True
            )

    def _begins_http(self, data: bytes) -> bool:
        """Return whether this is HTTP: always on the web's ports, elsewhere by the first four bytes."""
        if not self._plain:
            return True
        if self._foreign:
            return False
        self._beginning += data
        if len(self._beginning) < 4:
            return False
        if self._beginning.startswith(_HTTP_BEGINNINGS):
            return True
        self._beginning = b""
        self._foreign = True  # it is heard and not understood
        return False

    # What the parser calls.

    def on_message_begin(self) -> None:
        self._began = self._internet.table.now
        self._target = ""
        self._headers = {}

    def on_url(self, url: bytes) -> None:
        self._target += url.decode("latin-1")

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._began is None:
            return  # a trailer is no header
        self._headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        self._unread = 0
        self._began = None

    def on_body(self, _body: bytes) -> None:
        self._unread = 0

    def on_message_complete(self) -> None:
        self._unread = 0
        if self._parser is None:
            return
        method = self._parser.get_method().decode()
        site = self._internet.site(self._host)
        seen = SiteRequest(*self._source, method, self._target, self._headers, self._scheme)
        given = answer(site, seen) if site else REFUSED
        self._note(method, self._target, given.status)
        self._send(given, keep=self._parser.should_keep_alive(), with_body=method != "HEAD")

    def _note(self, method: str, path: str, status: int) -> None:
        self._noted = True
        self._internet.note(self._host, self._source, method, path, status)

    def _send(self, given: SiteResponse, *, keep: bool, with_body: bool) -> None:
        body = given.body.encode()
        head = (
            f"HTTP/1.1 {given.status} {_PHRASES.get(given.status, 'Unknown')}\r\n"
            f"Content-Type: {given.content_type}\r\n"
            f"Content-Length: {len(body)}\r\n"
            f"Connection: {'keep-alive' if keep else 'close'}\r\n\r\n"
        ).encode("latin-1")
        if self._transport:
            self._transport.write(head + body if with_body else head)
            if not keep:
                self._close()

    def _close(self) -> None:
        if self._transport:
            self._transport.close()


class _Datagrams(asyncio.DatagramProtocol):
    """A port of the operator's own, over UDP: every datagram is noted and comes back with who was seen."""

    def __init__(self, internet: Sites, host: str) -> None:
        self._internet = internet
        self._host = host
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)  # uvloop's are no subclasses

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        source = (IPv4Address(addr[0]), addr[1])
        site = self._internet.site(self._host)
        admitted = site is not None and site.admits(source[0])
        self._internet.note(self._host, source, "UDP", "", 0 if admitted else 403)
        if admitted and self._transport:
            self._transport.sendto(b"%b %d " % (addr[0].encode(), addr[1]) + data, addr)
