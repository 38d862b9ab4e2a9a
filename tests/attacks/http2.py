"""Malformed HTTP/2, as raw frames: what no client library would send."""

import contextlib
import socket
import ssl
import struct
import time

from hpack import Encoder
from hyperframe.frame import Frame, GoAwayFrame, HeadersFrame
from tests.attacks.http1 import TARGETS
from tests.attacks.table import Tally, attack
from tests.attacks.target import PATIENCE, Target

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RESET, SETTINGS, PUSH, PING, GOAWAY, WINDOW, CONTINUATION = range(10)
END_STREAM, END_HEADERS = 0x1, 0x4
DOORS = ("API h2", "ingress h2")


def frame(kind: int, flags: int, stream: int, payload: bytes = b"", length: int | None = None) -> bytes:
    """Write a frame, be it possible or not."""
    size = len(payload) if length is None else length
    return struct.pack("!I", size)[1:] + bytes([kind, flags]) + struct.pack("!I", stream) + payload


def request(
    stream: int, host: str, path: bytes = b"/", *more: tuple[bytes, bytes], end: bool = True
) -> bytes:
    """Write a request's HEADERS; a header in ``more`` may be a pseudo one, then it replaces the usual."""
    fields = {b":method": b"GET", b":scheme": b"https", b":authority": host.encode(), b":path": path}
    given = dict(more)
    named = [(n, given.pop(n, v)) for n, v in fields.items() if given.get(n, v) != b"(absent)"]
    rest = [(n, v) for n, v in more if n not in fields]
    block = Encoder().encode([*named, *rest], huffman=False)
    return frame(HEADERS, END_HEADERS | (END_STREAM if end else 0), stream, block)


def open_settled(target: Target, door: str, settings: bytes = b"") -> ssl.SSLSocket:
    connection = target.open(door)
    assert isinstance(connection, ssl.SSLSocket)
    connection.sendall(PREFACE + frame(SETTINGS, 0, 0, settings))
    return connection


def hear(connection: socket.socket, seconds: float = PATIENCE) -> list[Frame]:
    """Read frames until the close, the end of a stream, a reset or GOAWAY; a silence is an empty list."""
    buffer, frames, end = b"", [], time.monotonic() + seconds
    with contextlib.suppress(OSError):
        while time.monotonic() < end:
            connection.settimeout(max(0.01, end - time.monotonic()))
            more = connection.recv(65536)
            if not more:
                frames.append(closed())
                return frames
            buffer += more
            while len(buffer) >= 9:
                made, length = Frame.parse_frame_header(memoryview(buffer[:9]))
                if len(buffer) < 9 + length:
                    break
                made.parse_body(memoryview(buffer[9 : 9 + length]))
                buffer = buffer[9 + length :]
                frames.append(made)
                if "END_STREAM" in made.flags or made.type in {RESET, GOAWAY}:
                    return frames
    if not frames or time.monotonic() < end:
        frames.append(closed())
    return frames


def closed() -> Frame:
    return GoAwayFrame(0)


def status_of(frames: list[Frame]) -> bytes:
    """Read the status of the answer: the static table has the common ones, others are literal."""
    from hpack import Decoder

    heads = [each for each in frames if isinstance(each, HeadersFrame)]
    return dict(Decoder().decode(heads[0].data, raw=True)).get(b":status", b"") if heads else b""


def refused(frames: list[Frame]) -> bool:
    status = status_of(frames)
    if status:
        return status.startswith(b"4") or status == b"501"
    return any(each.type in {RESET, GOAWAY} for each in frames)


@attack(*DOORS)
def malformed_targets(target: Target, tally: Tally, door: str) -> None:
    host = target.host_of(door)
    paths = {**TARGETS, "an address": f"@{target.closed_address}:8080/info".encode()}
    for what, path in paths.items():
        with open_settled(target, door) as connection:
            connection.sendall(request(1, host, path))
            frames = hear(connection)
        tally.expect(refused(frames), f"{what}: {status_of(frames)!r} {frames}")


@attack(*DOORS)
def malformed_headers(target: Target, tally: Tally, door: str) -> None:
    host = target.host_of(door)
    cases: dict[str, bytes] = {
        "no path": request(1, host, b"/", (b":path", b"(absent)")),
        "no method": request(1, host, b"/", (b":method", b"(absent)")),
        "a method of spaces": request(1, host, b"/", (b":method", b"GET /x HTTP/1.1\r\nHost: y")),
        "CONNECT": request(1, host, b"/", (b":method", b"CONNECT"), (b":path", b"(absent)")),
        "a WebSocket": request(1, host, b"/", (b":method", b"CONNECT"), (b":protocol", b"websocket")),
        "a user in the authority": request(1, "u@" + host),
        "a path in the authority": request(1, host + "/x"),
        "an authority of line breaks": request(1, host + "\r\nX: y"),
        "another host": request(1, host, b"/", (b"host", b"other.run.app")),
        "an upper-case name": request(1, host, b"/", (b"Xy", b"z")),
        "a connection header": request(1, host, b"/", (b"connection", b"close")),
        "chunks": request(1, host, b"/", (b"transfer-encoding", b"chunked")),
        "a line break in a value": request(1, host, b"/", (b"x", b"a\r\nhost: b")),
        "a NUL in a value": request(1, host, b"/", (b"x", b"a\0b")),
        "a space in a name": request(1, host, b"/", (b"x y", b"z")),
        "two lengths": request(1, host, b"/", (b"content-length", b"1"), (b"content-length", b"2")),
        "a wrong length": request(1, host, b"/", (b"content-length", b"9")),
        "a huge length": request(1, host, b"/", (b"content-length", b"1" + b"0" * 400)),
        "a late pseudo-header": request(1, host, b"/", (b"x", b"y"), (b":extra", b"z")),
    }
    for what, message in cases.items():
        with open_settled(target, door) as connection:
            connection.sendall(message)
            frames = hear(connection)
        tally.expect(refused(frames), f"{what}: {status_of(frames)!r} {frames}")


@attack("API h2")
def impossible_frames(target: Target, tally: Tally, door: str) -> None:
    host = target.host_of(door)
    cases = {
        "data on the connection": frame(DATA, 0, 0, b"x"),
        "data on no stream": frame(DATA, 0, 1, b"x"),
        "headers on the connection": frame(HEADERS, END_HEADERS, 0, b"\x82"),
        "headers on an even stream": request(2, host),
        "headers on a lower stream": request(5, host) + request(3, host),
        "headers that are no HPACK": frame(HEADERS, END_HEADERS | END_STREAM, 1, b"\xff" * 50),
        "padding longer than the frame": frame(HEADERS, END_HEADERS | 0x8, 1, b"\xff\x82"),
        "a window of nothing": frame(WINDOW, 0, 0, bytes(4)),
        "a window too large": frame(WINDOW, 0, 0, b"\x7f\xff\xff\xff") * 2,
        "a window of three bytes": frame(WINDOW, 0, 0, bytes(3)),
        "settings of five bytes": frame(SETTINGS, 0, 0, bytes(5)),
        "settings on a stream": frame(SETTINGS, 0, 1),
        "an initial window too large": frame(SETTINGS, 0, 0, b"\x00\x04\xff\xff\xff\xff"),
        "a frame size too small": frame(SETTINGS, 0, 0, b"\x00\x05\x00\x00\x00\x01"),
        "a ping of seven bytes": frame(PING, 0, 0, bytes(7)),
        "a ping on a stream": frame(PING, 0, 1, bytes(8)),
        "a stream that depends on itself": frame(PRIORITY, 0, 1, b"\0\0\0\1\0"),
        "a reset of no stream": frame(RESET, 0, 1, bytes(4)),
        "a reset of the connection": frame(RESET, 0, 0, bytes(4)),
        "a push": frame(PUSH, END_HEADERS, 1, b"\0\0\0\2\x82"),
        "a continuation of nothing": frame(CONTINUATION, END_HEADERS, 1, b"\x82"),
        "a break in a header block": frame(HEADERS, 0, 1, b"\x82") + frame(PING, 0, 0, bytes(8)),
        "a frame of 16 MB": frame(DATA, 0, 1, b"x", length=(1 << 24) - 1),
        "a goodbye": frame(GOAWAY, 0, 0, bytes(8)),
    }
    for what, message in cases.items():
        with open_settled(target, door) as connection:
            connection.sendall(message)
            frames = hear(connection)
        tally.expect(refused(frames), f"{what}: {frames}")
    for what, start in {
        "no preface": b"GET / HTTP/1.1\r\n\r\n" + bytes(99),
        "noise": bytes(range(256)) * 4,
    }.items():
        with target.open(door) as connection:
            connection.sendall(start)
            frames = hear(connection)
        tally.expect(refused(frames), f"{what}: {frames}")


def flood(target: Target, tally: Tally, what: str, first: bytes, again: list[bytes]) -> None:
    """Send frames for as long as the door takes them; it has to end the connection before the last."""
    cut = False
    with open_settled(target, "API h2") as connection:
        connection.settimeout(PATIENCE)
        try:
            connection.sendall(first)
            for part in again:
                connection.sendall(part)
                connection.setblocking(False)
                with contextlib.suppress(ssl.SSLWantReadError, BlockingIOError):
                    cut = not connection.recv(65536) or cut
                connection.settimeout(PATIENCE)
                if cut:
                    break
        except OSError:
            cut = True
        cut = cut or any(each.type == GOAWAY for each in hear(connection, 2))
    tally.expect(cut, f"{what}: {len(again)} parts were taken")


@attack("API h2")
def floods_of_frames(target: Target, tally: Tally, door: str) -> None:
    host = target.host_of(door)
    many = range(200)
    flood(target, tally, "pings", b"", [frame(PING, 0, 0, bytes(8)) * 100] * 200)
    flood(target, tally, "settings", b"", [frame(SETTINGS, 0, 0) * 100] * 200)
    flood(target, tally, "priorities", b"", [frame(PRIORITY, 0, 1, b"\0\0\0\3\0") * 100] * 200)
    flood(target, tally, "windows", b"", [frame(WINDOW, 0, 0, b"\0\0\0\1") * 100] * 200)
    first = request(1, host, end=False)
    flood(target, tally, "empty data", first, [frame(DATA, 0, 1) * 100] * 200)
    flood(target, tally, "unknown frames", b"", [frame(0xBB, 0, 0, b"x") * 100] * 200)
    resets = [
        b"".join(
            request(n, host) + frame(RESET, 0, n, bytes(4)) for n in range(k * 200 + 1, k * 200 + 200, 2)
        )
        for k in many
    ]
    flood(target, tally, "rapid resets", b"", resets)
    head = frame(HEADERS, 0, 1, b"\x82\x84\x87")
    flood(
        target,
        tally,
        "continuations",
        head,
        [frame(CONTINUATION, 0, 1, b"\x40\x01x" + bytes(9000))] * 200,
    )
    flood(target, tally, "empty continuations", head, [frame(CONTINUATION, 0, 1) * 100] * 200)


@attack("API h2")
def compressed_bombs(target: Target, tally: Tally, door: str) -> None:
    """Name one large header ten thousand times; and have 60 KB of Huffman code decoded."""
    large = b"\x40\x01x\x7f" + b"\xa1\x1e" + b"a" * 4000  # 127 + 3873 bytes of value, into the dynamic table
    bombs = {
        "repeats": large + b"\xbe" * 12000,
        "Huffman": b"\x40\x01x\xff" + b"\x81\xd3\x03" + b"\x18" * 60000,
    }
    for what, block in bombs.items():
        pieces = [block[at : at + 16000] for at in range(0, len(block), 16000)]
        message = frame(HEADERS, END_STREAM, 1, pieces[0])
        for piece in pieces[1:-1]:
            message += frame(CONTINUATION, 0, 1, piece)
        if len(pieces) > 1:
            message += frame(CONTINUATION, END_HEADERS, 1, pieces[-1])
        with open_settled(target, door) as connection:
            connection.sendall(message if len(pieces) > 1 else frame(HEADERS, 5, 1, block))
            frames = hear(connection)
        tally.expect(refused(frames), f"{what}: {frames}")


@attack("API h2", quick=False)
def stalled_streams(target: Target, tally: Tally, door: str) -> None:
    """Ask for 1,800 large answers and read none; then go. Nothing of them may stay."""
    host = "compute.googleapis.com"
    trust = target.trust("h2")
    token = target.region.token(host).encode()
    path = b"/compute/v1/projects/demo/aggregated/subnetworks"
    open_ones = []
    for _ in range(18):
        connection = trust.wrap_socket(target.tunnel(host), server_hostname=host)
        open_ones.append(connection)
        connection.sendall(PREFACE + frame(SETTINGS, 0, 0, b"\x00\x04\x00\x00\x00\x00"))
        for number in range(1, 200, 2):
            connection.sendall(request(number, host, path, (b"authorization", b"Bearer " + token)))
            tally.expect(True, "")
    time.sleep(2)  # for that long they all stay open and read nothing
    for connection in open_ones:
        connection.close()
