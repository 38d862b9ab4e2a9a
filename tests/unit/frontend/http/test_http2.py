"""HTTP/2 in memory: a client's state machine on one side, ours on the other, and a clock that is told."""

import asyncio

import h2.config
import h2.connection
import h2.events
import pytest
from h2.errors import ErrorCodes

from fogbank.frontend.http import http2
from fogbank.frontend.http.http2 import Http2
from fogbank.frontend.http.turns import Turns
from fogbank.limits import BODY_SECONDS, HEAD_SECONDS, IDLE_SECONDS, STALL_SECONDS, ConnectionTable

GOAWAY = 7


class Wire(asyncio.Transport):
    """The transport of the server, whose other end is a client."""

    def __init__(self, app):
        super().__init__()
        self.keeps_going, self.goaway = False, b""
        self.now, self.events, self.closed, self.aborted, self.paused = 0.0, [], False, False, False
        self.table = ConnectionTable(now=lambda: self.now)
        self.server = Http2(app, self.table, Turns(), lambda: [(b"date", b"now")])
        self.client = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding=None))
        self.client.initiate_connection()
        self.server.connection_made(self)

    def get_extra_info(self, name, default=None):
        return ("127.0.0.1", 4242)

    def get_write_buffer_size(self):
        return 0

    def is_closing(self):
        return self.closed

    def write(self, data):
        if data[3] == GOAWAY and self.keeps_going:
            self.goaway = data  # the h2 library ends at once, other clients finish what they began
            return
        self.events += self.client.receive_data(data)

    def close(self):
        self.closed = True

    def abort(self):
        self.closed = self.aborted = True

    def pause_reading(self):
        self.paused = True

    def resume_reading(self):
        self.paused = False

    def ask(self, number, method=b"GET", *, end=True, **more):
        fields = [(b":method", method), (b":scheme", b"https"), (b":authority", b"a.b"), (b":path", b"/x?y")]
        extra = [(name.replace("_", "-").encode(), value) for name, value in more.items()]
        self.client.send_headers(number, fields + extra, end_stream=end)

    async def settle(self):
        """Carry bytes both ways until nothing moves."""
        for _ in range(50):
            if data := self.client.data_to_send():
                self.server.data_received(data)
            await asyncio.sleep(0)

    def seen(self, kind):
        return [event for event in self.events if isinstance(event, kind)]

    def status(self, number):
        heads = [e for e in self.seen(h2.events.ResponseReceived) if e.stream_id == number]
        return int(dict(heads[0].headers)[b":status"]) if heads else None

    def content(self, number):
        return b"".join(e.data for e in self.seen(h2.events.DataReceived) if e.stream_id == number)

    def check(self, seconds):
        self.now += seconds
        self.table.check()


def says(content, status=200):
    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": status, "headers": [(b"connection", b"close")]})
        await send({"type": "http.response.body", "body": content})

    return app


async def echo(scope, receive, send):
    body, more = b"", True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        body, more = body + message["body"], message["more_body"]
    await says(body)(scope, receive, send)


async def test_a_request_is_answered():
    wire = Wire(says(b"hello"))
    wire.ask(1)
    await wire.settle()
    assert (wire.status(1), wire.content(1)) == (200, b"hello")
    assert wire.seen(h2.events.StreamEnded)
    assert dict(wire.seen(h2.events.ResponseReceived)[0].headers)[b"date"] == b"now"


async def test_a_body_larger_than_the_windows_comes_back_whole():
    wire = Wire(echo)
    body = bytes(range(256)) * 2000
    wire.ask(1, b"POST", end=False)
    left = body
    for _ in range(200):
        room = min(wire.client.local_flow_control_window(1), 16384, len(left))
        if room:
            wire.client.send_data(1, left[:room])
            left = left[room:]
        for event in wire.seen(h2.events.DataReceived):
            wire.client.acknowledge_received_data(event.flow_controlled_length, 1)
        content = wire.content(1)
        wire.events = [e for e in wire.events if not isinstance(e, h2.events.DataReceived)]
        assert not content
        await wire.settle()
        if not left:
            break
    wire.client.end_stream(1)
    received = b""
    for _ in range(100):
        await wire.settle()
        for event in wire.seen(h2.events.DataReceived):
            received += event.data
            if event.flow_controlled_length:
                wire.client.acknowledge_received_data(event.flow_controlled_length, 1)
        wire.events = []
    assert received == body


async def test_a_client_that_stops_sending_early_answers_is_told_to_stop():
    wire = Wire(says(b"no", 401))
    wire.ask(1, b"POST", end=False)
    await wire.settle()
    assert (wire.status(1), wire.content(1)) == (401, b"no")
    assert wire.seen(h2.events.StreamReset)[0].error_code == ErrorCodes.NO_ERROR
    wire.ask(3)
    await wire.settle()
    assert wire.status(3) == 401


async def test_a_head_request_has_no_body():
    wire = Wire(says(b"hello"))
    wire.ask(1, b"HEAD")
    await wire.settle()
    assert (wire.status(1), wire.content(1)) == (200, b"")


async def test_a_bug_answers_500_and_leaves_the_connection(caplog):
    async def app(scope, receive, send):
        raise RuntimeError("a bug")

    wire = Wire(app)
    wire.ask(1)
    await wire.settle()
    assert wire.status(1) == 500
    assert "a bug" in caplog.text
    assert not wire.closed


@pytest.mark.parametrize(
    "more", [{"content_length": b"5"}, {"content_length": b"x"}, {"content_length": b"9" * 400}]
)
async def test_a_length_that_is_wrong_is_refused(more):
    wire = Wire(says(b""))
    wire.client.config.validate_outbound_headers = False
    wire.ask(1, **more)
    await wire.settle()
    assert wire.status(1) == 400 or wire.seen(h2.events.ConnectionTerminated)


async def test_when_the_client_resets_the_application_is_told():
    told = []

    async def app(scope, receive, send):
        await receive()
        told.append((await receive())["type"])

    wire = Wire(app)
    wire.ask(1)
    await wire.settle()
    wire.client.reset_stream(1)
    await wire.settle()
    assert told == ["http.disconnect"]


async def test_a_stream_that_nobody_reads_is_held_for_a_minute_and_then_cut():
    done = []

    async def app(scope, receive, send):
        await says(bytes(200_000))(scope, receive, send)
        done.append(True)

    wire = Wire(app)
    wire.ask(1)
    await wire.settle()
    assert not done
    assert wire.server.held == 200_000 - 65_535
    wire.check(STALL_SECONDS - 1)
    assert not wire.seen(h2.events.StreamReset)
    wire.check(2)
    await wire.settle()
    assert done
    assert wire.server.held == 0
    assert wire.seen(h2.events.StreamReset)[0].error_code == ErrorCodes.CANCEL


async def test_when_the_connection_goes_everything_that_waited_in_it_ends():
    ended = []

    async def app(scope, receive, send):
        try:
            await says(bytes(200_000))(scope, receive, send)
        finally:
            ended.append(True)

    wire = Wire(app)
    for number in (1, 3, 5):
        wire.ask(number)
    await wire.settle()
    wire.server.connection_lost(None)
    await wire.settle()
    assert ended == [True] * 3
    assert len(wire.table) == 0


async def test_a_body_that_stops_is_cut_after_a_minute():
    wire = Wire(echo)
    wire.ask(1, b"POST", end=False)
    await wire.settle()
    wire.check(BODY_SECONDS + 1)
    await wire.settle()
    assert wire.seen(h2.events.StreamReset)


async def test_a_connection_without_a_request_has_half_a_minute_and_later_five():
    silent, used = Wire(says(b"")), Wire(says(b""))
    used.ask(1)
    await used.settle()
    for wire in (silent, used):
        wire.check(HEAD_SECONDS + 1)
    assert (silent.aborted, used.aborted) == (True, False)
    used.check(IDLE_SECONDS)
    assert used.aborted


async def test_a_header_block_that_does_not_end_has_half_a_minute():
    wire = Wire(says(b""))
    wire.ask(1)
    await wire.settle()
    wire.server.data_received(b"\0\0\1\1\0\0\0\0\3\x82")  # HEADERS of stream 3 without END_HEADERS
    wire.check(HEAD_SECONDS + 1)
    assert wire.aborted


async def test_after_many_requests_the_client_is_sent_to_another_connection(monkeypatch):
    monkeypatch.setattr(http2, "MOST_REQUESTS", 3)
    wire = Wire(says(b"ok"))
    wire.keeps_going = True
    for number in (1, 3):
        wire.ask(number)
    await wire.settle()
    assert not wire.closed
    wire.ask(5)
    await wire.settle()
    assert wire.status(5) == 200
    assert wire.goaway == b"\0\0\x08\x07\0\0\0\0\0" + b"\0\0\0\5" + bytes(4)
    assert wire.closed


async def test_what_is_no_http_2_ends_the_connection():
    wire = Wire(says(b""))
    wire.server.data_received(b"GET / HTTP/1.1\r\n\r\n" + bytes(50))
    assert wire.closed
