"""A request to an instance over HTTP/1.1, and its answer back to the caller; both stream.

One task does it: what the caller sends beyond its first piece, and whether it leaves, is listened to by a
second one, which an exchange that ends quickly never needs.
"""

import asyncio
import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

from fogbank.frontend.http.upgrades import Upgrade
from fogbank.frontend.ingress.exchange import (
    AnswerTooLargeError,
    BadRequestError,
    ClientGoneError,
    Exchange,
    RequestTooLargeError,
    answer_headers,
    next_part,
    target_of,
)
from fogbank.frontend.ingress.upgrades import pass_bytes
from fogbank.frontend.ingress.upstream import Upstream
from fogbank.frontend.ingress.upstreams import InstancePort, Upstreams

LISTEN_SECONDS = 0.05
"""How long an answer may take before anybody looks whether the caller is still there."""

_REPEATABLE = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"})
"""Methods that may be sent twice (RFC 9110, section 9.2.2)."""
_WITH_BODY = frozenset({"POST", "PUT", "PATCH"})
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_TARGET = re.compile(r"[!-~]+")

_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")

Fields = list[tuple[str, str]]


def wanted_upgrade(scope: Mapping[str, Any]) -> Upgrade | None:
    """Return the offer to take the caller's connection over, when the request asks for another protocol."""
    found: Upgrade | None = (scope.get("extensions") or {}).get("upgrade")
    return found


async def exchange_http1(
    upstreams: Upstreams, place: InstancePort, exchange: Exchange, headers: Fields
) -> None:
    """Send the request to the instance at ``place`` and its answer back.

    OSError when the connection breaks, BadAnswerError when the answer is no HTTP. A request that cannot be
    repeated has a new connection: on one that was used before nobody could tell whether it arrived.
    """
    offer = wanted_upgrade(exchange.scope)
    first = await next_part(exchange)
    chunked = exchange.more and "content-length" not in exchange.headers
    method = str(exchange.scope["method"])
    head = render_head(method, target_of(exchange.scope), [*headers, *_framing(exchange, first, offer)])
    talk = _Talk(exchange, head, first, chunked=chunked, offer=offer)
    waiting = upstreams.idle(place)
    if waiting is not None and (offer or first or exchange.more or method not in _REPEATABLE):
        waiting.close()  # a server that has one connection at a time would not accept another
        waiting = None
    if waiting is not None:
        try:
            await _converse(upstreams, place, waiting, talk)
        except ConnectionError:
            if waiting.heard:
                raise
        else:
            return
    await _converse(upstreams, place, await upstreams.open(place), talk)


async def _converse(upstreams: Upstreams, place: InstancePort, upstream: Upstream, talk: "_Talk") -> None:
    try:
        await talk.over(upstream)
    except BaseException:
        upstream.close()
        raise
    if upstream.switched:  # it is closed, or will be when all is sent
        return
    if talk.exchange.more:  # the instance answered before it had the whole request
        upstream.close()
    else:
        upstreams.give_back(place, upstream)


class _Talk:
    """One request, as it is sent over a connection."""

    def __init__(
        self, exchange: Exchange, head: bytes, first: bytes, *, chunked: bool, offer: Upgrade | None
    ) -> None:
        self.exchange, self._head, self._first = exchange, head, first
        self._chunked, self._offer = chunked, offer
        self._listening: asyncio.Task[None] | None = None

    async def over(self, upstream: Upstream) -> None:
        """Have the exchange over ``upstream``."""
        exchange = self.exchange
        upstream.send(
            b"".join((self._head, *self._framed(self._first))), head_only=exchange.scope["method"] == "HEAD"
        )
        timer = asyncio.get_running_loop().call_later(
            0 if exchange.more else LISTEN_SECONDS, self._start_listening, upstream
        )
        try:
            await upstream.until_headed()
            if not upstream.switched or self._offer is None:
                await send_back(exchange, upstream)
        finally:
            timer.cancel()
            await self._stop_listening()
        if upstream.switched and self._offer is not None:
            await _switch(exchange, upstream, self._offer)

    def _start_listening(self, upstream: Upstream) -> None:
        self._listening = asyncio.create_task(self._listen(upstream))

    async def _stop_listening(self) -> None:
        if self._listening is not None:
            self._listening.cancel()
            await asyncio.wait({self._listening})

    async def _listen(self, upstream: Upstream) -> None:
        """Send on what the caller sends, and tell when it has left."""
        try:
            while True:
                expected = self.exchange.more
                part = await next_part(self.exchange)
                if expected:
                    await upstream.upload(self._framed(part))
        except (ClientGoneError, RequestTooLargeError) as end:
            upstream.fail(end)

    def _framed(self, part: bytes) -> Iterable[bytes]:
        """Write a part of the body as it goes over the connection."""
        if not self._chunked:
            return (part,)
        framed = (b"%x\r\n" % len(part), part, b"\r\n") if part else ()
        return framed if self.exchange.more else (*framed, b"0\r\n\r\n")


def _framing(exchange: Exchange, first: bytes, offer: Upgrade | None) -> Iterable[tuple[str, str]]:
    """Say how long the body is, and which protocol the caller offers."""
    if "content-length" not in exchange.headers:
        if exchange.more:
            yield "transfer-encoding", "chunked"
        elif first or exchange.scope["method"] in _WITH_BODY:
            yield "content-length", str(len(first))
    if offer is not None:
        yield "connection", "Upgrade"
        yield "upgrade", offer.protocol


def render_head(method: str, target: str, headers: Fields) -> bytes:
    """Write the head of a request; BadRequestError when it would be read as something else.

    HTTP/2 carries names, values and paths that a line of HTTP/1.1 cannot.
    """
    lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers), "", ""]
    if not _TARGET.fullmatch(target):
        raise BadRequestError("a malformed path")
    if not all(_is_token(name) and not _CONTROL.search(value) for name, value in headers):
        raise BadRequestError("a malformed header")
    return "\r\n".join(lines).encode("latin-1")


@lru_cache(4096)
def _is_token(name: str) -> bool:
    return _TOKEN.fullmatch(name) is not None


async def send_back(exchange: Exchange, upstream: Upstream) -> None:
    """Send the instance's answer to the caller as it comes."""
    record = exchange.record
    if exchange.limit is not None and _length(upstream) > exchange.limit:
        raise AnswerTooLargeError
    record.status = upstream.status
    headers = answer_headers(exchange, upstream.headers, upstream.status)
    await exchange.send({"type": "http.response.start", "status": upstream.status, "headers": headers})
    exchange.started = True
    while True:
        part = await upstream.body()
        more = not upstream.complete
        record.response_size += len(part)
        await exchange.send({"type": "http.response.body", "body": part, "more_body": more})
        if not more:
            return


def _length(upstream: Upstream) -> int:
    return next((int(value) for name, value in upstream.headers if name.lower() == b"content-length"), 0)


async def _switch(exchange: Exchange, upstream: Upstream, offer: Upgrade) -> None:
    """Tell the caller that the protocol changes, and pass bytes until one side has had enough."""
    protocol = next((value for name, value in upstream.headers if name.lower() == b"upgrade"), b"")
    kept = answer_headers(exchange, upstream.headers, 200)
    lines = [b"HTTP/1.1 101 Switching Protocols", b"connection: Upgrade", b"upgrade: " + protocol]
    lines += [name + b": " + value for name, value in kept if name != b"content-length"]
    caller = offer.take()
    exchange.started, exchange.record.status = True, 101
    caller[1].write(b"\r\n".join([*lines, b"", b""]))
    below = Upgrade(
        "", upstream.transport, taken=_nothing, lost=upstream.connection_lost, early=upstream.early
    )
    instance = below.take()
    upstream.transport.resume_reading()
    await pass_bytes(caller, instance)


def _nothing() -> None:
    """Nobody else reads the connection to an instance."""
