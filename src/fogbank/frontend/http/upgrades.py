"""An HTTP/1.1 connection that becomes one of another protocol: the application takes it over.

A request that asks for it has an :class:`Upgrade` among the extensions of its scope, under ``upgrade``. An
application that takes it writes the head of the answer itself and closes the connection; one that does not
answers as usual, and the connection ends with that answer.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

BUFFER_BYTES = 64 * 1024


class _Raw(asyncio.StreamReaderProtocol):
    """Reads a connection that was taken over; ``lost`` is told of its end."""

    def __init__(self, reader: asyncio.StreamReader, lost: Callable[[Exception | None], None]) -> None:
        super().__init__(reader)
        self._lost = lost

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._lost(exc)


@dataclass(slots=True)
class Upgrade:
    """An offer to take a connection over. ``early`` is what came after the request's head."""

    protocol: str
    transport: asyncio.Transport
    taken: Callable[[], None]
    lost: Callable[[Exception | None], None]
    early: bytes = b""

    def take(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Take the connection over."""
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(limit=BUFFER_BYTES)
        protocol = _Raw(reader, self.lost)
        self.taken()
        self.transport.set_protocol(protocol)
        protocol.connection_made(self.transport)
        if self.early:
            reader.feed_data(self.early)
        return reader, asyncio.StreamWriter(self.transport, protocol, reader, loop)
