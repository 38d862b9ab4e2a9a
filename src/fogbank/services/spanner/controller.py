"""Talks to Google's Spanner emulator, which the first call starts and the region's end ends."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Mapping
from collections.abc import Set as AbstractSet
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from fogbank.dataplane.linux.spanner_emulator import SpannerEmulator
from fogbank.errors import ApiError, DriverError, not_built
from fogbank.resources.world import Json

if TYPE_CHECKING:
    from aiohttp import ClientResponse, ClientSession

_STATUS = {
    3: (400, "INVALID_ARGUMENT"),
    4: (504, "DEADLINE_EXCEEDED"),
    5: (404, "NOT_FOUND"),
    6: (409, "ALREADY_EXISTS"),
    8: (429, "RESOURCE_EXHAUSTED"),
    9: (400, "FAILED_PRECONDITION"),
    10: (409, "ABORTED"),
    11: (400, "OUT_OF_RANGE"),
}
"""Of gRPC's codes those that the emulator answers with (google/rpc/code.proto), with HTTP's beside them."""
_UNIMPLEMENTED = 12
_UNREADABLE = "failed to marshal error message"
"""What the emulator's HTTP gateway (1.5.37) writes in place of every error that names a missing resource."""
_UNKNOWN_FIELD = re.compile(r'proto: .*unknown field "(\w+)"')
"""What the gateway says of a field that is younger than it is; over gRPC the emulator does not mind."""
_CLIENTS_OWN = frozenset({"params", "paramTypes"})
_LONGEST_LINE = 64 * 1024 * 1024


class EmulatorClient:
    """The backend of Spanner's methods."""

    def __init__(self) -> None:
        self._emulator = SpannerEmulator()
        self._starting = asyncio.Lock()
        self._session: ClientSession | None = None
        self._unknown: set[str] = set()
        """Fields that this emulator does not know: it gets requests without them."""

    async def call(self, verb: str, path: str, query: Json, body: Json) -> Json:
        """Send one request and return the answer; ApiError when the emulator refuses it."""
        async with self._answer(verb, path, query, body) as answer:
            found: Json = json.loads(await answer.read() or b"{}")
        return found

    async def stream(self, verb: str, path: str, query: Json, body: Json) -> AsyncIterator[Json]:
        """Send one request and return its answers; each line of the emulator's is one."""
        async with self._answer(verb, path, query, body) as answer:
            async for line in _lines(answer):
                if not line.strip():
                    continue
                found = json.loads(line)
                if "error" in found:
                    raise _refusal(500, found["error"], path)
                yield found["result"]

    async def close(self) -> None:
        """End the connections to the emulator."""
        if self._session is not None:
            await self._session.close()

    @asynccontextmanager
    async def _answer(self, verb: str, path: str, query: Json, body: Json) -> AsyncIterator["ClientResponse"]:
        session = await self._started()
        parameters = [(name, str(value)) for name, value in query.items()]
        while True:
            sent = json.dumps(_without(body, self._unknown)) if body else None
            async with session.request(
                verb, f"{self._emulator.url}{path}", params=parameters, data=sent
            ) as answer:
                if answer.status == 200:
                    yield answer
                    return
                error = _parsed(await answer.text())
            unknown = _UNKNOWN_FIELD.match(str(error.get("message")))
            if unknown is None or unknown[1] in self._unknown:
                raise _refusal(answer.status, error, path)
            self._unknown.add(unknown[1])

    async def _started(self) -> "ClientSession":
        async with self._starting:
            try:
                await asyncio.to_thread(self._emulator.start)
            except DriverError as error:
                raise ApiError(400, str(error), "FAILED_PRECONDITION", "failedPrecondition") from error
            if self._session is None:
                import aiohttp  # nobody needs it before

                self._session = aiohttp.ClientSession()
        return self._session


async def _lines(answer: "ClientResponse") -> AsyncIterator[bytes]:
    """Split what comes into lines, the last with or without an end; ApiError for one that is too long.

    aiohttp's own iteration gives up with a ValueError on a line of more than two of its buffers.
    """
    rest: list[bytes] = []
    length = 0
    async for chunk in answer.content.iter_any():
        *whole, last = chunk.split(b"\n")
        for end in whole:
            yield b"".join((*rest, end))
            rest, length = [], 0
        rest.append(last)
        length += len(last)
        if length > _LONGEST_LINE:
            raise ApiError(
                400,
                f"Google's Spanner emulator sent a part of an answer with more than {_LONGEST_LINE} bytes. "
                "Read fewer columns or rows at once.",
                "RESOURCE_EXHAUSTED",
                "resourceExhausted",
            )
    if length:
        yield b"".join(rest)


def _without(value: Any, names: AbstractSet[str]) -> Any:
    """Leave out fields, however deep; what the parameters of a query are called is the client's."""
    if not names:
        return value
    if isinstance(value, dict):
        return {
            key: each if key in _CLIENTS_OWN else _without(each, names)
            for key, each in value.items()
            if key not in names
        }
    return [_without(each, names) for each in value] if isinstance(value, list) else value


def _parsed(text: str) -> Mapping[str, object]:
    """Read an error: of a call, or of a stream, where it is one deeper."""
    try:
        found = json.loads(text)
    except ValueError:
        return {"message": text.strip()}
    if not isinstance(found, dict):
        return {}
    inner = found.get("error")
    return inner if isinstance(inner, dict) else found


def _refusal(status: int, error: Mapping[str, object], path: str) -> ApiError:
    code, message = error.get("code"), str(error.get("message") or error.get("error") or "")
    if code == _UNIMPLEMENTED:
        return not_built(f"what Google's Spanner emulator does not ({message})")
    if message == _UNREADABLE:
        name = path.removeprefix("/v1/").removesuffix("/ddl").partition(":")[0]
        return ApiError(404, f"Resource not found: {name}", "NOT_FOUND", "notFound")
    status, name = _STATUS.get(code if isinstance(code, int) else 0, (status, "INTERNAL"))
    return ApiError(status, message, name, name.lower())
