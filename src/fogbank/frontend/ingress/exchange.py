"""One request on its way through the ingress, and its answer on the way back: both stream.

Two tasks share an :class:`Exchange`: one reads what the client sends (and notices when it leaves), the other
talks to the instance.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from fogbank.frontend.http.asgi import Receive, Scope, Send
from fogbank.frontend.ingress.forwarded_headers import TraceContext, response_headers
from fogbank.resources.names import ResourceName

if TYPE_CHECKING:
    from aiohttp import ClientResponse

_QUEUED_CHUNKS = 16


class ClientGoneError(Exception):
    """The caller went away before the answer was complete."""


class AnswerTooLargeError(Exception):
    """An instance's answer says that it is larger than it may be."""


class RequestTooLargeError(Exception):
    """The body of a request has more bytes than it may have."""


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


async def read_body(exchange: Exchange) -> None:
    """Move the request's body into the queue, and end when the client has gone."""
    more = True
    while True:
        message = await exchange.receive()
        if message["type"] == "http.disconnect":
            return
        if not more:
            continue
        chunk, more = message.get("body", b""), message.get("more_body", False)
        exchange.record.request_size += len(chunk)
        if exchange.limit is not None and exchange.record.request_size > exchange.limit:
            raise RequestTooLargeError
        if chunk:
            await exchange.body.put(chunk)
        if not more:
            await exchange.body.put(None)


async def chunks(exchange: Exchange, first: bytes) -> AsyncIterator[bytes]:
    """Return the request's body, ``first`` and what follows in the queue."""
    chunk: bytes | None = first
    while chunk is not None:
        yield chunk
        chunk = await exchange.body.get()


async def send_back(exchange: Exchange, response: "ClientResponse") -> None:
    """Send the instance's answer to the client as it comes."""
    record = exchange.record
    if exchange.limit is not None and (response.content_length or 0) > exchange.limit:
        raise AnswerTooLargeError
    record.status = response.status
    await exchange.send(
        {
            "type": "http.response.start",
            "status": response.status,
            "headers": answer_headers(exchange, response.raw_headers, response.status),
        }
    )
    exchange.started = True
    async for chunk in response.content.iter_any():
        record.response_size += len(chunk)
        await exchange.send({"type": "http.response.body", "body": chunk, "more_body": True})
    await exchange.send({"type": "http.response.body", "body": b""})
