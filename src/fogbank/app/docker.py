"""The docker engine of a region while it runs: started by the first client that knocks on its socket.

The socket is there from the start, when the engine was fetched, and stays when the engine ends; whoever
connects while none can start is hung up on, and the log says why.
"""

import asyncio
import contextlib
import logging
import os
import socket
import threading
from collections.abc import Callable
from pathlib import Path

from fogbank.dataplane.linux.docker_engine import DockerEngine
from fogbank.errors import DriverError
from fogbank.frontend.client_environment import Environment, docker_environment
from fogbank.frontend.http.proxy import Proxy
from fogbank.settings import Folders
from fogbank.unix_sockets import address_of

_log = logging.getLogger(__name__)


class DockerSocket:
    """Hands the engine's socket over to an engine when somebody needs it. Use it in the event loop."""

    def __init__(self, engine: DockerEngine, places: Folders, proxy: Callable[[], Proxy]) -> None:
        self._engine, self._places, self._proxy = engine, places, proxy
        self._listener: socket.socket | None = None
        self._closed = self._lent = False

    def environment(self) -> Environment:
        """Return the variables for docker's client; none where the engine was not fetched."""
        if self._listener is None and not self.open():
            return {}
        return docker_environment(self._places)

    def open(self) -> bool:
        """Listen, if the engine is there; tell whether it is."""
        if self._listener is None and not self._closed and self._engine.is_there():
            self._listener = _listen(self._places.docker_socket)
            self._places.docker_config.mkdir(mode=0o700, exist_ok=True)
            self._watch()
        return self._listener is not None

    def close(self) -> None:
        """Stop listening; an engine that runs ends with the world, and has the socket until then."""
        self._closed = True
        listener, self._listener = self._listener, None
        if listener is not None:
            self._places.docker_socket.unlink(missing_ok=True)
            if not self._lent:
                asyncio.get_running_loop().remove_reader(listener.fileno())
                listener.close()

    def _watch(self) -> None:
        if self._listener is not None:
            asyncio.get_running_loop().add_reader(self._listener.fileno(), self._knock)

    def _knock(self) -> None:
        """Start the engine, in a thread of its own."""
        if self._listener is not None:
            loop = asyncio.get_running_loop()
            loop.remove_reader(self._listener.fileno())
            self._lent = True
            arguments = (self._listener, loop)
            threading.Thread(target=self._run, args=arguments, name="docker-engine", daemon=True).start()

    def _run(self, listener: socket.socket, loop: asyncio.AbstractEventLoop) -> None:
        """Run the engine until it ends; in its network there is the region's proxy."""

        def serve_proxy(inner: socket.socket) -> None:
            asyncio.run_coroutine_threadsafe(self._proxy().serve_also(inner), loop).result()

        try:
            self._engine.run(listener, serve_proxy)
        except DriverError as error:
            _log.warning("%s", error)
        except Exception:  # noqa: BLE001 - a bug; who waits is hung up on all the same
            _log.exception("the docker engine failed")
        try:
            loop.call_soon_threadsafe(self._ended, listener)
        except RuntimeError:  # the region has ended meanwhile
            listener.close()

    def _ended(self, listener: socket.socket) -> None:
        """Hang up on those who wait, and watch for the next unless the region is about to end."""
        self._lent = False
        if self._listener is None:
            listener.close()
            return
        self._listener.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                self._listener.accept()[0].close()
        self._watch()


def _listen(path: Path) -> socket.socket:
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)
    try:
        with address_of(path) as address:
            listener.bind(address)
    finally:
        os.umask(before)
    listener.listen(128)
    return listener
