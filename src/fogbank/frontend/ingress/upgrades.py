"""Requests that ask for another protocol (WebSockets): the container says yes, and bytes pass both ways.

The container decides: what it answers other than 101 is an ordinary answer. The request's timeout counts for
the whole connection (behaviour/cloud-run.md#container).
"""

import asyncio
import socket
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import httptools

from fogbank.frontend.http.upgrades import BUFFER_BYTES, Upgrade
from fogbank.frontend.ingress.exchange import Exchange, answer_headers
from fogbank.frontend.ingress.forwarded_headers import BadAnswerError

_HEAD_LIMIT = 64 * 1024


class _Answer:
    """What the parser says of a container's answer."""

    def __init__(self) -> None:
        self.headers: list[tuple[bytes, bytes]] = []
        self.body = b""
        self.headed = self.complete = False

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        self.headed = True

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        self.complete = True


def wanted_upgrade(scope: Mapping[str, Any]) -> Upgrade | None:
    """Return the offer to take the caller's connection over, when the request asks for another protocol."""
    found: Upgrade | None = (scope.get("extensions") or {}).get("upgrade")
    return found


async def exchange_upgrade(
    connection: socket.socket, exchange: Exchange, target: str, headers: list[tuple[str, str]], offer: Upgrade
) -> None:
    """Send the request over ``connection``, which is connected; pass what follows both ways.

    OSError when the connection breaks before there is an answer, BadAnswerError when that is no HTTP.
    """
    reader, writer = await asyncio.open_connection(sock=connection, limit=BUFFER_BYTES)
    try:
        writer.write(_head(str(exchange.scope["method"]), target, headers, offer.protocol))
        await _relay(reader, writer, exchange, offer)
    finally:
        writer.close()


def _head(method: str, target: str, headers: list[tuple[str, str]], protocol: str) -> bytes:
    lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers)]
    return "\r\n".join([*lines, "connection: Upgrade", f"upgrade: {protocol}", "", ""]).encode("latin-1")


async def _relay(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, exchange: Exchange, offer: Upgrade
) -> None:
    answer, seen = _Answer(), 0
    parser = httptools.HttpResponseParser(answer)
    while not answer.complete:
        data = await reader.read(BUFFER_BYTES)
        seen += len(data)
        if not answer.headed and (not data or seen > _HEAD_LIMIT):
            raise BadAnswerError("no whole head")
        try:
            parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            await _switch(answer, exchange, offer, (reader, writer), data[upgrade.args[0] :])
            return
        except httptools.HttpParserError as error:
            raise BadAnswerError(f"no HTTP: {error}") from error
        if answer.headed:
            await _answer(answer, parser.get_status_code(), exchange)
        if not data:
            break
    await exchange.send({"type": "http.response.body", "body": b""})


async def _answer(answer: _Answer, status: int, exchange: Exchange) -> None:
    """Send on what there is of an ordinary answer."""
    if not exchange.started:
        exchange.record.status = status
        headers = answer_headers(exchange, answer.headers, status)
        await exchange.send({"type": "http.response.start", "status": status, "headers": headers})
        exchange.started = True
    body, answer.body = answer.body, b""
    if body:
        exchange.record.response_size += len(body)
        await exchange.send({"type": "http.response.body", "body": body, "more_body": True})


async def _switch(
    answer: _Answer,
    exchange: Exchange,
    offer: Upgrade,
    upstream: tuple[asyncio.StreamReader, asyncio.StreamWriter],
    early: bytes,
) -> None:
    """Tell the caller that the protocol changes, and pass bytes until one side has had enough."""
    protocol = next((value for name, value in answer.headers if name.lower() == b"upgrade"), b"")
    kept = answer_headers(exchange, answer.headers, 200)
    lines = [b"HTTP/1.1 101 Switching Protocols", b"connection: Upgrade", b"upgrade: " + protocol]
    lines += [name + b": " + value for name, value in kept if name != b"content-length"]
    reader, writer = offer.take()
    exchange.started, exchange.record.status = True, 101
    writer.write(b"\r\n".join([*lines, b"", early]))
    passing = [
        asyncio.create_task(_pass(reader, upstream[1])),
        asyncio.create_task(_pass(upstream[0], writer)),
    ]
    try:
        await asyncio.wait(passing, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in passing:
            task.cancel()
            with suppress(asyncio.CancelledError, OSError):
                await task
        writer.close()


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Pass bytes on, no faster than they are read, until there are no more."""
    while data := await reader.read(BUFFER_BYTES):
        writer.write(data)
        await writer.drain()
