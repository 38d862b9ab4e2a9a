"""Two connections as one: what comes in by the one goes out by the other, and the end of each way, too."""

import asyncio
from typing import cast


class Pipe(asyncio.Protocol):
    """One side; :func:`pipe` makes both."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.other: Pipe | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's are no subclasses

    def data_received(self, data: bytes) -> None:
        if (there := self._there()) is not None:
            there.write(data)

    def eof_received(self) -> bool:
        there = self._there()
        if there is not None and there.can_write_eof():
            there.write_eof()
        return True

    def pause_writing(self) -> None:
        if (there := self._there()) is not None:
            there.pause_reading()

    def resume_writing(self) -> None:
        if (there := self._there()) is not None:
            there.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio names it
        if (there := self._there()) is not None:
            there.close()

    def _there(self) -> asyncio.Transport | None:
        other = self.other.transport if self.other else None
        return None if other is None or other.is_closing() else other


def pipe(one: asyncio.Transport, far: Pipe) -> None:
    """Join ``one`` with ``far``, which is connected."""
    near = Pipe()
    near.transport, near.other, far.other = one, far, near
    one.set_protocol(near)
