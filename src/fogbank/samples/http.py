"""A plain HTTP client for netcheck: one GET over one connection, with both of its ends in the result."""

import os
import socket
import time
from collections.abc import Callable

ROOTS = "/etc/ssl/certs/ca-certificates.crt"
"""Where the region puts the certificates that a container trusts."""

_LARGEST_BODY = 64 * 1024


def split_url(url: str) -> tuple[str, str, int, str]:
    """Split ``url`` into scheme, host, port and path; ValueError when it is no http(s) address."""
    scheme, found, rest = url.partition("://")
    if not found:
        scheme, rest = "http", url
    if scheme not in {"http", "https"}:
        raise ValueError(f"{url!r} is neither http nor https")
    authority, slash, path = rest.partition("/")
    if "?" in authority:
        authority, _, query = authority.partition("?")
        slash, path = "/?", query + slash + path
    host, _, port = authority.rpartition("@")[2].partition(":")
    if not host or not host.isascii() or (port and not port.isdigit()):
        raise ValueError(f"{url!r} names no host")
    return scheme, host, int(port) if port else (443 if scheme == "https" else 80), (slash or "/") + path


def connect(address: str, port: int, timeout: float) -> socket.socket:
    """Connect to an IPv4 ``address`` within ``timeout`` seconds."""
    # socket.create_connection would resolve the address through the idna codec, which is slow to import.
    connection = socket.socket()
    try:
        connection.settimeout(max(0.001, timeout))
        connection.connect((address, port))
    except BaseException:
        connection.close()
        raise
    return connection


def fetch(
    url: str, timeout: float, lookup: Callable[[str], list[str]], header: str = "", body: bytes | None = None
) -> dict[str, object]:
    """Get ``url`` within ``timeout`` seconds; OSError when the network or the other side fails.

    ``header`` is one more line of the request's head (``Name: value``). With a ``body`` it is a POST.
    """
    scheme, host, port, path = split_url(url)
    deadline = time.monotonic() + timeout
    connection = connect(lookup(host)[0], port, deadline - time.monotonic())
    local, peer = connection.getsockname(), connection.getpeername()
    try:
        if scheme == "https":
            connection = _secured(connection, host)
        name = host if port in {80, 443} else f"{host}:{port}"
        more = f"{header}\r\n" if header else ""
        if body is not None:
            more += f"Content-Length: {len(body)}\r\n"
        connection.sendall(
            f"{'GET' if body is None else 'POST'} {path} HTTP/1.1\r\nHost: {name}\r\nUser-Agent: netcheck\r\n"
            f"Accept: */*\r\nConnection: close\r\n{more}\r\n".encode("latin-1")
            + (body or b"")
        )
        status, text = parse_answer(_read_all(connection, deadline))
    finally:
        connection.close()
    return {
        "status": status,
        "body": text,
        "localAddress": f"{local[0]}:{local[1]}",
        "peer": f"{peer[0]}:{peer[1]}",
    }


def _secured(connection: socket.socket, host: str) -> socket.socket:
    import ssl  # it takes longer to import than netcheck takes to start

    context = ssl.create_default_context(cafile=ROOTS if os.path.exists(ROOTS) else None)  # noqa: PTH110
    # As bytes, because text would go through the idna codec too.
    return context.wrap_socket(connection, server_hostname=host.encode("ascii"))


def _read_all(connection: socket.socket, deadline: float) -> bytes:
    answer = bytearray()
    while len(answer) < _LARGEST_BODY:
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        connection.settimeout(left)
        chunk = connection.recv(65536)
        if not chunk:
            break
        answer += chunk
        if _is_whole(answer):
            break
    return bytes(answer)


def _is_whole(answer: bytearray) -> bool:
    """Return by its Content-Length whether the answer is complete, for servers that do not close."""
    head, end, body = bytes(answer).partition(b"\r\n\r\n")
    if not end:
        return False
    length = _headers(head).get("content-length", "")
    return length.isdigit() and len(body) >= int(length)


def parse_answer(answer: bytes) -> tuple[int, str]:
    """Read an HTTP answer: its status and its body as text."""
    head, end, body = answer.partition(b"\r\n\r\n")
    words = head.split(b" ", 2)
    if not end or len(words) < 2 or not words[0].startswith(b"HTTP/") or not words[1].isdigit():
        raise ValueError("the answer is not HTTP")
    if _headers(head).get("transfer-encoding", "").lower() == "chunked":
        body = _dechunk(body)
    return int(words[1]), body.decode(errors="replace")


def _headers(head: bytes) -> dict[str, str]:
    lines = head.decode("latin-1").split("\r\n")[1:]
    pairs = (line.partition(":") for line in lines)
    return {name.strip().lower(): value.strip() for name, _, value in pairs}


def _dechunk(body: bytes) -> bytes:
    whole = bytearray()
    while body:
        size, _, rest = body.partition(b"\r\n")
        length = int(size.partition(b";")[0] or b"0", 16)
        if not length:
            break
        whole += rest[:length]
        body = rest[length + 2 :]
    return bytes(whole)
