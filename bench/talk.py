"""The API load generator: scripted requests over kept connections, the same client for every server.

A script is a generator: it gives a request's bytes and is sent the answer's body. Each talker runs one
script, one request after the other, until the script ends by itself. It keeps its connection unless the
server says that it closes it (moto's does).
"""

import asyncio
import re
import socket
import ssl
import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass

import uvloop

Script = Generator[bytes, bytes, None]
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_CLOSE = re.compile(rb"\r\nconnection: *close", re.IGNORECASE)
_SECONDS = 30


@dataclass(frozen=True, slots=True)
class Server:
    """Where to connect: by a proxy's CONNECT and TLS when ``tunnel`` names a host and ``trust`` its CA.

    Without a tunnel, ``tls`` is the name that a server with TLS of its own has.
    """

    port: int
    host: str = "127.0.0.1"
    tunnel: str = ""
    trust: str = ""
    tls: str = ""

    def open(self) -> socket.socket:
        """Connect, and ask a proxy for the way on."""
        connection = socket.create_connection((self.host, self.port), timeout=5)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self.tunnel:
            connection.sendall(f"CONNECT {self.tunnel}:443 HTTP/1.1\r\nHost: {self.tunnel}\r\n\r\n".encode())
            answer = b""
            while b"\r\n\r\n" not in answer:
                answer += connection.recv(4096)
            if b" 200 " not in answer.partition(b"\r\n")[0]:
                raise RuntimeError(f"the proxy refused: {answer!r}")
        connection.setblocking(False)
        return connection


def calls_per_second(server: Server, seconds: float, scripts: Sequence[Callable[[float], Script]]) -> float:
    """Run a connection for each of ``scripts``, which are given the time of their end; count answers."""
    return uvloop.run(_measure(server, seconds, scripts))


async def _measure(server: Server, seconds: float, scripts: Sequence[Callable[[float], Script]]) -> float:
    trust = ssl.create_default_context(cafile=server.trust) if server.trust else None
    talkers = [_Talker(server, trust) for _ in scripts]
    for talker in talkers:
        await talker.connect()
    started = time.perf_counter()
    for talker, script in zip(talkers, scripts, strict=True):
        talker.start(script(started + seconds))
    async with asyncio.timeout(_SECONDS):
        await asyncio.gather(*(talker.done for talker in talkers))
    took = time.perf_counter() - started
    for talker in talkers:
        talker.close()
    return sum(talker.answers for talker in talkers) / took


class _Talker:
    """One script, and the connection that it uses now."""

    def __init__(self, server: Server, trust: ssl.SSLContext | None) -> None:
        self._server, self._trust = server, trust
        self._loop = asyncio.get_running_loop()
        self.answers = 0
        self.done: asyncio.Future[None] = self._loop.create_future()

    async def connect(self) -> None:
        self._transport, _ = await self._loop.create_connection(
            lambda: _Line(self),
            sock=self._server.open(),
            ssl=self._trust,
            server_hostname=(self._server.tunnel or self._server.tls) if self._trust else None,
        )

    def start(self, script: Script) -> None:
        self._script = script
        self._transport.write(next(script))

    def close(self) -> None:
        self._transport.close()

    def answered(self, body: bytes, *, closing: bool) -> None:
        self.answers += 1
        try:
            request = self._script.send(body)
        except StopIteration:
            self.done.set_result(None)
        else:
            if closing:
                self._again = self._loop.create_task(self._reconnect(request))
            else:
                self._transport.write(request)

    async def _reconnect(self, request: bytes) -> None:
        self._transport.close()
        await self.connect()
        self._transport.write(request)

    def fail(self, why: str) -> None:
        if not self.done.done():
            self.done.set_exception(RuntimeError(why))


class _Line(asyncio.Protocol):
    """One connection: finds where answers end."""

    def __init__(self, talker: _Talker) -> None:
        self._talker = talker
        self._received = b""
        self._closing = False

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, end, body = self._received.partition(b"\r\n\r\n")
        if not end:
            return
        found = _LENGTH.search(head)
        if not found or b" 200 " not in head[:16]:
            self._talker.fail(f"not the answer that was expected: {self._received!r}")
        elif len(body) >= int(found[1]):
            self._received = b""
            self._closing = bool(_CLOSE.search(head))
            self._talker.answered(body, closing=self._closing)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._closing:
            self._talker.fail(f"the server closed the connection: {exc}")
