"""The programs behind listeners: a listener names a service, and a server here serves its socket.

The driver opens sockets in its own thread and inside the listener's namespace; what serves them lives in the
event loop.
"""

import asyncio
import logging
import socket
import ssl
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from fogbank.frontend.http.asgi import Application
from fogbank.frontend.http.connections import Connections
from fogbank.network.topology import Key, Listener

HTTPS = 443

log = logging.getLogger(__name__)

Serve = Callable[[Any, socket.socket], Awaitable[None]]
"""Serve a socket until cancelled, and close it."""


class ListenerServers:
    """Starts and stops the server of each listener; both calls are for any thread."""

    def __init__(self, services: Mapping[str, Serve]) -> None:
        self._services = services
        self._loop = asyncio.get_running_loop()
        self._tasks: dict[Key, asyncio.Task[None]] = {}

    def serve(self, listener: Listener, opened: socket.socket) -> None:
        """Hand the socket of ``listener`` to its service."""
        self._loop.call_soon_threadsafe(self._start, listener, opened)

    def unserve(self, listener: Listener) -> None:
        """Stop serving ``listener``."""
        self._loop.call_soon_threadsafe(self._stop, listener)

    def _start(self, listener: Listener, opened: socket.socket) -> None:
        self._tasks[listener.key] = asyncio.ensure_future(self._run(listener, opened))

    def _stop(self, listener: Listener) -> None:
        task = self._tasks.pop(listener.key, None)
        if task is not None:
            task.cancel()

    async def _run(self, listener: Listener, opened: socket.socket) -> None:
        try:
            await self._services[listener.service](listener, opened)
        except Exception:
            log.exception("the server of %s ended", listener)
        finally:
            opened.close()


def http_server(app: Application, tls: Callable[[], ssl.SSLContext] | None = None) -> Serve:
    """Make a server of an ASGI application over HTTP; on port 443 under the context that ``tls`` makes."""

    async def serve(listener: Listener | None, opened: socket.socket) -> None:
        connections = Connections(app)
        connections.start()
        secured = tls is not None and listener is not None and listener.port == HTTPS
        server = await connections.listen(opened, tls() if tls and secured else None)
        try:
            await server.serve_forever()
        finally:
            await connections.close()

    return serve
