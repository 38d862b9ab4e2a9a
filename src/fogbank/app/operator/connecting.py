"""Connections of the person at the terminal into the region: `fogbank connect`, as from the internet.

They begin with a request on the operator's socket that asks for the protocol ``tcp``; then bytes pass. Their
source is an address of its own, so that firewall rules may name the terminal.
"""

import asyncio
import socket
from collections.abc import Callable
from contextlib import suppress
from ipaddress import IPv4Address
from urllib.parse import parse_qs

from fogbank.frontend.http.asgi import Application, Receive, Scope, Send, json_answer, path_of, respond
from fogbank.frontend.http.upgrades import Upgrade
from fogbank.frontend.ingress.upgrades import Stream, pass_on
from fogbank.lowering.netns_names import INTERNET
from fogbank.network.addressing import TERMINAL
from fogbank.network.topology import NetnsName
from fogbank.resources.dns import Answers, known

CONNECT_SECONDS = 10.0
PATH = "/connect"

_SWITCHED = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n"


class Connecting:
    """Serves connections, and everything else by ``operator``."""

    def __init__(
        self,
        operator: Application,
        open_socket: Callable[[NetnsName, socket.SocketKind], socket.socket],
        answers: Answers,
    ) -> None:
        self._operator, self._open_socket, self._answers = operator, open_socket, answers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http" or path_of(scope) != PATH:
            await self._operator(scope, receive, send)
            return
        offer: Upgrade | None = (scope.get("extensions") or {}).get("upgrade")
        query = parse_qs(scope["query_string"].decode())
        host, port = query.get("host", [""])[0], query.get("port", [""])[0]
        address = self._resolve(host)
        if offer is None or not port.isdecimal() or not 0 < int(port) < 1 << 16:
            await _refuse(send, "a connection wants the protocol tcp, a host and a port")
        elif address is None:
            await _refuse(send, f"{host} has no address on this region's internet")
        else:
            try:
                opened = await self._connect(address, int(port))
            except (OSError, TimeoutError) as error:
                why = error.strerror or "no answer"
                await _refuse(send, f"{host} ({address}) port {port}: {why}; see: fogbank why, fogbank drops")
                return
            inside = await asyncio.open_connection(sock=opened)
            caller = offer.take()
            caller[1].write(_SWITCHED)
            with suppress(OSError):
                await _pass_both(caller, inside)

    def _resolve(self, host: str) -> IPv4Address | None:
        """Return what a name or an address means on the internet."""
        with suppress(ValueError):
            return IPv4Address(host)
        found = known(self._answers(TERMINAL, f"{host.lower().rstrip('.')}.", "A"))
        return next((IPv4Address(each.texts[0]) for each in found if each.type == "A"), None)

    async def _connect(self, address: IPv4Address, port: int) -> socket.socket:
        opened = self._open_socket(INTERNET, socket.SOCK_STREAM)
        try:
            opened.setblocking(False)
            opened.bind((str(TERMINAL), 0))
            async with asyncio.timeout(CONNECT_SECONDS):
                await asyncio.get_running_loop().sock_connect(opened, (str(address), port))
        except BaseException:
            opened.close()
            raise
        return opened


async def _pass_both(caller: Stream, inside: Stream) -> None:
    """Pass bytes both ways, and the end of each way, too: a program that has said all may yet be answered."""
    ways = [
        asyncio.create_task(_pass(caller[0], inside[1])),
        asyncio.create_task(_pass(inside[0], caller[1])),
    ]
    try:
        await asyncio.gather(*ways)
    finally:
        for way in ways:
            way.cancel()
        caller[1].close()
        inside[1].close()


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await pass_on(reader, writer)
    if writer.can_write_eof():
        writer.write_eof()


async def _refuse(send: Send, why: str) -> None:
    await respond(send, json_answer({"error": why}, 409))
