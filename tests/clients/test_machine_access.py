"""The ways into a machine without an external address: IAP's tunnels, with the real gcloud and ssh."""

import asyncio
import json
import os
import secrets
import ssl
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlencode

import aiohttp
import pytest
from tests.clients.test_machines import COMPUTE, ZONE, Machines, named
from tests.loaded_gcloud import LoadedGcloud, LoadedRegion

from fogbank.frontend.iam import jwt
from fogbank.testing import end_region, fetch_servers, short_folder, start_region

pytestmark = [
    pytest.mark.netns,
    pytest.mark.slow(20),
    pytest.mark.xdist_group("machine-access"),
    # A connection that was broken on purpose may still be closing when uvloop closes its loop.
    pytest.mark.filterwarnings(
        "ignore:Exception ignored in. 'uvloop:pytest.PytestUnraisableExceptionWarning"
    ),
]

TUNNEL = "https://tunnel.cloudproxy.app/v4"
RELAY = "relay.tunnel.cloudproxy.app"
ECHO = (
    "#!/usr/bin/python3\n"
    "import socket, threading\n"
    "def serve(each):\n"
    "    each[0].sendall(f'from {each[1][0]}\\n'.encode())\n"
    "    while data := each[0].recv(65536): each[0].sendall(data)\n"
    "    each[0].close()\n"
    "listening = socket.create_server(('', 7))\n"
    "print('echo is ready', flush=True)\n"
    "while True: threading.Thread(target=serve, args=(listening.accept(),)).start()\n"
)
"""A server that tells who called and then repeats what it hears."""


@pytest.fixture(scope="module")
def machines() -> Iterator[Machines]:
    fetch_servers("machine")
    region = start_region(short_folder(), "--ephemeral", "--region", "asia-northeast1")
    yield Machines(region)
    end_region(region)


@pytest.fixture(scope="module")
def private(machines: Machines) -> str:
    """A machine without an external address that repeats on port 7 what it hears; IAP may reach it."""
    name = named("private")
    rule = {
        "name": "from-iap",
        "network": f"{COMPUTE}/global/networks/default",
        "sourceRanges": ["35.235.240.0/20"],
        "allowed": [{"IPProtocol": "tcp", "ports": ["22", "7"]}],
    }
    machines.call("POST", f"{COMPUTE}/global/firewalls", rule)
    machines.create(name, startup_script=ECHO)
    machines.wrote(name, "echo is ready")
    return name


class Relay:
    """A client of a tunnel; it counts what it got, as gcloud does."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self.received = 0
        self.content = b""
        self.acknowledged = 0

    async def first(self) -> tuple[int, bytes]:
        """Return the tag and the rest of the frame that opens or resumes a session."""
        frame = await self._socket.receive_bytes()
        return struct.unpack_from("!H", frame)[0], frame[2:]

    async def send(self, content: bytes) -> None:
        await self._socket.send_bytes(struct.pack("!HI", 4, len(content)) + content)

    async def acknowledge(self, total: int) -> None:
        await self._socket.send_bytes(struct.pack("!HQ", 7, total))

    async def until(self, length: int) -> bytes:
        """Receive until ``length`` bytes have come."""
        while len(self.content) < length:
            frame = await self._socket.receive_bytes()
            (tag,) = struct.unpack_from("!H", frame)
            if tag == 4:
                assert struct.unpack_from("!I", frame, 2)[0] == len(frame) - 6 <= 16_384
                self.content += frame[6:]
                self.received += len(frame) - 6
            elif tag == 7:
                (self.acknowledged,) = struct.unpack_from("!Q", frame, 2)
        return self.content

    async def end(self) -> int | None:
        """Return the code with which the server closes."""
        message = await self._socket.receive()
        assert message.type in {aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED}, message
        return self._socket.close_code


Tunnel = tuple[Relay, aiohttp.ClientWebSocketResponse]


class Opened:
    """Opens tunnels to a machine as somebody."""

    def __init__(self, machines: Machines, token: str = "") -> None:
        environment = machines.region.environment
        self._session, self._proxy = aiohttp.ClientSession(), environment["HTTPS_PROXY"]
        self._sockets: list[aiohttp.ClientWebSocketResponse] = []
        bundle = environment["SSL_CERT_FILE"]
        self._tls = ssl.create_default_context(cafile=bundle)
        self._token = token or machines.region.token("compute.googleapis.com")

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for socket in self._sockets:
            await socket.close()
        await self._session.close()
        await asyncio.sleep(0.1)  # what aiohttp has closed ends its TLS in the background

    async def open(
        self, verb: str = "connect", **query: Any
    ) -> tuple[Relay, aiohttp.ClientWebSocketResponse]:
        socket = await self._session.ws_connect(
            f"{TUNNEL}/{verb}?{urlencode(query)}",
            proxy=self._proxy,
            ssl=self._tls,
            protocols=[RELAY],
            origin="bot:iap-tunneler",
            headers={"Authorization": f"Bearer {self._token}"},
        )
        self._sockets.append(socket)
        assert socket.protocol == RELAY
        return Relay(socket), socket

    async def to(self, name: str, port: int, **more: Any) -> Tunnel:
        where: dict[str, Any] = {
            "project": "demo",
            "zone": ZONE,
            "instance": name,
            "interface": "nic0",
            "port": port,
        }
        return await self.open(**(where | more), newWebsocket="True")


async def test_bytes_pass_a_tunnel_both_ways_and_come_from_iaps_range(
    machines: Machines, private: str
) -> None:
    async with Opened(machines) as opened:
        relay, _ = await opened.to(private, 7)
        tag, rest = await relay.first()
        assert tag == 1
        assert len(rest) == 4 + struct.unpack_from("!I", rest)[0]
        greeting = await relay.until(len("from 35.235.240.2\n"))
        assert greeting == b"from 35.235.240.2\n"
        sent = secrets.token_bytes(200_000)
        for start in range(0, len(sent), 16_384):
            await relay.send(sent[start : start + 16_384])
        assert (await relay.until(len(greeting) + len(sent)))[len(greeting) :] == sent
        assert len(sent) - 3 * 16_384 <= relay.acknowledged <= len(sent)


async def test_a_tunnel_whose_connection_broke_is_resumed_without_losing_a_byte(
    machines: Machines, private: str
) -> None:
    async with Opened(machines) as opened:
        relay, socket = await opened.to(private, 7)
        _, rest = await relay.first()
        sid = rest[4:].decode()
        greeting = await relay.until(18)
        again, _ = await opened.open("reconnect", sid=sid, ack=18, zone=ZONE, newWebsocket="True")
        assert await again.end() == 4002
        await relay.send(b"heard, but not received")
        connection = socket._response.connection
        assert connection
        assert connection.transport
        connection.transport.abort()
        resumed, _ = await resume(opened, sid, ack=len(greeting))
        tag, rest = await resumed.first()
        (received,) = struct.unpack("!Q", rest)
        assert tag == 2
        assert received in {0, 23}
        await resumed.send(b"heard, but not received"[received:] + b"!")
        assert await resumed.until(24) == b"heard, but not received!"
        wrong, _ = await opened.open("reconnect", sid="nobody's", ack=0, zone=ZONE)
        assert await wrong.end() == 4001


async def resume(opened: Opened, sid: str, ack: int) -> Tunnel:
    """Resume a session as gcloud does: again while the server has not noticed that the client has gone."""
    for _ in range(100):
        relay, socket = await opened.open("reconnect", sid=sid, ack=ack, zone=ZONE)
        if (await peeked(relay, socket)) is None:
            return relay, socket
        await asyncio.sleep(0.05)
    raise AssertionError("it was never let go")


async def peeked(relay: Relay, socket: aiohttp.ClientWebSocketResponse) -> int | None:
    """Return the code of a refusal; None when the tunnel was opened: its first frame is still there."""
    message = await socket.receive()
    if message.type is aiohttp.WSMsgType.BINARY:
        relay.first = lambda: _first(message.data)  # type: ignore[method-assign]
        return None
    return socket.close_code


async def _first(frame: bytes) -> tuple[int, bytes]:
    return struct.unpack_from("!H", frame)[0], frame[2:]


def token_of(key: Path) -> str:
    """Sign a token with the key of a service account."""
    content = json.loads(key.read_text())
    now = int(time.time())
    claims = {"iss": content["client_email"], "sub": content["client_email"], "iat": now, "exp": now + 3600}
    claims["aud"] = "https://compute.googleapis.com/"
    return jwt.sign_with_pem(content["private_key"].encode(), content["private_key_id"], claims)


async def test_refusals_have_the_codes_that_gcloud_puts_into_words(
    machines: Machines, private: str, gcloud: LoadedGcloud, tmp_path: Path
) -> None:
    region = LoadedRegion(machines.region.name, machines.region.home, machines.region.environment, gcloud)
    email, key = "stranger@demo.iam.gserviceaccount.com", tmp_path / "key.json"
    region.gcloud("iam", "service-accounts", "create", "stranger")
    region.gcloud("iam", "service-accounts", "keys", "create", str(key), f"--iam-account={email}")
    token = token_of(key)
    async with Opened(machines) as opened, Opened(machines, token) as stranger:
        for who, name, port, more, code in (
            (opened, private, 9, {}, 4003),  # no rule lets it pass
            (opened, "nobody", 22, {}, 4047),
            (opened, private, 22, {"interface": "nic1"}, 4047),
            (stranger, private, 22, {}, 4033),
        ):
            relay, _ = await who.to(name, port, **more)
            assert await relay.end() == code
        async with Opened(machines, "not-a-token") as nobody:
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                await nobody.to(private, 22)
        assert refused.value.status == 401
        role = "--role=roles/iap.tunnelResourceAccessor"
        region.gcloud("projects", "add-iam-policy-binding", "demo", f"--member=serviceAccount:{email}", role)
        relay, _ = await stranger.to(private, 22)
        assert (await relay.first())[0] == 1
        assert (await relay.until(8)).startswith(b"SSH-2.0-")


def test_gcloud_logs_in_by_ssh_through_iap(machines: Machines, private: str, gcloud: LoadedGcloud) -> None:
    home = machines.region.home / "home"
    home.mkdir(exist_ok=True)
    environment = {**machines.region.environment, "HOME": str(home)}
    region = LoadedRegion(machines.region.name, machines.region.home, environment, gcloud)
    ssh = ("compute", "ssh", f"ada@{private}", f"--zone={ZONE}", "--tunnel-through-iap", "--quiet")
    done = region.gcloud(*ssh, "--command=id -un; sudo id -un; hostname; seq 200000 | md5sum")
    assert done.stdout.split()[-5:-1] == ["ada", "root", private, "0e10426a1d5bddffcef02f1345787128"]


def test_ssh_reaches_an_external_address_and_a_private_machine_behind_it(
    machines: Machines, private: str, tmp_path: Path
) -> None:
    bastion, key = named("bastion"), tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    keys = f"ada:{key.with_suffix('.pub').read_text().strip()}"
    machines.create(bastion, external=True, ssh_keys=keys, startup_script="echo up")
    machines.set_metadata(private, ssh_keys=keys)
    machines.wrote(bastion, "startup-script: up")
    outside = machines.get(bastion)["networkInterfaces"][0]["accessConfigs"][0]["natIP"]
    inside = machines.get(private)["networkInterfaces"][0]["networkIP"]
    fogbank = f"{sys.executable} -m fogbank.cli connect %h %p --name {machines.region.name}"
    config = tmp_path / "config"
    config.write_text(
        f"Host {outside}\n  ProxyCommand {fogbank}\nHost *\n  User ada\n  IdentityFile {key}\n"
        "  StrictHostKeyChecking no\n  UserKnownHostsFile /dev/null\n  LogLevel ERROR\n"
    )
    environment = os.environ | {"XDG_STATE_HOME": str(machines.region.home / "state")}

    def ssh(*words: str) -> str:
        # A program that it connects through may hold its standard error for longer.
        command = ["ssh", "-F", str(config), *words]
        done = subprocess.run(
            command,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            check=False,
        )
        return done.stdout

    machines.until(lambda: ssh(outside, "hostname") == f"{bastion}\n")
    assert ssh(outside, "echo $SSH_CONNECTION").split()[0] == "192.0.2.255"
    machines.until(lambda: ssh("-J", outside, inside, "hostname") == f"{private}\n")
    command = [sys.executable, "-m", "fogbank.cli", "connect", "203.0.113.250", "22"]
    command += ["--name", machines.region.name]
    refused = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert refused.returncode != 0
    assert "203.0.113.250 (203.0.113.250) port 22: " in refused.stderr


def test_a_connection_ends_with_the_program_that_wanted_it(machines: Machines) -> None:
    command = [
        sys.executable,
        "-m",
        "fogbank.cli",
        "connect",
        "--name",
        machines.region.name,
        "ifconfig.me",
        "80",
    ]
    environment = os.environ | {"XDG_STATE_HOME": str(machines.region.home / "state")}
    # Its end is passed on, and the answer still comes.
    request = b"GET / HTTP/1.1\r\nHost: ifconfig.me\r\nConnection: close\r\n\r\n"
    done = subprocess.run(
        command, input=request, env=environment, capture_output=True, timeout=60, check=True
    )
    assert done.stdout.startswith(b"HTTP/1.1 200")
    # Nor does one that never says anything stay.
    done = subprocess.run(command, input=b"", env=environment, capture_output=True, timeout=60, check=True)
    assert done.stdout == b""
