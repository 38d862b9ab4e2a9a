"""The bridge: frames in, messages and a status out; nobody is heard who does not say who they are."""

import asyncio
import gzip
import struct
from base64 import b64decode

import pytest
from tests.serving import NOW, TOKEN, FakeIdentity, Region

from fogbank.frontend.grpc import application
from fogbank.frontend.grpc.application import GrpcApplication
from fogbank.frontend.grpc.decode import decode
from fogbank.frontend.grpc.encode import encode
from fogbank.frontend.grpc.entry import is_grpc
from fogbank.services.logging import SERVICE
from fogbank.store.log_entries import LogEntries

LIST, WRITE, TAIL = (
    f"google.logging.v2.LoggingServiceV2/{each}"
    for each in ("ListLogEntries", "WriteLogEntries", "TailLogEntries")
)
REQUEST = "google.logging.v2.ListLogEntriesRequest"
PROJECT = {"resourceNames": ["projects/demo"]}


def framed(name, content):
    data = encode(name, content)
    return struct.pack("!BI", 0, len(data)) + data


class Client:
    """Calls a bridge, in pieces of ``size`` bytes; ``answered`` has the messages of ASGI."""

    def __init__(self, app, path, body, *, size=10_000, token=TOKEN, more=()):
        self.answered, self.left = [], asyncio.Event()
        self._pieces = [body[at : at + size] for at in range(0, len(body), size)] or [b""]
        self.scope = {
            "type": "http", "http_version": "2", "method": "POST", "path": f"/{path}",
            "headers": [(b"host", b"logging.googleapis.com"), (b"content-type", b"application/grpc"), *more,
                        *([(b"authorization", token.encode())] if token else [])],
        }  # fmt: skip
        self._app = app
        self.asked = 0

    async def run(self):
        await self._app(self.scope, self._receive, self._send)
        return self.status

    async def _receive(self):
        self.asked += 1
        if not self._pieces:
            await self.left.wait()
            return {"type": "http.disconnect"}
        piece = self._pieces.pop(0)
        return {"type": "http.request", "body": piece, "more_body": bool(self._pieces)}

    async def _send(self, message):
        self.answered.append(message)

    @property
    def messages(self):
        return [each["body"][5:] for each in self.answered if each["type"] == "http.response.body"]

    @property
    def trailers(self):
        assert self.answered[-1]["type"] == "http.response.trailers"
        return dict(self.answered[-1]["headers"])

    @property
    def status(self):
        return int(self.trailers[b"grpc-status"])


@pytest.fixture
async def region(tmp_path):
    made = Region(tmp_path, [SERVICE], {"logging": LogEntries(None, lambda: NOW)})
    yield made
    await made.calls._backends["logging"].close()
    await made.store.close()


@pytest.fixture
async def grpc(region):
    return GrpcApplication(region.calls, FakeIdentity())


ENTRY = {
    "logName": "projects/demo/logs/a",
    "resource": {"type": "global"},
    "textPayload": "x",
    "severity": "ERROR",
}
SINKS = "google.logging.v2.ConfigServiceV2/ListSinks"
NO_SINKS = "google.logging.v2.ListSinksRequest"
WRITTEN = framed("google.logging.v2.WriteLogEntriesRequest", {"entries": [ENTRY]})
LISTED = framed(REQUEST, PROJECT)


@pytest.mark.parametrize("size", [1, 7, 10_000])
async def test_a_call_is_answered_with_a_message_and_the_status_0(grpc, size):
    assert await Client(grpc, WRITE, WRITTEN, size=size).run() == 0
    client = Client(grpc, LIST, LISTED, size=size)
    assert await client.run() == 0
    (found,) = decode("google.logging.v2.ListLogEntriesResponse", client.messages[0])["entries"]
    assert (found["textPayload"], found["severity"]) == ("x", "ERROR")
    assert client.answered[0]["headers"][0] == (b"content-type", b"application/grpc")


@pytest.mark.parametrize(
    ("path", "body", "status", "why"),
    [
        (LIST, b"", 13, b"one message"),
        (LIST, LISTED[:-1], 13, b"one message"),
        (LIST, LISTED * 2, 13, b"one message"),
        (LIST, b"\1" + LISTED[1:], 12, b"compressed with gzip, and not with identity"),
        (LIST, b"\0\xff\xff\xff\xff", 8, b"larger than max"),
        (LIST, b"\0\0\0\0\1\x0a", 3, b"cut short"),
        (LIST, framed(REQUEST, {}), 3, b"Resource names cannot be empty"),
        (LIST, framed(REQUEST, {**PROJECT, "filter": "severity>=%"}), 3, b"'%25' is not a severity"),
        (TAIL, b"", 13, b"before its first message"),
        (TAIL, framed(REQUEST, {}), 3, b"Resource names cannot be empty"),
        ("google.logging.v2.LoggingServiceV2/Nothing", LISTED, 12, b"does not implement the RPC"),
        (SINKS, framed(NO_SINKS, {"parent": "projects/demo"}), 12, b"logging.v2.projects.sinks.list"),
        ("nothing", LISTED, 12, b"does not implement the RPC"),
    ],
)  # fmt: skip
async def test_what_is_wrong_is_a_status_and_no_message(grpc, path, body, status, why):
    client = Client(grpc, path, body)
    assert await client.run() == status
    assert why in client.trailers[b"grpc-message"]
    assert client.messages == []


def packed(name, content):
    data = gzip.compress(encode(name, content))
    return struct.pack("!BI", 1, len(data)) + data


GZIP = ((b"grpc-encoding", b"gzip"),)


@pytest.mark.parametrize("size", [1, 10_000])
async def test_a_message_may_be_compressed_with_gzip(grpc, size):
    body = packed("google.logging.v2.WriteLogEntriesRequest", {"entries": [ENTRY]})
    assert await Client(grpc, WRITE, body, size=size, more=GZIP).run() == 0
    client = Client(grpc, LIST, LISTED, more=GZIP)  # and need not, although it is said
    assert await client.run() == 0
    (found,) = decode("google.logging.v2.ListLogEntriesResponse", client.messages[0])["entries"]
    assert found["textPayload"] == "x"


async def test_a_compressed_message_that_says_too_much_or_nothing_is_refused(grpc, monkeypatch):
    broken = Client(grpc, LIST, b"\1" + LISTED[1:], more=GZIP)
    assert await broken.run() == 3
    monkeypatch.setattr(application, "MESSAGE_LIMIT", 1000)
    body = packed(REQUEST, {**PROJECT, "filter": "a" * 100_000})
    assert len(body) < 1000
    client = Client(grpc, LIST, body, more=GZIP)
    assert await client.run() == 8
    assert b"unpacked" in client.trailers[b"grpc-message"]


async def test_a_refusal_has_its_details(grpc, region):
    client = Client(grpc, LIST, framed(REQUEST, {**PROJECT, "pageToken": "x", "pageSize": -5}))
    assert await client.run() == 3
    assert b"grpc-status-details-bin" not in client.trailers
    wrong = framed(
        "google.logging.v2.WriteLogEntriesRequest",
        {"entries": [ENTRY, {**ENTRY, "resource": {}}], "partialSuccess": True},
    )
    client = Client(grpc, WRITE, wrong)
    assert await client.run() == 3
    text = client.trailers[b"grpc-status-details-bin"]
    status = decode("google.rpc.Status", b64decode(text + b"=" * (-len(text) % 4)))
    assert status["code"] == 3
    assert list(status["details"][0]["logEntryErrors"]) == ["1"]


@pytest.mark.parametrize("token", ["", "Bearer no", "Basic x"])
async def test_who_does_not_say_who_they_are_is_not_read(grpc, token):
    client = Client(grpc, LIST, LISTED, token=token)
    assert (await client.run(), client.asked) == (16, 0)


async def test_more_than_one_message_may_have_is_not_read_to_its_end(grpc, monkeypatch):
    monkeypatch.setattr(application, "MESSAGE_LIMIT", 1000)
    client = Client(grpc, LIST, struct.pack("!BI", 0, 1000) + b"\0" * 100_000, size=500)
    assert (await client.run(), client.asked) == (8, 3)


async def test_a_bug_is_an_internal_error_with_a_reference(grpc, region, monkeypatch, caplog):
    async def broken(invocation):
        raise RuntimeError("a bug")

    monkeypatch.setattr(region.calls, "answer", broken)
    client = Client(grpc, LIST, LISTED)
    assert await client.run() == 13
    assert b"Reference: " in client.trailers[b"grpc-message"]
    assert "a bug" in caplog.text


@pytest.mark.parametrize("deadline", [b"1n", b"0S", b"1m"])
async def test_a_call_that_takes_longer_than_its_deadline_ends(grpc, region, monkeypatch, deadline):
    async def slow(invocation):
        await asyncio.Event().wait()

    monkeypatch.setattr(region.calls, "answer", slow)
    client = Client(grpc, LIST, LISTED, more=[(b"grpc-timeout", deadline)])
    assert await client.run() == 4


@pytest.mark.parametrize("deadline", [b"", b"x", b"-1S", b"123456789S", b"5", "\u0661S".encode()])
async def test_a_deadline_that_is_none_does_not_count(grpc, deadline):
    client = Client(grpc, LIST, LISTED, more=[(b"grpc-timeout", deadline)])
    assert await client.run() == 0


async def test_a_stream_sends_until_the_client_leaves(grpc, region):
    client = Client(grpc, TAIL, framed("google.logging.v2.TailLogEntriesRequest", PROJECT))
    running = asyncio.ensure_future(client.run())
    followers = region.calls._backends["logging"].followers
    await until(lambda: len(followers))
    await Client(grpc, WRITE, WRITTEN).run()
    await until(lambda: client.messages)
    sent = decode("google.logging.v2.TailLogEntriesResponse", client.messages[0])
    assert [each["textPayload"] for each in sent["entries"]] == ["x"]
    client.left.set()
    await running
    assert len(followers) == 0


async def until(holds):
    async with asyncio.timeout(10):
        while not holds():  # noqa: ASYNC110 - there is no event for what another task does next
            await asyncio.sleep(0)


def test_a_call_of_grpc_is_known_by_its_version_and_type():
    headers = [(b"content-type", b"application/grpc+proto")]
    assert is_grpc({"http_version": "2", "headers": headers})
    assert not is_grpc({"http_version": "1.1", "headers": headers})
    assert not is_grpc({"http_version": "2", "headers": [(b"content-type", b"application/json")]})
