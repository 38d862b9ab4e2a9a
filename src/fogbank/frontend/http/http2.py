"""HTTP/2 on one connection, for clients that offer nothing else: ASGI over the ``h2`` library.

A stream keeps no more than its window of what the client sent, and of an answer no more than the piece that
the application handed over; who reads nothing for STALL_SECONDS is cut off. Frames pass a :class:`FrameMeter`
first. Priorities and WebSockets (RFC 8441) are not offered.
"""

import asyncio
import logging
import struct
from collections.abc import Callable
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

from fogbank.frontend.http import refusals
from fogbank.frontend.http.asgi import Application
from fogbank.frontend.http.frames import FrameMeter, TooMuchError
from fogbank.frontend.http.http1 import Headers
from fogbank.frontend.http.http2_streams import Stream, read_scope
from fogbank.frontend.http.targets import BadTargetError
from fogbank.frontend.http.turns import Turns
from fogbank.limits import (
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
_GOAWAY = 0x7
_log = logging.getLogger(__name__)


class Http2(asyncio.Protocol):
    """Serves one connection, which is in ``table`` while it is open.

    ``default_headers`` gives those that every answer has.
    """

    def __init__(
        self,
        app: Application,
        table: ConnectionTable,
        turns: Turns,
        default_headers: Callable[[], Headers],
        below: asyncio.Transport | None = None,
    ) -> None:
        self.app, self._table, self._default_headers = app, table, default_headers
        self._turns, self._below = turns, below
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
        if any(
            since is not None and now - since > limit
            for since, limit in ((self._meter.block_began, HEAD_SECONDS), (self._stalled, STALL_SECONDS))
        ):
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
        self._turns.forget(self)
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

    @property
    def now(self) -> float:
        return self._table.now

    def acknowledge(self, number: int, length: int) -> None:
        """Let the client send as much again."""
        if length and not self._ended:
            with suppress(ProtocolError):  # the stream, or all of the connection, is closed
                self.h2.acknowledge_received_data(length, number)
            self.flush_soon()

    async def send_data(self, stream: Stream, data: bytes, *, last: bool) -> None:
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

    def _serves(self, stream: Stream) -> bool:
        return not (stream.gone or self._ended)

    def finish(self, stream: Stream) -> None:
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

    def reset(self, stream: Stream, code: ErrorCodes) -> None:
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
            self._flush()
            self.transport.write(_goodbye(number))
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
        stream = self.streams[number] = Stream(self, number, scope)
        self._turns.add(self, lambda: self._start(stream))

    def _start(self, stream: Stream) -> None:
        if self._serves(stream):
            task = self._loop.create_task(stream.run())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def _refuse(self, number: int, status: int) -> None:
        page = refusals.page(status).encode()
        self.respond(number, status, [(b"content-type", b"text/html; charset=UTF-8")])
        if self.h2.local_flow_control_window(number) >= len(page):
            self.h2.send_data(number, page, end_stream=True)
        with suppress(ProtocolError):  # the client had sent all of it
            self.h2.reset_stream(number, ErrorCodes.NO_ERROR)

    def respond(self, number: int, status: int, headers: Headers) -> None:
        """Send the head of an answer."""
        kept = [(n.lower(), v) for n, v in headers if n.lower() not in _ONE_CONNECTION]
        self.h2.send_headers(number, [(b":status", b"%d" % status), *self._default_headers(), *kept])
        self.flush_soon()

    def send_trailers(self, number: int, headers: Headers) -> None:
        """End an answer with these headers; without any it just ends."""
        if headers:
            self.h2.send_headers(number, headers, end_stream=True)
        else:
            self.h2.end_stream(number)
        self.flush_soon()


def _goodbye(last: int) -> bytes:
    """Render a GOAWAY that lets streams up to ``last`` finish; h2's own would end the connection.

    RFC 9113, section 6.8.
    """
    return struct.pack("!IBIII", 8 << 8 | _GOAWAY, 0, 0, last, ErrorCodes.NO_ERROR)
