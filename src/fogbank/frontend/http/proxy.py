"""The proxy: where clients reach Google's hosts without knowing that they are here.

A client says ``CONNECT run.googleapis.com:443``; the proxy agrees, then itself speaks TLS as that host and
serves HTTP. A host that means an external address of the region (a load balancer, a virtual machine) is
connected to on the region's internet. Any other is refused with the reason, and no packet leaves the machine.
:meth:`Proxy.serve_tls` can serve the same hosts on an ordinary TLS port, for
workloads inside the world; no region does that yet.
"""

import asyncio
import logging
import re
import socket
import ssl
from collections.abc import Callable, Coroutine
from ipaddress import IPv4Address
from typing import Any, Protocol

from fogbank.frontend.http.connections import Connections
from fogbank.frontend.http.piping import Pipe, pipe
from fogbank.frontend.http.targets import BadTargetError, read_authority, read_target
from fogbank.frontend.http.virtual_hosts import kind_of
from fogbank.limits import HEAD_SECONDS

HEAD_LIMIT = 16 * 1024
"""The longest request to the proxy itself."""

SHUTDOWN_SECONDS = 1.0
"""How long the farewell of TLS may take."""

_LONGEST_QUOTE = 100
"""Characters of a target that a refusal repeats."""

TlsContext = Callable[[str], ssl.SSLContext]
"""Given a host, the server's context for it, which offers :data:`fogbank.frontend.http.connections.ALPN`."""

_log = logging.getLogger(__name__)

_REQUEST = re.compile(rb"([A-Z]{1,20}) ([!-~]+) HTTP/1\.[01]\r?")
_NOT_UNDERSTOOD = "This is Fogbank's HTTPS proxy; it did not understand the request."
_METADATA = frozenset({"metadata.google.internal", "metadata", "169.254.169.254"})
_REASONS = {302: "Found", 400: "Bad Request", 403: "Forbidden", 431: "Request Header Fields Too Large"}
_REASONS |= {502: "Bad Gateway"}


class Internet(Protocol):
    """The region's internet, as clients reach it."""

    def resolve_own(self, host: str) -> IPv4Address | None:
        """Return which external address of the region a host means; None when it means none."""
        ...

    async def connect(self, address: IPv4Address, port: int) -> socket.socket:
        """Connect there; OSError or TimeoutError when nobody answers."""
        ...


class Proxy:
    """Serves proxied and direct connections."""

    def __init__(
        self, connections: Connections, tls_context: TlsContext, internet: "Internet | None" = None
    ) -> None:
        self.connections = connections
        self.internet = internet
        self._tls_context = tls_context
        self._servers: list[asyncio.Server] = []
        self.tunnels: set[asyncio.Task[None]] = set()

    async def serve(self, listener: socket.socket) -> None:
        """Serve the proxy on a listening socket."""
        self.connections.start()
        await self.serve_also(listener)

    async def serve_also(self, listener: socket.socket) -> None:
        """Serve the proxy on one more listening socket."""
        loop = asyncio.get_running_loop()
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

    async def reach(self, transport: asyncio.Transport, address: IPv4Address, port: int) -> None:
        """Connect a tunnel to an external address of the region, and have bytes pass."""
        if self.internet is None:
            raise RuntimeError("no internet was given to this proxy")
        try:
            opened = await self.internet.connect(address, port)
        except (OSError, TimeoutError) as error:
            why = getattr(error, "strerror", None) or "no answer"
            _refuse(transport, 502, f"{address} port {port}: {why}; see: fogbank why, fogbank drops")
            return
        if transport.is_closing():
            opened.close()
            return
        _, far = await asyncio.get_running_loop().create_connection(Pipe, sock=opened)
        pipe(transport, far)
        transport.write(b"HTTP/1.1 200 Connection established\r\n\r\n")

    async def secure(self, transport: asyncio.Transport, host: str) -> None:
        """Shake hands as ``host`` on an accepted tunnel and serve HTTP in it."""
        loop = asyncio.get_running_loop()
        pending = _Pending()
        try:
            context = self._tls_context(host)
            secured = await loop.start_tls(
                transport,
                pending,
                context,
                server_side=True,
                ssl_handshake_timeout=HEAD_SECONDS,
                ssl_shutdown_timeout=SHUTDOWN_SECONDS,
            )
        except (OSError, ValueError) as error:
            _log.info("TLS handshake as %s failed: %s", host, error)
            transport.abort()
            return
        if secured is not None and not pending.lost:
            pending.hand_over(self.connections.take(secured, transport))


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
        self._head = bytearray()
        self._transport: asyncio.Transport | None = None
        self._answered = False
        self.opened = proxy.connections.table.now

    # What the table asks. The tunnel is in it until HTTP begins inside.

    @property
    def waiting(self) -> bool:
        return True

    @property
    def held(self) -> int:
        return 0

    def overdue(self, now: float) -> bool:
        return now - self.opened > HEAD_SECONDS

    def drop(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def shutdown(self) -> None:
        self.drop()

    # What the transport calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]
        self._proxy.connections.table.add(self)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio names it
        self._proxy.connections.table.remove(self)

    def data_received(self, data: bytes) -> None:
        transport = self._transport
        if transport is None or self._answered or transport.is_closing():
            return
        searched = max(0, len(self._head) - 3)
        self._head += data
        end = self._head.find(b"\r\n\r\n", searched)
        if len(self._head) > HEAD_LIMIT and not 0 <= end <= HEAD_LIMIT:
            _refuse(transport, 431, "The request's head is too long.")
        elif not self._head[:1].isupper():  # TLS, or SOCKS: no blank line may ever come
            _refuse(transport, 400, _NOT_UNDERSTOOD)
        elif end >= 0:
            self._answered = True  # what follows is TLS, or nothing
            self._answer(transport, bytes(self._head[:end]), rest=len(self._head) > end + 4)

    def _answer(self, transport: asyncio.Transport, head: bytes, *, rest: bool) -> None:
        match = _REQUEST.fullmatch(head.partition(b"\n")[0])
        if match is None:
            _refuse(transport, 400, _NOT_UNDERSTOOD)
            return
        verb, target = match[1].decode(), match[2].decode("latin-1")
        if verb != "CONNECT":
            _refuse(transport, *answer_plain(verb, target))
        elif (address := self._own_address(target)) is not None and not rest:
            self._keep(self._proxy.reach(transport, address, read_authority(target)[1] or 0))
        elif reason := refusal(target):
            _refuse(transport, 403, reason)
        elif rest:
            _refuse(transport, 400, "The client spoke before the tunnel was open.")
        else:
            transport.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            self._open(transport, read_authority(target)[0])

    def _own_address(self, target: str) -> IPv4Address | None:
        """Return the external address of the region that a target means; None when it means none."""
        try:
            host, port = read_authority(target)
        except BadTargetError:
            return None
        if self._proxy.internet is None or port is None or kind_of(host) is not None:
            return None
        return self._proxy.internet.resolve_own(host)

    def _open(self, transport: asyncio.Transport, host: str) -> None:
        self._keep(self._proxy.secure(transport, host))

    def _keep(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        # It leaves the table when the handshake is done, or has failed: until then its time counts.
        task.add_done_callback(lambda _: self._proxy.connections.table.remove(self))
        self._proxy.tunnels.add(task)
        task.add_done_callback(self._proxy.tunnels.discard)


def refusal(target: str) -> str | None:
    """Tell why a tunnel to ``target`` (host and port) is refused; None when it is not."""
    try:
        host, port = read_authority(target)
    except BadTargetError:
        return f"'{_quoted(target)}' is not a host and a port."
    if port is None:
        return f"'{_quoted(target)}' is not a host and a port."
    if kind_of(host) is None:
        return (
            f"Fogbank does not stand for {host}, and no packet leaves this machine. "
            "Name the host in NO_PROXY to reach the real one; the region's own third parties are there for "
            "its workloads alone."
        )
    if port != 443:
        return f"Fogbank serves {host} on port 443 alone, not on {port}."
    return None


def answer_plain(verb: str, target: str) -> tuple[int, str, str]:
    """Answer a request without a tunnel: the status, the text and where to go instead (or nothing)."""
    try:
        url = read_target(verb, target.encode("latin-1"))
        host, port = read_authority(url.host.decode("latin-1")) if url.host else ("", None)
    except BadTargetError as error:
        return 400, f"'{_quoted(target)}' cannot be fetched: {error}.", ""
    if not host:
        return 400, "This is Fogbank's HTTPS proxy; use it by setting HTTPS_PROXY (see fogbank env).", ""
    if kind_of(host) == "run" and port in {None, 80}:
        return 302, f"{host} is served over HTTPS.", f"https://{host}{url.render().decode('latin-1')}"
    if host in _METADATA:
        text = (
            "The metadata server answers workloads inside the region alone. Do not set HTTP_PROXY to Fogbank."
        )
        return 502, text, ""
    text = f"Fogbank proxies HTTPS alone, and does not fetch {_quoted(target)}. Do not set HTTP_PROXY to it."
    return 502, text, ""


def _quoted(target: str) -> str:
    return target if len(target) <= _LONGEST_QUOTE else f"{target[:_LONGEST_QUOTE]}…"


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
