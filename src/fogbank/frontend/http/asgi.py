"""Small HTTP answers over ASGI, for servers that need no schema: OAuth, metadata, the ingress' own pages.

A handler is a function from a :class:`HttpRequest` to an :class:`HttpResponse`; :func:`application` makes an
ASGI application of it.
"""

import json
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any
from urllib.parse import parse_qs, unquote

from fogbank.frontend.http.json_bodies import BadJsonError, parse_json

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

BODY_LIMIT = 1024 * 1024
MOST_FIELDS = 1000
"""Parameters in a query or in a form."""


class TooLargeError(Exception):
    """The request's body passes the limit, or it has too many parameters."""


@dataclass(frozen=True)
class HttpRequest:
    """One request, read to its end. Header names are lower case; ``host`` has no port."""

    method: str
    host: str
    path: str
    query_string: str
    headers: Mapping[str, str]
    body: bytes
    client: str

    @cached_property
    def query(self) -> Mapping[str, str]:
        """The query's parameters, the first value of each."""
        return _fields(self.query_string)

    @cached_property
    def form(self) -> Mapping[str, str]:
        """The fields of a form or of a JSON object, whichever the body is; none when it is neither."""
        text = self.body.decode(errors="replace")
        if "json" not in self.headers.get("content-type", "") and not text.lstrip().startswith("{"):
            return _fields(text)
        try:
            content = parse_json(text)
        except BadJsonError:
            return {}
        return {k: v for k, v in content.items() if isinstance(v, str)} if isinstance(content, dict) else {}


def _fields(text: str) -> dict[str, str]:
    """Read a form, the first value of each field; TooLargeError when there are too many."""
    if text.count("&") >= MOST_FIELDS:
        raise TooLargeError
    return {k: v[0] for k, v in parse_qs(text, keep_blank_values=True).items()}


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """One answer; ``type`` is its content type."""

    status: int
    body: bytes
    type: str
    headers: Mapping[str, str] = field(default_factory=dict)


def json_answer(content: object, status: int = 200, headers: Mapping[str, str] | None = None) -> HttpResponse:
    """Answer with JSON, as Google prints it."""
    body = json.dumps(content, indent=2).encode() + b"\n"
    return HttpResponse(status, body, "application/json; charset=UTF-8", headers or {})


def text_answer(text: str, status: int = 200, headers: Mapping[str, str] | None = None) -> HttpResponse:
    """Answer with plain text."""
    return HttpResponse(status, text.encode(), "text/plain; charset=utf-8", headers or {})


def html_answer(page: str, status: int, headers: Mapping[str, str] | None = None) -> HttpResponse:
    """Answer with a page."""
    return HttpResponse(status, page.encode(), "text/html; charset=UTF-8", headers or {})


def headers_of(scope: Scope) -> dict[str, str]:
    """Read a request's headers; the values of a repeated one stand behind one another."""
    found: dict[str, str] = {}
    for raw_name, raw_value in scope["headers"]:
        name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1")
        between = "; " if name == "cookie" else ", "
        found[name] = f"{found[name]}{between}{value}" if name in found else value
    return found


def host_of(headers: Mapping[str, str]) -> str:
    """Read the host that a request is for, as :func:`plain_host` gives it."""
    return plain_host(headers.get("host", ""))


def plain_host(text: str) -> str:
    """Return a ``Host`` header's host: lower case, without its port and the dot that ends a full name."""
    return text.partition(":")[0].rstrip(".").lower()


def path_of(scope: Scope) -> str:
    """Read a request's path with its escapes undone."""
    raw = scope.get("raw_path")
    return path_text(raw.partition(b"?")[0]) if raw else str(scope["path"])


def path_text(raw: bytes) -> str:
    """Undo the escapes of a path."""
    return unquote(raw.decode("latin-1"))


async def read_body(receive: Receive, limit: int) -> bytes:
    """Read a request's whole body; TooLargeError when it has more than ``limit`` bytes."""
    body = bytearray()
    while True:
        message = await receive()
        body += message.get("body", b"")
        if len(body) > limit:
            raise TooLargeError
        if message["type"] == "http.disconnect" or not message.get("more_body", False):
            return bytes(body)


async def read_request(scope: Scope, receive: Receive) -> HttpRequest:
    """Read a whole request; TooLargeError when its body passes the limit."""
    body = await read_body(receive, BODY_LIMIT)
    headers = headers_of(scope)
    return HttpRequest(
        method=scope["method"],
        host=host_of(headers),
        path=path_of(scope),
        query_string=scope.get("query_string", b"").decode("latin-1"),
        headers=headers,
        body=body,
        client=(scope.get("client") or ("", 0))[0],
    )


async def respond(send: Send, answer: HttpResponse) -> None:
    """Send an answer whole."""
    headers = {"content-type": answer.type, "content-length": str(len(answer.body))}
    headers |= {name.lower(): value for name, value in answer.headers.items()}
    await send(
        {
            "type": "http.response.start",
            "status": answer.status,
            "headers": [(n.encode("latin-1"), v.encode("latin-1")) for n, v in headers.items()],
        }
    )
    await send({"type": "http.response.body", "body": answer.body})


def application(handle: Callable[[HttpRequest], HttpResponse]) -> Application:
    """Make an ASGI application of a handler."""

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            answer = handle(await read_request(scope, receive))
        except TooLargeError:
            answer = text_answer("The request is too large.\n", 413)
        await respond(send, answer)

    return serve
