"""The client of a region's operator socket: JSON over HTTP over a Unix socket, which only its owner may open.

It is synchronous and has no dependency, so that short commands stay short. An answer ``{"error": …}`` becomes
an :class:`OperatorError` in the region's words.
"""

import http.client
import io
import json
import socket
import time
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from fogbank.cli.exits import NotRunningError
from fogbank.errors import OperatorError
from fogbank.unix_sockets import address_of

Json = dict[str, Any]

_LEAVING_SECONDS = 1.0
"""For so long a region that goes down may still take connections."""


class _Connection(http.client.HTTPConnection):
    """HTTP whose wire is a Unix socket."""

    def __init__(self, path: Path, timeout: float | None) -> None:
        super().__init__("fogbank", timeout=timeout)
        self._path = path
        self._patience = timeout

    def connect(self) -> None:
        self.sock = connect(self._path, self._patience)


class _Unbuffered:
    """A socket from which no more is read than was asked for: another protocol follows the answer."""

    def __init__(self, opened: socket.socket) -> None:
        self._opened = opened

    def makefile(self, mode: str) -> io.RawIOBase:
        """Return the socket as a file, as HTTPResponse asks for it."""
        return self._opened.makefile(mode, buffering=0)  # type: ignore[call-overload, no-any-return]


class OperatorClient:
    """One region's operator API. ``patience`` is how many seconds an answer may take."""

    def __init__(self, path: Path, name: str, patience: float = 60) -> None:
        self._path = path
        self._name = name
        self._patience = patience

    def get(self, path: str, **query: str | None) -> Any:
        """Read ``path``; parameters that are None are left out."""
        return self._ask("GET", path + _query(query))

    def post(self, path: str, body: Mapping[str, object]) -> Any:
        """Ask for something to be done."""
        return self._ask("POST", path, body)

    def delete(self, path: str) -> Any:
        """Take something away."""
        return self._ask("DELETE", path)

    def follow(self, path: str, *, forever: bool, **query: str | None) -> Iterator[Json]:
        """Read ``path`` as a stream of JSON lines; ``forever`` goes on as new ones come.

        Such a stream has no good end: NotRunningError when the region went down, OperatorError otherwise.
        """
        parameters = query | ({"follow": "1"} if forever else {})
        with self._open(
            "GET", path + _query(parameters), None, None if forever else self._patience
        ) as answer:
            try:
                for line in answer:
                    if line.endswith(b"\n"):
                        yield json.loads(line)
            except (OSError, http.client.HTTPException) as error:
                if not forever:
                    raise self._hung_up(error) from error
        if forever:
            raise self._why_it_ended()

    def open_connection(self, host: str, port: int, *, source: str | None = None) -> socket.socket:
        """Connect to a host of the region's internet, or from the on-premises network ``source``.

        OperatorError says why that cannot be.
        """
        path = "/connect" + _query({"host": host, "port": str(port), "from": source})
        request = f"GET {path} HTTP/1.1\r\nHost: fogbank\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n"
        try:
            opened = connect(self._path, self._patience)
            opened.sendall(request.encode())
            answer = http.client.HTTPResponse(_Unbuffered(opened))  # type: ignore[arg-type]
            answer.begin()
            if answer.status != HTTPStatus.SWITCHING_PROTOCOLS:
                raise OperatorError(_reason(answer))
        except (OSError, http.client.HTTPException) as error:
            raise self._hung_up(error) from error
        opened.settimeout(None)
        return opened

    def _hung_up(self, error: Exception) -> OperatorError:
        return OperatorError(
            f"Region '{self._name}' hung up ({error or type(error).__name__}). "
            f"Look at its own log: {self._path.with_name('fogbank.log')}"
        )

    def _why_it_ended(self) -> OperatorError:
        deadline = time.monotonic() + _LEAVING_SECONDS
        while time.monotonic() < deadline:
            try:
                connect(self._path, _LEAVING_SECONDS).close()
            except OSError:
                return NotRunningError(f"Region '{self._name}' went down.")
            time.sleep(0.05)
        return OperatorError(
            f"Region '{self._name}' ended the stream, because it was read too slowly. Ask again for the rest."
        )

    def _ask(self, verb: str, path: str, body: Mapping[str, object] | None = None) -> Any:
        with self._open(verb, path, body, self._patience) as answer:
            text = answer.read()
        return json.loads(text) if text.strip() else {}

    def _open(
        self, verb: str, path: str, body: Mapping[str, object] | None, patience: float | None
    ) -> http.client.HTTPResponse:
        connection = _Connection(self._path, patience)
        sent = None if body is None else json.dumps(body)
        try:
            connection.request(verb, path, sent, {"Content-Type": "application/json", "Connection": "close"})
            answer = connection.getresponse()
        except TimeoutError as error:
            connection.close()
            raise OperatorError(
                f"Region '{self._name}' did not answer within {patience:.0f} s. "
                f"Look at its own log: {self._path.with_name('fogbank.log')}"
            ) from error
        except (OSError, http.client.HTTPException) as error:  # its folder may have been removed
            connection.close()
            raise self._hung_up(error) from error
        if answer.status >= 400:
            raise OperatorError(_reason(answer))
        return answer


def serves(path: Path, patience: float) -> bool:
    """Tell whether a region answers requests on ``path``; one that starts or dies has only a socket."""
    connection = _Connection(path, patience)
    try:
        connection.request("GET", "/clock", headers={"Connection": "close"})
        connection.getresponse().read()
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
    return True


def connect(path: Path, patience: float | None) -> socket.socket:
    """Connect to the Unix socket at ``path``, however long that is; OSError when nobody listens."""
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(patience)
    try:
        with address_of(path) as address:
            connection.connect(address)
    except OSError:
        connection.close()
        raise
    return connection


def _query(parameters: Mapping[str, str | None]) -> str:
    given = {key: value for key, value in parameters.items() if value is not None}
    return "?" + urlencode(given) if given else ""


def _reason(answer: http.client.HTTPResponse) -> str:
    text = answer.read().decode(errors="replace")
    try:
        return str(json.loads(text)["error"])
    except (ValueError, KeyError, TypeError):
        return f"The region answered {answer.status} {answer.reason}: {text.strip()[:400]}"
