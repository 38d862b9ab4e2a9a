"""Asks a control plane whether it is ready, in its own network and by its own certificate."""

import asyncio
import socket
import ssl
from collections.abc import Callable

from fogbank.lowering.netns_names import instance_netns
from fogbank.network.topology import NetnsName
from fogbank.services.container.controller.configuration import PORT

_SECONDS = 5.0
_HOST = "127.0.0.1"
_QUESTION = f"GET /readyz HTTP/1.1\r\nHost: {_HOST}\r\nConnection: close\r\n\r\n".encode()


async def is_ready(
    open_socket: Callable[[NetnsName, socket.SocketKind], socket.socket], server: str, trust: ssl.SSLContext
) -> bool:
    """Return whether the control plane ``server`` is ready; OSError or TimeoutError when it does not say."""
    opened = open_socket(instance_netns(server), socket.SOCK_STREAM)
    opened.setblocking(False)
    try:
        async with asyncio.timeout(_SECONDS):
            await asyncio.get_running_loop().sock_connect(opened, (_HOST, PORT))
            reader, writer = await asyncio.open_connection(sock=opened, ssl=trust, server_hostname=_HOST)
            try:
                writer.write(_QUESTION)
                return (await reader.readline()).split()[1:2] == [b"200"]
            finally:
                writer.transport.abort()
    finally:
        opened.close()
