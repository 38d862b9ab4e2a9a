"""Connections to instances: new ones, and those that wait a moment for the next request.

A connection belongs to one instance, by its id, so it never reaches another that got the same address later.
It waits for a second at most: no server closes an idle connection that soon, so what is sent over it arrives.
"""

import asyncio
import socket
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Address

from fogbank.frontend.ingress.upstream import Upstream
from fogbank.network.topology import NetnsName

OpenSocket = Callable[[NetnsName, socket.SocketKind], socket.socket]

CONNECT_SECONDS = 10.0
"""How long an instance may take to accept a connection."""

IDLE_SECONDS = 1.0
"""How long a connection waits for another request; servers keep theirs for two seconds and more."""


@dataclass(frozen=True, slots=True)
class InstancePort:
    """Where an ``instance`` (its id) listens, and the network namespace from which it is reached."""

    netns: NetnsName
    address: IPv4Address
    port: int
    instance: str


class Upstreams:
    """The connections of one ingress. Must be used in the event loop."""

    def __init__(self, open_socket: OpenSocket) -> None:
        self._open_socket = open_socket
        self._idle: dict[str, list[Upstream]] = {}
        self._sweeping: asyncio.TimerHandle | None = None

    def idle(self, place: InstancePort) -> Upstream | None:
        """Return a connection to ``place`` that is open and waits, the last one that was used."""
        waiting = self._idle.get(place.instance)
        while waiting:
            found = waiting.pop()
            if not waiting:
                del self._idle[place.instance]
            if not found.closed and not found.transport.is_closing():
                return found
        return None

    async def open(self, place: InstancePort) -> Upstream:
        """Make a connection; OSError when the instance does not accept it."""
        connection = await self.connect(place)
        _, upstream = await asyncio.get_running_loop().create_connection(Upstream, sock=connection)
        return upstream

    async def connect(self, place: InstancePort) -> socket.socket:
        """Connect a socket from inside the fabric; OSError when the instance does not accept that."""
        connection = self._open_socket(place.netns, socket.SOCK_STREAM)
        try:
            connection.setblocking(False)
            connecting = asyncio.get_running_loop().sock_connect(connection, (str(place.address), place.port))
            await asyncio.wait_for(connecting, CONNECT_SECONDS)
        except TimeoutError as error:
            connection.close()
            raise ConnectionRefusedError("the instance does not accept the connection") from error
        except BaseException:
            connection.close()
            raise
        return connection

    def give_back(self, place: InstancePort, upstream: Upstream) -> None:
        """Keep a connection for the next request, when its exchange has ended well; else close it."""
        if not upstream.reusable:
            upstream.close()
            return
        loop = asyncio.get_running_loop()
        upstream.used, upstream.idle_since = True, loop.time()
        self._idle.setdefault(place.instance, []).append(upstream)
        if self._sweeping is None:
            self._sweeping = loop.call_later(IDLE_SECONDS, self._sweep)

    def close(self) -> None:
        """Drop the connections that wait."""
        if self._sweeping is not None:
            self._sweeping.cancel()
            self._sweeping = None
        for waiting in self._idle.values():
            for upstream in waiting:
                upstream.close()
        self._idle.clear()

    def _sweep(self) -> None:
        loop = asyncio.get_running_loop()
        self._sweeping = None
        oldest = loop.time() - IDLE_SECONDS
        for instance, waiting in tuple(self._idle.items()):
            kept = [each for each in waiting if each.idle_since > oldest and not each.closed]
            for each in waiting:
                if each not in kept:
                    each.close()
            if kept:
                self._idle[instance] = kept
            else:
                del self._idle[instance]
        if self._idle:
            self._sweeping = loop.call_later(IDLE_SECONDS / 4, self._sweep)
