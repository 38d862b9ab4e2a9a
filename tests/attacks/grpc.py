"""Malformed gRPC: frames and messages that no client library would send, with and without a token."""

import struct

from hpack import Decoder
from hyperframe.frame import Frame, HeadersFrame
from tests.attacks.http2 import DATA, END_STREAM, frame, hear, open_settled, request
from tests.attacks.table import Tally, attack
from tests.attacks.target import Target

HOST = "logging.googleapis.com"
LIST = b"/google.logging.v2.LoggingServiceV2/ListLogEntries"
TAIL = b"/google.logging.v2.LoggingServiceV2/TailLogEntries"
DEEP = b"\x0a\x00" * 25_000
MESSAGES = [
    b"",
    b"\0",
    b"\0\0\0\0",
    b"\0\0\0\0\5ab",
    b"\0\xff\xff\xff\xff",
    b"\1\0\0\0\0",
    b"\0\0\0\0\1\x0a",
    b"\0\0\0\0\2\x0a\xff",
    b"\0\0\0\0\x0b" + b"\xff" * 11,
    b"\0\0\0\0\0" * 1000,
    struct.pack("!BI", 0, len(DEEP)) + DEEP,
    struct.pack("!BI", 0, 50_000) + b"\x0b" * 50_000,
]
"""What is no frame, is two, is compressed, is cut short, or holds what is no message."""


def call(
    target: Target,
    door: str,
    path: bytes,
    body: bytes,
    token: bytes,
    *,
    host: str = HOST,
    more: tuple[tuple[bytes, bytes], ...] = (),
) -> list[Frame]:
    headers = [(b":method", b"POST"), (b"content-type", b"application/grpc"), (b"te", b"trailers"), *more]
    with open_settled(target, door) as connection:
        connection.sendall(request(1, host, path, *headers, (b"authorization", token), end=False))
        for at in range(0, max(len(body), 1), 16_000):
            piece = body[at : at + 16_000]
            connection.sendall(frame(DATA, END_STREAM if at + 16_000 >= len(body) else 0, 1, piece))
        return hear(connection)


def grpc_status(frames: list[Frame]) -> bytes:
    """Read the status from the trailers; empty when there are none."""
    decoder, found = Decoder(), {}
    for each in frames:
        if isinstance(each, HeadersFrame):
            found.update(dict(decoder.decode(each.data, raw=True)))
    return found.get(b"grpc-status", b"")


@attack("API h2")
def malformed_messages_of_grpc(target: Target, tally: Tally, door: str) -> None:
    token = b"Bearer " + target.region.token(HOST).encode()
    for path in (LIST, TAIL, b"/", b"/a.b/c", b"/" + b"x" * 5000, b"/..%2f..%2fetc.S/passwd"):
        for body in MESSAGES:
            status = grpc_status(call(target, door, path, body, token))
            tally.expect(status not in {b"", b"0"}, f"{path[:40]!r} {body[:20]!r}: {status!r}")


@attack("API h2")
def grpc_of_strangers(target: Target, tally: Tally, door: str) -> None:
    for token in (b"Bearer no", b"Bearer", b"Basic eA=="):
        for path in (LIST, TAIL, b"/google.cloud.run.v2.Services/ListServices"):
            status = grpc_status(call(target, door, path, b"\0\0\0\0\0", token))
            tally.expect(status == b"16", f"{path!r} with {token!r}: {status!r}")
