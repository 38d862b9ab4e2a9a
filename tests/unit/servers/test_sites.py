"""The third parties' servers, on loopback sockets."""

import asyncio
import contextlib
import socket
from datetime import UTC, datetime
from ipaddress import IPv4Address, IPv4Network
from typing import Literal

import aiohttp
import pytest

from fogbank.network.topology import Listener, NetnsName
from fogbank.resources.sites import BUILTIN_SITES, Site
from fogbank.servers.access_log import AccessLog
from fogbank.servers.sites import Sites

LOCAL = IPv4Address("127.0.0.1")
CLOSED = Site("closed.example.com", IPv4Address("192.0.2.33"), allow=(IPv4Network("203.0.113.0/24"),))
OPEN = Site("open.example.com", IPv4Address("192.0.2.34"), ports=(9000,))
SITES = {**BUILTIN_SITES, CLOSED.host: CLOSED, OPEN.host: OPEN}
NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def log(tmp_path):
    made = AccessLog(tmp_path / "access.jsonl")
    yield made
    made.close()


@pytest.fixture
async def serve(log):
    """Serve a host as if at a port; give the port that it really has."""

    def no_certificate(_host):
        raise AssertionError("only port 443 needs a certificate")

    internet = Sites(SITES.get, no_certificate, log, lambda: NOW)
    tasks = []

    async def start(host: str, port: int = 80, protocol: Literal["tcp", "udp"] = "tcp") -> int:
        kind = socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM
        opened = socket.socket(socket.AF_INET, kind)
        opened.bind(("127.0.0.1", 0))
        if protocol == "tcp":
            opened.listen(1024)
        listener = Listener(NetnsName(f"site/{host}"), LOCAL, port, protocol, "site")
        tasks.append(asyncio.ensure_future(internet.serve(listener, opened)))
        await asyncio.sleep(0)
        return opened.getsockname()[1]

    yield start
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def seen(log: AccessLog) -> list[tuple]:
    return [(e["host"], e["method"], e["path"], e["status"]) for e in log.entries()]


async def say(port: int, text: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(text)
    try:
        return await asyncio.wait_for(reader.read(), 5)
    finally:
        writer.close()
        await writer.wait_closed()


async def test_a_caller_learns_its_address_and_is_in_the_log(serve, log):
    port = await serve("ifconfig.me")
    async with aiohttp.ClientSession() as client:
        for _ in range(2):  # over one connection
            async with client.get(f"http://127.0.0.1:{port}/ip?x=1") as response:
                assert (response.status, await response.text()) == (200, "127.0.0.1")
    assert seen(log) == [("ifconfig.me", "GET", "/ip?x=1", 200)] * 2
    entry = next(log.entries())
    assert entry["sourceIp"] == "127.0.0.1"
    assert entry["time"] == "2026-01-01T00:00:00.000000Z"


async def test_a_refused_caller_gets_403_and_is_logged(serve, log):
    port = await serve(CLOSED.host)
    async with (
        aiohttp.ClientSession() as client,
        client.post(f"http://127.0.0.1:{port}/api", data=b"x") as got,
    ):
        assert got.status == 403
    assert seen(log) == [(CLOSED.host, "POST", "/api", 403)]


async def test_a_partner_that_was_removed_serves_nobody(serve, log):
    port = await serve("gone.example.com")
    async with aiohttp.ClientSession() as client, client.get(f"http://127.0.0.1:{port}/") as response:
        assert response.status == 403


async def test_pipelined_requests_are_all_answered(serve, log):
    port = await serve("icanhazip.com")
    request = b"GET / HTTP/1.1\r\nHost: icanhazip.com\r\n\r\n"
    answer = await say(port, request + request.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
    assert answer.count(b"HTTP/1.1 200 OK") == 2


async def test_something_else_than_http_is_a_bad_request(serve, log):
    port = await serve("icanhazip.com")
    assert (await say(port, b"hello\r\n\r\n")).startswith(b"HTTP/1.1 400 Bad Request")
    assert seen(log) == [("icanhazip.com", "?", "", 400)]


async def test_a_connection_that_asks_nothing_is_noted_when_it_ends(serve, log):
    port = await serve("icanhazip.com")
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.close()
    await writer.wait_closed()
    await until(lambda: seen(log) == [("icanhazip.com", "TCP", "", 0)])


async def test_a_port_of_the_operators_own_holds_any_connection_and_answers_http(serve, log):
    port = await serve(OPEN.host, 9000)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    await until(lambda: seen(log) == [(OPEN.host, "TCP", "", 0)])
    writer.write(b"hello, ")
    writer.write(b"whoever you are")
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(reader.read(1), 0.05)
    writer.close()
    assert b'"sourceIp": "127.0.0.1"' in await say(port, b"GET /x HTTP/1.1\r\nConnection: close\r\n\r\n")
    assert seen(log)[1:] == [(OPEN.host, "TCP", "", 0), (OPEN.host, "GET", "/x", 200)]


async def test_a_port_of_the_operators_own_cuts_a_refused_caller_and_logs_it(serve, log):
    port = await serve(CLOSED.host, 9000)
    with contextlib.suppress(ConnectionError):
        assert await say(port, b"hello") == b""
    assert seen(log) == [(CLOSED.host, "TCP", "", 403)]


async def test_a_datagram_comes_back_with_who_was_seen(serve, log):
    port = await serve(OPEN.host, 9000, "udp")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as caller:
        caller.setblocking(False)
        caller.bind(("127.0.0.1", 0))
        await asyncio.get_running_loop().sock_connect(caller, ("127.0.0.1", port))
        caller.send(b"hi")
        answer = await asyncio.wait_for(asyncio.get_running_loop().sock_recv(caller, 100), 5)
        assert answer == f"127.0.0.1 {caller.getsockname()[1]} hi".encode()
    assert seen(log) == [(OPEN.host, "UDP", "", 0)]


async def test_two_thousand_connections_are_held_and_let_go_at_the_end(serve, log):
    port = await serve("ifconfig.me")
    held = [await asyncio.open_connection("127.0.0.1", port) for _ in range(2000)]
    reader, writer = held[-1]
    writer.write(b"GET / HTTP/1.1\r\nHost: ifconfig.me\r\n\r\n")
    assert b"200 OK" in await reader.readline()
    for _, each in held:
        each.transport.abort()


async def until(condition) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - what is awaited sets no event
            await asyncio.sleep(0.005)
