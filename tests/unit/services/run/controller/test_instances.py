"""Instances start, are probed, are lent and retired; a revision's fate follows its first copy."""

import asyncio
import contextlib
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path
from socket import AF_INET, SocketKind, create_server, socket

import pytest
from tests.cloud_calls import PLACE, PROJECT, REGION, Cloud
from tests.lowered import compiler
from tests.no_data import NO_DATA
from tests.passes import Passes

from fogbank.clock import Clock
from fogbank.control import restarts
from fogbank.control.controller import Runtime
from fogbank.control.logbook import Logbook
from fogbank.control.loop import ControlLoop
from fogbank.dataplane.driver import Outcome, WorkloadExited
from fogbank.errors import DriverError
from fogbank.frontend.ingress.upstreams import InstancePort
from fogbank.lowering.netns_names import FABRIC, instance_netns
from fogbank.network.topology import NetnsName, Topology, Workload
from fogbank.planning.plan import Action, element_of
from fogbank.resources.decisions import Decision
from fogbank.resources.names import ResourceName
from fogbank.resources.run import (
    CONNECTOR,
    MANUAL_COUNT,
    SCALING_MODE,
    SERVICE_MAX_SCALE,
    SERVICE_MIN_SCALE,
    Readiness,
    RunService,
    connector_name,
    read_revision,
    read_service,
    ready_condition,
    service_name,
)
from fogbank.resources.world import Change, Delete, Put, Resource
from fogbank.services import run
from fogbank.services.run.controller import Instances, request_queue, serving
from fogbank.services.run.controller.instance_state import InstanceState
from fogbank.services.run.controller.places import Places
from fogbank.services.run.controller.request_queue import NoCapacity
from fogbank.store.journal import Journal
from fogbank.store.store import Store

DIGEST = "sha256:" + "0" * 64
LOCAL = IPv4Address("127.0.0.1")


class Machine:
    """A driver that builds everything at once, in memory."""

    def observe(self) -> Topology:
        return Topology()

    def apply(self, actions: Sequence[Action]) -> tuple[Outcome, ...]:
        return tuple(Outcome(action) for action in actions)

    def __init__(self) -> None:
        self.refusals: list[Exception] = []

    def open_socket(self, netns: NetnsName, kind: SocketKind) -> socket:
        assert netns == FABRIC
        if self.refusals:
            raise self.refusals.pop()
        return socket(AF_INET, kind)


class RefusingJournal(Journal):
    """A journal whose disk refuses to note that a revision is ready, as often as ``refusals`` says."""

    refusals = 0

    def append(self, version: int, changes: Iterable[Change], *, synced: bool = True) -> None:
        changes = tuple(changes)
        if self.refusals and any(map(_shows_ready, changes)):
            self.refusals -= 1
            raise sqlite3.OperationalError("disk full")
        super().append(version, changes, synced=synced)


class Region:
    """A store, a loop and a fleet whose containers all listen on this machine's loopback."""

    def __init__(self, folder: Path, places: int = 100) -> None:
        self.cloud = Cloud()
        self.clock = Clock()
        self.journal = RefusingJournal(folder / "world.sqlite")
        self.store = Store(self.journal)
        self.machine = Machine()
        self.loop = ControlLoop(self.store, self.machine, compiler(), (run.SERVICE,), self.clock)  # type: ignore[arg-type]
        self.passes = Passes(self.loop)
        self.images = {"image": DIGEST}
        self.logbook = Logbook(folder / "log.jsonl", self.clock)
        runtime = Runtime(
            self.store,
            self.loop,
            self.machine,  # type: ignore[arg-type]
            self.clock,
            self.logbook,
            self._resolve,
            NO_DATA,
        )
        self.instances = Instances("run", runtime, address_of=lambda _place: LOCAL, places=Places(places))

    def _resolve(self, reference: str, _project: str) -> str:
        if reference not in self.images:
            raise DriverError(f"no image {reference}")
        return self.images[reference]

    async def deploy(
        self,
        port: int,
        image: str = "image",
        *,
        connector: str | None = None,
        own: dict[str, str] | None = None,
        container: dict[str, object] | None = None,
        annotations: dict[str, str] | None = None,
        **spec: object,
    ) -> None:
        """Create the service ``s``, or change it."""
        access = (annotations or {}) | ({CONNECTOR: connector} if connector else {})
        started = {"image": image, "ports": [{"containerPort": port}], **(container or {})}
        template = {
            "metadata": {"annotations": {"autoscaling.knative.dev/maxScale": "3", **access}},
            "spec": {"containers": [started], **spec},
        }
        body = {
            "apiVersion": "serving.knative.dev/v1", "kind": "Service",
            "metadata": {"name": "s", "namespace": PROJECT, "annotations": own or {}},
            "spec": {"template": template},
        }  # fmt: skip
        self.cloud.world = self.store.world if self.store.world.version else self.cloud.world
        known = self.store.world.find(ResourceName("run.services", f"{PLACE}/services/s"))
        if known is None:
            parent = f"namespaces/{PROJECT}"
            self.cloud("run.v1.namespaces.services.create", body, parent=parent, location=REGION)
        else:
            name = f"namespaces/{PROJECT}/services/s"
            self.cloud("run.v1.namespaces.services.replaceService", body, name=name, location=REGION)
        collections = self.cloud.world.collections.values()
        puts = tuple(Put(resource) for members in collections for resource in members.values())
        await self.store.commit(lambda _world: Decision(puts))

    async def delete(self) -> None:
        """Delete all services with their revisions."""
        kinds = ("run.services", "run.revisions")
        gone = tuple(Delete(each.name) for kind in kinds for each in self.store.world.all(kind))
        await self.store.commit(lambda _world: Decision(gone))

    def service(self) -> Resource:
        return self.store.world.get(ResourceName("run.services", f"{PLACE}/services/s"))

    def latest(self) -> Resource:
        created = read_service(self.service()).latest_created
        return self.store.world.get(ResourceName("run.revisions", f"{PLACE}/revisions/{created}"))

    async def until(self, readiness: Readiness) -> None:
        await eventually(lambda: read_revision(self.latest()).readiness is readiness)


def activity(region: Region) -> list[str]:
    """Return for each revision, oldest first, whether it is active."""
    revisions = sorted(region.store.world.all("run.revisions"), key=lambda r: r.name.id)
    conditions = [c for r in revisions for c in r.body["status"]["conditions"]]
    return [c["status"] for c in conditions if c["type"] == "Active"]


async def eventually(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - what is waited for happens in many places
            await asyncio.sleep(0.005)


@contextlib.asynccontextmanager
async def running(region: Region) -> AsyncIterator[Region]:
    turning = asyncio.create_task(region.loop.run())
    yield region
    turning.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await turning
    await region.loop.close()
    await region.store.close()
    region.logbook.close()


@pytest.fixture
async def region(tmp_path: Path) -> AsyncIterator[Region]:
    async with running(Region(tmp_path)) as region:
        yield region


@pytest.fixture
def port() -> Iterator[int]:
    """A port on which something listens; the kernel answers, so nothing outlives the test."""
    with create_server(("127.0.0.1", 0), backlog=1000) as listener:
        yield listener.getsockname()[1]


async def test_a_revision_is_ready_when_its_first_instance_listens(region: Region, port: int) -> None:
    await region.deploy(port)
    await region.until(Readiness.READY)
    assert [instance.phase for instance in region.instances.running.values()] == ["ready"]
    async with region.instances.lease(region.latest().name) as lent:
        (instance,) = region.instances.running
        assert lent == InstancePort(FABRIC, LOCAL, port, instance)


async def test_an_image_that_nobody_knows_fails_the_revision(region: Region, port: int) -> None:
    await region.deploy(port, image="nowhere")
    await region.until(Readiness.FAILED)
    assert "Image 'nowhere' not found." in str(region.latest().body["status"]["conditions"])
    assert region.instances.running == {}


async def test_a_container_that_exits_before_it_listens_fails_the_revision_and_the_old_one_serves_on(
    region: Region, port: int
) -> None:
    await region.deploy(port)
    await region.until(Readiness.READY)
    good = region.latest().name.id
    await region.deploy(9)
    await eventually(lambda: len(region.instances.running) == 2)
    young = next(instance for instance in region.instances.running.values() if instance.phase == "starting")
    region.instances.exited(WorkloadExited(young.id, 1))
    await region.until(Readiness.FAILED)
    assert "failed to start and listen on the port" in str(region.latest().body["status"]["conditions"])
    assert [(t.revision, t.percent) for t in read_service(region.service()).traffic] == [(good, 100)]
    assert [instance.revision.name.id for instance in region.instances.running.values()] == [good]


async def test_a_new_ready_revision_takes_the_place_of_the_old_one(region: Region, port: int) -> None:
    await region.deploy(port)
    await region.until(Readiness.READY)
    await region.deploy(port, timeoutSeconds=7)
    await region.until(Readiness.READY)
    region.instances.reconcile()
    names = [instance.revision.name for instance in region.instances.running.values()]
    assert names == [region.latest().name]
    await eventually(lambda: activity(region) == ["False", "True"])


async def retires_gently(region: Region, old: InstanceState) -> None:
    """See the container of ``old`` end before its network does."""
    setup = ("netns", instance_netns(old.id))
    await eventually(lambda: ("workload", old.id) not in region.loop.observed.elements)
    assert old.id not in region.instances.running
    assert setup in region.loop.observed.elements
    assert region.instances.roster.at(old.place) is old
    region.instances.exited(WorkloadExited(old.id, 0, requested=True))
    await eventually(lambda: setup not in region.loop.observed.elements)
    assert region.instances.roster.at(old.place) is None


async def test_a_retired_instance_keeps_its_network_until_its_container_is_gone(
    region: Region, port: int
) -> None:
    await region.deploy(port)
    await region.until(Readiness.READY)
    (old,) = region.instances.running.values()
    await region.deploy(port, timeoutSeconds=7)
    await region.until(Readiness.READY)
    region.instances.reconcile()
    await retires_gently(region, old)


async def test_a_deleted_service_leaves_its_instances_their_network_until_they_are_gone(
    region: Region, port: int
) -> None:
    await region.deploy(port)
    await region.until(Readiness.READY)
    (old,) = region.instances.running.values()
    async with region.instances.lease(old.revision.name):
        await region.delete()
        await region.passes.until(lambda: region.loop.progress.applied_version == region.store.world.version)
        assert ("workload", old.id) in region.loop.observed.elements, "somebody still waits for it"
    region.instances.reconcile()
    await retires_gently(region, old)


async def test_an_instance_retired_while_it_is_being_built_ends_as_gently(
    region: Region, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_work, go_on = threading.Event(), threading.Event()

    def apply(self: Machine, actions: Sequence[Action]) -> tuple[Outcome, ...]:
        if any(isinstance(element_of(action), Workload) for action in actions):
            at_work.set()
            assert go_on.wait(5)
        return tuple(Outcome(action) for action in actions)

    monkeypatch.setattr(Machine, "apply", apply)
    await region.deploy(port)
    await eventually(at_work.is_set)
    (old,) = region.instances.running.values()
    await region.delete()
    go_on.set()
    await eventually(lambda: region.loop.progress.applied_version == region.store.world.version)
    await retires_gently(region, old)


async def test_an_instance_retired_before_it_was_built_leaves_nothing(
    region: Region, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse = DriverError("no room")
    monkeypatch.setattr(
        Machine, "apply", lambda _self, actions: tuple(Outcome(action, refuse) for action in actions)
    )
    await region.deploy(port)
    await eventually(lambda: bool(region.instances.running))
    (old,) = region.instances.running.values()
    await region.delete()
    await eventually(lambda: region.instances.roster.find(old.id) is None)
    await eventually(lambda: region.loop.fleet.instances == {})


async def test_an_instance_that_dies_while_it_serves_is_replaced(
    region: Region, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(restarts, "RESTART_PAUSES", (0.0,))
    await region.deploy(port)
    await region.until(Readiness.READY)
    first = next(iter(region.instances.running))
    region.instances.exited(WorkloadExited(first, -9))
    region.instances.reconcile()
    await eventually(lambda: [instance.phase for instance in region.instances.running.values()] == ["ready"])
    assert first not in region.instances.running
    assert read_revision(region.latest()).readiness is Readiness.READY


async def test_a_ready_revision_whose_instances_die_shows_until_one_lives(
    region: Region, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(restarts, "RESTART_PAUSES", (0.0,))
    await region.deploy(port)
    await region.until(Readiness.READY)
    since: list[datetime] = []
    for status in (-9, 1):
        region.instances.exited(WorkloadExited(next(iter(region.instances.running)), status))
        ((name, failure),) = region.instances.explain()
        assert (name, failure.attempts) == (region.latest().name, len(since) + 1)
        since.append(failure.since)
        region.instances.reconcile()
    ((_, failure),) = region.instances.explain()
    assert failure.why == "The container exited with status 1 before it listened."
    assert since[0] == since[1]
    await eventually(lambda: [instance.phase for instance in region.instances.running.values()] == ["ready"])
    assert region.instances.explain() == []


async def test_a_probe_outlives_a_machine_that_is_short_of_sockets_for_a_while(
    region: Region, port: int
) -> None:
    region.machine.refusals = [OSError(24, "Too many open files"), DriverError("there is no space fabric")]
    await region.deploy(port)
    await region.until(Readiness.READY)


async def test_a_revision_is_shown_ready_later_when_the_disk_refused_to_note_it(
    region: Region, port: int
) -> None:
    region.journal.refusals = 1
    await region.deploy(port)
    await eventually(lambda: region.journal.refusals == 0)
    ticking = asyncio.create_task(region.instances.run())
    await region.until(Readiness.READY)
    ticking.cancel()


def _shows_ready(change: Change) -> bool:
    if not isinstance(change, Put) or change.resource.name.collection != "run.revisions":
        return False
    return read_revision(change.resource).readiness is Readiness.READY


async def test_an_instance_that_goes_is_not_probed_any_more(region: Region) -> None:
    await region.deploy(9)
    await eventually(lambda: any(instance.probes for instance in region.instances.running.values()))
    (instance,) = region.instances.running.values()
    (probe,) = instance.probes
    region.instances.exited(WorkloadExited(instance.id, 1))
    assert not instance.probes
    await asyncio.wait([probe], timeout=1)
    assert probe.cancelled()


async def test_a_place_in_the_fabric_is_not_given_to_the_next_instance_at_once(
    region: Region, port: int
) -> None:
    await region.deploy(port)
    await region.until(Readiness.READY)
    (first,) = region.instances.running.values()
    await region.deploy(port, timeoutSeconds=7)
    await region.until(Readiness.READY)
    await region.deploy(port, timeoutSeconds=8)
    await region.until(Readiness.READY)
    assert first.place not in [instance.place for instance in region.instances.running.values()]


async def test_those_who_wait_are_served_in_the_order_in_which_they_came(region: Region, port: int) -> None:
    await region.deploy(port, containerConcurrency=1)
    await region.until(Readiness.READY)
    revision, served = region.latest().name, list[int]()

    async def request(number: int) -> None:
        async with region.instances.lease(revision):
            served.append(number)
            await asyncio.sleep(0)

    async with contextlib.AsyncExitStack() as leases, asyncio.timeout(5):
        for _ in range(3):
            await leases.enter_async_context(region.instances.lease(revision))
        waiting = [asyncio.create_task(request(number)) for number in range(20)]
        await asyncio.sleep(0)  # each of them takes its first step: into the queue
        waiting[3].cancel()
    waiting += [asyncio.create_task(request(number)) for number in range(20, 30)]
    await asyncio.gather(*waiting, return_exceptions=True)
    assert served == [number for number in range(30) if number != 3]
    assert {instance.in_flight for instance in region.instances.running.values()} == {0}
    assert region.instances._request_queue._waiting == {}


async def test_whoever_leaves_in_the_moment_of_their_turn_gives_the_instance_back(
    region: Region, port: int
) -> None:
    await region.deploy(port, containerConcurrency=1)
    await region.until(Readiness.READY)
    revision = region.latest().name
    async with contextlib.AsyncExitStack() as leases:
        for _ in range(3):
            await leases.enter_async_context(region.instances.lease(revision))
        waiting = asyncio.create_task(leases.enter_async_context(region.instances.lease(revision)))
        await asyncio.sleep(0)  # it takes its first step: into the queue
        await leases.aclose()
        waiting.cancel()
        await asyncio.wait([waiting])
    assert waiting.cancelled()
    assert {instance.in_flight for instance in region.instances.running.values()} == {0}


async def test_load_brings_more_instances_up_to_the_maximum_and_time_takes_them_away(
    region: Region, port: int
) -> None:
    await region.deploy(port, containerConcurrency=1)
    await region.until(Readiness.READY)
    revision = region.latest().name
    async with contextlib.AsyncExitStack() as leases, asyncio.timeout(5):
        for _ in range(3):
            await leases.enter_async_context(region.instances.lease(revision))
        assert len(region.instances.running) == 3
        assert {instance.in_flight for instance in region.instances.running.values()} == {1}
    region.clock.advance(timedelta(minutes=16))
    region.instances.reconcile()
    assert not region.instances.running


async def test_a_request_that_no_instance_takes_in_time_is_told(
    region: Region, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(request_queue, "pending_limit", lambda _seconds: 0.05)
    await region.deploy(port, containerConcurrency=1)
    await region.until(Readiness.READY)
    revision = region.latest().name
    async with contextlib.AsyncExitStack() as leases:
        for _ in range(3):
            await leases.enter_async_context(region.instances.lease(revision))
        with pytest.raises(NoCapacity):
            async with region.instances.lease(revision):
                pass


async def test_an_instance_without_a_place_shows_and_starts_when_one_is_left(
    tmp_path: Path, port: int
) -> None:
    async with running(Region(tmp_path, places=1)) as region:
        await region.deploy(port)
        await region.until(Readiness.READY)
        first = region.latest().name
        await region.deploy(port, timeoutSeconds=7)
        await eventually(lambda: len(region.instances.explain()) == 1)
        ((name, failure),) = region.instances.explain()
        assert (name, failure.why) == (
            region.latest().name,
            "All 1 addresses of the serverless fabric are in use.",
        )
        (only,) = region.instances.running.values()
        assert only.revision.name == first
        region.instances.exited(WorkloadExited(only.id, -9))
        region.instances.reconcile()
        await region.until(Readiness.READY)
        assert only.id not in region.instances.running


async def test_a_change_has_only_the_services_looked_at_that_it_is_about(
    region: Region, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    await region.deploy(port)
    await region.until(Readiness.READY)
    mine = region.service()
    others = [
        replace(mine.with_body(status={}), name=service_name(PROJECT, REGION, f"o{n}")) for n in range(20)
    ]
    await region.store.commit(lambda _world: Decision(tuple(map(Put, others))))
    looked_at: list[ResourceName] = []

    def read(resource: Resource) -> RunService:
        looked_at.append(resource.name)
        return read_service(resource)

    monkeypatch.setattr(serving, "read_service", read)
    region_wide = ResourceName("compute.networks", f"projects/{PROJECT}/global/networks/n")
    await region.store.commit(lambda _world: Decision((Put(replace(mine, name=region_wide)),)))
    assert looked_at == []
    await region.store.commit(lambda _world: Decision((Put(others[7].with_body(kind="Service")),)))
    assert looked_at == [others[7].name]
    region.instances.reconcile()
    assert set(looked_at) == {mine.name, *(each.name for each in others)}


async def test_a_service_has_the_instances_that_its_user_sets(region: Region, port: int) -> None:
    for count in (3, 1):
        scaling = {SCALING_MODE: "manual", MANUAL_COUNT: str(count)}
        await region.deploy(port, own=scaling)
        await eventually(lambda: ready(region) and len(region.instances.running) == count)  # noqa: B023
    await region.deploy(port, own={SERVICE_MIN_SCALE: "2"})
    await eventually(lambda: len(region.instances.running) == 2)


async def test_a_services_maximum_holds_whatever_its_revision_may_have(region: Region, port: int) -> None:
    await region.deploy(port, own={SERVICE_MAX_SCALE: "2"}, containerConcurrency=1)
    await region.until(Readiness.READY)
    revision = region.latest().name
    async with contextlib.AsyncExitStack() as leases, asyncio.timeout(5):
        for _ in range(2):
            await leases.enter_async_context(region.instances.lease(revision))
        waiting = asyncio.create_task(leases.enter_async_context(region.instances.lease(revision)))
        await asyncio.sleep(0)  # it takes its first step: into the queue
        region.instances.reconcile()
        assert len(region.instances.running) == 2
        waiting.cancel()
        await asyncio.wait([waiting])
        await region.deploy(port, own={SERVICE_MAX_SCALE: "3"}, containerConcurrency=1)
        await leases.enter_async_context(region.instances.lease(revision))
        assert len(region.instances.running) == 3


async def test_a_region_that_starts_again_has_no_instance_until_somebody_asks(
    tmp_path: Path, port: int
) -> None:
    async with running(Region(tmp_path)) as region:
        await region.deploy(port)
        await region.until(Readiness.READY)
        revision = region.latest().name
    async with running(Region(tmp_path)) as again:
        again.instances.reconcile()
        assert not again.instances.running
        async with asyncio.timeout(5), again.instances.lease(revision):
            assert [each.in_flight for each in again.instances.running.values()] == [1]


async def test_an_instance_that_fails_its_liveness_probe_is_replaced(region: Region, port: int) -> None:
    with socket() as alive:
        alive.bind((str(LOCAL), 0))
        alive.listen()
        where = {"tcpSocket": {"port": alive.getsockname()[1]}, "periodSeconds": 1, "failureThreshold": 1}
        await region.deploy(port, container={"livenessProbe": where})
        await eventually(lambda: ready(region))
        (first,) = region.instances.running
    await eventually(lambda: first not in region.instances.running)
    [(_, failure)] = region.instances.explain()
    assert "failed its liveness probe 1 times in a row" in failure.why


async def test_a_connector_that_goes_shows_on_services_and_in_the_status(region: Region, port: int) -> None:
    region.cloud.subnetwork()
    region.cloud.connector()
    await region.deploy(port, connector="connector")
    await eventually(lambda: ready(region))
    assert region.instances.explain() == []
    connector = connector_name("connector", PROJECT, REGION)
    await region.store.commit(lambda _world: Decision((Delete(connector),)))
    await eventually(lambda: not ready(region))
    [(name, failure)] = region.instances.explain()
    assert name == region.latest().name
    assert "VPC connector" in failure.why


def ready(region: Region) -> bool:
    return ready_condition(region.service().body) is Readiness.READY
