"""Starting: a region from nothing, its idle memory, an instance's network, a container's cold start."""

import asyncio
import contextlib
import json
import os
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tests.lowered import lower
from tests.worlds import fleet, world

from bench.private import in_private_world
from bench.region_network import Vpc
from bench.table import Aim, Row, compare
from fogbank.control.probing import passes
from fogbank.dataplane.linux.containers.bundle import User, render_bundle, resolver_files
from fogbank.dataplane.linux.containers.rootfs import Roots
from fogbank.dataplane.linux.containers.runtime import CrunRuntime
from fogbank.dataplane.linux.containers.user_namespace import UserNamespace
from fogbank.dataplane.linux.driver import LinuxDriver
from fogbank.dataplane.linux.images.builtin import open_store
from fogbank.dataplane.linux.images.unpacked import Image
from fogbank.dataplane.linux.net.namespaces import NetworkNamespaces
from fogbank.dataplane.linux.world import CONTAINERS
from fogbank.lowering.netns_names import FABRIC
from fogbank.network.addressing import fabric_address
from fogbank.network.topology import NetnsName, NetworkNamespace, Topology, Workload
from fogbank.planning.plan import Create, Plan, plan
from fogbank.resources.fleet import Instance
from fogbank.resources.run_containers import ContainerProbe
from fogbank.testing import RunningRegion, end_region, short_folder

UP = Aim("up to ready, cold", "s", "<=", 1, "1.0 s")
MEMORY = Aim("idle memory", "MB", "<=", 1, "150 MB")
NETWORK = Aim("an instance's network", "ms", "<=", 1, "3 ms")
COLD = Aim("netcheck cold start", "ms", "<=", 1.5, "bare crun run, same image")
START_AIMS = (UP, MEMORY, NETWORK, COLD)

NETCHECK = "us-docker.pkg.dev/fogbank/samples/netcheck"
PROBE = ContainerProbe("tcp", 8080)
"""What a service without a probe of its own gets."""

UPS, NETWORKS, STARTS = 5, 40, 9


def measure_starting(wanted: Sequence[Aim]) -> Iterator[Row]:
    """Measure the wanted rows."""
    if UP in wanted or MEMORY in wanted:
        seconds, megabytes = _ups()
        if UP in wanted:
            yield compare(UP, seconds, [1.0] * len(seconds))
        if MEMORY in wanted:
            yield compare(MEMORY, megabytes, [150.0] * len(megabytes))
    if NETWORK in wanted:
        times = in_private_world(_networks)
        yield compare(NETWORK, times, [3.0] * len(times))
    if COLD in wanted:
        with tempfile.TemporaryDirectory(prefix="fogbank-") as folder:
            subjects, baselines = in_private_world(lambda: _starts(Path(folder)))
        yield compare(COLD, subjects, baselines)


def _ups() -> tuple[list[float], list[float]]:
    seconds, megabytes = [], []
    for _ in range(UPS):
        home = short_folder()
        os.environ["XDG_CACHE_HOME"] = str(home / "cache")  # cold: no images either
        started = time.perf_counter()
        region = RunningRegion("bench", home)
        region.fogbank("up", "--detach", "--port", "0")
        seconds.append(time.perf_counter() - started)
        try:
            time.sleep(1.5)
            megabytes.append(sum(map(pss, processes(region.home))) / 1e6)
        finally:
            end_region(region)
            del os.environ["XDG_CACHE_HOME"]
    return seconds, megabytes


def processes(home: Path) -> list[Path]:
    """Find the region's own processes: each carries its folder in its command line."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if os.fsencode(home) in process.joinpath("cmdline").read_bytes():
                found.append(process)
        except OSError:
            continue
    return found


def pss(process: Path) -> int:
    for line in process.joinpath("smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"{process} has no Pss")


def _instances(count: int, image: str | None = None) -> Iterator[tuple[Topology, Instance | None]]:
    """Return the topologies of a VPC with 0, 1, … ``count`` instances, and the newest instance."""
    vpc = Vpc("default", 0, instances=count)
    resources, revisions = list(vpc.resources()), vpc.revisions()
    if image:
        for each in revisions:
            each.body["status"]["imageDigest"] = f"{NETCHECK}@{image}"
    made = world(*resources, *revisions)
    for number in range(count + 1):
        running = fleet(*revisions[:number])
        instance = list(running.instances.values())[-1] if number else None
        yield lower(made, running, Topology()).topology, instance


def _without_workloads(topology: Topology) -> Topology:
    return Topology.of(each for each in topology if not isinstance(each, Workload))


def _networks() -> list[float]:
    """Milliseconds for the network of one more instance, beside those that are there."""
    driver = LinuxDriver(
        serve=lambda _, opened: opened.close(), unserve=lambda _: None, namespaces=NetworkNamespaces()
    )
    driver.namespaces.refill()
    times = []
    for topology, instance in _instances(NETWORKS):
        actions = plan(driver.observe(), _without_workloads(topology))
        started = time.perf_counter()
        outcomes = driver.apply(actions)
        took = time.perf_counter() - started
        _check(outcomes)
        if instance:
            times.append(took * 1000)
        time.sleep(0.03)
    return times


def bare_starts(folder: Path, count: int) -> list[float]:
    """Milliseconds from ``crun run`` of netcheck until it listens, ``count`` times."""
    with _machine(folder) as (driver, bare, _):
        _check(driver.apply(plan(driver.observe(), Topology())))
        return [bare.start() for _ in range(count)]


@contextlib.contextmanager
def _machine(folder: Path) -> Iterator[tuple[LinuxDriver, "Bare", str]]:
    """Give a driver with containers, the baseline beside it, and netcheck's digest."""
    trusted = folder / "bundle.pem"
    trusted.write_text("the region's certificates")
    registry, images = open_store(folder / "registry", folder / "cache")
    digest = registry.resolve(NETCHECK)
    image = images.get(digest)
    namespaces = NetworkNamespaces()
    containers = CrunRuntime(CONTAINERS, images, trusted, namespaces=namespaces, report=lambda _: None)
    driver = LinuxDriver(
        serve=lambda _, opened: opened.close(),
        unserve=lambda _: None,
        containers=containers,
        namespaces=namespaces,
    )
    namespaces.refill()
    containers.warm()
    try:
        yield driver, Bare(driver, folder / "bare", image, trusted), digest
    finally:
        driver.close()


def _starts(folder: Path) -> tuple[list[float], list[float]]:
    """Milliseconds from nothing to a listening netcheck: in a region's network, and by crun alone."""
    subjects, baselines = [], []
    with _machine(folder) as (driver, bare, digest):
        for topology, instance in _instances(STARTS, digest):
            actions = plan(driver.observe(), topology)
            if instance is None:
                _check(driver.apply(actions))
                continue
            subjects.append(_region_start(driver, actions, instance.fabric.index))
            # It goes on: one that was stopped would be started again, beside the next.
            baselines.append(bare.start())
            time.sleep(0.05)
    return subjects, baselines


def _region_start(driver: LinuxDriver, actions: Plan, index: int) -> float:
    """Make an instance and probe it as the control loop does."""
    started = time.perf_counter()
    _check(driver.apply(actions))
    if not asyncio.run(passes(PROBE, FABRIC, fabric_address(index), driver.open_socket)):
        raise RuntimeError("netcheck did not listen")
    return (time.perf_counter() - started) * 1000


def _check(outcomes: Sequence[Any]) -> None:
    if refused := [f"{each.action}: {each.error}" for each in outcomes if each.error]:
        raise RuntimeError(f"the network could not be built: {refused}")


def _without_filter(bundle: dict[str, Any]) -> None:
    del bundle["linux"]["seccomp"]


class Bare:
    """Runs the same image by crun alone, with a root and a network namespace that were made before.

    It has no filter of system calls and no user namespace, so that the ratio shows what those cost, too.
    """

    def __init__(self, driver: LinuxDriver, folder: Path, image: Image, trusted: Path) -> None:
        folder.mkdir()
        self._driver, self._folder, self._image = driver, folder, image
        self._roots = Roots(folder / "shared", dict(resolver_files("127.0.0.1")), trusted, owner=0)
        self._count = 0

    def start(self) -> float:
        """Return the milliseconds from ``crun run`` until it listens."""
        self._count += 1
        name = f"bare{self._count}"
        netns = NetnsName(name)
        _check(self._driver.apply([Create(NetworkNamespace(netns))]))
        folder = self._folder / name
        folder.mkdir()
        bundle = render_bundle(
            Workload(name, netns, "", 8080, environment=(("PORT", "8080"),)),
            self._image.config,
            User(),
            root=str(self._roots.make(self._image.root, folder, 512 * 1024 * 1024)),
            network=self._driver.namespaces.path(netns),
            open_files=1024,
            ids=UserNamespace(),
        )
        _without_filter(bundle)
        (folder / "config.json").write_text(json.dumps(bundle))
        state = str(self._folder / "state")
        command = ["crun", "--root", state, "--cgroup-manager=disabled", "run", "--bundle", str(folder), name]
        started = time.perf_counter()
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        while not self._listens(netns):
            if time.perf_counter() - started > 10:
                raise RuntimeError("the bare container did not listen")
            time.sleep(0.001)
        took = time.perf_counter() - started
        subprocess.run(["crun", "--root", state, "kill", name, "KILL"], check=True)
        process.wait()
        return took * 1000

    def _listens(self, netns: NetnsName) -> bool:
        with self._driver.open_socket(netns, socket.SOCK_STREAM) as probe:
            return probe.connect_ex(("127.0.0.1", 8080)) == 0
