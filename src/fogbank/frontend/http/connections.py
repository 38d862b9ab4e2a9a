"""HTTP on a connection that already speaks TLS: uvicorn for HTTP/1.1, hypercorn for clients that want HTTP/2.

Both are maintained servers; here they only get connections that they did not accept themselves. HTTP/1.1 is
preferred, since it costs a third; gRPC clients offer HTTP/2 alone and get it. This module and `http2` are the
only ones that know the servers' internals, which is why their versions are exact.
"""

import asyncio
import socket
import ssl
from email.utils import formatdate
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from fogbank.frontend.http.asgi import Application

ALPN = ("http/1.1", "h2")
"""What a server's context has to offer, best first."""

KEEP_ALIVE_SECONDS = 300
"""How long an idle connection stays; clients pool them longer than uvicorn's five seconds."""


class Connections:
    """Serves one ASGI application on any number of connections."""

    def __init__(self, app: Application) -> None:
        self._app = app
        self._config = uvicorn.Config(
            app,
            http=HttpToolsProtocol,
            ws="none",
            lifespan="off",
            interface="asgi3",
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=False,
            proxy_headers=False,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
        )
        self._config.load()
        self._state = ServerState()
        self._tasks: set[asyncio.Task[None]] = set()
        self._ticking: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begin to keep the Date header; call in the event loop."""
        self._state.default_headers = [(b"date", formatdate(usegmt=True).encode())]
        self._ticking = asyncio.get_running_loop().call_later(1.0, self.start)

    async def close(self) -> None:
        """Drop every connection."""
        if self._ticking is not None:
            self._ticking.cancel()
        for connection in list(self._state.connections):
            connection.shutdown()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def listen(self, listener: socket.socket, context: ssl.SSLContext | None = None) -> asyncio.Server:
        """Serve on a listening socket; with ``context`` under TLS."""
        loop = asyncio.get_running_loop()
        return await loop.create_server(lambda: _Arrival(self), sock=listener, ssl=context)

    def take(self, transport: asyncio.Transport) -> asyncio.Protocol:
        """Serve HTTP on ``transport``, in the version that the handshake settled; give its new protocol."""
        tls: ssl.SSLObject | None = transport.get_extra_info("ssl_object")
        protocol: asyncio.Protocol
        if tls is not None and tls.selected_alpn_protocol() == "h2":
            protocol = self._second()
        else:
            protocol = HttpToolsProtocol(self._config, self._state, {}, asyncio.get_running_loop())
        transport.set_protocol(protocol)
        protocol.connection_made(
            _Joining(transport) if isinstance(protocol, HttpToolsProtocol) else transport
        )
        return protocol

    def _second(self) -> asyncio.StreamReaderProtocol:
        loop = asyncio.get_running_loop()
        return asyncio.StreamReaderProtocol(asyncio.StreamReader(loop=loop), self._serve_second, loop)

    async def _serve_second(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task: asyncio.Task[Any] | None = asyncio.current_task()
        if task is not None:
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        from fogbank.frontend.http.http2 import serve_connection  # few clients want HTTP/2

        await serve_connection(self._app, reader, writer, KEEP_ALIVE_SECONDS)


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
