"""Malformed HTTP/1.1, at every door that speaks it."""

import socket

from tests.attacks.table import Tally, attack
from tests.attacks.target import PATIENCE, Target

TARGETS = {
    "a target that is an authority": b"@169.254.16.20:8080/info",
    "a target without a slash": b"1/",
    "a star that is not for OPTIONS": b"*",
    "half an IPv6 address": b"http://[::1/",
    "a user in the target": b"http://user@169.254.16.20:8080/info",
    "another scheme": b"gopher://x/",
    "a fragment": b"/a#b",
    "a NUL": b"/\0",
    "a byte that is no ASCII": b"/\xff",
    "nothing": b"",
    "a backslash authority": b"\\\\169.254.16.20/",
    "a port that is none": b"http://x:99999/",
}
HEADERS = {
    "two hosts": b"Host: a.run.app\r\nHost: b.run.app\r\n",
    "a host with a path": b"Host: a.run.app/x\r\n",
    "a host with a user": b"Host: u@a.run.app\r\n",
    "a header without a colon": b"Host: a\r\nnonsense\r\n",
    "a space before the colon": b"Host : a\r\n",
    "a NUL in a value": b"Host: a\r\nX: a\0b\r\n",
    "a bare return": b"Host: a\r\nX: a\rY: b\r\n",
    "two lengths": b"Host: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n",
    "a length and chunks": b"Host: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n",
    "a negative length": b"Host: a\r\nContent-Length: -1\r\n",
    "a length of 400 digits": b"Host: a\r\nContent-Length: 1" + b"0" * 400 + b"\r\n",
    "an unknown coding": b"Host: a\r\nTransfer-Encoding: chunked, gzip\r\n",
    "an empty name": b"Host: a\r\n: x\r\n",
}
_CHUNKED = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked"
WHOLE = {
    "no version": b"GET /\r\n\r\n",
    "another version": b"GET / HTTP/9.9\r\nHost: a\r\n\r\n",
    "the preface of HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "TLS where none is": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500),
    "a method of 5,000 letters": b"A" * 5000 + b" / HTTP/1.1\r\nHost: a\r\n\r\n",
    "SOCKS": b"\x05\x01\x00\r\n\r\n",
    "a chunk of no size": b"%b\r\n\r\nzz\r\n" % _CHUNKED,
    "a chunk of 2**64": b"%b\r\n\r\n10000000000000000\r\n" % _CHUNKED,
    "a tunnel in a tunnel": b"CONNECT 169.254.16.20:8080 HTTP/1.1\r\nHost: a\r\n\r\n",
}
TUNNELS = (
    "-hold.run.app:443",
    "..run.app:443",
    "%2e.run.app:443",
    "a\0b.run.app:443",
    "a" * 5000 + ".run.app:443",
    "a" * 64 + ".run.app:443",
    "x-.run.app:443",
    ".googleapis.com:443",
    "*.run.app:443",
    "run.app@127.0.0.1:443",
    "127.0.0.1:443",
    "[::1]:443",
    "[::1:443",
    "localhost:22",
    "metadata.google.internal:443",
    "169.254.169.254:443",
    "compute.googleapis.com:99999",
    "compute.googleapis.com:443:443",
    "compute.googleapis.com:-443",
    "compute.googleapis.com",
    "",
)
DOORS = ("proxy", "API", "ingress", "metadata", "operator", "third party")


def say(connection: socket.socket, message: bytes) -> bytes:
    """Send and hear all that comes, up to the close or the first quiet moment after an answer."""
    connection.settimeout(PATIENCE)
    heard = b""
    try:
        connection.sendall(message)
        while more := connection.recv(65536):
            heard += more
            if b"\r\n\r\n" in heard:
                connection.settimeout(0.05)
    except TimeoutError:
        if not heard:
            return b"(silence)"
    except OSError:
        pass
    return heard


def refused(answer: bytes) -> bool:
    """Tell whether an answer is a refusal that says so: no success, no bare error, no silence."""
    status = answer.split(b" ", 2)[1] if answer.startswith(b"HTTP/1.1 ") else b""
    return status[:1] == b"4" or status in {b"501", b"505", b"502"}


def malformed(host: bytes) -> dict[str, bytes]:
    """Write all malformed requests to ``host``."""
    named = {what: b"GET %b HTTP/1.1\r\nHost: %b\r\n\r\n" % (t, host) for what, t in TARGETS.items()}
    named |= {what: b"POST / HTTP/1.1\r\n%b\r\n" % lines for what, lines in HEADERS.items()}
    return named | WHOLE


@attack(*DOORS)
def malformed_requests(target: Target, tally: Tally, door: str) -> None:
    for what, message in malformed(target.host_of(door).encode()).items():
        with target.open(door) as connection:
            answer = say(connection, message)
        lenient = door == "third party" and answer.startswith(b"HTTP/1.1 200")
        tally.expect(lenient or refused(answer), f"{what}: {answer[:120]!r}")


@attack("proxy")
def tunnels_to_what_is_no_host_of_ours(target: Target, tally: Tally, door: str) -> None:
    for host in TUNNELS:
        with target.open(door) as connection:
            answer = say(connection, f"CONNECT {host} HTTP/1.1\r\n\r\n".encode())
        tally.expect(refused(answer), f"CONNECT {host[:60]}: {answer[:120]!r}")


@attack("ingress")
def addresses_in_requests(target: Target, tally: Tally, door: str) -> None:
    """Ask an open service for what only the closed one has."""
    place = f"{target.closed_address}:8080"
    for text in (
        f"@{place}/info",
        f"http://{place}/info",
        f"http://u:p@{place}/info",
        f"//{place}/info",
        f"/\\@{place}/info",
        f"/../@{place}/info",
        f"/;@{place}/info",
        f"/%2f@{place}/info",
        f"/?@{place}/info",
    ):
        with target.open(door) as connection:
            answer = say(connection, f"GET {text} HTTP/1.1\r\nHost: {target.hosts['open']}\r\n\r\n".encode())
        tally.expect(b'"closed"' not in answer, f"{text}: {answer[:200]!r}")


@attack("ingress")
def hosts_in_headers(target: Target, tally: Tally, door: str) -> None:
    """Reach the closed service by a second name for it."""
    closed, opened = target.hosts["closed"], target.hosts["open"]
    for lines in (
        f"Host: {closed}",
        f"Host: {opened}\r\nX-Forwarded-Host: {closed}",
        f"Host: {opened}\r\nX-Original-URL: https://{closed}/info",
        f"Host: {opened}\r\nForwarded: host={closed}",
        f"Host: {opened},{closed}",
        f"Host: {closed.upper()}.",
        f"Host: {closed}:443",
        f"Host: {closed}\r\nX-Serverless-Authorization: Bearer x",
        f"Host: {closed}\r\nAuthorization: Bearer {target.token}",
    ):
        with target.open(door) as connection:
            answer = say(connection, f"GET /info HTTP/1.1\r\n{lines}\r\n\r\n".encode())
        tally.expect(b'"K_SERVICE": "closed"' not in answer, f"{lines}: {answer[:200]!r}")


@attack("ingress")
def trailers_for_headers(target: Target, tally: Tally, door: str) -> None:
    """Smuggle a second host, and a second request, behind a body."""
    for tail in (
        b"0\r\nHost: %b\r\n\r\n",
        b"0\r\n\r\nGET /info HTTP/1.1\r\nHost: %b\r\n\r\n",
        b"0;x=\r\nHost: %b\r\n\r\n",
    ):
        head = f"POST /info HTTP/1.1\r\nHost: {target.hosts['open']}\r\nTransfer-Encoding: chunked\r\n\r\n"
        with target.open(door) as connection:
            answer = say(connection, head.encode() + tail % target.hosts["closed"].encode())
        tally.expect(b'"K_SERVICE": "closed"' not in answer, f"{tail!r}: {answer[:200]!r}")


@attack("metadata")
def line_breaks_in_redirects(target: Target, tally: Tally, door: str) -> None:
    for path in (
        "instance%0d%0aX-Got: in",
        "instance/%0d%0aX-Got:%20in",
        "instance%00",
        "instance%ff%e2%82%ac",
    ):
        request = (
            f"GET /computeMetadata/v1/{path.replace(' ', '%20')} HTTP/1.1\r\n"
            "Host: metadata\r\nMetadata-Flavor: Google\r\n\r\n"
        )
        with target.open(door) as connection:
            answer = say(connection, request.encode())
        head = answer.partition(b"\r\n\r\n")[0].lower()
        tally.expect(refused(answer) and b"\r\nx-got" not in head, f"{path}: {answer[:200]!r}")
