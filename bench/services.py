"""Services of Cloud Run in a region: deployed, asked when they have no instance, and left alone."""

import json
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from bench.private import in_private_world
from bench.serving import deploy
from bench.starting import NETCHECK, bare_starts, processes, pss
from bench.table import Aim, Row, compare
from bench.talk import Script, Server, calls_per_second
from fogbank.testing import RunningRegion

COLD = Aim("a request to a service at zero", "ms", "<=", 1.2, "bare crun run, same image")
DEPLOY = Aim("deploy to ready", "ms", "<=", 1, "250 ms")
MEMORY = Aim("an idle service among 200: memory", "MB", "<=", 1, "0.2 MB")
PROCESSES = Aim("200 idle services: processes more", "", "<=", 0, "those of the region")
SERVICE_AIMS = (COLD, DEPLOY, MEMORY, PROCESSES)

ROUNDS, SERVICES, AT_ONCE = 7, 200, 20


def measure_services(wanted: Sequence[Aim], region: RunningRegion) -> Iterator[Row]:
    """Measure the wanted rows against ``region``."""
    if DEPLOY in wanted:
        times = [_deploy_seconds(region, f"ready-{number}") * 1000 for number in range(ROUNDS + 1)][1:]
        yield compare(DEPLOY, times, [250.0] * ROUNDS)
    if COLD in wanted:
        yield _cold(region)
    if MEMORY in wanted or PROCESSES in wanted:
        megabytes, more = _idle(region)
        if MEMORY in wanted:
            yield compare(MEMORY, [megabytes], [0.2])
        if PROCESSES in wanted:
            yield compare(PROCESSES, [more], [1])


def _deploy_seconds(region: RunningRegion, name: str) -> float:
    began = time.perf_counter()
    deploy(region, name, NETCHECK)
    return time.perf_counter() - began


def _cold(region: RunningRegion) -> Row:
    """Ask a service that has no instance, over a connection that is open already."""
    host = deploy(region, "cold", NETCHECK)
    proxy = urlsplit(region.environment["HTTPS_PROXY"])
    assert proxy.port
    server = Server(proxy.port, tunnel=host, trust=region.environment["SSL_CERT_FILE"])
    subjects, baselines = [], []
    for _ in range(ROUNDS + 1):
        to_zero(region)
        subjects.append(_first_byte(server, host))
        with tempfile.TemporaryDirectory(prefix="fogbank-") as folder:
            found = in_private_world(partial(bare_starts, Path(folder), 3))
        baselines.append(sorted(found)[1])
    return compare(COLD, subjects[1:], baselines[1:])


def _first_byte(server: Server, host: str) -> float:
    times: list[float] = []

    def once(_: float) -> Script:
        began = time.perf_counter()
        yield f"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()
        times.append((time.perf_counter() - began) * 1000)

    calls_per_second(server, 1, [once])
    return times[0]


def to_zero(region: RunningRegion) -> None:
    """Let so much time pass that no idle instance is left, and return when the last has ended."""
    region.fogbank("clock", "advance", "16m")
    deadline = time.monotonic() + 30
    while json.loads(region.fogbank("status", "--format", "json"))["instances"] or _containers(region):
        if time.monotonic() > deadline:
            raise RuntimeError("instances are left")
        time.sleep(0.05)


def _idle(region: RunningRegion) -> tuple[float, int]:
    """Return what an idle service costs: megabytes of each, and processes of all together."""
    to_zero(region)
    time.sleep(1.5)
    memory, before = _memory(region), len(_descendants(region))
    for number in range(SERVICES):
        deploy(region, f"idle-{number}", NETCHECK)
        if number % AT_ONCE == AT_ONCE - 1:
            to_zero(region)
    time.sleep(1.5)
    return (_memory(region) - memory) / SERVICES, len(_descendants(region)) - before


def _memory(region: RunningRegion) -> float:
    return sum(map(pss, processes(region.home))) / 1e6


def _containers(region: RunningRegion) -> int:
    """Count the containers that there are, also those that are about to end."""
    return sum(b"netcheck" in _command(each) for each in _descendants(region))


def _command(process: Path) -> bytes:
    try:
        return process.joinpath("cmdline").read_bytes()
    except OSError:  # it has just ended
        return b""


def _descendants(region: RunningRegion) -> list[Path]:
    """Find the region's processes and all that they started."""
    parents: dict[int, int] = {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            fields = process.joinpath("stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        parents[int(process.name)] = int(fields[1])
    mine = {int(each.name) for each in processes(region.home)} - {os.getpid()}
    while more := {child for child, parent in parents.items() if parent in mine} - mine:
        mine |= more
    return [Path("/proc", str(number)) for number in sorted(mine)]
