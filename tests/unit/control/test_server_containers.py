"""Servers of resources: started, probed, started again, replaced one by one, ended with their data."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import pytest
from tests import worlds
from tests.lowered import compiler
from tests.passes import Passes

from fogbank.clock import Clock
from fogbank.control.controller import Runtime
from fogbank.control.logbook import Logbook
from fogbank.control.loop import ControlLoop
from fogbank.control.server_containers import Server, ServerContainers
from fogbank.dataplane.driver import WorkloadExited
from fogbank.dataplane.linux.data_folders import DataFolders
from fogbank.dataplane.simulated import SimulatedDriver
from fogbank.errors import DriverError
from fogbank.network.elements import DataFolder
from fogbank.resources.fleet import Container, FabricAttachment
from fogbank.store.journal import Journal
from fogbank.store.store import Store

DIGEST = "sha256:" + "0" * 64
SERVER = Server(
    "run-a",
    worlds.revision("web-00001-abc"),
    Container("servers/redis", (6379,), data=(DataFolder("run-a", "/data"),)),
    (FabricAttachment(1, 1),),
)


class Region:
    """Servers of Cloud Run's revisions, because those have a feature; whose data is in ``folder``."""

    def __init__(self, folder: Path) -> None:
        self.clock = Clock()
        self.store = Store(Journal(folder / "world.sqlite"))
        self.loop = ControlLoop(self.store, SimulatedDriver(), compiler(), (), self.clock)
        self.passes = Passes(self.loop)
        self.images = {"servers/redis": DIGEST}
        self.data = DataFolders(folder / "data")
        self.answers, self.passing = asyncio.Event(), True
        self.broken = ""
        self.ready: list[str] = []
        self.died: list[str] = []
        logbook = Logbook(folder / "log.jsonl", self.clock)
        runtime = Runtime(
            self.store, self.loop, SimulatedDriver(), self.clock, logbook, self._resolve, self.data
        )
        self.servers = ServerContainers(
            "run",
            runtime,
            answers=self._answers,
            ready=self._ready,
            died=lambda server: self.died.append(server.id),
        )
        self.tasks: list[asyncio.Task[None]] = []

    def _resolve(self, reference: str, _project: str) -> str:
        if reference not in self.images:
            raise DriverError(f"no image {reference}")
        return self.images[reference]

    async def _answers(self, server: Server) -> bool:
        self.data.open(server.id, 0)
        await self.answers.wait()
        if self.broken == "answers":
            raise ValueError("no such key")
        return self.passing

    async def _ready(self, server: Server) -> None:
        if self.broken == "ready":
            raise ValueError("no such key")
        self.ready.append(server.id)

    def start(self) -> None:
        self.tasks = [asyncio.create_task(self.loop.run()), asyncio.create_task(self.servers.run())]

    async def until_runs(self, server: Server = SERVER) -> None:
        await self.passes.until(lambda: ("workload", server.id) in self.loop.observed.elements)
        self.answers.set()
        await self.until(lambda: self.servers.phase(server.id) == "ready")

    async def until(self, condition: Callable[[], object]) -> None:
        async with asyncio.timeout(10):
            while not condition():  # noqa: ASYNC110 - threads remove folders, and tell nobody
                await asyncio.sleep(0.001)


@pytest.fixture
async def region(tmp_path: Path) -> AsyncIterator[Region]:
    made = Region(tmp_path)
    yield made
    for task in made.tasks:
        task.cancel()
    await asyncio.gather(*made.tasks, return_exceptions=True)
    await made.loop.close()
    await made.store.close()


async def test_a_server_is_ready_when_it_answers_and_not_before(region: Region) -> None:
    region.start()
    region.servers.want([SERVER])
    await region.passes.until(lambda: ("workload", SERVER.id) in region.loop.observed.elements)
    assert (region.servers.phase(SERVER.id), region.ready) == ("starting", [])
    region.answers.set()
    await region.until(lambda: region.ready == [SERVER.id])
    assert region.servers.phase(SERVER.id) == "ready"


async def test_one_that_dies_is_started_again_after_a_pause_and_shows_meanwhile(region: Region) -> None:
    region.start()
    region.servers.want([SERVER])
    await region.until_runs()
    region.answers.clear()
    assert region.servers.exited(WorkloadExited(SERVER.id, 137))
    assert region.died == [SERVER.id]
    ((owner, failure),) = region.servers.explain()
    assert (owner, failure.why) == (SERVER.owner, "It exited with status 137.")
    await region.until_runs()
    assert list(region.servers.explain()) == []
    assert region.data.names() == {SERVER.id}


async def test_a_changed_server_is_started_when_the_old_one_is_gone(region: Region) -> None:
    region.start()
    region.servers.want([SERVER])
    await region.until_runs()
    changed = replace(SERVER, container=replace(SERVER.container, command=("other",)))
    region.servers.want([changed])
    await region.passes.until(lambda: ("workload", SERVER.id) not in region.loop.observed.elements)
    assert region.servers.phase(SERVER.id) == "ending"
    region.servers.exited(WorkloadExited(SERVER.id, 0, requested=True))
    await region.passes.until(lambda: ("workload", SERVER.id) in region.loop.observed.elements)
    assert region.servers.find(SERVER.id) == changed
    assert region.died == []
    assert region.data.names() == {SERVER.id}


async def test_a_server_that_died_is_tried_at_once_with_other_settings(region: Region) -> None:
    region.start()
    region.servers.want([SERVER])
    await region.until_runs()
    region.servers.exited(WorkloadExited(SERVER.id, 1))
    assert len(list(region.servers.explain())) == 1
    other = replace(SERVER, container=replace(SERVER.container, command=("other",)))
    region.servers.want([other])
    assert (region.servers.phase(SERVER.id), list(region.servers.explain())) == ("starting", [])


async def test_a_resource_that_changed_otherwise_keeps_its_process(region: Region) -> None:
    region.start()
    region.servers.want([SERVER])
    await region.until_runs()
    region.servers.want([replace(SERVER, resource=SERVER.resource.with_body(labels={"a": "b"}))])
    assert region.servers.phase(SERVER.id) == "ready"


async def test_what_is_wanted_no_more_ends_and_its_data_goes_when_it_is_gone(region: Region) -> None:
    region.start()
    region.servers.want([SERVER])
    await region.until_runs()
    region.servers.want([])
    await region.passes.until(lambda: ("workload", SERVER.id) not in region.loop.observed.elements)
    assert region.data.names() == {SERVER.id}
    region.servers.exited(WorkloadExited(SERVER.id, 0, requested=True))
    await region.until(lambda: region.data.names() == frozenset())
    assert region.loop.fleet.instances == {}


async def test_an_image_that_is_not_here_shows_until_somebody_fetches_it(
    region: Region, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fogbank.control.server_containers.IMAGE_SECONDS", 0.0)
    region.images.clear()
    region.start()
    region.servers.want([SERVER])
    await region.until(lambda: list(region.servers.explain()))
    ((owner, failure),) = region.servers.explain()
    assert (owner, failure.why) == (SERVER.owner, "no image servers/redis")
    region.images["servers/redis"] = DIGEST
    await region.until_runs()
    assert list(region.servers.explain()) == []


async def test_data_of_servers_that_went_while_the_region_was_down_is_removed(region: Region) -> None:
    for name in ("run-a", "run-gone", "sql-other"):
        region.data.open(name, 0)
    region.servers.want([SERVER])
    region.start()
    await region.until(lambda: region.data.names() == {"run-a", "sql-other"})


async def test_one_that_never_answers_is_ended_and_started_again(region: Region) -> None:
    region.passing = False
    region.answers.set()
    region.start()
    region.servers.want([SERVER])
    await region.until(lambda: list(region.servers.explain()))
    assert region.servers.phase(SERVER.id) == "ending"
    ((_, failure),) = region.servers.explain()
    assert failure.why == "It did not answer in time."


@pytest.mark.parametrize("where", ["answers", "ready"])
async def test_a_probe_with_a_bug_does_not_leave_its_server_starting(region: Region, where: str) -> None:
    region.broken = where
    region.answers.set()
    region.start()
    region.servers.want([SERVER])
    await region.until(lambda: list(region.servers.explain()))
    assert region.servers.phase(SERVER.id) == "ending"
    ((_, failure),) = region.servers.explain()
    assert failure.why == "Its probe failed: no such key"
    region.broken = ""
    region.servers.exited(WorkloadExited(SERVER.id, 0, requested=True))
    await region.until_runs()
    assert list(region.servers.explain()) == []


async def test_events_of_other_containers_are_left_to_others(region: Region) -> None:
    assert not region.servers.exited(WorkloadExited("web-00001-abc-1", 0))
