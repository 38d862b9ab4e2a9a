"""Too much of everything: heads that never end, slow ones, connections, headers, bodies."""

import contextlib
import socket
import time

from tests.attacks.http1 import say
from tests.attacks.table import Tally, attack
from tests.attacks.target import PATIENCE, Target

MIB = 1024 * 1024
HEAD_DOORS = ("proxy", "API", "ingress", "metadata", "operator", "third party", "third party TLS")


def pour(connection: socket.socket, first: bytes, again: bytes, times: int) -> int:
    """Send for as long as it is taken; gives how many bytes were."""
    connection.settimeout(PATIENCE)
    sent = 0
    with contextlib.suppress(OSError):
        connection.sendall(first)
        for _ in range(times):
            connection.sendall(again)
            sent += len(again)
    return sent


@attack("proxy", "API", "ingress", "metadata", "operator", "third party")
def heads_that_never_end(target: Target, tally: Tally, door: str) -> None:
    host = target.host_of(door).encode()
    head = b"GET / HTTP/1.1\r\nHost: %b\r\n" % host
    block = b"a" * 65536
    headers = b"".join(b"x-%d: %b\r\n" % (n, b"v" * 50) for n in range(1000))
    for what, first, again, times in (
        ("one header of 60 MB", head + b"x: ", block, 960),
        ("a name of 16 MB", head, block, 256),
        ("headers without end", head, headers, 300),
        ("a target of 16 MB", b"GET /", block, 256),
        ("a method of 16 MB", b"", b"A" * 65536, 256),
        ("blank lines", b"", b"\r\n" * 32768, 256),
    ):
        with target.open(door) as connection:
            sent = pour(connection, first, again, times)
        tally.expect(sent < 8 * MIB, f"{what}: {sent // MIB} MiB were taken")


@attack("ingress", "metadata")
def trailers_that_never_end(target: Target, tally: Tally, door: str) -> None:
    head = f"POST / HTTP/1.1\r\nHost: {target.host_of(door)}\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    for what, tail in (("trailers", b"0\r\nx: "), ("extensions of a chunk", b"5;x=")):
        with target.open(door) as connection:
            sent = pour(connection, head + tail, b"a" * 65536, 960)
        tally.expect(sent < 8 * MIB, f"{what}: {sent // MIB} MiB were taken")


@attack("API")
def bodies_of_strangers(target: Target, tally: Tally, door: str) -> None:
    """Send 30 MB without a token, and forms, queries and JSON that take long to read."""
    host = target.host_of(door)
    head = f"POST /v1/projects HTTP/1.1\r\nHost: {host}\r\nContent-Length: {30 * MIB}\r\n\r\n".encode()
    with target.open(door) as connection:
        answer = say(connection, head)
        pour(connection, b"", b"{" * 65536, 480)
    tally.expect(b" 401 " in answer or answer == b"(silence)", f"a body: {answer[:100]!r}")
    form = b"&".join([b"a"] * 500_000)
    deep = b"[" * 900_000
    wide = b'{"a":"' + b"[" * 900_000
    query = b"/v1/projects?" + b"a=b&" * 15_000
    oauth = "oauth2.googleapis.com"
    requests = {
        "a form of 500,000 fields": (oauth, b"POST /token", form),
        "JSON 900,000 deep": (oauth, b"POST /token", deep),
        "half a text of 900,000": (oauth, b"POST /token", wide),
        "a query of 15,000 fields": (host, b"GET " + query, b""),
        "a batch with a strange type": (host, b"POST /batch", b"x" * 1000),
    }
    for what, (named, line, body) in requests.items():
        kind = b"multipart/mixed" + b";a=b" * 10_000 if "batch" in what else b"application/json"
        message = b"%b HTTP/1.1\r\nHost: %b\r\nContent-Type: %b\r\nContent-Length: %d\r\n\r\n" % (
            line,
            named.encode(),
            kind,
            len(body),
        )
        with target.open(door) as connection:
            answer = say(connection, message + body)
        tally.expect(b" 40" in answer[:20] or b" 413 " in answer[:20], f"{what}: {answer[:100]!r}")


@attack("API", "metadata")
def pipelines(target: Target, tally: Tally, door: str) -> None:
    """Send a million requests without reading an answer: more than the buffers of two sockets hold."""
    one = f"GET /x HTTP/1.1\r\nHost: {target.host_of(door)}\r\n\r\n".encode()
    with target.open(door) as connection:
        connection.settimeout(1)
        sent = 0
        with contextlib.suppress(OSError):
            for _ in range(1000):
                connection.sendall(one * 1000)
                sent += 1000
    tally.expect(sent < 1_000_000, f"{sent} requests were taken")


@attack("third party")
def answers_that_nobody_reads(target: Target, tally: Tally, door: str) -> None:
    """Ask for large answers in a pipeline and read none: the door has to stop reading."""
    one = b"GET /all HTTP/1.1\r\nHost: a\r\nUser-Agent: " + b"u" * 60_000 + b"\r\n\r\n"
    with target.open(door) as connection:
        connection.settimeout(1)
        sent = 0
        with contextlib.suppress(OSError):
            for _ in range(1000):
                connection.sendall(one)
                sent += 1
    tally.expect(sent < 1000, "60 MB of answers wait for nobody")


@attack("proxy", "API", "metadata", quick=False)
def thousands_of_connections(target: Target, tally: Tally, door: str) -> None:
    """Open 3,000 connections and say nothing, or half a head."""
    open_ones = []
    try:
        for number in range(3000 if door != "API" else 600):
            try:
                made = target.open(door)
            except OSError:
                tally.expect(True, "")  # one too many
                continue
            open_ones.append(made)
            with contextlib.suppress(OSError):
                made.sendall(b"GET / HT" if number % 2 else b"")
            tally.expect(True, "")
    finally:
        for each in open_ones:
            each.close()


@attack("all", quick=False)
def slow_heads(target: Target, tally: Tally, door: str) -> None:
    """Send a byte every second (slowloris) on 20 connections to each door, which has to cut them off."""
    open_ones = {target.open(each): each for each in HEAD_DOORS for _ in range(20)}
    for connection in open_ones:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nX: ")
    end = time.monotonic() + 40
    while open_ones and time.monotonic() < end:
        time.sleep(1)
        for connection in list(open_ones):
            if is_cut(connection):
                tally.expect(True, "")
                del open_ones[connection]
    for connection, each in open_ones.items():
        connection.close()
        tally.expect(False, f"{each} waited for a slow head")


def is_cut(connection: socket.socket) -> bool:
    """Send a byte and tell whether the other side has closed; then it is closed here, too."""
    try:
        connection.settimeout(PATIENCE)
        connection.sendall(b"x")
        connection.settimeout(0.001)
        cut = not connection.recv(4096)
    except TimeoutError:
        return False
    except OSError:
        cut = True
    if cut:
        connection.close()
    return cut


@attack("proxy", quick=False)
def slow_handshakes(target: Target, tally: Tally, door: str) -> None:
    """Open 100 tunnels and begin no TLS in them, or noise."""
    open_ones = [target.tunnel("compute.googleapis.com") for _ in range(100)]
    for each in open_ones[:50]:
        each.sendall(bytes(range(256)) * 8)
    for each in open_ones[:50]:
        each.settimeout(PATIENCE)
        try:
            while each.recv(4096):
                pass
            cut = True
        except TimeoutError:
            cut = False
        except OSError:
            cut = True
        tally.expect(cut, "noise was waited for")
    end = time.monotonic() + 40
    for each in open_ones[50:]:
        each.settimeout(max(0.1, end - time.monotonic()))
        try:
            cut = not each.recv(4096)
        except TimeoutError:
            cut = False
        except OSError:
            cut = True
        tally.expect(cut, "a handshake was waited for")
    for each in open_ones:
        each.close()
