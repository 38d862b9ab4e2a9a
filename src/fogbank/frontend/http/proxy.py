"""The proxy: where clients reach Google's hosts without knowing that they are here.

A client says ``CONNECT run.googleapis.com:443``; the proxy agrees, then itself speaks TLS as that host and
serves HTTP. Nothing is ever forwarded: a host that Fogbank does not stand for is refused with the reason, and
no packet leaves the machine. :meth:`Proxy.serve_tls` can serve the same hosts on an ordinary TLS port, for
workloads inside the world; no region does that yet.
"""

import asyncio
import logging
import re
import socket
import ssl
from collections.abc import Callable
from urllib.parse import urlsplit

from fogbank.frontend.http.connections import Connections
from fogbank.frontend.http.virtual_hosts import kind_of

HEAD_LIMIT = 16 * 1024
"""The longest request to the proxy itself."""

HANDSHAKE_SECONDS = 30.0

TlsContext = Callable[[str], ssl.SSLContext]
"""Given a host, the server's context for it, which offers :data:`fogbank.frontend.http.connections.ALPN`."""

_log = logging.getLogger(__name__)

_REQUEST = re.compile(rb"^([A-Z]+) (\S+) HTTP/1\.[01]\r?$")
_METADATA = frozenset({"metadata.google.internal", "metadata", "169.254.169.254"})
_REASONS = {302: "Found", 400: "Bad Request", 403: "Forbidden", 431: "Request Header Fields Too Large"}
_REASONS |= {502: "Bad Gateway"}


class Proxy:
    """Serves proxied and direct connections."""

    def __init__(self, connections: Connections, tls_context: TlsContext) -> None:
        self.connections = connections
        self._tls_context = tls_context
        self._servers: list[asyncio.Server] = []
        self.tunnels: set[asyncio.Task[None]] = set()

    async def serve(self, listener: socket.socket) -> None:
        """Serve the proxy on a listening socket."""
        loop = asyncio.get_running_loop()
        self.connections.start()
        self._servers.append(await loop.create_server(lambda: _Tunnel(self), sock=listener, backlog=1024))

    async def serve_tls(self, listener: socket.socket, context: ssl.SSLContext) -> None:
        """Serve HTTPS on a listening socket; ``context`` chooses the certificate by the client's hello."""
        self._servers.append(await self.connections.listen(listener, context))

    async def close(self) -> None:
        """Stop listening and drop every connection."""
        for server in self._servers:
            server.close()
        for task in list(self.tunnels):
            task.cancel()
        await self.connections.close()

    async def secure(self, transport: asyncio.Transport, host: str) -> None:
        """Shake hands as ``host`` on an accepted tunnel and serve HTTP in it."""
        loop = asyncio.get_running_loop()
        pending = _Pending()
        try:
            context = self._tls_context(host)
            secured = await loop.start_tls(
                transport, pending, context, server_side=True, ssl_handshake_timeout=HANDSHAKE_SECONDS
            )
        except (OSError, ssl.SSLError) as error:
            _log.info("TLS handshake as %s failed: %s", host, error)
            transport.close()
            return
        if secured is not None and not pending.lost:
            pending.hand_over(self.connections.take(secured))


class _Pending(asyncio.Protocol):
    """Holds what arrives between the handshake's end and the server's take-over."""

    def __init__(self) -> None:
        self._data: list[bytes] = []
        self._ended = False
        self.lost = False

    def data_received(self, data: bytes) -> None:
        self._data.append(data)

    def eof_received(self) -> None:
        self._ended = True

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio names it
        self.lost = True

    def hand_over(self, protocol: asyncio.Protocol) -> None:
        for data in self._data:
            protocol.data_received(data)
        if self._ended:
            protocol.eof_received()


class _Tunnel(asyncio.Protocol):
    """A connection to the proxy, until its first request is understood."""

    def __init__(self, proxy: Proxy) -> None:
        self._proxy = proxy
        self._head = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        self._head += data
        head, ended, rest = self._head.partition(b"\r\n\r\n")
        if not ended:
            if len(self._head) > HEAD_LIMIT:
                _refuse(transport, 431, "The request's head is too long.")
            return
        self._transport = None  # what follows is TLS, or nothing
        match = _REQUEST.match(head.partition(b"\n")[0])
        if match is None:
            _refuse(transport, 400, "This is Fogbank's HTTPS proxy; it did not understand the request.")
            return
        verb, target = match[1].decode(), match[2].decode("latin-1")
        if verb != "CONNECT":
            _refuse(transport, *answer_plain(target))
        elif reason := refusal(target):
            _refuse(transport, 403, reason)
        elif rest:
            _refuse(transport, 400, "The client spoke before the tunnel was open.")
        else:
            transport.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            self._open(transport, target.rpartition(":")[0].lower().rstrip("."))

    def _open(self, transport: asyncio.Transport, host: str) -> None:
        task = asyncio.get_running_loop().create_task(self._proxy.secure(transport, host))
        self._proxy.tunnels.add(task)
        task.add_done_callback(self._proxy.tunnels.discard)


def refusal(target: str) -> str | None:
    """Return why a tunnel to ``target`` (host and port) is refused; None when it is not."""
    host, _, port = target.rpartition(":")
    host = host.lower().rstrip(".")
    if not host or not port.isdigit():
        return f"'{target}' is not a host and a port."
    if kind_of(host) is None:
        return (
            f"Fogbank does not stand for {host}, and no packet leaves this machine. "
            "Name the host in NO_PROXY to reach the real one; the region's own third parties are there for "
            "its workloads alone."
        )
    if port != "443":
        return f"Fogbank serves {host} on port 443 alone, not on {port}."
    return None


def answer_plain(target: str) -> tuple[int, str, str]:
    """Answer a request without a tunnel: the status, the text and where to go instead (or nothing)."""
    url = urlsplit(target)
    host = (url.hostname or "").lower()
    if not host:
        return 400, "This is Fogbank's HTTPS proxy; use it by setting HTTPS_PROXY (see fogbank env).", ""
    if kind_of(host) == "run":
        query = f"?{url.query}" if url.query else ""
        return 302, f"{host} is served over HTTPS.", f"https://{host}{url.path or '/'}{query}"
    if host in _METADATA:
        text = (
            "The metadata server answers workloads inside the region alone. Do not set HTTP_PROXY to Fogbank."
        )
        return 502, text, ""
    return 502, f"Fogbank proxies HTTPS alone, and does not fetch {target}. Do not set HTTP_PROXY to it.", ""


def _refuse(transport: asyncio.Transport, status: int, reason: str, location: str = "") -> None:
    body = reason.encode() + b"\n"
    lines = [
        f"HTTP/1.1 {status} {_REASONS[status]}",
        "Content-Type: text/plain; charset=utf-8",
        f"Content-Length: {len(body)}",
        "Connection: close",
    ]
    if location:
        lines.append(f"Location: {location}")
    transport.write("\r\n".join([*lines, "", ""]).encode("latin-1", "replace") + body)
    transport.close()
