"""The smallest web server that a sample needs: a thread for each connection, keep-alive, a quick start.

A cold start waits for the interpreter and for these imports. So the standard library's own servers,
``typing``, ``dataclasses`` and ``urllib`` stay out: each takes about as long as Python takes to start.
A sample gives one function from a :class:`SampleRequest` to a :class:`SampleResponse`.
"""

import _thread
import os
import signal
import socket
import time
from collections.abc import Callable
from io import BufferedReader

_LARGEST_HEAD = 64 * 1024
_LARGEST_BODY = 4 * 1024 * 1024
_GRACE_SECONDS = 9.0
"""Cloud Run waits 10 s between SIGTERM and SIGKILL (behaviour/cloud-run.md#scaling)."""

_REASONS = {
    200: "OK",
    400: "Bad Request",
    404: "Not Found",
    500: "Internal Server Error",
    503: "Service Unavailable",
}


class SampleRequest:
    """One request: ``path`` and ``query`` are decoded, header names are in lower case.

    ``body`` is what came with a Content-Length, up to 4 MiB of it.
    """

    __slots__ = ("body", "headers", "method", "path", "query")

    def __init__(self, method: str, target: str, headers: dict[str, str], body: bytes = b"") -> None:
        self.body = body
        self.method = method
        path, _, query = target.partition("?")
        self.path = unquote(path)
        self.query = parse_query(query)
        self.headers = headers

    @property
    def keeps_open(self) -> bool:
        """Return whether another request may follow; a chunked body is not read and ends the connection."""
        return (
            self.headers.get("connection", "").lower() != "close" and "transfer-encoding" not in self.headers
        )


class SampleResponse:
    """One answer; ``body`` is sent as UTF-8."""

    __slots__ = ("body", "content_type", "status")

    def __init__(self, body: str, content_type: str = "text/plain", status: int = 200) -> None:
        self.body = body
        self.content_type = content_type
        self.status = status


Handler = Callable[[SampleRequest], SampleResponse]


class Server:
    """Serves ``handler`` at ``port`` of every address; SIGTERM ends it after the requests under way."""

    def __init__(self, handler: Handler, port: int) -> None:
        self.handler = handler
        self.busy = 0
        self._lock = _thread.allocate_lock()
        self.socket = socket.create_server(("", port), backlog=1024)

    def run(self) -> None:
        """Accept connections for ever."""
        _thread.stack_size(512 * 1024)
        signal.signal(signal.SIGTERM, self._terminate)
        signal.signal(signal.SIGINT, self._terminate)
        while True:
            connection, _ = self.socket.accept()
            _thread.start_new_thread(self._converse, (connection,))

    def _terminate(self, _signal: int, _frame: object) -> None:
        self.socket.close()
        deadline = time.monotonic() + _GRACE_SECONDS
        while self.busy and time.monotonic() < deadline:
            time.sleep(0.01)
        say("stopped")
        os._exit(0)  # idle connections sit in threads that would keep the process

    def _converse(self, connection: socket.socket) -> None:
        reader = connection.makefile("rb")
        try:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while self._exchange(connection, reader):
                pass
        except OSError:
            pass  # the caller went away; there is nobody to tell
        finally:
            reader.close()
            connection.close()

    def _exchange(self, connection: socket.socket, reader: BufferedReader) -> bool:
        """Answer one request; tell whether another may follow."""
        request = read_request(reader)
        if request is None:
            return False
        self._count(1)
        started = time.monotonic()
        try:
            response = self._answer(request)
            keep = request.keeps_open
            connection.sendall(render(response, keep=keep, with_body=request.method != "HEAD"))
            say(f"{request.method} {request.path} {response.status} {time.monotonic() - started:.3f}s")
        finally:
            self._count(-1)
        return keep

    def _answer(self, request: SampleRequest) -> SampleResponse:
        try:
            return self.handler(request)
        except ValueError as error:
            return SampleResponse(f"{error}\n", status=400)
        except Exception as error:  # noqa: BLE001 - the caller sees what broke, the server lives on
            return SampleResponse(f"{type(error).__name__}: {error}\n", status=500)

    def _count(self, by: int) -> None:
        with self._lock:
            self.busy += by


def read_request(reader: BufferedReader) -> SampleRequest | None:
    """Read one request; None when the caller closed or speaks something else."""
    line = reader.readline(_LARGEST_HEAD)
    parts = line.decode("latin-1").split()
    if len(parts) != 3 or not parts[2].startswith("HTTP/"):
        return None
    headers: dict[str, str] = {}
    while (line := reader.readline(_LARGEST_HEAD)) not in {b"\r\n", b"\n", b""}:
        name, _, value = line.decode("latin-1").partition(":")
        headers[name.strip().lower()] = value.strip()
    length = headers.get("content-length", "0")
    left = int(length) if length.isdigit() else 0
    body = bytearray()
    while left > 0 and (chunk := reader.read(min(left, _LARGEST_HEAD))):
        left -= len(chunk)
        body += chunk[: _LARGEST_BODY - len(body)]
    return SampleRequest(parts[0], parts[1], headers, bytes(body))


def render(response: SampleResponse, *, keep: bool, with_body: bool) -> bytes:
    """Render an answer as HTTP/1.1."""
    body = response.body.encode()
    head = (
        f"HTTP/1.1 {response.status} {_REASONS.get(response.status, 'Unknown')}\r\n"
        f"Content-Type: {response.content_type}; charset=utf-8\r\n"
        f"Content-Length: {len(body)}\r\n"
        f"Connection: {'keep-alive' if keep else 'close'}\r\n\r\n"
    )
    return head.encode("latin-1") + (body if with_body else b"")


def parse_query(text: str) -> dict[str, str]:
    """Read ``a=1&b=x%20y``; of a name that stands twice the last value counts."""
    pairs = (part.partition("=") for part in text.split("&") if part)
    return {unquote(name.replace("+", " ")): unquote(value.replace("+", " ")) for name, _, value in pairs}


def unquote(text: str) -> str:
    """Decode percent escapes as UTF-8; what is no escape stays."""
    if "%" not in text:
        return text
    first, *rest = text.encode().split(b"%")
    decoded = bytearray(first)
    for part in rest:
        try:
            decoded.append(int(part[:2], 16))
            decoded += part[2:]
        except ValueError:
            decoded += b"%" + part
    return decoded.decode(errors="replace")


def say(line: str) -> None:
    """Write one line of log, whole, also when threads write at once."""
    os.write(1, line.encode(errors="replace") + b"\n")
