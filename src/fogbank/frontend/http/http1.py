"""HTTP/1.1 on one connection: uvicorn's protocol, with limits that uvicorn has no settings for.

uvicorn bounds neither a head nor the time for one, takes any target, and takes trailers for headers. Its
internals are used here and in :mod:`fogbank.frontend.connections` alone; ``pyproject.toml`` pins its minor
version.
"""

import asyncio
from functools import lru_cache
from typing import Any

import httptools
import uvicorn
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol
from uvicorn.server import ServerState

from fogbank.frontend.http import refusals
from fogbank.frontend.http.targets import BadTargetError, is_path, read_authority, read_target
from fogbank.frontend.http.upgrades import Upgrade
from fogbank.limits import (
    BODY_SECONDS,
    HEAD_LIMIT,
    HEAD_SECONDS,
    STALL_SECONDS,
    ConnectionTable,
)

SLICE = 16 * 1024
"""How much is parsed before the limits are looked at; a head may be longer than its limit by this."""

MOST_PIPELINED = 32
"""Requests that a client may send before it has the answer to the first."""

_VERSIONS = frozenset({"1.0", "1.1"})

Headers = list[tuple[bytes, bytes]]


class Http1(HttpToolsProtocol):
    """Serves one connection, which is in ``table`` while it is open."""

    def __init__(
        self,
        config: uvicorn.Config,
        state: ServerState,
        table: ConnectionTable,
        below: asyncio.Transport | None = None,
    ) -> None:
        super().__init__(config, state, {}, asyncio.get_running_loop())
        self._table, self._below, self._time = table, below, table.time
        self._unread = 0
        self._progress = False
        self._in_head = False
        self._in_body = self._requested = False
        self._heard = self._began = 0.0
        self._stalled: float | None = None
        self._hosts: list[bytes] = []
        self._asks_server = False
        self._upgraded = False
        self._offer: Upgrade | None = None
        self.opened = 0.0
        self._proven = False

    # What the table asks.

    @property
    def waiting(self) -> bool:
        return not self._requested or self.cycle.response_complete

    @property
    def held(self) -> int:
        return self.transport.get_write_buffer_size()

    def overdue(self, now: float) -> bool:
        if self._stalled is not None and now - self._stalled > STALL_SECONDS:
            return True
        if self._in_body:
            return not self.flow.read_paused and now - self._heard > BODY_SECONDS
        return (self._in_head or not self._proven) and now - self._began > HEAD_SECONDS

    def drop(self) -> None:
        self.transport.abort()

    # What the transport calls.

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.opened = self._began = self._heard = self._table.now
        self._table.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._table.remove(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._heard = self._time()
        if self._upgraded:
            if self._offer is not None and len(self._offer.early) < HEAD_LIMIT:
                self._offer.early += data
            return
        for start in range(0, len(data), SLICE):
            if self.transport.is_closing():
                return
            part = data[start : start + SLICE] if len(data) > SLICE else data
            self._progress = False
            self._parse(part)
            self._unread = 0 if self._progress else self._unread + len(part)
            if self._unread > HEAD_LIMIT:
                self._refuse(413)
            elif len(self.pipeline) > MOST_PIPELINED:
                self._refuse(400)

    def _parse(self, part: bytes) -> None:
        """Do what uvicorn does, and keep what follows a request that asks for another protocol."""
        self._unset_keepalive_if_required()
        try:
            self.parser.feed_data(part)
        except httptools.HttpParserError:
            self._refuse(400)
        except httptools.HttpParserUpgrade as upgrade:
            self._upgraded = True  # what follows is of another protocol, when the application takes it
            if self._offer is not None:
                self._offer.early += part[upgrade.args[0] :]

    def pause_writing(self) -> None:
        self._stalled = self._table.now
        super().pause_writing()

    def resume_writing(self) -> None:
        self._stalled = None
        super().resume_writing()

    def _offer_upgrade(self) -> None:
        """Let the application take the connection over; its answer is the last one here otherwise."""
        protocol = self._get_upgrade()
        if protocol is None or protocol == b"h2c" or not self.parser.should_upgrade():
            return
        self._offer = Upgrade(
            protocol.decode("latin-1"), self.transport, taken=self._taken, lost=self.connection_lost
        )
        self.scope["extensions"] = {"upgrade": self._offer}  # type: ignore[dict-item]
        self.cycle.keep_alive = False

    def _taken(self) -> None:
        """Leave the connection to the application, which answers by itself."""
        self.cycle.response_started = self.cycle.disconnected = True

    # What the parser calls.

    def on_message_begin(self) -> None:
        self._in_head, self._began = True, self._heard
        self._hosts, self._asks_server = [], False
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._in_head:  # a trailer is no header: the request was judged without it
            name = name.lower()
            if name == b"host":
                self._hosts.append(value)
            elif name == b"expect" and value.lower() == b"100-continue":
                self.expect_100_continue = True
            self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        self._progress = True
        self._in_head, self._in_body = False, True
        if self.parser.get_http_version() not in _VERSIONS:
            raise BadTargetError("not HTTP/1.0 or HTTP/1.1")
        if not is_path(self.url):
            self._read_other_form()
        if self._hosts:
            check_hosts(tuple(self._hosts))
        if not self._proven:
            self._proven = True
            self._table.prove(self)
        super().on_headers_complete()
        self._requested = True
        self._offer_upgrade()
        if self._asks_server:
            self.scope["path"], self.scope["raw_path"] = "*", b"*"

    def _read_other_form(self) -> None:
        """Read a target that is no path: what the rest sees is one, and the host that goes with it."""
        target = read_target(self.parser.get_method().decode("ascii"), self.url)
        if target.host is not None:  # RFC 9112, section 3.2.2: it stands above the header
            self._hosts = [target.host]
            self.headers[:] = [(n, v) for n, v in self.headers if n != b"host"]
            self.headers.append((b"host", target.host))
        self._asks_server = target.path == b"*"
        self.url = b"/" if self._asks_server else target.render()

    def on_body(self, body: bytes) -> None:
        self._progress = True
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._progress = True
        self._in_body = False
        super().on_message_complete()

    def _refuse(self, status: int) -> None:
        """Answer like Google's front end, unless an answer is under way, and close."""
        if self.transport.is_closing():
            return
        if self.waiting or not self.cycle.response_started:
            self.transport.write(_refusal(status, self.server_state.default_headers))
        if self._requested:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        if self._below is not None:
            self._below.pause_reading()
        self.transport.close()


@lru_cache(1024)
def check_hosts(hosts: tuple[bytes, ...]) -> None:
    """Refuse what is no host, or more than one; BadTargetError (RFC 9112, section 3.2)."""
    if len(hosts) > 1:
        raise BadTargetError("more than one host")
    if hosts[0]:
        read_authority(hosts[0].decode("latin-1"))


def _refusal(status: int, default_headers: list[tuple[bytes, bytes]]) -> bytes:
    page = refusals.page(status).encode()
    headers: dict[bytes, Any] = {
        **dict(default_headers),
        b"content-type": b"text/html; charset=UTF-8",
        b"content-length": b"%d" % len(page),
        b"connection": b"close",
    }
    lines = [b"%b: %b\r\n" % (name, value) for name, value in headers.items()]
    return b"".join([STATUS_LINE[status], *lines, b"\r\n", page])
