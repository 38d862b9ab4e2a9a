"""What a client may take of a server before it is known: the size of a head, time, connections, memory.

Every server of the region keeps to these. The 64 KB for the head of a request are those of Google's front
ends (https://cloud.google.com/load-balancing/docs/quotas); the others are usual ones of web servers.
"""

import asyncio
from collections.abc import Callable, Iterator
from typing import Protocol

HEAD_LIMIT = 64 * 1024
"""Bytes in the head of a request: its first line and its headers."""

HEAD_SECONDS = 30.0
"""How long a client may take for a head, from the connection or the head's first byte on."""

IDLE_SECONDS = 300.0
"""How long a connection may stay open without a request; clients pool them for minutes."""

BODY_SECONDS = 60.0
"""How long a client may be silent in the middle of a body."""

STALL_SECONDS = 60.0
"""How long a client may read nothing of an answer that waits for it."""

MOST_CONNECTIONS = 1024
"""Connections of one server. One more ends the oldest that never had a request, or has none now."""

MOST_NEW_CONNECTIONS = 256
"""Connections that never had a request, when they are older than NEW_SECONDS."""

NEW_SECONDS = 2.0

HELD_LIMIT = 64 * 1024 * 1024
"""Bytes of answers that wait for readers, on all connections of one server."""


class Connection(Protocol):
    """A connection, as its table sees it."""

    opened: float

    @property
    def waiting(self) -> bool:
        """Tell whether no request is being answered."""

    @property
    def held(self) -> int:
        """Count the bytes that wait for the reader."""

    def overdue(self, now: float) -> bool:
        """Tell whether the client has used up its time."""

    def drop(self) -> None:
        """End the connection at once."""

    def shutdown(self) -> None:
        """End the connection when its present request is answered."""


class ConnectionTable:
    """The connections of one server: how many there are, and which have to go.

    Must be used in the event loop. ``most``, ``most_new`` and ``held`` are the limits above.
    """

    def __init__(
        self,
        most: int = MOST_CONNECTIONS,
        most_new: int = MOST_NEW_CONNECTIONS,
        held: int = HELD_LIMIT,
        now: Callable[[], float] | None = None,
    ) -> None:
        self._most, self._most_new, self._held = most, most_new, held
        self.time = now or asyncio.get_running_loop().time
        self._all: dict[Connection, None] = {}
        self._new: dict[Connection, None] = {}
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._all)

    @property
    def now(self) -> float:
        """Tell the time that ``opened`` is in; ``time`` is its clock."""
        return self.time()

    def add(self, connection: Connection) -> None:
        """Take a connection in; an older one goes when there are too many."""
        self._all[connection] = None
        self._new[connection] = None
        if len(self._new) > self._most_new:
            oldest = next(iter(self._new))
            if self.time() - oldest.opened > NEW_SECONDS:
                self._drop(oldest)
        if len(self._all) > self._most:
            self._drop(next((each for each in self._dispensable() if each is not connection), connection))

    def _dispensable(self) -> Iterator[Connection]:
        """Go through those that can be spared: first who never had a request, then who has none now."""
        yield from self._new
        yield from (each for each in self._all if each.waiting)

    def prove(self, connection: Connection) -> None:
        """Take note that the connection had a whole request."""
        self._new.pop(connection, None)

    def remove(self, connection: Connection) -> None:
        """Forget a connection that has ended."""
        self._all.pop(connection, None)
        self._new.pop(connection, None)

    def start(self) -> None:
        """Check every second which connections are overdue."""
        self._timer = asyncio.get_running_loop().call_later(1.0, self.start)
        self.check()

    def close(self) -> None:
        """End the checks, and every connection as soon as its request is answered."""
        if self._timer is not None:
            self._timer.cancel()
        for connection in list(self._all):
            connection.shutdown()

    def check(self) -> None:
        """Drop what is overdue, and those who keep the most waiting for them when it is too much in all."""
        now, held = self.time(), 0
        for connection in list(self._all):
            if connection.overdue(now):
                self._drop(connection)
            else:
                held += connection.held
        if held > self._held:
            for connection in sorted(self._all, key=lambda each: each.held, reverse=True):
                held -= connection.held
                self._drop(connection)
                if held <= self._held:
                    return

    def _drop(self, connection: Connection) -> None:
        self.remove(connection)
        connection.drop()
