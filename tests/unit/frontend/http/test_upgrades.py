"""Connections that an application takes over."""

import asyncio

from tests.serving import listener

from fogbank.frontend.http.connections import Connections

WISH = b"GET / HTTP/1.1\r\nHost: web\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n"


async def test_what_a_client_sends_with_its_wish_for_another_protocol_reaches_the_application():
    async def echo(scope, _receive, _send):
        reader, writer = scope["extensions"]["upgrade"].take()
        writer.write(b"got " + await reader.readexactly(5))
        writer.close()

    connections, made = Connections(echo), listener()
    server = await connections.listen(made)
    reader, writer = await asyncio.open_connection(*made.getsockname())
    writer.write(WISH + b"early")
    assert await reader.read() == b"got early"
    writer.close()
    await writer.wait_closed()
    server.close()
    await connections.close()
