"""One request over HTTP/2 and its answer, as ASGI has them; the connection carries both."""

import asyncio
import logging
from collections import deque
from typing import Protocol

from h2.errors import ErrorCodes

from fogbank.frontend.http import refusals
from fogbank.frontend.http.asgi import Application, Message, Scope, path_text
from fogbank.frontend.http.http1 import Headers, check_hosts
from fogbank.frontend.http.targets import BadTargetError, read_target
from fogbank.limits import BODY_SECONDS, STALL_SECONDS

_NO_BODY = frozenset({204, 304})
_LONGEST_LENGTH = 18
"""Digits."""
_log = logging.getLogger(__name__)


class Carrier(Protocol):
    """The connection, as its streams see it."""

    app: Application

    @property
    def now(self) -> float:
        """Tell the time."""

    def acknowledge(self, number: int, length: int) -> None:
        """Let the client send as much again."""

    def respond(self, number: int, status: int, headers: Headers) -> None:
        """Send the head of an answer."""

    def send_trailers(self, number: int, headers: Headers) -> None:
        """End an answer with these headers; without any it just ends."""

    async def send_data(self, stream: "Stream", data: bytes, *, last: bool) -> None:
        """Send a piece of an answer, as fast as the client reads."""

    def finish(self, stream: "Stream") -> None:
        """Forget a stream that is answered."""

    def reset(self, stream: "Stream", code: ErrorCodes) -> None:
        """Break a stream off."""


class Stream:
    """One request and its answer."""

    def __init__(self, connection: Carrier, number: int, scope: Scope) -> None:
        self._connection, self.number, self._scope = connection, number, scope
        self._chunks: deque[tuple[bytes, int]] = deque()
        self._news = asyncio.Event()
        self.moved = asyncio.Event()
        self.ended = self.gone = self._end_told = False
        self._status = 0
        self._complete = self._trailers_follow = False
        self._listening: float | None = None
        self._stalled: float | None = None
        self.held = 0

    def overdue(self, now: float, heard: float) -> bool:
        """Tell whether the client left the body or the answer alone for too long."""
        if self._stalled is not None:
            return now - self._stalled > STALL_SECONDS
        if self._listening is None or self._status or self.ended:
            return False
        return now - max(heard, self._listening) > BODY_SECONDS

    def take(self, data: bytes, length: int) -> None:
        """Take a piece of the body; ``length`` is what it counts in the windows."""
        self._chunks.append((data, length))
        self._news.set()

    def end(self) -> None:
        """Take note that the body is complete."""
        self.ended = True
        self._news.set()

    def leave(self) -> list[int]:
        """Take note that nobody waits for the answer any more; gives what was not read of the body."""
        self.gone = True
        self._news.set()
        self.moved.set()
        unread = [length for _, length in self._chunks]
        self._chunks.clear()
        return unread

    async def stall(self, held: int) -> None:
        """Wait until the client reads."""
        self._stalled, self.held = self._connection.now, held
        self.moved.clear()
        await self.moved.wait()
        self._stalled, self.held = None, 0

    async def run(self) -> None:
        """Have the application answer."""
        try:
            await self._connection.app(self._scope, self._receive, self._send)
        except Exception:  # noqa: BLE001 - one request's bug is not its neighbours'
            _log.exception("%s %s failed", self._scope["method"], self._scope["path"][:200])
            await self._fail()
        else:
            if not self._complete and not self.gone:
                _log.error("%s %s has no whole answer", self._scope["method"], self._scope["path"][:200])
                await self._fail()
        finally:
            self._connection.finish(self)

    async def _fail(self) -> None:
        if self.gone:
            return
        if not self._status:
            page = refusals.page(500).encode()
            kind = (b"content-type", b"text/html; charset=UTF-8")
            await self._send({"type": "http.response.start", "status": 500, "headers": [kind]})
            await self._send({"type": "http.response.body", "body": page})
        else:
            self._connection.reset(self, ErrorCodes.INTERNAL_ERROR)

    async def _receive(self) -> Message:
        self._listening = self._connection.now
        while not (self.gone or self._complete or self._chunks or (self.ended and not self._end_told)):
            self._news.clear()
            await self._news.wait()
        self._listening = None
        if self.gone or self._complete:
            return {"type": "http.disconnect"}
        body = b"".join(data for data, _ in self._chunks)
        length = sum(length for _, length in self._chunks)
        self._chunks.clear()
        self._end_told = self.ended
        self._connection.acknowledge(self.number, length)
        return {"type": "http.request", "body": body, "more_body": not self.ended}

    async def _send(self, message: Message) -> None:
        if self.gone:
            return
        if message["type"] == "http.response.start" and not self._status:
            self._status, self._trailers_follow = message["status"], message.get("trailers", False)
            self._connection.respond(self.number, self._status, list(message["headers"]))
            return
        if message["type"] == "http.response.trailers" and self._trailers_follow and not self._complete:
            self._connection.send_trailers(self.number, list(message["headers"]))
            self._complete = True
            self._news.set()
            return
        if message["type"] != "http.response.body" or not self._status or self._complete:
            raise RuntimeError(f"{message['type']} is out of turn")
        last = not message.get("more_body", False) and not self._trailers_follow
        bare = self._scope["method"] == "HEAD" or self._status in _NO_BODY
        data = b"" if bare else bytes(message.get("body", b""))
        if data or last:
            await self._connection.send_data(self, data, last=last)
        if last:
            self._complete = True
            self._news.set()


def read_scope(headers: Headers, *, ended: bool = False) -> Scope:
    """Make the ASGI scope of a request's headers; BadTargetError when they are none of a request.

    ``ended`` tells that there is no body; with a body ``h2`` compares the length.
    """
    pseudo = {name: value for name, value in headers if name.startswith(b":")}
    method = pseudo[b":method"].decode("latin-1")
    target = read_target(method, pseudo.get(b":path", b""))
    if target.host is not None or method == "CONNECT":
        raise BadTargetError("a target of HTTP/2 is a path")
    plain = [(name, value) for name, value in headers if not name.startswith(b":")]
    if b":authority" in pseudo:
        plain = [(b"host", pseudo[b":authority"]), *((n, v) for n, v in plain if n != b"host")]
    check_hosts(tuple(value for name, value in plain if name == b"host") or (b"",))
    _check_lengths([value for name, value in plain if name == b"content-length"], ended=ended)
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "2",
        "method": method,
        "scheme": "https",
        "path": path_text(target.path),
        "raw_path": target.path,
        "query_string": target.query,
        "root_path": "",
        "headers": plain,
    }


def _check_lengths(lengths: list[bytes], *, ended: bool) -> None:
    """Refuse what is no length, or more than one, or one of a body that is missing (RFC 9113, 8.1.1)."""
    if not lengths:
        return
    if len(lengths) > 1 or not lengths[0].isdigit() or len(lengths[0]) > _LONGEST_LENGTH:
        raise BadTargetError("not the length of a body")
    if ended and int(lengths[0]):
        raise BadTargetError("the body is missing")
