"""HTTP/2 on one connection, by hypercorn: the only module that knows its internals.

Imported when the first client wants HTTP/2, for few do.
"""

import asyncio

from hypercorn.app_wrappers import ASGIWrapper
from hypercorn.asyncio.tcp_server import TCPServer
from hypercorn.asyncio.worker_context import WorkerContext
from hypercorn.config import Config
from hypercorn.typing import LifespanState

from fogbank.frontend.http.asgi import Application


async def serve_connection(
    app: Application, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, keep_alive_seconds: float
) -> None:
    """Serve ``app`` on a connection whose handshake chose ``h2``, until it ends."""
    config = Config()
    config.include_server_header = False
    config.keep_alive_timeout = keep_alive_seconds
    config.accesslog = None
    state: LifespanState = {}
    loop = asyncio.get_running_loop()
    await TCPServer(ASGIWrapper(app), loop, config, WorkerContext(None), state, reader, writer)  # type: ignore[arg-type]
