"""A service whose container speaks HTTP/2 (h2c): gRPC's trailers, and both sides talking at the same time."""

import asyncio
import contextlib
import socket
import ssl
from types import SimpleNamespace
from typing import Any

import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, RequestReceived, ResponseReceived, StreamEnded, TrailersReceived
from tests.containers import HOST, Container, NoInstanceError, add_service, open_to
from tests.identities import region_in
from tests.serving import listener
from tests.worlds import resource, revision

from fogbank.clock import Clock
from fogbank.frontend.http.connections import ALPN, Connections
from fogbank.frontend.http.proxy import Proxy
from fogbank.frontend.http.virtual_hosts import Hosts
from fogbank.frontend.ingress.application import Ingress
from fogbank.frontend.ingress.exchange import RequestRecord
from fogbank.frontend.pki.authority import open_authority


async def echo(reader, writer):
    try:
        await answer(reader, writer)
    finally:
        writer.close()


async def answer(reader, writer):
    """Answer each piece of a body with itself, and end with gRPC's status; tell of the request's head."""
    h2 = H2Connection(H2Configuration(client_side=False, header_encoding="utf-8"))
    h2.initiate_connection()
    left, ended = b"", False
    while not writer.is_closing():
        writer.write(h2.data_to_send())
        data = await reader.read(65536)
        if not data:
            return
        for event in h2.receive_data(data):
            number = getattr(event, "stream_id", 0)
            if isinstance(event, RequestReceived):
                told: Any = dict(event.headers or ())
                head = [
                    (":status", "200"),
                    ("content-type", "application/grpc"),
                    ("x-te", told.get("te", "")),
                ]
                head.append(("x-path", told[":path"]))
                h2.send_headers(number, head)
            elif isinstance(event, DataReceived):
                left += event.data or b""
                h2.acknowledge_received_data(event.flow_controlled_length or 0, number)
            elif isinstance(event, StreamEnded):
                ended = True
            while left and (room := min(h2.local_flow_control_window(1), h2.max_outbound_frame_size)) > 0:
                h2.send_data(1, left[:room])
                left = left[room:]
            if ended and not left:
                h2.send_headers(1, [("grpc-status", "0"), ("grpc-message", "fine")], end_stream=True)
                ended = False
        writer.write(h2.data_to_send())
        await writer.drain()


class Client:
    """One HTTP/2 connection to the service through the proxy."""

    def __init__(self, reader, writer):
        self.reader, self.writer = reader, writer
        self.h2 = H2Connection(H2Configuration(client_side=True, header_encoding="utf-8"))
        self.h2.initiate_connection()
        self.stream = self.h2.get_next_available_stream_id()
        self.status, self.headers, self.trailers, self.body, self.ended = "", {}, {}, b"", False

    def begin(self, path):
        head = [(":method", "POST"), (":scheme", "https"), (":authority", HOST), (":path", path)]
        self.h2.send_headers(self.stream, [*head, ("te", "trailers"), ("content-type", "application/grpc")])
        self.flush()

    def send(self, data, *, last=False):
        self.h2.send_data(self.stream, data, end_stream=last)
        self.flush()

    def flush(self):
        self.writer.write(self.h2.data_to_send())

    async def until(self, condition):
        async with asyncio.timeout(5):
            while not condition():
                data = await self.reader.read(65536)
                assert data, "the connection was closed"
                for event in self.h2.receive_data(data):
                    self.note(event)
                self.flush()

    def note(self, event):
        if isinstance(event, ResponseReceived):
            self.headers = dict(event.headers or ())
        elif isinstance(event, TrailersReceived):
            self.trailers = dict(event.headers or ())
        elif isinstance(event, DataReceived):
            self.body += event.data or b""
            self.h2.acknowledge_received_data(event.flow_controlled_length or 0, self.stream)
        elif isinstance(event, StreamEnded):
            self.ended = True


@pytest.fixture
async def site(tmp_path):
    region = region_in(tmp_path / "authority")
    add_service(region)
    stored = revision("web-00001-abc")
    spec = stored.body["spec"]
    ports = [{"name": "h2c", "containerPort": 8080}]
    http2 = spec | {"containers": [spec["containers"][0] | {"ports": ports}]}
    region.put(resource(stored.name, stored.body | {"spec": http2}))
    open_to(region, "allUsers")
    authority = open_authority(tmp_path / "authority", tmp_path / "bundle.pem", "test")
    container, made = Container(None), listener()
    records: list[RequestRecord] = []
    container.script = echo
    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    container.port = server.sockets[0].getsockname()[1]
    ingress = Ingress(
        lambda: region.world,
        region.identity,
        Clock(),
        container,
        exhausted=NoInstanceError,
        open_socket=lambda _netns, kind: socket.socket(socket.AF_INET, kind),
        draw=lambda: 0.0,
        record=records.append,
    )
    proxy = Proxy(Connections(Hosts({"run": ingress})), lambda host: authority.tls_context(host, ALPN))
    await proxy.serve(made)
    trust = ssl.create_default_context(cafile=str(tmp_path / "bundle.pem"))
    trust.set_alpn_protocols(["h2"])

    @contextlib.asynccontextmanager
    async def connect():
        reader, writer = await asyncio.open_connection("127.0.0.1", made.getsockname()[1])
        writer.write(f"CONNECT {HOST}:443 HTTP/1.1\r\nHost: {HOST}:443\r\n\r\n".encode())
        await reader.readuntil(b"\r\n\r\n")
        await writer.start_tls(trust, server_hostname=HOST)
        yield Client(reader, writer)
        writer.close()

    yield SimpleNamespace(connect=connect, records=records, server=server, container=container)
    await proxy.close()
    await ingress.close()
    server.close()


async def test_a_grpc_call_in_which_both_sides_talk(site):
    async with site.connect() as client:
        client.begin("/pkg.Service/Talk?x=1")
        await client.until(lambda: client.headers)  # the container answers before there is a body
        assert client.headers["x-te"] == "trailers"
        assert client.headers["x-path"] == "/pkg.Service/Talk?x=1"
        assert client.headers["server"] == "Google Frontend"
        for turn in range(3):
            client.send(b"ping%d" % turn)
            await client.until(lambda: client.body.endswith(b"%d" % turn))  # noqa: B023
        client.send(b"", last=True)
        await client.until(lambda: client.ended)
        assert client.trailers == {"grpc-status": "0", "grpc-message": "fine"}
    assert [record.status for record in site.records] == [200]


async def test_a_body_larger_than_all_windows_comes_back_whole(site):
    content = bytes(range(256)) * 4096 * 4
    async with site.connect() as client:
        client.begin("/")
        left = content
        while left:
            room = min(client.h2.local_flow_control_window(client.stream), 16384)
            if room:
                client.send(left[:room])
                left = left[room:]
            else:
                before = client.h2.local_flow_control_window(client.stream)
                await client.until(
                    lambda: client.h2.local_flow_control_window(client.stream) > before  # noqa: B023
                )
        client.send(b"", last=True)
        await client.until(lambda: client.ended)
        assert client.body == content


async def test_a_container_that_speaks_http_1_where_http_2_was_promised_is_unavailable(site):
    async def wrong(reader, writer):
        await reader.read(10)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n" * 10)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(wrong, "127.0.0.1", 0)
    site.container.port = server.sockets[0].getsockname()[1]
    async with site.connect() as client:
        client.begin("/")
        client.send(b"", last=True)
        await client.until(lambda: client.ended)
        assert client.headers[":status"] == "503"
    server.close()
