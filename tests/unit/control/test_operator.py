"""The operator's requests find their routes, and each gets an answer in JSON."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest

from fogbank.control.operator import Json, Lines, OperatorApi, Question, Route
from fogbank.errors import OperatorError


def refuse(_: Question) -> Json:
    raise OperatorError("No.")


def break_down(_: Question) -> Json:
    raise TypeError("a bug")


async def two_lines() -> AsyncIterator[Mapping[str, object]]:
    yield {"line": 1}
    yield {"line": 2}


async def stream(_: Question) -> Lines:
    return two_lines()


async def echo(question: Question) -> Json:
    return {"body": question.body, "query": dict(question.query), "path": dict(question.path)}


API = OperatorApi(
    (
        Route("GET", "things", echo),
        Route("POST", "things", echo),
        Route("DELETE", "things/{name}", echo),
        Route("GET", "things/first", refuse),
        Route("GET", "broken", break_down),
        Route("GET", "lines", stream),
    )
)


async def ask(method: str, path: str, body: bytes = b"", query: bytes = b"") -> tuple[int, list[Any]]:
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": method, "path": path, "query_string": query}
    await API(scope, receive, send)
    text = b"".join(message.get("body", b"") for message in sent)
    return sent[0]["status"], [json.loads(line) for line in text.splitlines()]


async def test_a_route_gets_the_body_the_query_and_what_its_path_names() -> None:
    assert await ask("POST", "/things", b'{"a": 1}', b"b=2") == (
        200,
        [{"body": {"a": 1}, "query": {"b": "2"}, "path": {}}],
    )
    assert await ask("DELETE", "/things/a%2Fb/") == (
        200,
        [{"body": {}, "query": {}, "path": {"name": "a/b"}}],
    )


@pytest.mark.parametrize(
    ("method", "path", "status", "error"),
    [
        ("GET", "/things/first", 400, "No."),
        ("GET", "/broken", 500, "TypeError: a bug"),
        ("GET", "/nothing", 404, "no such request: GET /nothing"),
        ("DELETE", "/things", 404, "no such request: DELETE /things"),
    ],
)
async def test_what_has_no_answer_is_told_why(method: str, path: str, status: int, error: str) -> None:
    assert await ask(method, path) == (status, [{"error": error}])


async def test_lines_are_streamed() -> None:
    scope = {"type": "http", "method": "GET", "path": "/lines", "query_string": b""}
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        await asyncio.Event().wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    await API(scope, receive, send)
    text = b"".join(message.get("body", b"") for message in sent)
    assert [json.loads(line)["line"] for line in text.splitlines()] == [1, 2]


async def test_a_body_that_is_no_object_is_refused() -> None:
    assert await ask("POST", "/things", b"[]") == (
        400,
        [{"error": "the request's body must be a JSON object"}],
    )
