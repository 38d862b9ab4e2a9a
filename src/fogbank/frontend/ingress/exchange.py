"""One request on its way through the ingress, and its answer on the way back: both stream."""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from fogbank.frontend.http.asgi import Receive, Scope, Send
from fogbank.frontend.ingress.forwarded_headers import TraceContext, response_headers
from fogbank.resources.names import ResourceName

_QUEUED_CHUNKS = 16


class ClientGoneError(Exception):
    """The caller went away before the answer was complete."""


class AnswerTooLargeError(Exception):
    """An instance's answer says that it is larger than it may be."""


class RequestTooLargeError(Exception):
    """The body of a request has more bytes than it may have."""


class BadRequestError(Exception):
    """A request that cannot be written as HTTP/1.1 for a container."""


def answer_headers(
    exchange: "Exchange", raw: Iterable[tuple[bytes, bytes]], status: int
) -> list[tuple[bytes, bytes]]:
    """Give the headers that the caller gets of an instance's answer; BadAnswerError when they are no HTTP."""
    own = ((b"set-cookie", exchange.cookie),) if exchange.cookie else ()
    return response_headers((*raw, *own), exchange.record.trace, status)


@dataclass(slots=True)
class RequestRecord:
    """What is written about one request; sizes in bytes, ``latency`` in seconds."""

    service: ResourceName
    method: str
    url: str
    remote_ip: str
    user_agent: str
    protocol: str
    trace: TraceContext
    revision: ResourceName | None = None
    status: int = 0
    request_size: int = 0
    response_size: int = 0
    latency: float = 0.0
    message: str = ""

    @property
    def severity(self) -> str:
        """Rank the outcome as Cloud Logging does."""
        if self.status >= 500:
            return "ERROR"
        return "WARNING" if self.status >= 400 else "INFO"


@dataclass(slots=True)
class Exchange:
    """One request on its way: what came in, and how far the answer is."""

    scope: Scope
    receive: Receive
    send: Send
    headers: Mapping[str, str]
    record: RequestRecord
    started: bool = False
    cookie: bytes = b""
    """A Set-Cookie of ours for the answer."""
    limit: int | None = None
    """How many bytes the body may have."""
    more: bool = True
    """Whether there is more to come of the body."""
    body: asyncio.Queue[bytes | None] = field(default_factory=lambda: asyncio.Queue(_QUEUED_CHUNKS))

    def limit_to(self, most: int | None) -> None:
        """Let the body have ``most`` bytes; RequestTooLargeError when it says that it has more."""
        self.limit = most
        if most is not None and int(self.headers.get("content-length") or 0) > most:
            raise RequestTooLargeError


def target_of(scope: Scope) -> str:
    """Write the path and query as they came."""
    raw = scope.get("raw_path")
    path = raw.decode("latin-1").partition("?")[0] if raw else str(scope["path"])
    query = scope.get("query_string", b"").decode("latin-1")
    return f"{path}?{query}" if query else path


async def next_part(exchange: Exchange) -> bytes:
    """Return the next part of the request's body, empty for none; ``exchange.more`` says if others follow.

    After the last one it returns when the client says something else. ClientGoneError when it has left,
    RequestTooLargeError when the body is.
    """
    message = await exchange.receive()
    if message["type"] == "http.disconnect":
        raise ClientGoneError
    if not exchange.more:
        return b""
    part: bytes = message.get("body", b"")
    exchange.more = message.get("more_body", False)
    exchange.record.request_size += len(part)
    if exchange.limit is not None and exchange.record.request_size > exchange.limit:
        raise RequestTooLargeError
    return part


async def read_body(exchange: Exchange) -> None:
    """Move the request's body into the queue, and end when the client has gone."""
    try:
        while True:
            expected = exchange.more
            part = await next_part(exchange)
            if part:
                await exchange.body.put(part)
            if expected and not exchange.more:
                await exchange.body.put(None)
    except ClientGoneError:
        return
