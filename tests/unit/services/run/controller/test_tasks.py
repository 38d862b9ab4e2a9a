"""Tasks start within their limits, are retried, timed and cancelled, and go on after a restart."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from tests.lowered import compiler
from tests.no_data import NO_DATA
from tests.passes import Passes
from tests.unit.services.run.jobs.job_calls import Jobs, job, named

from fogbank.clock import Clock
from fogbank.control.background import BackgroundTasks
from fogbank.control.controller import Runtime
from fogbank.control.logbook import Logbook
from fogbank.control.loop import ControlLoop
from fogbank.dataplane.driver import Outcome, WorkloadExited
from fogbank.errors import DriverError
from fogbank.network.topology import Topology
from fogbank.planning.plan import Action
from fogbank.resources.decisions import Decision
from fogbank.resources.world import Delete, Put, Resource
from fogbank.services import run
from fogbank.services.run.controller.addresses import Addresses
from fogbank.services.run.controller.places import Places
from fogbank.services.run.controller.tasks import Attempt, Tasks
from fogbank.store.journal import Journal
from fogbank.store.store import Store

DIGEST = "sha256:" + "1" * 64


class Machine:
    """A driver that builds everything at once, in memory."""

    def observe(self) -> Topology:
        return Topology()

    def apply(self, actions: Sequence[Action]) -> tuple[Outcome, ...]:
        return tuple(Outcome(action) for action in actions)


class Region:
    """A store, a loop and the tasks, whose containers end when the test says so."""

    def __init__(self, folder: Path, places: int = 100) -> None:
        self.jobs = Jobs()
        self.clock = Clock()
        self.store = Store(Journal(folder / "world.sqlite"))
        self.loop = ControlLoop(self.store, Machine(), compiler(), (run.SERVICE,), self.clock)  # type: ignore[arg-type]
        self.passes = Passes(self.loop)
        logbook = Logbook(folder / "log.jsonl", self.clock)
        runtime = Runtime(
            self.store, self.loop, Machine(), self.clock, logbook, self._resolve, NO_DATA  # type: ignore[arg-type]
        )  # fmt: skip
        addresses = Addresses(runtime, BackgroundTasks("addresses"))
        self.tasks = Tasks("run.jobs", runtime, Places(places), addresses)

    def _resolve(self, reference: str, _project: str) -> str:
        if reference.endswith("missing"):
            raise DriverError(f"no image {reference}")
        return DIGEST

    async def execute(self, **wanted: object) -> str:
        """Make a job and run it."""
        self.jobs.create(job(**wanted))
        self.jobs.image_found()
        identifier: str = self.jobs.execute()
        collections = self.jobs.world.collections.values()
        await self.store.commit(
            lambda _world: Decision(tuple(Put(each) for members in collections for each in members.values()))
        )
        return identifier

    def execution(self) -> Resource:
        (found,) = self.store.world.all("run.executions")
        return found

    def status(self, key: str) -> int:
        return int(self.execution().body["status"].get(key, 0))

    def completed(self) -> str:
        conditions = self.execution().body["status"]["conditions"]
        return str(next(each["status"] for each in conditions if each["type"] == "Completed"))

    def attempts(self) -> list[Attempt]:
        """List the attempts whose containers run, by the numbers of their tasks."""
        return sorted(
            (each for each in self.tasks.attempts.values() if each.told), key=lambda a: a.task.index
        )

    async def running(self, *indexes: int) -> list[Attempt]:
        """Wait until exactly these tasks run; give their attempts."""
        await eventually(lambda: [each.task.index for each in self.attempts()] == list(indexes))
        return self.attempts()

    def exits(self, attempt: Attempt, status: int = 0) -> None:
        self.tasks.exited(WorkloadExited(attempt.id, status, requested=attempt.spec.ending))

    def cancel(self) -> Put:
        found = self.execution()
        return Put(
            Resource(found.name, found.id, found.created, found.body, found.private | {"cancelled": True})
        )


async def eventually(condition: Callable[[], bool]) -> None:
    """Wait for work in threads and on the disk, which tell nobody else."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - what is awaited happens in threads and on the disk
            await asyncio.sleep(0.002)


@asynccontextmanager
async def started(region: Region) -> AsyncIterator[Region]:
    loops = [asyncio.create_task(region.loop.run()), asyncio.create_task(region.tasks.run())]
    try:
        yield region
    finally:
        for each in loops:
            each.cancel()
        await asyncio.gather(*loops, return_exceptions=True)
        await region.loop.close()
        await region.store.close()


@pytest.fixture
async def region(tmp_path: Path) -> AsyncIterator[Region]:
    async with started(Region(tmp_path)) as made:
        yield made


async def test_as_many_tasks_run_as_may_at_a_time(region: Region) -> None:
    await region.execute(taskCount=5, parallelism=2)
    first, second = await region.running(0, 1)
    assert dict(first.spec.containers[0].environment) == {
        "CLOUD_RUN_JOB": "sync",
        "CLOUD_RUN_EXECUTION": region.execution().name.id,
        "CLOUD_RUN_TASK_INDEX": "0",
        "CLOUD_RUN_TASK_ATTEMPT": "0",
        "CLOUD_RUN_TASK_COUNT": "5",
    }
    region.exits(second)
    _, third = await region.running(0, 2)
    region.exits(first)
    region.exits(third)
    for last in await region.running(3, 4):
        region.exits(last)
    await eventually(lambda: region.completed() == "True")
    assert region.status("succeededCount") == 5
    assert region.tasks.attempts == {}


async def test_a_task_that_fails_starts_again_as_the_next_attempt_until_it_may_not(region: Region) -> None:
    await region.execute(task={"maxRetries": 1})
    (first,) = await region.running(0)
    region.exits(first, 7)
    await eventually(lambda: [each.task.attempt for each in region.attempts()] == [1])
    (second,) = region.attempts()
    assert dict(second.spec.containers[0].environment)["CLOUD_RUN_TASK_ATTEMPT"] == "1"
    region.exits(second, 7)
    await eventually(lambda: region.completed() == "False")
    assert region.status("failedCount") == 1


async def test_an_attempt_that_takes_too_long_is_ended_by_the_regions_clock(region: Region) -> None:
    await region.execute(task={"maxRetries": 0, "timeoutSeconds": "3600"})
    (attempt,) = await region.running(0)
    region.clock.advance(timedelta(minutes=59))
    region.tasks.reconcile()
    assert not attempt.spec.ending
    region.clock.advance(timedelta(minutes=2))
    region.tasks.reconcile()
    assert attempt.spec.ending
    region.exits(attempt, -15)
    await eventually(lambda: region.completed() == "False")
    message = region.execution().body["status"]["conditions"][0]["message"]
    assert message.endswith("failed with exit code: 0 and message: The configured timeout was reached.")


async def test_a_cancelled_execution_is_over_when_its_last_container_is_gone(region: Region) -> None:
    await region.execute(taskCount=3, parallelism=2)
    attempts = await region.running(0, 1)
    cancelled = region.cancel()
    await region.store.commit(lambda _world: Decision((cancelled,)))
    assert all(each.spec.ending for each in attempts)
    region.exits(attempts[0], -15)
    assert region.completed() == "Unknown"
    region.exits(attempts[1], -9)
    await eventually(lambda: region.completed() == "False")
    assert region.status("cancelledCount") == 3
    assert region.tasks.attempts == {}


async def test_a_restart_goes_on_with_the_tasks_that_have_not_ended(tmp_path: Path) -> None:
    async with started(Region(tmp_path)) as before:
        await before.execute(taskCount=3, parallelism=2, task={"maxRetries": 0})
        first, _ = await before.running(0, 1)
        before.exits(first)
        await before.running(1, 2)
    async with started(Region(tmp_path)) as after:
        again, last = await after.running(1, 2)
        assert [again.task.attempt, last.task.attempt] == [0, 0]
        after.exits(again)
        after.exits(last)
        await eventually(lambda: after.completed() == "True")
        assert after.status("succeededCount") == 3


async def test_a_restart_ends_an_execution_that_was_being_cancelled(tmp_path: Path) -> None:
    async with started(Region(tmp_path)) as before:
        await before.execute()
        await before.running(0)
        cancelled = before.cancel()
        await before.store.commit(lambda _world: Decision((cancelled,)))
    async with started(Region(tmp_path)) as after:
        await eventually(lambda: after.completed() == "False")
        assert after.status("cancelledCount") == 1


async def test_tasks_without_a_place_show_and_start_when_one_is_left(tmp_path: Path) -> None:
    async with started(Region(tmp_path, places=1)) as region:
        await region.execute(taskCount=2)
        (first,) = await region.running(0)
        (shown,) = region.tasks.explain()
        assert "addresses" in shown[1].why
        region.exits(first)
        (second,) = await region.running(1)
        region.exits(second)
        await eventually(lambda: region.completed() == "True")
        assert list(region.tasks.explain()) == []


async def test_an_image_that_nobody_knows_ends_the_execution(region: Region) -> None:
    await region.execute(container={"image": "us-docker.pkg.dev/p/missing"})
    await eventually(lambda: region.completed() == "False")
    assert "not found" in region.execution().body["status"]["conditions"][0]["message"]


async def test_a_deleted_execution_ends_its_containers_and_leaves_nothing(region: Region) -> None:
    identifier = await region.execute()
    (attempt,) = await region.running(0)
    await region.store.commit(lambda _world: Decision((Delete(named(identifier)),)))
    assert attempt.spec.ending
    region.exits(attempt, -15)
    assert region.tasks.attempts == {}
