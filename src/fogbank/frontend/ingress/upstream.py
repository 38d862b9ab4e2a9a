"""One HTTP/1.1 connection to an instance: a request goes out, its answer comes in, perhaps others follow.

An answer is read no faster than the caller takes it. What has neither a length nor chunks ends with the
connection; anything else that ends with it is broken, and is told as that.
"""

import asyncio
from collections.abc import Iterable

import httptools

from fogbank.frontend.ingress.forwarded_headers import BadAnswerError

HEAD_LIMIT = 64 * 1024
"""Bytes of an answer's head, and of what comes before it."""

HELD_BYTES = 256 * 1024
"""So much of an answer is held for a caller that reads slowly; then the instance has to wait."""

Headers = list[tuple[bytes, bytes]]


class Upstream(asyncio.Protocol):
    """One connection. ``used`` tells whether it has carried an exchange before the present one."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._parser: httptools.HttpResponseParser | None = None
        self._waiting: asyncio.Future[None] | None = None
        self._failure: Exception | None = None
        self._room = asyncio.Event()
        self._room.set()
        self._held = 0
        self._paused = False
        self.used = self.closed = False
        self.idle_since = 0.0
        self._begin(head_only=False)

    def _begin(self, *, head_only: bool) -> None:
        self._head_only = head_only
        self.status = 0
        self.headers: Headers = []
        self._chunks: list[bytes] = []
        self._seen = 0
        self.headed = self.complete = self.switched = False
        self._interim = self._delimited = self._keeps = False
        self.early = b""

    # What an exchange does.

    @property
    def transport(self) -> asyncio.Transport:
        """The connection below."""
        assert self._transport is not None
        return self._transport

    @property
    def heard(self) -> bool:
        """Tell whether anything came of an answer."""
        return self._seen > 0

    @property
    def reusable(self) -> bool:
        """Tell whether another request may follow: the answer is whole and neither side has closed."""
        return self.complete and self._keeps and not self.closed and not self.transport.is_closing()

    def send(self, request: bytes, *, head_only: bool) -> None:
        """Begin an exchange with what there is of a request; ``head_only``: the answer has no body (HEAD)."""
        self._begin(head_only=head_only)
        if self.closed:
            self._failure = self._failure or ConnectionResetError("the connection was closed")
            return
        self.transport.write(request)

    async def upload(self, pieces: Iterable[bytes]) -> None:
        """Send some of the request's body, as fast as the instance reads."""
        if not self.closed:
            self.transport.writelines(pieces)
            await self._room.wait()

    async def until_headed(self) -> None:
        """Return when ``status`` and ``headers`` are there; OSError or BadAnswerError when none come."""
        while not self.headed:
            await self._news()

    async def body(self) -> bytes:
        """Return the next part of the answer's body; empty at its end."""
        while not self._chunks:
            if self.complete:
                return b""
            await self._news()
        chunk = self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)
        self._chunks.clear()
        self._held = 0
        if self._paused:
            self._paused = False
            self.transport.resume_reading()
        return chunk

    def fail(self, why: Exception) -> None:
        """End the exchange for a reason that is not the instance's."""
        self._failure = self._failure or why
        self._tell()

    def close(self) -> None:
        """Close the connection at once."""
        if self._transport is not None:
            self._transport.abort()

    async def _news(self) -> None:
        if self._failure is not None:
            raise self._failure
        self._waiting = self._loop.create_future()
        try:
            await self._waiting
        finally:
            self._waiting = None
        if self._failure is not None and not self.complete:
            raise self._failure

    def _tell(self) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)

    # What the transport calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        if self.switched:
            self.early += data
            return
        if self.complete or self._transport is None:
            self.close()  # nothing was asked
            return
        self._seen += len(data)
        if self._parser is None:
            self._parser = httptools.HttpResponseParser(self)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self.switched, self.early = True, data[upgrade.args[0] :]
            self.transport.pause_reading()
        except httptools.HttpParserError as error:
            self._break(BadAnswerError(f"no HTTP: {error}"))
        else:
            if not self.headed and self._seen > HEAD_LIMIT:
                self._break(BadAnswerError("the head is too long"))
        self._tell()

    def eof_received(self) -> None:
        if self.headed and not self._delimited and not self.complete:
            self.complete = True
            self._tell()

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed, self._parser = True, None
        where = "in the middle of an answer" if self.headed else "before an answer"
        self._failure = self._failure or exc or ConnectionResetError(f"it was closed {where}")
        self._room.set()
        self._tell()

    def pause_writing(self) -> None:
        self._room.clear()

    def resume_writing(self) -> None:
        self._room.set()

    def _break(self, why: Exception) -> None:
        self._failure = self._failure or why
        self.close()

    # What the parser calls.

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self.headed:  # a trailer is no header
            self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        assert self._parser is not None
        if self.complete:  # a second answer to one request
            self._keeps = False
            return
        status = self._parser.get_status_code()
        self._interim = 100 <= status < 200 and status != 101
        if self._interim:  # an answer follows (RFC 9110, section 15.2)
            self.headers = []
            return
        self.status, self.headed = status, True
        names = {name.lower() for name, _ in self.headers}
        self._delimited = bool(names & {b"content-length", b"transfer-encoding"})
        self._keeps = self._parser.should_keep_alive()
        if self._head_only:
            # Here the parser would wait for a body of the announced length.
            self.complete, self._keeps = True, False

    def on_body(self, body: bytes) -> None:
        if self.complete:
            return
        self._chunks.append(body)
        self._held += len(body)
        if self._held > HELD_BYTES and not self._paused:
            self._paused = True
            self.transport.pause_reading()

    def on_message_complete(self) -> None:
        if not self._interim:
            self.complete = True
