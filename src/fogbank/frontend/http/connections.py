"""HTTP on a connection that already speaks TLS: uvicorn for HTTP/1.1, h2 for clients that want HTTP/2.

Both get connections that they did not accept themselves, and keep to the limits of one table. HTTP/1.1 is
preferred, since it costs a third; gRPC clients offer HTTP/2 alone and get it.
"""

import asyncio
import socket
import ssl
from email.utils import formatdate
from typing import TYPE_CHECKING

import uvicorn
from uvicorn.server import ServerState

from fogbank.frontend.http.asgi import Application
from fogbank.frontend.http.http1 import Headers, Http1
from fogbank.frontend.http.turns import Turns
from fogbank.limits import HEAD_SECONDS, IDLE_SECONDS, ConnectionTable

if TYPE_CHECKING:
    from fogbank.frontend.http.http2 import Http2

ALPN = ("http/1.1", "h2")
"""What a server's context has to offer, best first."""


class Connections:
    """Serves one ASGI application on any number of connections. Make it in the event loop."""

    def __init__(self, app: Application) -> None:
        self._app = app
        self._config = uvicorn.Config(
            app,
            http=Http1,
            ws="none",
            lifespan="off",
            interface="asgi3",
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=False,
            proxy_headers=False,
            timeout_keep_alive=int(IDLE_SECONDS),
        )
        self._config.load()
        self._state = ServerState()
        self.table = ConnectionTable()
        self._turns = Turns()
        self._ticking: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begin to keep the Date header and the limits; call in the event loop."""
        self.table.start()
        self._tick()

    def _tick(self) -> None:
        self._state.default_headers = [(b"date", formatdate(usegmt=True).encode())]
        self._ticking = asyncio.get_running_loop().call_later(1.0, self._tick)

    async def close(self) -> None:
        """Drop every connection."""
        if self._ticking is not None:
            self._ticking.cancel()
        self.table.close()

    async def listen(self, listener: socket.socket, context: ssl.SSLContext | None = None) -> asyncio.Server:
        """Serve on a listening socket; with ``context`` under TLS."""
        loop = asyncio.get_running_loop()
        handshake = HEAD_SECONDS if context else None
        return await loop.create_server(
            lambda: _Arrival(self), sock=listener, ssl=context, ssl_handshake_timeout=handshake
        )

    def take(self, transport: asyncio.Transport, below: asyncio.Transport | None = None) -> "Http1 | Http2":
        """Serve HTTP on ``transport``, in the version that the handshake settled; give its new protocol.

        ``below`` is the transport under TLS. Whoever is cut off is read from no more there: TLS itself would
        go on to read, decrypt and throw away until the client closes.
        """
        tls: ssl.SSLObject | None = transport.get_extra_info("ssl_object")
        if tls is not None and tls.selected_alpn_protocol() == "h2":
            second = self._second(below)
            transport.set_protocol(second)
            second.connection_made(transport)
            return second
        first = Http1(self._config, self._state, self.table, below)
        transport.set_protocol(first)
        first.connection_made(_Joining(transport))
        return first

    def _second(self, below: asyncio.Transport | None) -> "Http2":
        from fogbank.frontend.http.http2 import Http2  # few clients want it

        return Http2(self._app, self.table, self._turns, self._date, below)

    def _date(self) -> Headers:
        return self._state.default_headers


class _Arrival(asyncio.Protocol):
    """A connection that was just accepted."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._connections.take(transport)  # type: ignore[arg-type]


class _Joining(asyncio.Transport):
    """Joins what is written in one turn of the loop: uvicorn writes head and body apart.

    Each write would be a TLS record and a system call of its own, a sixth of a small call's time.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        super().__init__()
        self._transport = transport
        self._loop = asyncio.get_running_loop()
        self._held: list[bytes | bytearray | memoryview] = []
        self.get_extra_info = transport.get_extra_info  # type: ignore[method-assign]
        self.is_closing = transport.is_closing  # type: ignore[method-assign]
        self.pause_reading = transport.pause_reading  # type: ignore[method-assign]
        self.resume_reading = transport.resume_reading  # type: ignore[method-assign]
        self.set_protocol = transport.set_protocol  # type: ignore[method-assign]
        self.get_write_buffer_size = transport.get_write_buffer_size  # type: ignore[method-assign]

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if not self._held:
            self._loop.call_soon(self._flush)
        self._held.append(data)

    def close(self) -> None:
        self._flush()
        self._transport.close()

    def abort(self) -> None:
        self._transport.abort()

    def _flush(self) -> None:
        if self._held:
            held, self._held = self._held, []
            self._transport.write(held[0] if len(held) == 1 else b"".join(held))
