"""Images per second: blobs pushed to and pulled from a region's registry, against Debian's docker-registry.

Both are asked by the same client over TLS, on a kept connection; the region's is reached through its proxy.
The baseline is the package ``docker-registry`` (distribution 2.8, in Go), unpacked into the cache and never
installed. Each push is of new content, so that none is answered by a blob that is there already, and is on
the disk before it is answered: both wait for that.
"""

import contextlib
import hashlib
import http.client
import os
import secrets
import shutil
import socket
import ssl
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

from bench.table import Aim, Row, compare
from fogbank.dataplane.linux.images.debian_roots import DebianRoots
from fogbank.dataplane.linux.images.store import ImageStore
from fogbank.dataplane.linux.images.unpacked import UnpackedImages
from fogbank.frontend.pki import certificates
from fogbank.resources.server_images import ServerImage
from fogbank.settings import cache_home
from fogbank.testing import RunningRegion

ROUNDS = 7
BLOB = 64 * 1024 * 1024
SMALL, SMALLS = 4096, 50
BASELINE = "Debian's docker-registry, TLS"
PUSH, PULL, MANY = "registry: push", "registry: pull", "registry: small blobs"

REGISTRY_AIMS = (
    Aim(PUSH, "MB/s", ">=", 0.8, BASELINE),
    Aim(PULL, "MB/s", ">=", 0.8, BASELINE),
    Aim(MANY, "1/s", ">=", 0.8, BASELINE),
)

_IMAGE = ServerImage("docker-registry", ("docker-registry",))
_HOST = "asia-northeast3-docker.pkg.dev"
_REPOSITORY = (
    "https://artifactregistry.googleapis.com/v1/projects/demo/locations/asia-northeast3/repositories"
    "?repositoryId=bench"
)


@dataclass(frozen=True, slots=True)
class Client:
    """One connection to a registry, and where in it images are."""

    connection: http.client.HTTPSConnection
    name: str
    authorization: str = ""

    def push(self, blob: bytes) -> float:
        """Push a blob; return the seconds that it took."""
        digest = hashlib.sha256(blob).hexdigest()
        began = time.perf_counter()
        location = self._ask("POST", f"/v2/{self.name}/blobs/uploads/", 202).getheader("Location") or ""
        target = urlsplit(location)
        query = f"{target.query}&" if target.query else ""
        self._ask("PUT", f"{target.path}?{query}digest=sha256:{digest}", 201, blob)
        return time.perf_counter() - began

    def pull(self, blob: bytes) -> float:
        """Pull a blob that is there; return the seconds that it took."""
        digest = hashlib.sha256(blob).hexdigest()
        began = time.perf_counter()
        self.connection.request("GET", f"/v2/{self.name}/blobs/sha256:{digest}", headers=self._headers)
        answer, found = self.connection.getresponse(), 0
        buffer = memoryview(bytearray(1024 * 1024))
        while count := answer.readinto(buffer):
            found += count
        assert (answer.status, found) == (200, len(blob))
        return time.perf_counter() - began

    @property
    def _headers(self) -> dict[str, str]:
        return {"Authorization": self.authorization} if self.authorization else {}

    def _ask(self, method: str, path: str, status: int, body: bytes = b"") -> http.client.HTTPResponse:
        headers = {**self._headers, "Content-Type": "application/octet-stream"}
        self.connection.request(method, path, body, headers)
        answer = self.connection.getresponse()
        text = answer.read()
        assert answer.status == status, (method, path, answer.status, text)
        return answer


def measure_registry(wanted: Sequence[Aim], region: RunningRegion) -> Iterator[Row]:
    """Measure the wanted rows against ``region``."""
    status, answer = region.api("POST", _REPOSITORY, {"format": "DOCKER"})
    assert status == 200, answer
    token = f"Bearer {region.token('artifactregistry.googleapis.com')}"
    ours = Client(region.connect(_HOST), "demo/bench/image", token)
    with docker_registry() as theirs:
        for aim in wanted:
            pairs = [(_rate(aim, ours), _rate(aim, theirs)) for _ in range(ROUNDS + 1)]
            subjects, baselines = zip(*pairs[1:], strict=True)  # the first round only warms up
            yield compare(aim, subjects, baselines)


def _rate(aim: Aim, client: Client) -> float:
    if aim.row == MANY:
        blobs = [secrets.token_bytes(SMALL) for _ in range(SMALLS)]
        return SMALLS / sum(client.push(each) for each in blobs)
    blob = secrets.token_bytes(BLOB)
    pushed = client.push(blob)
    seconds: Callable[[], float] = (lambda: pushed) if aim.row == PUSH else (lambda: client.pull(blob))
    return BLOB / 1e6 / seconds()


@contextlib.contextmanager
def docker_registry() -> Iterator[Client]:
    """Run Debian's registry on the loopback with a certificate of its own, and connect to it."""
    folder = Path(tempfile.mkdtemp(prefix="fogbank-bench-", dir=cache_home()))
    try:
        program = _unpacked(folder)
        authority, key = _certificates(folder)
        port = _free_port()
        process = _start(program, folder, port, key)
        try:
            context = ssl.create_default_context(cafile=str(authority))
            yield Client(_connected(port, context), "bench/image")
        finally:
            process.terminate()
            process.wait(10)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _unpacked(folder: Path) -> Path:
    """Fetch and unpack the package; return its program."""
    roots, store = DebianRoots(cache_home() / "debian"), ImageStore(folder / "store")
    roots.fetch(_IMAGE, lambda _line: None)
    root = UnpackedImages(store, folder / "roots").get(roots.adopt(_IMAGE, store)).root
    return root / "usr/bin/docker-registry"


def _certificates(folder: Path) -> tuple[Path, Path]:
    """Make an authority and a certificate for 127.0.0.1; return the files of the one and of the other."""
    key, certificate = certificates.new_authority("bench", timedelta(days=1))
    (folder / "authority.pem").write_bytes(certificate)
    (folder / "server.pem").write_bytes(certificates.issue(key, certificate, ["127.0.0.1", "localhost"]))
    return folder / "authority.pem", folder / "server.pem"


def _start(program: Path, folder: Path, port: int, key: Path) -> "subprocess.Popen[bytes]":
    configuration = f"""\
version: 0.1
log: {{accesslog: {{disabled: true}}, level: error}}
storage: {{filesystem: {{rootdirectory: {folder}/data}}}}
http: {{addr: "127.0.0.1:{port}", tls: {{certificate: {key}, key: {key}}}}}
"""
    (folder / "config.yml").write_text(configuration)
    return subprocess.Popen(
        [str(program), "serve", str(folder / "config.yml")],
        env={"PATH": os.defpath},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def _connected(port: int, context: ssl.SSLContext) -> http.client.HTTPSConnection:
    """Connect as soon as the server listens."""
    until = time.monotonic() + 20
    while True:
        connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=60, context=context)
        try:
            connection.connect()
        except ConnectionRefusedError:
            if time.monotonic() > until:
                raise
            time.sleep(0.05)
        else:
            return connection


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as made:
        return int(made.getsockname()[1])
