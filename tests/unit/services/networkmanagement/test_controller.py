"""The controller of connectivity tests: each request has results of a run that began after it."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests import worlds
from tests.lowered import compiler
from tests.no_data import NO_DATA

from fogbank.clock import Clock
from fogbank.control.controller import Runtime, TraceSource
from fogbank.control.logbook import Logbook
from fogbank.control.loop import ControlLoop
from fogbank.dataplane.simulated import SimulatedDriver
from fogbank.lowering.netns_names import instance_netns
from fogbank.network.packet_captures import ProbeResult
from fogbank.paths.compare import Observation
from fogbank.paths.trace import Trace
from fogbank.resources.decisions import Decision
from fogbank.resources.instances import machine_id
from fogbank.resources.names import ResourceName
from fogbank.resources.world import Delete, Put, Resource
from fogbank.services.networkmanagement.connectivity_tests import TESTS
from fogbank.services.networkmanagement.controller import TestsController
from fogbank.store.journal import Journal
from fogbank.store.store import Store

NAME = ResourceName(TESTS, "projects/demo/locations/global/connectivityTests/t")
VM = worlds.machine("vm", "10.1.0.9", "s", gateway="10.1.0.1")
BODY = {
    "source": {"instance": VM.name.path},
    "destination": {"ipAddress": "192.0.2.40", "port": 80},
    "protocol": "TCP",
}

ASKED = worlds.resource(NAME, BODY)


class Region:
    """A region with one machine whose packets wait for ``go``; ``observed`` has the ports they went to."""

    def __init__(self, folder: Path) -> None:
        self.store = Store(Journal(folder / "world.sqlite"))
        clock, driver = Clock(), SimulatedDriver()
        self.loop = ControlLoop(self.store, driver, compiler(), (), clock)
        self.logbook = Logbook(folder / "log.jsonl", clock)
        self.went, self.go = asyncio.Event(), asyncio.Event()
        self.observed: list[int] = []
        self.broken = False
        self.changed = asyncio.Event()
        self.store.watch_changes(lambda _changes: self.changed.set())
        source = TraceSource("vm", instance_netns(machine_id(VM.id)), VM.name, (), worlds.network_name())
        self.tests = TestsController(
            Runtime(
                self.store,
                self.loop,
                driver,
                clock,
                self.logbook,
                lambda image, _project: image,
                NO_DATA,
                trace_sources=lambda: (source,),
                observe=self._observe,
            )
        )

    async def _observe(self, trace: Trace) -> tuple[ProbeResult, Observation]:
        self.observed.append(trace.flow.port)
        self.went.set()
        await self.go.wait()
        if self.broken:
            raise ValueError("no such thing")
        return ProbeResult((), "timeout", 1024, 1.0), Observation("dropped")

    async def put(self, test: Resource) -> None:
        await self.store.commit(lambda _world: Decision((Put(test),)))

    @property
    def test(self) -> Resource:
        return self.store.world.get(NAME)

    async def until_done(self, name: ResourceName = NAME) -> None:
        async with asyncio.timeout(60):
            while "due" in self.store.world.get(name).private:
                self.changed.clear()
                await self.changed.wait()


def due(times: int = 1, **body: object) -> Resource:
    return replace(ASKED, body=BODY | body, private={"due": times})


@pytest.fixture
async def region(tmp_path: Path) -> AsyncIterator[Region]:
    made = Region(tmp_path)
    things = (worlds.network(), worlds.default_route(), worlds.subnetwork("s", "10.1.0.0/28"), VM)
    await made.store.commit(lambda _world: Decision(tuple(map(Put, things))))
    await made.loop.turn()
    looping = asyncio.create_task(made.loop.run())
    yield made
    looping.cancel()
    await asyncio.gather(looping, return_exceptions=True)
    made.logbook.close()
    await made.store.close()


async def test_a_test_that_is_changed_while_it_runs_is_run_again_as_it_then_is(region: Region) -> None:
    await region.put(due())
    await region.went.wait()
    await region.put(due(2, destination={"ipAddress": "192.0.2.40", "port": 443}))
    region.go.set()
    await region.until_done()
    assert region.observed == [80, 443]
    (trace,) = region.test.body["reachabilityDetails"]["traces"]
    assert trace["endpointInfo"]["destinationPort"] == 443


async def test_a_test_that_is_asked_for_again_while_it_runs_is_run_again(region: Region) -> None:
    await region.put(due())
    await region.went.wait()
    await region.put(due(2))
    region.go.set()
    await region.until_done()
    assert region.observed == [80, 80]


async def test_a_run_that_fails_is_told_as_the_result_and_not_repeated(region: Region) -> None:
    region.broken = True
    region.go.set()
    await region.put(due())
    await region.until_done()
    details = region.test.body["reachabilityDetails"]
    assert (details["result"], details["error"]["code"]) == ("UNDETERMINED", 13)
    region.broken = False
    await region.put(due())
    await region.until_done()
    assert "error" not in region.test.body["reachabilityDetails"]
    assert region.observed == [80, 80]


async def test_a_test_that_is_deleted_while_it_runs_leaves_nothing(region: Region) -> None:
    await region.put(due())
    await region.went.wait()
    await region.store.commit(lambda _world: Decision((Delete(NAME),)))
    other = ResourceName(TESTS, f"{NAME.path}-2")
    region.go.set()
    await region.put(replace(due(), name=other))
    await region.until_done(other)
    assert region.observed == [80, 80]
    assert region.store.world.find(NAME) is None
