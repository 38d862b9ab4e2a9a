"""WebSockets: what a client sends arrives whole, however it is cut."""

import asyncio
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fogbank.frontend.tunnels.websocket import (
    Closed,
    Misused,
    WebSocket,
    accepting_head,
    render_frame,
    unmasked,
)

BINARY, CONTINUATION, TEXT, CLOSE, PING, PONG = 2, 0, 1, 8, 9, 10


class Written:
    """A writer that keeps what is written."""

    def __init__(self) -> None:
        self.content = b""
        self.closed = False

    def write(self, content: bytes) -> None:
        self.content += content

    async def drain(self) -> None:
        pass

    def close(self) -> None:
        self.closed = True


def masked(opcode: int, content: bytes, *, final: bool = True, mask: bytes = b"\x01\x02\x03\x04") -> bytes:
    """Write a frame as clients do."""
    first = (0x80 if final else 0) | opcode
    if len(content) < 126:
        head = bytes((first, 0x80 | len(content)))
    elif len(content) < 1 << 16:
        head = struct.pack("!BBH", first, 0x80 | 126, len(content))
    else:
        head = struct.pack("!BBQ", first, 0x80 | 127, len(content))
    return head + mask + unmasked(content, mask)


def receive_all(sent: bytes, longest: int = 1 << 20) -> tuple[list[bytes], Exception, Written]:
    """Receive messages until there are no more; return them, why, and what was written."""
    written = Written()

    async def receive() -> tuple[list[bytes], Exception, Written]:
        reader = asyncio.StreamReader()
        reader.feed_data(sent)
        reader.feed_eof()
        socket = WebSocket(reader, written, longest)  # type: ignore[arg-type]
        found = []
        while True:
            try:
                found.append(await socket.receive())
            except (Closed, Misused) as end:
                return found, end, written

    return asyncio.run(receive())


messages = st.lists(st.lists(st.binary(max_size=300), min_size=1, max_size=3), max_size=4)


@given(messages, st.binary(min_size=4, max_size=4))
def test_messages_arrive_whole_however_a_client_cuts_them(sent: list[list[bytes]], mask: bytes) -> None:
    frames = b""
    for parts in sent:
        for index, part in enumerate(parts):
            opcode = CONTINUATION if index else BINARY
            frames += masked(opcode, part, final=index == len(parts) - 1, mask=mask)
            frames += masked(PING, b"x")
    found, end, _ = receive_all(frames)
    assert found == [b"".join(parts) for parts in sent]
    assert isinstance(end, Closed)


@given(st.sampled_from([0, 125, 126, 65535, 65536]))
def test_a_frame_says_its_length_in_the_shortest_form(length: int) -> None:
    frame = render_frame(BINARY, bytes(length))
    assert len(frame) == length + (2 if length < 126 else 4 if length < 1 << 16 else 10)


def test_a_ping_is_answered_and_a_goodbye_tells_its_code() -> None:
    _, end, written = receive_all(masked(PING, b"there?") + masked(CLOSE, struct.pack("!H", 1001)))
    assert written.content == render_frame(PONG, b"there?")
    assert isinstance(end, Closed)
    assert end.code == 1001


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        (masked(TEXT, b"text"), 4007),
        (masked(CONTINUATION, b"of nothing"), 4007),
        (render_frame(BINARY, b"without a mask"), 1002),
        (masked(BINARY | 0x40, b"a reserved bit"), 1002),
        (masked(BINARY, bytes(200)), 1009),
        (masked(BINARY, bytes(80), final=False) + masked(CONTINUATION, bytes(80)), 1009),
    ],
)
def test_what_is_no_message_of_ours_has_a_code(frame: bytes, code: int) -> None:
    found, end, _ = receive_all(frame, longest=100)
    assert found == []
    assert isinstance(end, Misused)
    assert end.code == code


def test_the_answer_to_the_handshake_is_that_of_the_standard() -> None:
    headers = {"sec-websocket-version": "13", "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ=="}
    head = accepting_head(headers, "relay")
    assert head is not None
    assert b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n" in head
    assert accepting_head(headers | {"sec-websocket-version": "8"}, "relay") is None
