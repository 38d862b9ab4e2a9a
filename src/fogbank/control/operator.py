"""The operator's API: what the command line asks a running region, as JSON over a Unix socket.

Whoever can open the socket (mode 0600) owns the region, so there are no tokens. The routes are few and
fixed; each is one method of :class:`Operator`, which `app` composes.
"""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, MutableMapping
from typing import Any, Protocol
from urllib.parse import parse_qs, unquote

from fogbank.errors import ApiError, DriverError, OperatorError

log = logging.getLogger(__name__)

BODY_LIMIT = 1024 * 1024
Json = dict[str, Any]
Message = MutableMapping[str, Any]
Send = Callable[[Message], Awaitable[None]]
Receive = Callable[[], Awaitable[Message]]


class Operator(Protocol):
    """Everything that a person at the terminal can ask for."""

    def status(self) -> Json: ...
    def environment(self) -> Mapping[str, str | None]: ...
    def sites(self) -> Iterable[Json]: ...
    async def add_site(self, request: Json) -> Json: ...
    async def remove_site(self, host: str) -> Json: ...
    async def site_access_log(self, host: str, *, follow: bool) -> AsyncIterator[Mapping[str, object]]: ...
    def logs(self, resource: str, *, follow: bool) -> AsyncIterator[Mapping[str, object]]: ...
    async def trace(self, request: Json) -> Json: ...
    async def drops(self) -> Iterable[Json]: ...
    def credentials(self, request: Json) -> Json: ...
    def clock(self) -> Json: ...
    async def advance(self, request: Json) -> Json: ...
    def plan(self) -> Json: ...
    def images(self) -> Iterable[Json]: ...
    def down(self) -> Json: ...


class OperatorApi:
    """An ASGI application over an :class:`Operator`."""

    def __init__(self, operator: Operator) -> None:
        self._operator = operator

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        try:
            await self._route(scope, receive, send)
        except ApiError as error:
            await _answer(send, {"error": error.message}, error.code)
        except (OperatorError, DriverError, ValueError, KeyError) as error:
            await _answer(send, {"error": str(error)}, 400)
        except Exception as error:
            log.exception("the operator's request failed")
            await _answer(send, {"error": f"{type(error).__name__}: {error}"}, 500)

    async def _route(self, scope: Message, receive: Receive, send: Send) -> None:
        query = {key: values[-1] for key, values in parse_qs(scope["query_string"].decode()).items()}
        follow = query.get("follow") in {"1", "true"}
        operator = self._operator
        match scope["method"], *scope["path"].strip("/").split("/"):
            case "GET", "status":
                await _answer(send, operator.status())
            case "GET", "environment":
                await _answer(send, dict(operator.environment()))
            case "GET", "internet", "sites":
                await _answer(send, {"sites": list(operator.sites())})
            case "POST", "internet", "sites":
                await _answer(send, await operator.add_site(await _body(receive)))
            case "DELETE", "internet", "sites", host:
                await _answer(send, await operator.remove_site(unquote(host)))
            case "GET", "internet", "log":
                seen = await operator.site_access_log(query.get("host", ""), follow=follow)
                await _stream(receive, send, seen)
            case "GET", "logs":
                await _stream(receive, send, operator.logs(query.get("resource", ""), follow=follow))
            case "POST", "trace":
                await _answer(send, await operator.trace(await _body(receive)))
            case "GET", "drops":
                await _answer(send, {"drops": list(await operator.drops())})
            case "POST", "credentials":
                await _answer(send, operator.credentials(await _body(receive)))
            case "GET", "clock":
                await _answer(send, operator.clock())
            case "POST", "clock":
                await _answer(send, await operator.advance(await _body(receive)))
            case "GET", "plan":
                await _answer(send, operator.plan())
            case "GET", "images":
                await _answer(send, {"images": list(operator.images())})
            case "POST", "down":
                await _body(receive)  # all of it: the sender must not find the door shut halfway
                await _answer(send, operator.down())
            case _:
                await _answer(send, {"error": f"no such request: {scope['method']} {scope['path']}"}, 404)


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


async def _stream(receive: Receive, send: Send, lines: AsyncIterator[Mapping[str, object]]) -> None:
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


async def _send_lines(send: Send, lines: AsyncIterator[Mapping[str, object]]) -> None:
    async for line in lines:
        text = json.dumps(line, ensure_ascii=False).encode() + b"\n"
        await send({"type": "http.response.body", "body": text, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


async def _disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
