"""WebSockets as a server speaks them (RFC 6455), over a connection that HTTP has given away.

Only what a tunnel needs: binary messages, whole or in fragments, pings, and closing with a code.
"""

import asyncio
import base64
import contextlib
import hashlib
import struct
from collections.abc import Mapping
from dataclasses import dataclass

_MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_CONTINUATION, _TEXT, _BINARY, _CLOSE, _PING, _PONG = 0, 1, 2, 8, 9, 10
_LONGEST_CONTROL = 125
PROTOCOL_ERROR, TOO_BIG = 1002, 1009
VERSION = "13"
FAREWELL_SECONDS = 2.0


class Closed(Exception):
    """The client has closed the connection, or it has broken; ``code`` is the client's, if it gave one."""

    def __init__(self, code: int | None = None) -> None:
        super().__init__(f"closed with {code}")
        self.code = code


class Misused(Exception):
    """The client does not speak the protocol; ``code`` is what it is told."""

    def __init__(self, why: str, code: int = PROTOCOL_ERROR) -> None:
        super().__init__(why)
        self.code = code


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame as it came, without its mask."""

    final: bool
    opcode: int
    content: bytes


def accepting_head(headers: Mapping[str, str], subprotocol: str) -> bytes | None:
    """Write the answer that opens a WebSocket; None when the request asks for none of this version."""
    key = headers.get("sec-websocket-key", "")
    if headers.get("sec-websocket-version") != VERSION or not key:
        return None
    accepted = base64.b64encode(hashlib.sha1(key.encode() + _MAGIC, usedforsecurity=False).digest())
    lines = (
        b"HTTP/1.1 101 Switching Protocols",
        b"Upgrade: websocket",
        b"Connection: Upgrade",
        b"Sec-WebSocket-Accept: " + accepted,
        b"Sec-WebSocket-Protocol: " + subprotocol.encode(),
    )
    return b"\r\n".join((*lines, b"", b""))


def render_frame(opcode: int, content: bytes) -> bytes:
    """Write a whole message of the server's, which has no mask."""
    length = len(content)
    if length <= _LONGEST_CONTROL:
        return bytes((0x80 | opcode, length)) + content
    if length < 1 << 16:
        return struct.pack("!BBH", 0x80 | opcode, 126, length) + content
    return struct.pack("!BBQ", 0x80 | opcode, 127, length) + content


async def read_frame(reader: asyncio.StreamReader, longest: int) -> Frame:
    """Read one frame of the client's; Misused when it is none, IncompleteReadError at the end."""
    first, second = await reader.readexactly(2)
    length = second & 0x7F
    if length == 126:
        (length,) = struct.unpack("!H", await reader.readexactly(2))
    elif length == 127:
        (length,) = struct.unpack("!Q", await reader.readexactly(8))
    if first & 0x70 or not second & 0x80:
        raise Misused("a reserved bit is set, or there is no mask")
    if length > longest:
        raise Misused(f"a frame of {length} bytes", TOO_BIG)
    mask = await reader.readexactly(4)
    return Frame(bool(first & 0x80), first & 0x0F, unmasked(await reader.readexactly(length), mask))


def unmasked(content: bytes, mask: bytes) -> bytes:
    """Take a client's mask off, or put it on."""
    length = len(content)
    repeated = (mask * (length // 4 + 1))[:length]
    return (int.from_bytes(content) ^ int.from_bytes(repeated)).to_bytes(length)


class WebSocket:
    """An open WebSocket; messages of more than ``longest`` bytes are refused."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, longest: int = 1 << 20
    ) -> None:
        self._reader, self._writer, self._longest = reader, writer, longest
        self._gone = False

    async def receive(self) -> bytes:
        """Return the next binary message; Closed when there is none any more, Misused for what is none."""
        parts: list[bytes] = []
        while True:
            try:
                frame = await read_frame(self._reader, self._longest - sum(map(len, parts)))
            except (asyncio.IncompleteReadError, OSError) as error:
                self._gone = True
                raise Closed from error
            match frame.opcode:
                case opcode if opcode == _BINARY and not parts:
                    parts.append(frame.content)
                case opcode if opcode == _CONTINUATION and parts:
                    parts.append(frame.content)
                case opcode if opcode == _PING:
                    await self._send(_PONG, frame.content)
                    continue
                case opcode if opcode == _PONG:
                    continue
                case opcode if opcode == _CLOSE:
                    self._gone = True
                    (code,) = struct.unpack("!H", frame.content[:2]) if len(frame.content) >= 2 else (None,)
                    raise Closed(code)
                case _:
                    raise Misused(f"a frame with opcode {frame.opcode}", 4007)
            if frame.final:
                return b"".join(parts)

    async def send(self, content: bytes) -> None:
        """Send a binary message; Closed when nobody takes it any more."""
        await self._send(_BINARY, content)

    async def close(self, code: int, reason: str) -> None:
        """Close with a code and a reason of at most 123 bytes; it may have been closed already.

        The client's own farewell is awaited for a moment: it might not see ours on a connection that is cut.
        """
        with contextlib.suppress(Closed, Misused, TimeoutError, asyncio.IncompleteReadError, OSError):
            await self._send(_CLOSE, struct.pack("!H", code) + reason.encode()[:123])
            async with asyncio.timeout(FAREWELL_SECONDS):
                while not self._gone:
                    frame = await read_frame(self._reader, self._longest)
                    self._gone = frame.opcode == _CLOSE
        self._writer.close()

    async def _send(self, opcode: int, content: bytes) -> None:
        try:
            self._writer.write(render_frame(opcode, content))
            await self._writer.drain()
        except OSError as error:
            raise Closed from error
