"""A request to a container that speaks HTTP/2 without TLS (h2c), and its answer with gRPC's trailers.

Each request has a connection of its own. Both directions stream at the same
time, so calls in which both sides talk work; each waits for the window of whoever reads.
"""

import asyncio
import socket
from contextlib import suppress

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    RemoteSettingsChanged,
    ResponseReceived,
    StreamEnded,
    StreamReset,
    TrailersReceived,
    WindowUpdated,
)
from h2.exceptions import ProtocolError
from h2.settings import SettingCodes, Settings

from fogbank.frontend.ingress.exchange import Exchange, answer_headers
from fogbank.frontend.ingress.forwarded_headers import BadAnswerError, response_trailers

_WINDOW = 1024 * 1024
"""Bytes of an answer that may be on their way."""
_READ_BYTES = 65536

Fields = list[tuple[bytes, bytes]]


async def exchange_http2(
    connection: socket.socket, exchange: Exchange, target: str, headers: list[tuple[str, str]]
) -> None:
    """Send the request over ``connection``, which is connected, and its answer back.

    OSError when the connection breaks, BadAnswerError when the container does not keep to HTTP/2.
    """
    reader, writer = await asyncio.open_connection(sock=connection)
    upstream = _Upstream(writer, exchange)
    upload: asyncio.Task[None] | None = None
    try:
        upstream.begin(target, headers)
        upload = asyncio.create_task(upstream.upload())
        while not upstream.ended:
            data = await reader.read(_READ_BYTES)
            if not data:
                raise ConnectionResetError("the connection was closed in the middle of an answer")
            await upstream.take(data)
        await upstream.finish()
    except ProtocolError as error:
        raise BadAnswerError(f"no HTTP/2: {error}") from error
    finally:
        if upload is not None:
            upload.cancel()
            with suppress(asyncio.CancelledError, OSError, ProtocolError):
                await upload
        writer.close()


class _Upstream:
    """One request on one connection; ``ended`` when the answer is complete."""

    def __init__(self, writer: asyncio.StreamWriter, exchange: Exchange) -> None:
        self._writer, self._exchange = writer, exchange
        self._h2 = H2Connection(H2Configuration(client_side=True, header_encoding=None))
        self._moved = asyncio.Event()
        self._stream = 0
        self._trailers: Fields = []
        self.ended = False

    def begin(self, target: str, headers: list[tuple[str, str]]) -> None:
        """Send the head of the request."""
        wanted = {SettingCodes.ENABLE_PUSH: 0, SettingCodes.INITIAL_WINDOW_SIZE: _WINDOW}
        self._h2.local_settings = Settings(client=True, initial_values=wanted)
        self._h2.initiate_connection()
        self._h2.increment_flow_control_window(_WINDOW)
        self._stream = self._h2.get_next_available_stream_id()
        plain = [(name, value) for name, value in headers if name not in {"host", "content-length"}]
        host = next((value for name, value in headers if name == "host"), "")
        pseudo = [
            (":method", str(self._exchange.scope["method"])),
            (":scheme", "http"),
            (":authority", host),
            (":path", target),
        ]
        if "trailers" in self._exchange.headers.get("te", ""):
            plain.append(("te", "trailers"))
        self._h2.send_headers(self._stream, [*pseudo, *plain])
        self._flush()

    async def upload(self) -> None:
        """Send the body as it comes from the client, no faster than the container reads."""
        while (chunk := await self._exchange.body.get()) is not None:
            while chunk:
                room = min(self._h2.local_flow_control_window(self._stream), self._h2.max_outbound_frame_size)
                if room <= 0:
                    self._moved.clear()
                    await self._moved.wait()
                    continue
                self._h2.send_data(self._stream, chunk[:room])
                chunk = chunk[room:]
                self._flush()
                await self._writer.drain()
        self._h2.end_stream(self._stream)
        self._flush()

    async def take(self, data: bytes) -> None:
        """Handle what the container sent."""
        for event in self._h2.receive_data(data):
            match event:
                case ResponseReceived(headers=headers):
                    await self._head(_fields(headers))
                case DataReceived(data=body, flow_controlled_length=length):
                    await self._body(body or b"", length or 0)
                case TrailersReceived(headers=headers):
                    self._trailers = _fields(headers)
                case StreamEnded():
                    self.ended = True
                case StreamReset(error_code=code):
                    if not self.ended:
                        raise ConnectionResetError(f"the container reset the stream ({code})")
                case ConnectionTerminated():
                    if not self.ended:
                        raise ConnectionResetError("the container ended the connection")
                case WindowUpdated() | RemoteSettingsChanged():
                    self._moved.set()
                case _:
                    continue
        self._flush()

    async def finish(self) -> None:
        """Send the client the end of the answer."""
        exchange = self._exchange
        if not exchange.started:
            raise BadAnswerError("no answer")
        if _takes_trailers(exchange):
            trailers = response_trailers(self._trailers)
            await exchange.send({"type": "http.response.trailers", "headers": trailers})
        else:
            await exchange.send({"type": "http.response.body", "body": b""})

    async def _head(self, headers: Fields) -> None:
        pseudo = dict(each for each in headers if each[0].startswith(b":"))
        plain = [each for each in headers if not each[0].startswith(b":")]
        record = self._exchange.record
        record.status = int(pseudo.get(b":status", b"0"))
        await self._exchange.send(
            {
                "type": "http.response.start",
                "status": record.status,
                "headers": answer_headers(self._exchange, plain, record.status),
                "trailers": _takes_trailers(self._exchange),
            }
        )
        self._exchange.started = True

    async def _body(self, body: bytes, length: int) -> None:
        self._exchange.record.response_size += len(body)
        if body:
            await self._exchange.send({"type": "http.response.body", "body": body, "more_body": True})
        with suppress(ProtocolError):  # the stream has just ended
            self._h2.acknowledge_received_data(length, self._stream)
        self._flush()

    def _flush(self) -> None:
        if data := self._h2.data_to_send():
            self._writer.write(data)


def _takes_trailers(exchange: Exchange) -> bool:
    """Return whether the caller's connection can carry trailers: over HTTP/1 they are left out."""
    return exchange.scope.get("http_version") == "2"


def _fields(headers: object) -> Fields:
    return [(_bytes(name), _bytes(value)) for name, value in headers or ()]  # type: ignore[attr-defined]


def _bytes(text: bytes | str) -> bytes:
    return text if isinstance(text, bytes) else text.encode("latin-1")
