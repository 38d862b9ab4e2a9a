"""What Google's products send: to whom, from where, with which token, and how failures are told."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from ipaddress import IPv4Address
from pathlib import Path
from threading import Thread

import pytest
from tests.cloud_calls import PROJECT

from fogbank.app import google_requests
from fogbank.app.google_requests import GoogleRequests
from fogbank.control.outgoing import AccessToken, IdToken, OutgoingRequest
from fogbank.frontend.pki.authority import open_authority
from fogbank.lowering.netns_names import INTERNET
from fogbank.network.topology import NetnsName
from fogbank.resources.dns import RecordSet

LOCAL = IPv4Address("127.0.0.1")


class Stranger:
    """An identity that knows one account."""

    def account(self, email: str) -> object | None:
        return type("Account", (), {"email": email}) if email == "known@x" else None

    def id_token(self, account: object, audience: str) -> str:
        return f"id-for-{audience}"

    def access_token(self, email: str, scopes: tuple[str, ...]) -> str:
        return f"access-of-{email}-{','.join(scopes)}"


def answers(_client: IPv4Address, name: str, kind: str) -> tuple[RecordSet, ...] | None:
    return (RecordSet(name, kind, 60, (str(LOCAL),)),) if name == "site.example." else None


def open_socket(netns: NetnsName, kind: socket.SocketKind) -> socket.socket:
    assert netns == INTERNET
    return socket.socket(socket.AF_INET, kind)


@asynccontextmanager
async def site(answer: bytes) -> AsyncIterator[tuple[int, list[bytes]]]:
    """A web server on loopback that keeps what it was sent; without an answer it says nothing."""
    seen: list[bytes] = []
    async with serving(answer, lambda head, _peer: seen.append(head)) as port:
        yield port, seen


@asynccontextmanager
async def serving(answer: bytes, tell: Callable[[bytes, tuple[str, int]], None]) -> AsyncIterator[int]:
    """A web server on loopback for one connection, which is over when this ends.

    It is a thread, because a client that gives up while it connects leaves a connection of which an event
    loop hears only after the test.
    """

    def serve() -> None:
        try:
            connection, peer = listener.accept()
        except OSError:  # nobody came
            return
        with connection, connection.makefile("rb") as sent:
            head = b""
            while (line := sent.readline()) and not (answer and line == b"\r\n"):
                head += line
            tell(head, peer)
            connection.sendall(answer)

    with socket.create_server((str(LOCAL), 0)) as listener:
        thread = Thread(target=serve)
        thread.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
        await asyncio.to_thread(thread.join)


@pytest.fixture
async def sender(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> AsyncIterator[GoogleRequests]:
    monkeypatch.setattr(google_requests, "FRONT_END", LOCAL)
    open_authority(tmp_path / "authority", tmp_path / "bundle.pem", "test")
    made = GoogleRequests(Stranger(), open_socket, answers, tmp_path / "bundle.pem")  # type: ignore[arg-type]
    yield made
    await made.close()


def request(port: int, path: str = "/x") -> OutgoingRequest:
    url = f"http://site.example:{port}{path}"
    return OutgoingRequest(PROJECT, "POST", url, {"X-CloudScheduler": "true"}, b"body", 5.0)


async def test_a_request_is_sent_as_it_is_and_answers_with_its_status(sender: GoogleRequests) -> None:
    async with site(b"HTTP/1.1 302 Found\r\nLocation: /y\r\nContent-Length: 0\r\n\r\n") as (port, seen):
        assert await sender.send(request(port)) == 302
    assert seen[0].startswith(b"POST /x HTTP/1.1\r\n")
    assert b"X-CloudScheduler: true" in seen[0]
    assert b"Authorization" not in seen[0]


@pytest.mark.parametrize(
    ("token", "sent"),
    [
        (IdToken("known@x", "https://a"), b"Bearer id-for-https://a\r\n"),
        (AccessToken("known@x", ("s",)), b"Bearer access-of-known@x-s\r\n"),
    ],
)
async def test_a_request_carries_its_token(
    sender: GoogleRequests, token: IdToken | AccessToken, sent: bytes
) -> None:
    async with site(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n") as (port, seen):
        assert await sender.send(replace(request(port), token=token)) == 200
    assert sent in seen[0]


async def test_nothing_is_sent_for_an_account_that_is_gone(sender: GoogleRequests) -> None:
    async with site(b"unasked") as (port, seen):
        with pytest.raises(PermissionError, match="gone@x"):
            await sender.send(replace(request(port), token=IdToken("gone@x", "a")))
    assert seen == []


async def test_a_name_that_nobody_has_and_a_closed_port_cannot_be_reached(sender: GoogleRequests) -> None:
    with pytest.raises(OSError, match=r"nobody\.example"):
        await sender.send(replace(request(80), url="http://nobody.example/"))
    with socket.socket() as unused:
        unused.bind((str(LOCAL), 0))
        with pytest.raises(OSError, match=r"site\.example"):
            await sender.send(request(unused.getsockname()[1]))


async def test_an_answer_that_takes_too_long_is_a_timeout(sender: GoogleRequests) -> None:
    async with site(b"") as (port, _):
        with pytest.raises(TimeoutError):
            await sender.send(replace(request(port), seconds=0.05))


async def test_a_connection_tells_for_which_project_it_was_made(sender: GoogleRequests) -> None:
    found: list[tuple[str | None, str | None]] = []

    def tell(_head: bytes, peer: tuple[str, int]) -> None:
        found.append((sender.project_of(*peer), sender.project_of("198.51.100.7", peer[1])))

    async with serving(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", tell) as port:
        assert await sender.send(request(port)) == 200
    assert found == [(PROJECT, None)]
