"""The store makes a decision durable before anyone sees it."""

import asyncio
import sqlite3
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest

from fogbank.errors import ApiError, OperatorError, not_found
from fogbank.resources.decisions import Decision
from fogbank.resources.names import ResourceName
from fogbank.resources.operations import Operation
from fogbank.resources.world import Change, Delete, DeleteOperation, Put, PutOperation, Resource, World
from fogbank.store.journal import Journal
from fogbank.store.store import Store

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def resource(number: int) -> Resource:
    name = ResourceName("compute.addresses", f"projects/p/regions/r/addresses/a{number}")
    return Resource(name, number, NOW, {"name": f"a{number}", "ümlaut": ["é", 1]}, {"hidden": True})


def put(number: int) -> Decision:
    return Decision((Put(resource(number)),))


def put_anyway(number: int, _world: World) -> Decision:
    return put(number)


def operation(number: int) -> Operation:
    name = ResourceName("compute.operations", f"projects/p/regions/r/operations/o{number}")
    return Operation(name, number, "insert", resource(number).name, number, "me@example.com", NOW)


class FullDisk(Journal):
    """A journal whose disk is full on demand."""

    full = False

    def append(self, version: int, changes: Iterable[Change], *, synced: bool = True) -> None:
        if self.full:
            raise sqlite3.OperationalError("disk full")
        super().append(version, changes, synced=synced)


@dataclass
class DiskClock:
    """What the journal measures the disk with: it stands still unless a test moves it."""

    seconds: float = 0.0

    def perf_counter(self) -> float:
        return self.seconds


@pytest.fixture
def disk_clock(monkeypatch: pytest.MonkeyPatch) -> DiskClock:
    clock = DiskClock()
    monkeypatch.setattr("fogbank.store.journal.time", clock)
    return clock


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "world.sqlite"


def reopened(path: Path) -> World:
    journal = Journal(path)
    try:
        return journal.load()
    finally:
        journal.close()


async def test_what_was_acknowledged_is_there_after_a_new_start(path: Path) -> None:
    store = Store(Journal(path))
    await store.commit(lambda _world: put(1))
    await store.commit(lambda _world: Decision((Put(resource(2)),), operation(2)))
    await store.commit(lambda _world: Decision((Delete(resource(1).name),)))
    await store.close()
    world = reopened(path)
    assert world == store.world
    assert world.version == 3
    assert world.find(resource(1).name) is None
    assert world.get(resource(2).name) == resource(2)
    assert list(world.running) == [operation(2).name.path]


async def test_nobody_sees_a_world_that_is_not_on_the_disk(path: Path) -> None:
    store = Store(Journal(path))
    seen: list[tuple[int, int]] = []
    store.watch(lambda world: seen.append((world.version, reopened(path).version)))
    await asyncio.gather(*(store.commit(partial(put_anyway, n)) for n in range(20)))
    await store.close()
    assert seen
    assert all(version <= on_disk for version, on_disk in seen)


async def test_a_conclusion_is_in_the_file_before_it_shows_though_it_waits_for_no_disk(path: Path) -> None:
    store = Store(Journal(path))
    await store.commit(lambda _world: put(1))
    await store.commit(lambda _world: put(2), synced=False)
    assert reopened(path).find(resource(2).name) is not None  # as after kill -9: nothing was closed
    await store.commit(lambda _world: put(3))
    await store.close()
    assert reopened(path).version == 3


@pytest.mark.parametrize(("pause", "own_thread"), [(0.0, False), (0.004, True)], ids=["quick", "slow"])
async def test_only_a_disk_that_has_been_slow_is_waited_for_in_another_thread(
    path: Path, disk_clock: DiskClock, monkeypatch: pytest.MonkeyPatch, pause: float, own_thread: bool
) -> None:
    threads: list[int] = []

    def write(self: Journal, change: Change) -> None:
        threads.append(threading.get_ident())
        disk_clock.seconds += pause

    monkeypatch.setattr(Journal, "_write", write)
    store = Store(Journal(path))
    for number in range(3):
        await store.commit(partial(put_anyway, number))
    await store.close()
    here = threading.get_ident()
    assert threads[0] != here, "nothing is known of the disk yet"
    assert [thread != here for thread in threads[1:]] == [own_thread] * 2


async def test_a_disk_that_is_slow_to_refuse_is_waited_for_in_another_thread_too(
    path: Path, disk_clock: DiskClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(Journal(path))
    await store.commit(lambda _world: put(1))
    threads: list[int] = []

    def write(self: Journal, change: Change) -> None:
        threads.append(threading.get_ident())
        disk_clock.seconds += 0.6
        raise sqlite3.OperationalError("database is locked")

    monkeypatch.setattr(Journal, "_write", write)
    for number in (2, 3):
        with pytest.raises(ApiError):
            await store.commit(partial(put_anyway, number))
    await store.close()
    here = threading.get_ident()
    assert [thread == here for thread in threads] == [True, False]


async def test_writers_that_wait_together_share_a_transaction_and_see_one_another(path: Path) -> None:
    store = Store(Journal(path))
    versions: list[int] = []

    def decide(world: World) -> Decision:
        versions.append(world.version)
        return put(len(versions))

    committed = await asyncio.gather(*(store.commit(decide) for _ in range(10)))
    await store.close()
    assert versions == list(range(10))
    assert [c.world.version for c in committed] == list(range(1, 11))


async def test_a_decision_that_changes_nothing_waits_for_what_it_rests_on(path: Path) -> None:
    store = Store(Journal(path))
    nothing = lambda world: Decision(answer={"there": world.find(resource(1).name) is not None})  # noqa: E731
    _, seen = await asyncio.gather(store.commit(lambda _world: put(1)), store.commit(nothing))
    assert seen.decision.answer == {"there": True}
    assert seen.world.find(resource(1).name) is not None
    assert store.world.find(resource(1).name) is not None
    await store.close()
    assert reopened(path).version == 1


async def test_a_decision_that_rests_on_what_the_disk_refused_fails_with_it(path: Path) -> None:
    journal = FullDisk(path)
    store = Store(journal)
    journal.full = True
    refused = await asyncio.gather(
        store.commit(lambda _world: put(1)),
        store.commit(lambda _world: Decision()),
        return_exceptions=True,
    )
    assert [type(error) for error in refused] == [sqlite3.OperationalError] * 2
    await store.close()


def test_a_deleted_operation_does_not_run_any_more() -> None:
    world = World().after([PutOperation(operation(1)), DeleteOperation(operation(1).name)])
    assert (len(world.operations), len(world.running)) == (0, 0)


async def test_a_refused_decision_changes_nothing(path: Path) -> None:
    store = Store(Journal(path))

    def refuse(_world: World) -> Decision:
        raise not_found("projects/p")

    with pytest.raises(Exception, match="projects/p"):
        await store.commit(refuse)
    await store.close()
    assert reopened(path).version == 0


async def test_when_the_disk_refuses_the_writer_hears_it_and_nothing_has_happened(path: Path) -> None:
    journal = FullDisk(path)
    store = Store(journal)
    await store.commit(lambda _world: put(1))
    journal.full = True
    with pytest.raises(sqlite3.OperationalError):
        await store.commit(lambda _world: put(2))
    journal.full = False
    assert store.world.find(resource(2).name) is None
    await store.commit(lambda _world: put(3))
    await store.close()
    world = reopened(path)
    assert world.find(resource(2).name) is None
    assert world.find(resource(3).name) is not None


def test_a_full_disk_is_told_by_name_and_takes_nothing_back(path: Path) -> None:
    journal = Journal(path)
    journal.append(1, put(1).changes)
    (pages,) = journal._database.execute("pragma page_count").fetchone()
    journal._database.execute(f"pragma max_page_count = {pages}")  # as good as a full disk
    many = tuple(Put(resource(number)) for number in range(2, 500))
    with pytest.raises(ApiError, match=rf"cannot write {path}: database or disk is full") as refusal:
        journal.append(2, many)
    assert refusal.value.code == 503
    assert (reopened(path).version, len(list(reopened(path).all("compute.addresses")))) == (1, 1)
    journal._database.execute("pragma max_page_count = 1000000")
    journal.append(2, many)
    assert len(list(reopened(path).all("compute.addresses"))) == 499
    journal.close()


async def test_a_watcher_with_a_bug_holds_nobody_up(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    store = Store(Journal(path))
    seen: list[int] = []

    def broken(_world: World) -> None:
        raise KeyError("a bug")

    store.watch(broken)
    store.watch(lambda world: seen.append(world.version))
    async with asyncio.timeout(5):
        first = asyncio.create_task(store.commit(lambda _world: put(1)))
        await asyncio.sleep(0)
        second = asyncio.create_task(store.commit(lambda _world: put(2)))
        await asyncio.gather(first, second)
    await store.close()
    assert seen[-1] == 2
    assert "a bug" in caplog.text


def test_a_file_of_another_format_is_refused_with_the_remedy(path: Path) -> None:
    Journal(path).close()
    with sqlite3.connect(path) as database:
        database.execute("update facts set value = '999' where name = 'format'")
    database.close()
    with pytest.raises(OperatorError, match="another version"):
        Journal(path)


def test_a_file_that_is_no_database_is_refused_with_the_remedy(path: Path) -> None:
    path.write_bytes(b"garbage" * 1000)
    with pytest.raises(OperatorError, match=r"damaged \(file is not a database\)\. Move it away"):
        Journal(path)
