"""The whole way in to a service: a real client, the proxy, TLS, the ingress, and a container."""

import asyncio
import base64
import hashlib
import io
import socket
import ssl
from types import SimpleNamespace

import aiohttp
import pytest
from tests.containers import HOST, Container, NoInstanceError, add_service, open_to
from tests.identities import region_in
from tests.serving import listener

from fogbank.clock import Clock
from fogbank.frontend.http.connections import ALPN, Connections
from fogbank.frontend.http.proxy import Proxy
from fogbank.frontend.http.virtual_hosts import Hosts
from fogbank.frontend.ingress.application import Ingress
from fogbank.frontend.pki.authority import open_authority

URL = f"https://{HOST}"


@pytest.fixture
async def site(tmp_path):
    """Serve a container as a service that everybody may invoke; gives a client and what was recorded."""
    region = region_in(tmp_path / "authority")
    add_service(region)
    open_to(region, "allUsers")
    authority = open_authority(tmp_path / "authority", tmp_path / "bundle.pem", "test")
    container, records, recorded, made = Container(None), [], asyncio.Event(), listener()

    def record(each):
        records.append(each)
        recorded.set()

    server = await asyncio.start_server(container.serve, "127.0.0.1", 0)
    container.port = server.sockets[0].getsockname()[1]
    ingress = Ingress(
        lambda: region.world,
        region.identity,
        Clock(),
        container,
        exhausted=NoInstanceError,
        open_socket=lambda _netns, kind: socket.socket(socket.AF_INET, kind),
        draw=lambda: 0.0,
        record=record,
    )
    proxy = Proxy(Connections(Hosts({"run": ingress})), lambda host: authority.tls_context(host, ALPN))
    await proxy.serve(made)
    trust = ssl.create_default_context(cafile=str(tmp_path / "bundle.pem"))
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(ssl=trust), proxy=f"http://127.0.0.1:{made.getsockname()[1]}"
    ) as session:
        yield SimpleNamespace(session=session, container=container, records=records, recorded=recorded)
    await proxy.close()
    await ingress.close()
    server.close()
    await container.close()


async def test_a_large_answer_arrives_whole(site):
    content = bytes(range(256)) * 4096 * 8

    async def script(writer):
        writer.write(f"HTTP/1.1 200 OK\r\nContent-Length: {len(content)}\r\n\r\n".encode() + content)
        await writer.drain()

    site.container.script = script
    async with site.session.get(URL) as response:
        assert await response.read() == content
        assert response.headers["Server"] == "Google Frontend"
    assert site.records[0].response_size == len(content)


async def test_a_large_body_arrives_whole(site):
    async def script(writer):
        writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")

    content = bytes(range(256)) * 4096 * 8
    site.container.script = script
    async with site.session.post(URL, data=io.BytesIO(content)) as response:
        assert response.status == 204
    assert site.container.seen[0][1] == content


async def test_the_first_part_of_an_answer_does_not_wait_for_the_last(site):
    enough = asyncio.Event()

    async def script(writer):
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n")
        await writer.drain()
        await enough.wait()
        writer.write(b"3\r\ntwo\r\n0\r\n\r\n")
        await writer.drain()

    site.container.script = script
    async with site.session.get(URL) as response:
        assert await response.content.readany() == b"one"
        enough.set()
        assert await response.content.read() == b"two"


async def test_when_the_client_hangs_up_the_instance_is_given_back(site):
    async def script(writer):
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n")
        await writer.drain()
        await asyncio.sleep(30)

    site.container.script = script
    async with site.session.get(URL) as response:
        await response.content.readany()
        assert site.container.leases == 1
        response.close()
    await asyncio.wait_for(site.recorded.wait(), 5)
    assert site.container.leases == 0


async def test_an_answer_that_breaks_off_is_seen_to_break_off(site):
    async def script(writer):
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this")
        await writer.drain()

    site.container.script = script
    async with site.session.get(URL) as response:
        with pytest.raises(aiohttp.ClientPayloadError):
            await response.read()
    assert "closed the connection" in site.records[0].message


async def test_one_clients_requests_go_to_the_container_one_by_one(site):
    async def script(writer):
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        await writer.drain()

    site.container.script = script
    for _ in range(20):
        async with site.session.get(URL) as response:
            assert await response.text() == "ok"
    assert len(site.container.seen) == len(site.records) == 20


async def test_a_body_that_says_it_is_larger_than_32_mib_is_refused_before_an_instance_sees_it(site):
    async def endless():
        yield b"x"

    headers = {"Content-Length": str(32 * 1024 * 1024 + 1)}
    async with site.session.post(URL, data=endless(), headers=headers) as response:
        assert response.status == 413
    assert site.container.seen == []


async def test_an_answer_that_says_it_is_larger_than_32_mib_is_an_error(site):
    async def script(writer):
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 33554433\r\n\r\n")
        await writer.drain()

    site.container.script = script
    async with site.session.get(URL) as response:
        assert (response.status, "Response size was too large" in await response.text()) == (500, True)


async def test_a_web_socket_passes_both_ways_and_ends_with_the_container(site):
    async def script(writer):
        headers = site.container.headers
        answer = base64.b64encode(
            hashlib.sha1(
                f"{headers['sec-websocket-key']}258EAFA5-E914-47DA-95CA-C5AB0DC85B11".encode()
            ).digest()
        ).decode()
        head = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        # A frame comes with the head: "hi", unmasked; then what the client says is echoed once.
        writer.write(f"{head}Sec-WebSocket-Accept: {answer}\r\n\r\n".encode() + b"\x81\x02hi")
        frame = await site.container.reader.readexactly(2 + 4 + 4)
        mask, masked = frame[2:6], frame[6:]
        writer.write(b"\x81\x04" + bytes(a ^ b for a, b in zip(masked, mask, strict=True)))
        writer.write(b"\x88\x02\x03\xe8")
        await writer.drain()

    site.container.script = script
    async with site.session.ws_connect(URL.replace("https", "wss")) as web_socket:
        assert (await web_socket.receive()).data == "hi"
        await web_socket.send_str("ping")
        assert (await web_socket.receive()).data == "ping"
        assert (await web_socket.receive()).type == aiohttp.WSMsgType.CLOSE
    assert site.container.headers["upgrade"] == "websocket"
    await asyncio.wait_for(site.recorded.wait(), 5)
    assert site.records[0].status == 101


async def test_a_container_that_wants_no_other_protocol_answers_as_usual(site):
    async def script(writer):
        writer.write(b"HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nno\r\n0\r\n\r\n")
        await writer.drain()

    site.container.script = script
    async with site.session.get(URL, headers={"Connection": "Upgrade", "Upgrade": "x"}) as response:
        assert (response.status, await response.text()) == (404, "no")
