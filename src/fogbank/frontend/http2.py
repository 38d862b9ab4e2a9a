"""HTTP/2 on one connection, for clients that offer nothing else: ASGI over the ``h2`` library.

A stream keeps no more than its window of what the client sent, and of an answer no more than the piece that
the application handed over; who reads nothing for STALL_SECONDS is cut off. Frames pass a :class:`FrameMeter`
first. Priorities and WebSockets (RFC 8441) are not offered.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    Event,
    RemoteSettingsChanged,
    RequestReceived,
    StreamEnded,
    StreamReset,
    WindowUpdated,
)
from h2.exceptions import ProtocolError
from h2.settings import SettingCodes, Settings
from hyperframe.frame import GoAwayFrame

from fogbank.frontend import pages
from fogbank.frontend.frames import FrameMeter, TooMuchError
from fogbank.frontend.http1 import Headers, check_head
from fogbank.frontend.targets import BadTargetError, read_target
from fogbank.frontend.web import Application, Message, Scope, path_text
from fogbank.limits import (
    BODY_SECONDS,
    HEAD_LIMIT,
    HEAD_SECONDS,
    IDLE_SECONDS,
    STALL_SECONDS,
    ConnectionTable,
)

MOST_STREAMS = 100
MOST_REQUESTS = 10_000
"""Requests on one connection; then the client is asked to open another."""

CONNECTION_WINDOW = 1024 * 1024
"""Bytes of bodies that a connection may have unread in all its streams."""

_ONE_CONNECTION = frozenset(
    {b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade"}
)
_NO_BODY = frozenset({204, 304})
_log = logging.getLogger(__name__)


class Http2(asyncio.Protocol):
    """Serves one connection, which is in ``table`` while it is open.

    ``default_headers`` gives those that every answer has.
    """

    def __init__(
        self,
        app: Application,
        table: ConnectionTable,
        default_headers: Callable[[], Headers],
        below: asyncio.Transport | None = None,
    ) -> None:
        self.app, self._table, self._default_headers = app, table, default_headers
        self._below = below
        self._loop = asyncio.get_running_loop()
        self.h2 = H2Connection(H2Configuration(client_side=False, header_encoding=None))
        self.streams: dict[int, Stream] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._backlog = b""
        self._flushing = self._ended = self._leaving = False
        self._requests = 0
        self._heard = self.opened = table.now
        self._meter = FrameMeter(self.opened)
        self._writable = asyncio.Event()
        self._writable.set()
        self._stalled: float | None = None
        self._proven = False

    # What the table asks.

    @property
    def waiting(self) -> bool:
        return not self.streams

    @property
    def held(self) -> int:
        return self.transport.get_write_buffer_size() + sum(s.held for s in self.streams.values())

    def overdue(self, now: float) -> bool:
        for stream in list(self.streams.values()):
            if stream.overdue(now, self._heard):
                self.reset(stream, ErrorCodes.CANCEL)
        began, stalled = self._meter.block_began, self._stalled
        if (began and now - began > HEAD_SECONDS) or (stalled and now - stalled > STALL_SECONDS):
            return True
        patience = IDLE_SECONDS if self._proven else HEAD_SECONDS
        return not self.streams and now - self._heard > patience

    def drop(self) -> None:
        self.transport.abort()

    def shutdown(self) -> None:
        self._close()

    # What the transport calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: asyncio.Transport = transport  # type: ignore[assignment]
        self.client = transport.get_extra_info("peername")
        self._table.add(self)
        self.h2.local_settings = Settings(
            client=False,
            initial_values={
                SettingCodes.MAX_CONCURRENT_STREAMS: MOST_STREAMS,
                SettingCodes.MAX_HEADER_LIST_SIZE: HEAD_LIMIT,
            },
        )
        self.h2.initiate_connection()
        self.h2.increment_flow_control_window(CONNECTION_WINDOW - 65535)
        self._flush()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio names it
        self._ended = True
        self._backlog = b""
        self._table.remove(self)
        self._writable.set()
        for stream in self.streams.values():
            stream.leave()
        self.streams.clear()

    def pause_writing(self) -> None:
        self._stalled = self._table.now
        self._writable.clear()

    def resume_writing(self) -> None:
        self._stalled = None
        self._writable.set()

    def data_received(self, data: bytes) -> None:
        self._heard = self._table.now
        if self._ended:
            return
        if self._backlog:
            self._backlog += data
        else:
            self._take(data)

    def _go_on(self) -> None:
        data, self._backlog = self._backlog, b""
        if data and not self._ended:
            self.transport.resume_reading()
            self._take(data)

    def _take(self, data: bytes) -> None:
        """Handle some frames; what is left waits for the loop's next turn."""
        try:
            count = self._meter.take(data, self._heard)
            events = self.h2.receive_data(data[:count])
        except TooMuchError as error:
            self._end(str(error), ErrorCodes.ENHANCE_YOUR_CALM)
        except ProtocolError as error:
            self._end(str(error))
        else:
            for event in events:
                if not self._ended:
                    self._handle(event)
            self.flush_soon()
            if count < len(data) and not self._ended:
                self._backlog = data[count:]
                self.transport.pause_reading()
                self._loop.call_soon(self._go_on)

    def _end(self, why: str, code: ErrorCodes | None = None) -> None:
        _log.info("an HTTP/2 connection was ended: %s", why)
        if code is not None:
            self.h2.close_connection(code)
        self._close()
        if self._below is not None:
            self._below.pause_reading()

    def _close(self) -> None:
        self._flush()
        self._ended = True
        for stream in self.streams.values():
            stream.leave()
        self.streams.clear()
        self.transport.close()

    def _handle(self, event: Event) -> None:
        match event:
            case RequestReceived(stream_id=number, headers=headers):
                self._begin(number, headers, ended=event.stream_ended is not None)
            case DataReceived(stream_id=number) if number in self.streams:
                self.streams[number].take(event.data, event.flow_controlled_length)
            case DataReceived(stream_id=number, flow_controlled_length=length):
                self.acknowledge(number, length)
            case StreamEnded(stream_id=number) if number in self.streams:
                self.streams[number].end()
            case StreamReset(stream_id=number) if number in self.streams:
                self.streams.pop(number).leave()
            case WindowUpdated() | RemoteSettingsChanged():
                for stream in self.streams.values():
                    stream.moved.set()
            case ConnectionTerminated():
                self._close()
            case _:
                pass

    # What streams need.

    def acknowledge(self, number: int, length: int) -> None:
        """Let the client send as much again."""
        if length and not self._ended:
            with suppress(ProtocolError):  # the stream, or all of the connection, is closed
                self.h2.acknowledge_received_data(length, number)
            self.flush_soon()

    async def send_data(self, stream: "Stream", data: bytes, *, last: bool) -> None:
        """Send a piece of an answer, as fast as the client reads."""
        while self._serves(stream):
            await self._writable.wait()
            if not self._serves(stream):
                return
            room = min(self.h2.local_flow_control_window(stream.number), self.h2.max_outbound_frame_size)
            if data and room <= 0:
                await stream.stall(len(data))
                continue
            piece, data = data[:room], data[room:]
            self.h2.send_data(stream.number, piece, end_stream=last and not data)
            self._meter.credit(4)  # the client answers with updates of two windows, and may ask for more
            self.flush_soon()
            if not data:
                return

    def _serves(self, stream: "Stream") -> bool:
        return not (stream.gone or self._ended)

    def finish(self, stream: "Stream") -> None:
        """Forget a stream that is answered; the rest of its body is not wanted."""
        if self.streams.pop(stream.number, None) is None:
            return
        if not stream.ended:
            with suppress(ProtocolError):
                self.h2.reset_stream(stream.number, ErrorCodes.NO_ERROR)
        for length in stream.leave():
            self.acknowledge(stream.number, length)
        self._meter.credit(4)
        self.flush_soon()
        if self._leaving and not self.streams:
            self._close()

    def reset(self, stream: "Stream", code: ErrorCodes) -> None:
        """Break a stream off."""
        if self.streams.pop(stream.number, None) is not None and not self._ended:
            with suppress(ProtocolError):
                self.h2.reset_stream(stream.number, code)
            stream.leave()
            self.flush_soon()

    def flush_soon(self) -> None:
        """Send what is ready at the end of this turn of the loop, as one record."""
        if not self._flushing:
            self._flushing = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._flushing = False
        data = self.h2.data_to_send()
        if data and not self.transport.is_closing():
            self.transport.write(data)

    def _begin(self, number: int, headers: Headers, *, ended: bool) -> None:
        self._requests += 1
        if self._requests == MOST_REQUESTS:
            self._leaving = True
            self.transport.write(GoAwayFrame(0, last_stream_id=number).serialize())
        elif self._leaving:
            self.h2.reset_stream(number, ErrorCodes.REFUSED_STREAM)
            return
        try:
            scope = read_scope(headers, ended=ended)
        except BadTargetError:
            self._refuse(number, 400)
            return
        self._proven = True
        self._table.prove(self)
        scope["client"] = self.client[:2] if self.client else None
        stream = self.streams[number] = Stream(self, number, scope, self._table)
        task = self._loop.create_task(stream.run())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _refuse(self, number: int, status: int) -> None:
        page = pages.refused(status).encode()
        self.respond(number, status, [(b"content-type", b"text/html; charset=UTF-8")])
        if self.h2.local_flow_control_window(number) >= len(page):
            self.h2.send_data(number, page, end_stream=True)
        with suppress(ProtocolError):  # the client had sent all of it
            self.h2.reset_stream(number, ErrorCodes.NO_ERROR)

    def respond(self, number: int, status: int, headers: Iterable[tuple[bytes, bytes]]) -> None:
        """Send the head of an answer."""
        kept = [(n.lower(), v) for n, v in headers if n.lower() not in _ONE_CONNECTION]
        self.h2.send_headers(number, [(b":status", b"%d" % status), *self._default_headers(), *kept])
        self.flush_soon()


class Stream:
    """One request and its answer."""

    def __init__(self, connection: Http2, number: int, scope: Scope, table: ConnectionTable) -> None:
        self._connection, self.number, self._scope, self._table = connection, number, scope, table
        self._chunks: deque[tuple[bytes, int]] = deque()
        self._news = asyncio.Event()
        self.moved = asyncio.Event()
        self.ended = self.gone = self._end_told = False
        self._status = 0
        self._complete = False
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
        self._stalled, self.held = self._table.now, held
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
            page = pages.refused(500).encode()
            kind = (b"content-type", b"text/html; charset=UTF-8")
            await self._send({"type": "http.response.start", "status": 500, "headers": [kind]})
            await self._send({"type": "http.response.body", "body": page})
        else:
            self._connection.reset(self, ErrorCodes.INTERNAL_ERROR)

    async def _receive(self) -> Message:
        self._listening = self._table.now
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
            self._status = message["status"]
            self._connection.respond(self.number, self._status, message["headers"])
            return
        if message["type"] != "http.response.body" or not self._status or self._complete:
            raise RuntimeError(f"{message['type']} is out of turn")
        last = not message.get("more_body", False)
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
    check_head(plain)
    if ended and int(dict(plain).get(b"content-length", b"0")):
        raise BadTargetError("the body is missing")
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
