"""The control plane alone, over a machine that builds everything at once: how its costs grow.

Requests, creations and the event loop are measured in one process, without HTTP, containers or a kernel, so
what is left is what Fogbank itself computes.
"""

import asyncio
import sys
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from itertools import count
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import uvloop
from tests import worlds
from tests.lowered import compiler
from tests.no_data import NO_DATA

from bench.table import Aim, Row, compare
from fogbank.app.region import SWITCH_SECONDS
from fogbank.clock import Clock
from fogbank.control.controller import Runtime
from fogbank.control.logbook import Logbook
from fogbank.control.loop import ControlLoop
from fogbank.dataplane.driver import Outcome
from fogbank.network.topology import Topology
from fogbank.planning.plan import Action
from fogbank.resources.decisions import Decision
from fogbank.resources.run import HEALTH_CHECK_OFF, read_revision
from fogbank.resources.world import Change, Put
from fogbank.services import cloudresourcemanager, run
from fogbank.services.contract import Call, Write
from fogbank.services.run.controller import RunController, make_controller
from fogbank.services.run.controller.instance_state import InstanceState
from fogbank.services.run.controller.request_queue import RequestQueue
from fogbank.services.run.controller.revision_instances import RevisionInstances
from fogbank.store.journal import Journal
from fogbank.store.store import Store

REQUEST = Aim("a request's instance among 1,000", "µs", "<=", 2, "among 10")
CREATE = Aim("the 257th service", "ms", "<=", 2, "the 10th")
STALL = Aim("a write's stall at 100,000 elements", "ms", "<=", 1, "10 ms")
CONTROL_AIMS = (REQUEST, CREATE, STALL)

ROUNDS, REQUESTS, WRITES = 5, 5000, 9
NEIGHBOURS = 5
"""A creation is the median of so many on either side of it."""
BEAT_SECONDS = 0.001
ELEMENTS, NETWORKS = 100_000, 8000
OWNER = "me@example.com"

Sides = tuple[list[float], list[float]]
"""Figures of the subject and of the baseline, round by round."""


def measure_control_plane(wanted: Sequence[Aim]) -> Iterator[Row]:
    """Measure the wanted rows."""
    measures: dict[Aim, Callable[[], Coroutine[Any, Any, Sides]]] = {
        REQUEST: _requests,
        CREATE: _creations,
        STALL: _stalls,
    }
    for aim in wanted:
        subjects, baselines = uvloop.run(measures[aim]())
        yield compare(aim, subjects, baselines)


class Machine:
    """Builds everything at once and remembers nothing."""

    def observe(self) -> Topology:
        return Topology()

    def apply(self, actions: Sequence[Action]) -> tuple[Outcome, ...]:
        return tuple(map(Outcome, actions))

    def open_socket(self, *_: object) -> Any:
        raise OSError("nothing listens here")


class ControlPlane:
    """A store, a control loop and the controller of Cloud Run."""

    def __init__(self, folder: Path) -> None:
        self.clock, driver = Clock(), Machine()
        self.store = Store(Journal(folder / "world.sqlite"))
        self.logbook = Logbook(folder / "log.jsonl", self.clock)
        self.loop = ControlLoop(self.store, driver, compiler(), (run.SERVICE,), self.clock)  # type: ignore[arg-type]
        runtime = Runtime(
            self.store,
            self.loop,
            driver,  # type: ignore[arg-type]
            self.clock,
            self.logbook,
            self._resolve,
            NO_DATA,
        )
        self.run: RunController = make_controller(runtime)
        self._ids = count(10**18)

    def _resolve(self, _reference: str, _project: str) -> str:
        return "sha256:" + "0" * 64

    async def commit(self, changes: Sequence[Change]) -> None:
        """Commit, and return when it is built."""
        committed = await self.store.commit(lambda _: Decision(tuple(changes)))
        if not await self.loop.applied(committed.world.version, 60):
            raise TimeoutError("a write was not applied within a minute")

    async def make_project(self) -> None:
        """Make the project in which services are created."""
        project = cloudresourcemanager.new_project(worlds.P, self.clock.now(), self._id, owner=OWNER)
        await self.commit(project)

    async def create(self, name: str) -> None:
        """Create a service as v1's API does and return when it is ready."""
        off = {"annotations": {HEALTH_CHECK_OFF: "true"}}
        template = {"metadata": off, "spec": {"containers": [{"image": "image"}]}}
        body = {
            "apiVersion": "serving.knative.dev/v1",
            "kind": "Service",
            "metadata": {"name": name, "namespace": worlds.P, **off},
            "spec": {"template": template},
        }
        method = "v1.namespaces.services.create"
        parameters = {"parent": f"namespaces/{worlds.P}", "location": worlds.R}
        call = Call(f"run.{method}", parameters, body, OWNER, self.clock.now(), self._id)
        handler = run.SERVICE.methods[method]
        assert isinstance(handler, Write)
        committed = await self.store.commit(lambda world: handler.decide(world, call))
        assert committed.decision.settles
        await self.loop.settle(committed.decision.settles.path, 5)

    def _id(self) -> int:
        return next(self._ids)


@asynccontextmanager
async def _control_plane() -> Any:
    with TemporaryDirectory() as folder:
        plane = ControlPlane(Path(folder))
        turning = asyncio.create_task(plane.loop.run())
        try:
            yield plane
        finally:
            turning.cancel()
            await asyncio.wait([turning])
            await plane.loop.close()
            await plane.store.close()
            plane.logbook.close()


async def _requests() -> Sides:
    pairs = [(await _microseconds_a_request(1000), await _microseconds_a_request(10)) for _ in range(ROUNDS)]
    return [many for many, _ in pairs], [few for _, few in pairs]


async def _microseconds_a_request(instances: int) -> float:
    """Assign requests to a service of which every instance serves one already."""
    stored = worlds.revision("web-00001-abc")
    revision, ours = read_revision(stored), RevisionInstances()
    (spec,) = worlds.fleet(stored).instances.values()
    for number in range(instances):
        instance = InstanceState(replace(spec, id=f"web-{number}"), revision, 1, number, 0.0)
        ours.add(instance)
        ours.became_ready(instance)
        ours.acquire()
    queue = RequestQueue(Clock(), {revision.name: ours}, lambda _: None)
    started = time.perf_counter()
    for _ in range(REQUESTS):
        async with queue.lease(revision.name):
            pass
    return (time.perf_counter() - started) / REQUESTS * 1e6


async def _creations() -> Sides:
    rounds = [await _creation_times() for _ in range(ROUNDS)]
    return [_around(times, 256) for times in rounds], [_around(times, 9) for times in rounds]


async def _creation_times() -> list[float]:
    times = []
    async with _control_plane() as plane:
        await plane.make_project()
        for number in range(257 + NEIGHBOURS):
            started = time.perf_counter()
            await plane.create(f"service-{number}")
            times.append((time.perf_counter() - started) * 1000)
    return times


def _around(times: Sequence[float], place: int) -> float:
    return median(times[place - NEIGHBOURS : place + NEIGHBOURS + 1])


async def _stalls() -> Sides:
    """Find the longest wait of a heartbeat while a firewall rule is written in a large region."""
    sys.setswitchinterval(SWITCH_SECONDS)
    async with _control_plane() as plane:
        for start in range(0, NETWORKS, 500):
            names = [f"n{number}" for number in range(start, start + 500)]
            await plane.commit([Put(each) for name in names for each in _network(name)])
        elements = len(plane.loop.observed)
        if elements < ELEMENTS:
            raise RuntimeError(f"{NETWORKS} networks are only {elements} elements")
        rules = [Put(worlds.firewall(f"f{number}", of="n0")) for number in range(WRITES)]
        stalls = [await _longest_gap(plane.commit([rule])) for rule in rules]
    return stalls, [10.0] * len(stalls)


def _network(name: str) -> Iterator[Any]:
    yield worlds.network(name)
    yield worlds.default_route(name)
    for number in range(4):
        yield worlds.subnetwork(f"{name}-{number}", f"10.{number}.0.0/24", of=name)


async def _longest_gap(work: Any) -> float:
    """Return how many milliseconds later than due a heartbeat came at most until ``work`` is done."""
    gaps, task = [0.0], asyncio.create_task(work)
    while not task.done():
        before = time.perf_counter()
        await asyncio.sleep(BEAT_SECONDS)
        gaps.append(time.perf_counter() - before - BEAT_SECONDS)
    await task
    return max(gaps) * 1000
