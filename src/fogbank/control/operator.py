"""The operator's API: what the command line asks a running region, as JSON over a Unix socket.

Whoever can open the socket (mode 0600) owns the region, so there are no tokens. Each topic (status, logs, the
clock …) is a class with a few :class:`Route`; `app` composes them.
"""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import parse_qs, unquote

from fogbank.errors import ApiError, DriverError, OperatorError

log = logging.getLogger(__name__)

BODY_LIMIT = 1024 * 1024
Json = dict[str, Any]
Lines = AsyncIterator[Mapping[str, object]]
"""An answer that is sent line by line, as long as there are lines and a reader."""

Message = MutableMapping[str, Any]
Send = Callable[[Message], Awaitable[None]]
Receive = Callable[[], Awaitable[Message]]


@dataclass(frozen=True, slots=True)
class Question:
    """What a person asks for: the body's fields, the query's, and what the path names (``host``)."""

    body: Json
    query: Mapping[str, str]
    path: Mapping[str, str]

    @property
    def follow(self) -> bool:
        """Whether lines to come are wanted, too."""
        return self.query.get("follow") in {"1", "true"}


@dataclass(frozen=True, slots=True)
class Route:
    """``GET internet/sites`` or ``DELETE internet/sites/{host}``, and who answers it.

    ``answer`` raises OperatorError when the question has no answer: its text is for a person.
    """

    method: Literal["GET", "POST", "DELETE"]
    path: str
    answer: Callable[[Question], Json | Awaitable[Json | Lines]]


class OperatorApi:
    """An ASGI application over the routes of all topics."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self._routes: dict[tuple[str, int], list[tuple[tuple[str, ...], Route]]] = {}
        for route in routes:
            parts = tuple(route.path.split("/"))
            self._routes.setdefault((route.method, len(parts)), []).append((parts, route))

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        try:
            await self._serve(scope, receive, send)
        except ApiError as error:
            await _answer(send, {"error": error.message}, error.code)
        except (OperatorError, DriverError, ValueError, KeyError) as error:
            await _answer(send, {"error": str(error)}, 400)
        except Exception as error:
            log.exception("the operator's request failed")
            await _answer(send, {"error": f"{type(error).__name__}: {error}"}, 500)

    async def _serve(self, scope: Message, receive: Receive, send: Send) -> None:
        found = self.find(scope["method"], scope["path"])
        if found is None:
            await _answer(send, {"error": f"no such request: {scope['method']} {scope['path']}"}, 404)
            return
        route, path = found
        # All of a body is read before anything is done: the sender must not lose the connection halfway.
        body = await _body(receive) if route.method == "POST" else {}
        query = {key: values[-1] for key, values in parse_qs(scope["query_string"].decode()).items()}
        given = route.answer(Question(body, query, path))
        answer = await given if isinstance(given, Awaitable) else given
        if isinstance(answer, AsyncIterator):
            await _stream(receive, send, answer)
        else:
            await _answer(send, answer)

    def find(self, method: str, path: str) -> tuple[Route, Mapping[str, str]] | None:
        """Find the route of a request, and what its path names."""
        asked = path.strip("/").split("/")
        for parts, route in self._routes.get((method, len(asked)), ()):
            pairs = list(zip(parts, asked, strict=True))
            if all(part == given or part.startswith("{") for part, given in pairs):
                return route, {part[1:-1]: unquote(given) for part, given in pairs if part != given}
        return None


async def _body(receive: Receive) -> Json:
    text = bytearray()
    while True:
        message = await receive()
        text += message.get("body", b"")
        if len(text) > BODY_LIMIT:
            raise OperatorError(f"the request's body is longer than {BODY_LIMIT} bytes")
        if not message.get("more_body"):
            break
    try:
        body = json.loads(text or b"{}")
    except RecursionError:
        raise OperatorError("the request's body is nested too deeply") from None
    if not isinstance(body, dict):
        raise OperatorError("the request's body must be a JSON object")
    return body


async def _answer(send: Send, body: Json, status: int = 200) -> None:
    text = json.dumps(body, ensure_ascii=False).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(text)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": text})


async def _stream(receive: Receive, send: Send, lines: Lines) -> None:
    """Send ``lines`` as they come, until there are no more or the reader has gone."""
    headers = [(b"content-type", b"application/x-ndjson")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    reader_gone = asyncio.ensure_future(_disconnect(receive))
    sending = asyncio.ensure_future(_send_lines(send, lines))
    done, pending = await asyncio.wait({reader_gone, sending}, return_when=asyncio.FIRST_COMPLETED)
    for task in pending:
        task.cancel()
    await asyncio.gather(*pending, return_exceptions=True)
    for task in done:
        task.result()


async def _send_lines(send: Send, lines: Lines) -> None:
    async for line in lines:
        text = json.dumps(line, ensure_ascii=False).encode() + b"\n"
        await send({"type": "http.response.body", "body": text, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


async def _disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
