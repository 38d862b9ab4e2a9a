"""The bare HTTP server: one answer to everything, given in the environment."""

import os
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

BODY = os.environ.get("BENCH_BODY", "").encode()
_HEADERS = [(b"content-type", b"application/json; charset=UTF-8"), (b"content-length", b"%d" % len(BODY))]


async def app(
    scope: Mapping[str, Any], receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Awaitable[None]]
) -> None:
    """Answer."""
    if scope["type"] == "http":
        await receive()
        await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
        await send({"type": "http.response.body", "body": BODY})
