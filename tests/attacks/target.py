"""The region that is attacked, its doors, and what is measured meanwhile."""

import json
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from statistics import quantiles

from tests.attacks.inside import Inside
from tests.attacks.table import Attack, Row, Tally

from fogbank.testing import RunningRegion, end_region, short_folder, start_region

NETCHECK = "us-docker.pkg.dev/fogbank/samples/netcheck"
SERVICES = "https://run.googleapis.com/v2/projects/demo/locations/asia-northeast3/services"
API_HOST = "cloudresourcemanager.googleapis.com"
METADATA = "169.254.169.254"
PATIENCE = 5.0
"""Seconds in which every attempt has to be answered or cut off."""

MORE_MEMORY = 20.0
"""MiB."""

MORE_WAIT = 50.0
"""Milliseconds that others may wait longer, 19 times out of 20."""


class Target:
    """A running region with two services, ``open`` to all and ``closed``."""

    def __init__(self) -> None:
        self.region: RunningRegion = start_region(short_folder(), "--ephemeral")
        self.port = int(self.region.environment["HTTPS_PROXY"].rpartition(":")[2])
        self.roots = self.region.environment["SSL_CERT_FILE"]
        self.folder = next(self.region.home.rglob("operator.sock")).parent
        self._trusts: dict[str, ssl.SSLContext] = {}
        try:
            self._prepare()
        except BaseException:
            end_region(self.region)
            raise

    def _prepare(self) -> None:
        self.token = self.region.token(API_HOST)
        self.hosts = {name: self._deploy(name) for name in ("open", "closed")}
        policy = {"policy": {"bindings": [{"role": "roles/run.invoker", "members": ["allUsers"]}]}}
        assert self.region.api("POST", f"{SERVICES}/open:setIamPolicy", policy)[0] == 200
        self.pid = max(_processes(str(self.folder)), key=_resident)
        self.inside = Inside(self._container("open"))
        self.site = self._resolve("ifconfig.me")
        self.closed_address = self._address_of_closed()

    def close(self) -> None:
        self.inside.close()
        end_region(self.region)

    # Doors: each gives a connected socket that speaks what the door speaks.

    def host_of(self, door: str) -> str:
        return {"ingress": self.hosts["open"], "metadata": "metadata.google.internal"}.get(
            door.partition(" ")[0], API_HOST
        )

    def open(self, door: str) -> socket.socket:
        match door:
            case "proxy":
                return self._tcp()
            case "API" | "API h2" | "ingress" | "ingress h2":
                return self._tls(self.host_of(door), "h2" if door.endswith("h2") else "http/1.1")
            case "metadata":
                return self._inner(METADATA, 80)
            case "third party":
                return self._inner(self.site, 80)
            case "third party TLS":
                return self._inner(self.site, 443)
            case "DNS":
                return self._inner(METADATA, 53)
            case "operator":
                made = socket.socket(socket.AF_UNIX)
                made.settimeout(PATIENCE)
                made.connect(str(self.folder / "operator.sock"))
                return made
        raise AssertionError(door)

    def tunnel(self, host: str) -> socket.socket:
        made = self._tcp()
        made.sendall(f"CONNECT {host}:443 HTTP/1.1\r\nHost: {host}:443\r\n\r\n".encode())
        answer = made.recv(1000)
        assert b" 200 " in answer, answer
        return made

    def _tcp(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), PATIENCE)

    def _tls(self, host: str, alpn: str) -> socket.socket:
        return self.trust(alpn).wrap_socket(self.tunnel(host), server_hostname=host)

    def trust(self, alpn: str) -> ssl.SSLContext:
        """Give a client's context, the same every time: reading the roots takes longer than the attack."""
        if alpn not in self._trusts:
            self._trusts[alpn] = ssl.create_default_context(cafile=self.roots)
            self._trusts[alpn].set_alpn_protocols([alpn])
        return self._trusts[alpn]

    def _inner(self, address: str, port: int) -> socket.socket:
        made = self.inside.socket()
        made.settimeout(PATIENCE)
        made.connect((address, port))
        return made

    # What is measured.

    @property
    def memory(self) -> float:
        """MiB that the region's program holds."""
        return _resident(self.pid) / 1024

    def tracebacks(self) -> int:
        return (self.folder / "fogbank.log").read_text(errors="replace").count("Traceback")

    @contextmanager
    def bystander(self, waits: list[float]):
        """Have a client call meanwhile; its waits are in ``waits`` afterwards."""
        program = subprocess.Popen(
            [sys.executable, "-S", "-B", str(Path(__file__).with_name("watch.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert program.stdin
        assert program.stdout
        told = {"port": self.port, "roots": self.roots, "token": self.token}
        program.stdin.write(json.dumps(told) + "\n")
        program.stdin.flush()
        assert program.stdout.readline() == "ready\n"
        try:
            yield
        finally:
            program.stdin.close()
            waits += json.loads(program.stdout.readline())
            program.stdout.close()
            program.wait(10)

    def suffer(self, attack: Attack) -> tuple[Row, Tally]:
        """Let the attack happen; gives its figures."""
        before: list[float] = []
        during: list[float] = []
        with self.bystander(before):
            time.sleep(0.3)  # some forty calls, to know how long they take in peace
        memory, tracebacks, tally = self.memory, self.tracebacks(), Tally()
        began = time.monotonic()
        with self.bystander(during):
            attack.run(self, tally)
        seconds = time.monotonic() - began
        until(lambda: self.memory - memory < MORE_MEMORY)
        written = self.tracebacks() - tracebacks
        tally.expect(not written, f"{written} tracebacks in the log")
        more = _usual_worst(during) - _usual_worst(before)
        row = Row(
            attack.door,
            attack.name,
            tally.tried,
            len(tally.through),
            round(seconds, 2),
            round(max(more, 0.0), 1),
            round(max(during), 1),
            round(max(self.memory - memory, 0.0), 1),
        )
        return row, tally

    # How it is set up.

    def _deploy(self, name: str) -> str:
        body = {"template": {"containers": [{"image": NETCHECK}]}}
        assert self.region.api("POST", f"{SERVICES}?serviceId={name}", body)[0] == 200
        service: dict = {}

        def ready() -> bool:
            service.update(self.region.api("GET", f"{SERVICES}/{name}")[1])
            return service["terminalCondition"]["state"] == "CONDITION_SUCCEEDED"

        assert until(ready, 30)
        return service["uri"].removeprefix("https://")

    def _container(self, service: str) -> int:
        """Find a process of the service's container: it has the service's name in its environment."""
        for pid in descendants(self.pid):
            try:
                environment = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
            except OSError:
                continue
            if f"K_SERVICE={service}".encode() in environment:
                return pid
        raise AssertionError(f"no container of {service} runs")

    def _address_of_closed(self) -> str:
        neighbour = Inside(self._container("closed"))
        try:
            with neighbour.socket(datagrams=True) as made:
                made.connect((METADATA, 53))
                return str(made.getsockname()[0])
        finally:
            neighbour.close()

    def _resolve(self, name: str) -> str:
        labels = b"".join(bytes([len(part)]) + part.encode() for part in name.split("."))
        query = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00" + labels + b"\0\0\1\0\1"
        with self.inside.socket(datagrams=True) as asker:
            asker.settimeout(PATIENCE)
            asker.sendto(query, (METADATA, 53))
            return socket.inet_ntoa(asker.recv(2000)[-4:])


def suffer(once: Callable[[Attack], tuple[Row, Tally]], attack: Attack) -> tuple[Row, Tally]:
    """Let an attack happen, up to three times when it seems to leave memory or to hold others up.

    A leak and a wait that the attack causes come each time, so the least figures count. The allocator reaches
    its high-water mark once, and load of other programs on the machine passes.
    """
    row, tally = once(attack)
    for _ in range(2):
        if tally.through or (row.more_wait < MORE_WAIT and row.more_memory < MORE_MEMORY):
            break
        again, tally = once(attack)
        row = replace(
            again,
            more_wait=min(row.more_wait, again.more_wait),
            more_memory=min(row.more_memory, again.more_memory),
        )
    return row, tally


def until(true: Callable[[], bool], seconds: float = 10.0) -> bool:
    """Wait until ``true`` is, at most so long; tell whether it is."""
    end = time.monotonic() + seconds
    while not (held := true()) and time.monotonic() < end:
        time.sleep(0.05)
    return held


def _usual_worst(waits: list[float]) -> float:
    """Tell how long 19 calls of 20 take at most."""
    return quantiles(waits, n=20, method="inclusive")[-1]


def _processes(word: str) -> list[int]:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if word in path.read_text(errors="replace") and "fogbank.app" in path.read_text(errors="replace"):
                found.append(int(path.parent.name))
        except OSError:
            continue
    return found


def descendants(pid: int) -> list[int]:
    """List the processes below ``pid``."""
    children: dict[int, list[int]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(path.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
        children.setdefault(parent, []).append(int(path.parent.name))
    found, left = [], [pid]
    while left:
        more = children.get(left.pop(), [])
        found += more
        left += more
    return found


def _resident(pid: int) -> int:
    """Tell the resident kilobytes of a process; 0 when it is gone."""
    try:
        text = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in text.splitlines() if line.startswith("VmRSS")), 0)
