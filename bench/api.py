"""API calls per second: addresses in a region and in moto's EC2; reading against a bare HTTP server.

A region's clients come through its proxy and TLS, so that is how it is measured. moto and the bare server
are asked in plain HTTP, which favours them.
"""

import contextlib
import re
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from bench.processes import free_port, running
from bench.table import Aim, Row, compare
from bench.talk import Script, Server, calls_per_second
from fogbank.testing import RunningRegion

ROUNDS = 7
SECONDS = 0.5
CONNECTIONS = {"1 connection": 1, "4 connections": 4}
MOTO, BARE = "moto: the like for EC2 addresses", "uvicorn, httptools, uvloop: same bytes"
WRITES, READS = "API insert, get, delete", "API get"

API_AIMS = (
    *(Aim(f"{WRITES}: {count}", "1/s", ">=", 5, MOTO) for count in CONNECTIONS),
    *(Aim(f"{READS}: {count}", "1/s", ">=", 0.3, BARE) for count in CONNECTIONS),
)

_HOST = "compute.googleapis.com"
_FOLDER = "/compute/v1/projects/demo/regions/asia-northeast3/addresses"
_AWS = (
    "AWS4-HMAC-SHA256 Credential=bench/20260101/us-east-1/ec2/aws4_request, SignedHeaders=host, Signature=0"
)
Scripts = list[Callable[[float], Script]]


def measure_api(wanted: Sequence[Aim], region: RunningRegion) -> Iterator[Row]:
    """Measure the wanted rows against ``region``."""
    api = Api(region)
    for baseline, subject, server in (
        (MOTO, api.writes, moto),
        (BARE, api.reads, partial(bare, api.sample())),
    ):
        mine = [aim for aim in wanted if aim.baseline == baseline]
        if mine:
            with server() as (other, script):
                for aim in mine:
                    yield _row(aim, api.server, subject, other, script)


def _row(
    aim: Aim,
    server: Server,
    subject: Callable[[int], Scripts],
    other: Server,
    script: Callable[[float], Script],
) -> Row:
    count = CONNECTIONS[aim.row.partition(": ")[2]]
    pairs = [
        (
            calls_per_second(server, SECONDS, subject(count)),
            calls_per_second(other, SECONDS, [script] * count),
        )
        for _ in range(ROUNDS + 1)
    ]
    ours, theirs = zip(*pairs[1:], strict=True)  # the first round only warms up
    return compare(aim, ours, theirs)


class Api:
    """A region's addresses."""

    def __init__(self, region: RunningRegion) -> None:
        proxy = urlsplit(region.environment["HTTPS_PROXY"])
        assert proxy.port
        self.server = Server(proxy.port, tunnel=_HOST, trust=region.environment["SSL_CERT_FILE"])
        self._token = region.token(_HOST)
        self._region = region
        self._runs = 0

    def writes(self, count: int) -> Scripts:
        """Make a script for each connection: its addresses come, are read and go."""
        self._runs += 1
        return [partial(self._write, f"run-{self._runs}-{n}") for n in range(count)]

    def _write(self, prefix: str, end: float) -> Script:
        number = 0
        while time.perf_counter() < end:
            number += 1
            name = f"{prefix}-{number}"
            yield self._request("POST", _FOLDER, f'{{"name": "{name}"}}')
            yield self._request("GET", f"{_FOLDER}/{name}")
            yield self._request("DELETE", f"{_FOLDER}/{name}")

    def reads(self, count: int) -> Scripts:
        """Make a script for each connection: it reads one address."""
        return [partial(_repeat, self._request("GET", f"{_FOLDER}/sample"))] * count

    def sample(self) -> str:
        """Make the address that is read and give the answer's bytes."""
        base = f"https://{_HOST}{_FOLDER}"
        self._region.api("POST", base, {"name": "sample"})
        bodies: list[str] = []

        def once(_: float) -> Script:
            bodies.append((yield self._request("GET", f"{_FOLDER}/sample")).decode())

        calls_per_second(self.server, 1, [once])
        return bodies[0]

    def _request(self, method: str, path: str, body: str = "") -> bytes:
        return _request(
            method,
            path,
            body,
            Host=_HOST,
            Authorization=f"Bearer {self._token}",
            content_type="application/json",
        )


def _request(method: str, path: str, body: str = "", **headers: str) -> bytes:
    if body:
        headers["Content_Length"] = str(len(body))
    lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    return f"{method} {path} HTTP/1.1\r\n{lines}\r\n{body}".encode()


def _repeat(request: bytes, end: float) -> Script:
    while time.perf_counter() < end:
        yield request


@contextlib.contextmanager
def moto() -> Iterator[tuple[Server, Callable[[float], Script]]]:
    """Run moto's server; its script allocates, describes and releases an address."""
    port = free_port()
    program = Path(sys.executable).parent / "moto_server"
    if not program.exists():
        raise FileNotFoundError("moto_server is missing: run `make bench`, or pip install 'moto[server]'")
    with running([str(program), "-p", str(port)], port):
        yield Server(port), _moto_script


def _moto_script(end: float) -> Script:
    while time.perf_counter() < end:
        answer = yield _ec2("AllocateAddress&Domain=vpc")
        found = re.search(rb"<allocationId>([^<]+)<", answer)
        assert found, answer
        identifier = found[1].decode()
        yield _ec2(f"DescribeAddresses&AllocationId.1={identifier}")
        yield _ec2(f"ReleaseAddress&AllocationId={identifier}")


def _ec2(action: str) -> bytes:
    form = "application/x-www-form-urlencoded"
    host = "ec2.us-east-1.amazonaws.com"
    body = f"Action={action}&Version=2016-11-15"
    return _request("POST", "/", body, Host=host, Authorization=_AWS, content_type=form)


@contextlib.contextmanager
def bare(body: str) -> Iterator[tuple[Server, Callable[[float], Script]]]:
    """Run the bare server; it answers ``body``."""
    port = free_port()
    options = ("--http", "httptools", "--loop", "uvloop", "--log-level", "warning", "--no-access-log")
    command = [sys.executable, "-m", "uvicorn", "bench.bare:app", "--port", str(port), *options]
    with running(command, port, {"BENCH_BODY": body}):
        yield Server(port), partial(_repeat, _request("GET", _FOLDER, Host="127.0.0.1"))
