"""The control loop builds what the World asks for, finishes what waits, and outlives failures."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path

import pytest
from tests.passes import Passes

from fogbank.clock import Clock
from fogbank.control import builder
from fogbank.control import loop as control
from fogbank.control.loop import ControlLoop
from fogbank.dataplane.driver import Outcome
from fogbank.errors import DriverError
from fogbank.lowering.fragments import Lowered
from fogbank.network.topology import Element, Key, NetnsName, NetworkNamespace, Topology
from fogbank.planning.plan import Action, Create, Plan, Remove, element_of, plan
from fogbank.resources.decisions import Decision
from fogbank.resources.fleet import Fleet, Instance
from fogbank.resources.names import ResourceName
from fogbank.resources.operations import Operation
from fogbank.resources.world import Change, Delete, Put, PutOperation, Resource, World
from fogbank.store.journal import Journal
from fogbank.store.store import Store

NOW = datetime(2026, 1, 2, tzinfo=UTC)


def network(name: str) -> ResourceName:
    return ResourceName("compute.networks", f"projects/p/global/networks/{name}")


def insert(name: str) -> Decision:
    target = network(name)
    operation = Operation(
        ResourceName("compute.operations", f"projects/p/global/operations/{name}"),
        1, "insert", target, 1, "me", NOW,
    )  # fmt: skip
    return Decision((Put(Resource(target, 1, NOW, {"name": name})),), operation)


def delete(name: str) -> Decision:
    operation = insert(f"delete-{name}").operation
    assert operation
    return Decision((Delete(network(name)),), replace(operation, target=network(name)))


def reserve(name: str) -> Decision:
    """Make something that no network depends on."""
    operation = insert(f"reserve-{name}").operation
    assert operation
    address = ResourceName("compute.addresses", f"projects/p/regions/r/addresses/{name}")
    return Decision((Put(Resource(address, 1, NOW, {"name": name})),), replace(operation, target=address))


class Lowering:
    """One network namespace for each network; remembers for which fleets, and has a bug on demand."""

    def __init__(self) -> None:
        self.fleets: list[Fleet] = []
        self.failures = 0
        self.bug: Exception | None = None
        self.failed_thrice = asyncio.Event()

    def compile(self, world: World, fleet: Fleet, _observed: Topology) -> Lowered:
        self.fleets.append(fleet)
        if self.bug:
            self.failures += 1
            if self.failures >= 3:
                self.failed_thrice.set()
            raise self.bug
        return lowered(frozenset(resource.name for resource in world.all("compute.networks")))

    def preview(self, world: World, fleet: Fleet, observed: Topology) -> Lowered:
        return self.compile(world, fleet, observed)


class RefusingJournal(Journal):
    """A journal whose disk is full for the next ``refusals`` ends of operations."""

    refusals = 0

    def append(self, version: int, changes: Iterable[Change], *, synced: bool = True) -> None:
        changes = tuple(changes)
        ends = any(isinstance(c, PutOperation) and c.operation.status == "DONE" for c in changes)
        if ends and self.refusals:
            self.refusals -= 1
            raise sqlite3.OperationalError("disk full")
        super().append(version, changes, synced=synced)


@lru_cache
def lowered(networks: frozenset[ResourceName]) -> Lowered:
    namespaces = {name: NetworkNamespace(NetnsName(f"vpc/{name.id}")) for name in networks}
    owners = {netns.key: frozenset({name}) for name, netns in namespaces.items()}
    return Lowered(Topology.of(namespaces.values()), owners)


class Machine:
    """A driver that refuses the namespaces in ``broken`` and counts what it is asked."""

    def __init__(self) -> None:
        self.broken: set[str] = set()
        self.bug: Exception | None = None
        self.built: dict[Key, Element] = {}
        self.asked: list[Action] = []

    def observe(self) -> Topology:
        return Topology(dict(self.built))

    def apply(self, actions: Sequence[Action]) -> tuple[Outcome, ...]:
        self.asked += actions
        outcomes = tuple(map(self._do, actions))
        if self.bug:
            raise self.bug
        return outcomes

    def _do(self, action: Action) -> Outcome:
        element = element_of(action)
        if element.key[1] in self.broken:
            return Outcome(action, DriverError("no room"))
        if isinstance(action, Create) and element.key in self.built:
            return Outcome(action, DriverError("it is there already"))
        if isinstance(action, Remove):
            del self.built[element.key]
        else:
            self.built[element.key] = element
        return Outcome(action)


@pytest.fixture
def machine() -> Machine:
    return Machine()


@pytest.fixture
def lowering() -> Lowering:
    return Lowering()


@pytest.fixture
def journal(tmp_path: Path) -> RefusingJournal:
    return RefusingJournal(tmp_path / "world.sqlite")


@pytest.fixture
async def store(journal: RefusingJournal) -> AsyncIterator[Store]:
    store = Store(journal)
    yield store
    await store.close()


@pytest.fixture
async def loop(
    store: Store, machine: Machine, lowering: Lowering, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[ControlLoop]:
    monkeypatch.setattr(control, "RETRY_SECONDS", (0.01, 0.01, 0.01))
    loop = ControlLoop(store, machine, lowering, (), Clock())  # type: ignore[arg-type]
    turning = asyncio.create_task(loop.run())
    yield loop
    turning.cancel()


@pytest.fixture
async def passes(loop: ControlLoop) -> Passes:
    return Passes(loop)


async def at_rest(passes: Passes, loop: ControlLoop, store: Store) -> None:
    """Return when the last pass took the newest World: nothing calls for another."""
    await passes.until(lambda: loop.progress.applied_version == store.world.version)


def status(store: Store, name: str) -> str:
    return store.world.operations[f"projects/p/global/operations/{name}"].status


async def test_an_operation_ends_when_the_machine_has_what_it_promised(
    store: Store, loop: ControlLoop
) -> None:
    committed = await store.commit(lambda _world: insert("a"))
    assert committed.decision.operation
    await loop.settle(committed.decision.operation.name.path, 5)
    assert status(store, "a") == "DONE"
    assert NetworkNamespace(NetnsName("vpc/a")) in loop.observed


async def test_a_failure_shows_on_its_owner_is_retried_and_holds_nobody_else(
    store: Store, loop: ControlLoop, machine: Machine
) -> None:
    machine.broken.add("vpc/a")
    await store.commit(lambda _world: insert("a"))
    await store.commit(lambda _world: insert("b"))
    await loop.settle("projects/p/global/operations/b", 5)
    assert (status(store, "a"), status(store, "b")) == ("RUNNING", "DONE")
    assert [(owner, failure.why) for owner, failure in loop.explain()] == [(network("a"), "no room")]
    machine.broken.clear()
    await loop.settle("projects/p/global/operations/a", 5)
    assert status(store, "a") == "DONE"
    assert loop.explain() == []


async def test_once_converged_the_machine_is_left_alone(
    store: Store, loop: ControlLoop, machine: Machine, lowering: Lowering, passes: Passes
) -> None:
    await store.commit(lambda _world: insert("a"))
    await loop.settle("projects/p/global/operations/a", 5)
    asked = len(machine.asked)
    loop.set_fleet("run", {})
    fleet = loop.fleet
    await passes.until(lambda: lowering.fleets[-1] is fleet)
    await at_rest(passes, loop, store)
    assert len(machine.asked) == asked


async def test_what_changes_no_network_ends_without_a_plan_and_drift_after_it_is_repaired(
    store: Store, loop: ControlLoop, machine: Machine, passes: Passes, monkeypatch: pytest.MonkeyPatch
) -> None:
    await store.commit(lambda _world: insert("a"))
    await loop.settle("projects/p/global/operations/a", 5)
    await at_rest(passes, loop, store)
    planned: list[Topology] = []

    def count(observed: Topology, desired: Topology) -> Plan:
        planned.append(desired)
        return plan(observed, desired)

    monkeypatch.setattr(builder, "plan", count)
    await store.commit(lambda _world: reserve("b"))
    await loop.settle("projects/p/global/operations/reserve-b", 5)
    await at_rest(passes, loop, store)
    assert (status(store, "reserve-b"), planned) == ("DONE", [])
    machine.built.clear()
    loop.drifted()
    await passes.until(lambda: bool(machine.built))
    assert list(machine.built.values()) == [NetworkNamespace(NetnsName("vpc/a"))]
    assert planned


async def test_a_deletion_is_not_done_while_the_machine_still_has_what_it_was(
    store: Store, loop: ControlLoop, machine: Machine, passes: Passes
) -> None:
    await store.commit(lambda _world: insert("a"))
    await loop.settle("projects/p/global/operations/a", 5)
    machine.broken.add("vpc/a")
    await store.commit(lambda _world: delete("a"))
    await passes.until(lambda: bool(loop.explain()))
    await passes.next()
    assert status(store, "delete-a") == "RUNNING"
    assert [(owner, failure.why) for owner, failure in loop.explain()] == [(network("a"), "no room")]
    machine.broken.clear()
    await loop.settle("projects/p/global/operations/delete-a", 5)
    assert status(store, "delete-a") == "DONE"


async def test_after_a_bug_of_the_driver_the_loop_believes_what_it_observes(
    store: Store, loop: ControlLoop, machine: Machine
) -> None:
    machine.bug = RuntimeError("after all of the work")
    await store.commit(lambda _world: insert("a"))
    await loop.settle("projects/p/global/operations/a", 5)
    assert status(store, "a") == "DONE"
    assert loop.explain() == []


async def test_a_bug_that_stays_shows_as_the_regions_own_until_it_is_gone(
    store: Store, loop: ControlLoop, lowering: Lowering
) -> None:
    lowering.bug = RuntimeError("a bug")
    await store.commit(lambda _world: insert("a"))
    await asyncio.wait_for(lowering.failed_thrice.wait(), 5)
    ((owner, failure),) = loop.explain()
    assert (owner, failure.what, failure.why) == (None, "a pass of the control loop", "RuntimeError: a bug")
    assert failure.attempts > 1
    lowering.bug = None
    await loop.settle("projects/p/global/operations/a", 5)
    assert loop.explain() == []


async def test_an_operation_whose_end_the_disk_refused_ends_later_without_anybody_asking(
    store: Store, loop: ControlLoop, journal: RefusingJournal, passes: Passes
) -> None:
    await at_rest(passes, loop, store)
    journal.refusals = 2
    await store.commit(lambda _world: insert("a"))
    await loop.settle("projects/p/global/operations/a", 5)
    assert (status(store, "a"), journal.refusals) == ("DONE", 0)


async def test_a_drift_is_observed_and_repaired(
    store: Store, loop: ControlLoop, machine: Machine, passes: Passes
) -> None:
    await store.commit(lambda _world: insert("a"))
    await loop.settle("projects/p/global/operations/a", 5)
    await at_rest(passes, loop, store)
    asked = len(machine.asked)
    machine.built.clear()
    loop.drifted()
    await passes.until(lambda: bool(machine.built))
    loop.set_fleet("run", {})
    await passes.next()
    assert len(machine.asked) == asked + 1


async def test_whoever_waits_for_what_never_settles_gets_their_time_back(loop: ControlLoop) -> None:
    await loop.settle("projects/p/nothing", 0.01)
    gone = asyncio.create_task(loop.settle("projects/p/nobody", 5))
    await asyncio.sleep(0)
    gone.cancel()
    await asyncio.gather(gone, return_exceptions=True)
    assert loop._settled == {}


async def test_the_fleet_is_what_all_controllers_want_and_each_replaces_only_its_share(
    loop: ControlLoop,
) -> None:
    revision = Resource(network("r"), 1, NOW, {})
    vm, container = (Instance(each, revision.name, revision) for each in ("vm-1", "container-1"))
    loop.set_fleet("compute", {vm.id: vm})
    loop.set_fleet("run", {container.id: container})
    assert loop.fleet.instances == {vm.id: vm, container.id: container}
    loop.set_fleet("run", {})
    assert loop.fleet.instances == {vm.id: vm}
    with pytest.raises(ValueError, match="another controller"):
        loop.set_fleet("run", {vm.id: vm})


async def test_a_version_is_applied_in_time_or_it_is_not(
    store: Store, loop: ControlLoop, machine: Machine
) -> None:
    committed = await store.commit(lambda _world: insert("a"))
    assert await loop.applied(committed.world.version, 5)
    assert NetworkNamespace(NetnsName("vpc/a")).key in machine.built
    assert not await loop.applied(store.world.version + 100, 0.01)
