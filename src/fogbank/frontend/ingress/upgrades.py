"""Connections that no longer speak HTTP (WebSockets): bytes pass both ways.

The request's timeout counts for the whole connection (behaviour/cloud-run.md#container).
"""

import asyncio
from contextlib import suppress

from fogbank.frontend.http.upgrades import BUFFER_BYTES

Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def pass_bytes(caller: Stream, instance: Stream) -> None:
    """Pass bytes between the two until one of them has had enough; then both are closed."""
    passing = [
        asyncio.create_task(pass_on(caller[0], instance[1])),
        asyncio.create_task(pass_on(instance[0], caller[1])),
    ]
    try:
        await asyncio.wait(passing, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in passing:
            task.cancel()
            with suppress(asyncio.CancelledError, OSError):
                await task
        caller[1].close()
        instance[1].close()


async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Pass bytes on, no faster than they are read, until there are no more."""
    while data := await reader.read(BUFFER_BYTES):
        writer.write(data)
        await writer.drain()
