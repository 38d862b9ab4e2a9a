"""Requests to instances: which connection they take, and what becomes of them when it breaks."""

import asyncio
import socket
from contextlib import asynccontextmanager
from ipaddress import IPv4Address
from typing import Any

import httptools
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fogbank.frontend.http.upgrades import Upgrade
from fogbank.frontend.ingress import upstreams
from fogbank.frontend.ingress.exchange import BadRequestError, Exchange, RequestRecord
from fogbank.frontend.ingress.forwarded_headers import BadAnswerError, TraceContext
from fogbank.frontend.ingress.http1_exchange import exchange_http1, render_head
from fogbank.frontend.ingress.upstream import HEAD_LIMIT
from fogbank.frontend.ingress.upstreams import InstancePort, Upstreams
from fogbank.network.topology import NetnsName
from fogbank.resources.names import ResourceName

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
LOCAL = IPv4Address("127.0.0.1")
AT_ONCE = object()
"""In a script: close the connection instead of answering."""


def never(*_):
    raise AssertionError


class Instance:
    """A server that answers each request with the next of ``answers``, on as many connections as come."""

    def __init__(self, *answers):
        self.answers, self.requests, self.connections = list(answers), [], []
        self.closed: asyncio.Queue[int] = asyncio.Queue()
        self.asked: asyncio.Queue[int] = asyncio.Queue()

    async def serve(self, reader, writer):
        number = len(self.connections)
        self.connections.append(writer)
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                body = await self._body(head.lower(), reader)
                self.requests.append((number, head, body))
                answer = self.answers.pop(0)
                if answer is AT_ONCE:
                    return
                writer.write(answer)
                self.asked.put_nowait(number)
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            writer.close()
            self.closed.put_nowait(number)

    @staticmethod
    async def _body(head, reader):
        if b"transfer-encoding: chunked" in head:
            return await reader.readuntil(b"0\r\n\r\n")
        length = head.partition(b"content-length: ")[2].partition(b"\r\n")[0]
        return await reader.readexactly(int(length or 0))

    @property
    def used(self):
        """The connection of each request."""
        return [number for number, _, _ in self.requests]


class Caller:
    """Sends one request after the other to the same place, and keeps what came back."""

    def __init__(self, connections, port):
        self.connections, self.port = connections, port
        self.told: list[Any] = []

    async def ask(self, method="GET", parts=(b"",), *, instance="one", headers=(), offer=None):
        left = list(parts)
        self.told.clear()

        async def receive():
            if left:
                part = left.pop(0)
                return {"type": "http.request", "body": part, "more_body": bool(left)}
            await asyncio.Event().wait()
            raise AssertionError

        async def send(message):
            self.told.append(message)

        scope = {"type": "http", "method": method, "raw_path": b"/a", "query_string": b""}
        if offer is not None:
            scope["extensions"] = {"upgrade": offer}
        record = RequestRecord(
            ResourceName("run.services", "x"), method, "/a", "", "", "", TraceContext("0" * 32, "0" * 16)
        )
        exchange = Exchange(scope, receive, send, dict(headers), record)
        place = InstancePort(NetnsName("fabric"), LOCAL, self.port, instance)
        await exchange_http1(self.connections, place, exchange, [("host", "web"), *headers])
        return record.status, b"".join(each.get("body", b"") for each in self.told)


@asynccontextmanager
async def between(instance):
    server = await asyncio.start_server(instance.serve, str(LOCAL), 0)
    connections = Upstreams(lambda _netns, kind: socket.socket(socket.AF_INET, kind))
    try:
        yield Caller(connections, server.sockets[0].getsockname()[1])
    finally:
        connections.close()
        server.close()
        for writer in instance.connections:
            writer.close()
            await asyncio.wait([asyncio.create_task(writer.wait_closed())])


async def test_one_request_after_the_other_takes_the_connection_that_is_there():
    instance = Instance(OK, OK, OK)
    async with between(instance) as caller:
        for _ in range(3):
            assert await caller.ask() == (200, b"ok")
    assert instance.used == [0, 0, 0]


async def test_requests_at_the_same_time_have_connections_of_their_own():
    instance = Instance(OK, OK)
    async with between(instance) as caller:
        await asyncio.gather(caller.ask(), caller.ask())
    assert sorted(instance.used) == [0, 1]


async def test_a_request_that_cannot_be_repeated_has_a_new_connection_and_the_other_is_closed():
    instance = Instance(OK, OK)
    async with between(instance) as caller:
        await caller.ask()
        assert await caller.ask("POST", (b"a", b"b")) == (200, b"ok")
        assert await instance.closed.get() == 0
    assert instance.used == [0, 1]
    assert instance.requests[1][2] == b"1\r\na\r\n1\r\nb\r\n0\r\n\r\n"


async def test_a_request_on_a_connection_that_the_instance_closes_instead_is_sent_again():
    instance = Instance(OK, AT_ONCE, OK)
    async with between(instance) as caller:
        await caller.ask()
        assert await caller.ask() == (200, b"ok")
    assert instance.used == [0, 0, 1]


async def test_a_request_on_a_new_connection_is_sent_once():
    instance = Instance(AT_ONCE, OK)
    async with between(instance) as caller:
        with pytest.raises(ConnectionError):
            await caller.ask()
    assert instance.used == [0]


async def test_a_request_whose_answer_has_begun_is_not_sent_again():
    half = b"HTTP/1.1 200 OK\r\nContent-Le"
    instance = Instance(OK, half, AT_ONCE, OK)
    async with between(instance) as caller:
        await caller.ask()
        asking = asyncio.create_task(caller.ask())
        for _ in range(2):
            await instance.asked.get()
        instance.connections[0].close()
        with pytest.raises(ConnectionError):
            await asking
    assert instance.used == [0, 0]


async def test_another_instance_at_the_same_address_never_gets_the_connection():
    instance = Instance(OK, OK)
    async with between(instance) as caller:
        await caller.ask(instance="one")
        await caller.ask(instance="two")
    assert instance.used == [0, 1]


async def test_a_connection_that_nobody_wants_is_closed(monkeypatch):
    monkeypatch.setattr(upstreams, "IDLE_SECONDS", 0.01)
    instance = Instance(OK)
    async with between(instance) as caller:
        await caller.ask()
        assert await instance.closed.get() == 0


@pytest.mark.parametrize(
    ("answer", "body"),
    [
        (b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok", b"ok"),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", b"ok"),
        (OK + OK, b"ok"),
    ],
)
async def test_after_an_answer_that_ends_the_connection_the_next_request_has_another(answer, body):
    instance = Instance(answer, OK)
    async with between(instance) as caller:
        assert await caller.ask() == (200, body)
        assert await caller.ask() == (200, b"ok")
    assert instance.used == [0, 1]


async def test_an_answer_to_head_has_no_body_whatever_length_it_says():
    instance = Instance(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n")
    async with between(instance) as caller:
        assert await caller.ask("HEAD") == (200, b"")
    assert (b"content-length", b"5") in caller.told[0]["headers"]


async def test_interim_answers_are_not_the_answer():
    instance = Instance(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + OK)
    async with between(instance) as caller:
        assert await caller.ask() == (200, b"ok")
    assert b"link" not in dict(caller.told[0]["headers"])


async def test_a_head_without_an_end_is_no_answer():
    instance = Instance(b"HTTP/1.1 200 OK\r\nX: " + b"x" * (HEAD_LIMIT + 1))
    async with between(instance) as caller:
        with pytest.raises(BadAnswerError):
            await caller.ask()


@pytest.mark.parametrize("offers", [True, False])
async def test_an_instance_that_closes_in_the_middle_of_an_answer_is_noticed(offers):
    short = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n"
    instance = Instance(short)
    async with between(instance) as caller:
        offer = Upgrade("x", asyncio.Transport(), taken=never, lost=never) if offers else None
        asking = asyncio.create_task(caller.ask(offer=offer))
        await instance.asked.get()
        instance.connections[0].close()
        with pytest.raises(ConnectionError):
            await asking
    assert not any(each["type"] == "http.response.body" and not each["more_body"] for each in caller.told)


@asynccontextmanager
async def taken_over():
    """A caller's connection that can be taken over, and the caller's end of it."""
    ours, theirs = socket.socketpair()
    transport, _ = await asyncio.get_running_loop().create_connection(asyncio.Protocol, sock=ours)
    reader, writer = await asyncio.open_connection(sock=theirs)
    try:
        yield Upgrade("x", transport, taken=lambda: None, lost=lambda _: None), reader
    finally:
        transport.close()
        writer.close()
        await writer.wait_closed()


async def test_what_an_instance_sends_with_the_change_of_protocol_arrives():
    """Also when all of it comes at once, behind an interim answer."""
    change = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"
    instance = Instance(b"HTTP/1.1 100 Continue\r\n\r\n" + change + b"first")
    async with between(instance) as caller, taken_over() as (offer, reader):
        asking = asyncio.create_task(caller.ask("POST", (b"body",), offer=offer))
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101 ")
        assert await reader.readexactly(5) == b"first"
        instance.connections[0].close()
        assert await asking == (101, b"")
    assert instance.requests[0][2] == b"body"


NAMES = st.text(st.characters(min_codepoint=0, max_codepoint=0xFF), max_size=12)


@given(NAMES, st.lists(st.tuples(NAMES, NAMES), max_size=4))
def test_whatever_a_request_says_a_server_reads_one_request_with_the_same_headers(path, fields):
    """HTTP/2 carries what a line of HTTP/1.1 cannot; it must not become another request."""
    seen = []

    class Reader:
        def on_url(self, url):
            seen.append(url)

        def on_header(self, name, value):
            seen.append((name, value))

        def on_message_complete(self):
            seen.append("end")

    fields = [(f"x{name}", value) for name, value in fields]
    try:
        head = render_head("GET", f"/{path}", fields)
    except BadRequestError:
        return
    httptools.HttpRequestParser(Reader()).feed_data(head)
    expected = [(n.encode("latin-1"), v.encode("latin-1").strip(b" \t")) for n, v in fields]
    assert seen == [f"/{path}".encode("latin-1"), *expected, "end"]
