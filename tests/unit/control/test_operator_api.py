"""The operator's API refuses bodies that it will not read."""

import json

import pytest

from fogbank.control.operator import BODY_LIMIT, OperatorApi, Route


async def post(chunks):
    sent, left = [], list(chunks)

    async def receive():
        return {"type": "http.request", "body": left.pop(0), "more_body": bool(left)}

    async def send(message):
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": "/trace", "query_string": b""}
    await OperatorApi([Route("POST", "trace", lambda _: {})])(scope, receive, send)
    return sent[0]["status"], json.loads(sent[1]["body"])["error"]


@pytest.mark.parametrize(
    ("chunks", "word"),
    [
        ([b" " * BODY_LIMIT, b"  "], "longer than"),
        ([b"[" * 500_000], "nested too deeply"),
        ([b"[]"], "object"),
    ],
)
async def test_a_body_that_is_too_much_is_refused(chunks, word):
    status, error = await post(chunks)
    assert status == 400
    assert word in error
