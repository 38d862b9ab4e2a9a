"""Operations that ended long ago are forgotten; what clients may still ask for stays."""

import asyncio
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fogbank.clock import Clock
from fogbank.control import operation_retention
from fogbank.control.operation_retention import forget_operations, outdated
from fogbank.resources.decisions import Decision
from fogbank.resources.names import ResourceName
from fogbank.resources.operations import Operation
from fogbank.resources.world import PutOperation, World
from fogbank.store.journal import Journal
from fogbank.store.store import Store

NOW = datetime(2026, 6, 1, tzinfo=UTC)
TARGET = ResourceName("compute.networks", "projects/p/global/networks/n")


def operation(number: int, age: timedelta, *, done: bool = True) -> PutOperation:
    name = ResourceName("compute.operations", f"projects/p/global/operations/{number}")
    made = Operation(name, number, "insert", TARGET, 1, "me", NOW - age)
    return PutOperation(made.done(NOW - age) if done else made)


def world(operations: Iterable[PutOperation]) -> World:
    return World().after(operations)


def forgotten(of: World) -> set[str]:
    return {change.name.id for change in outdated(of, NOW)}


def test_an_operation_goes_two_weeks_after_it_ended_and_an_unfinished_one_never() -> None:
    old, young = timedelta(days=15), timedelta(days=13)
    assert forgotten(world([operation(1, old), operation(2, young), operation(3, old, done=False)])) == {"1"}


def test_a_crowd_shortens_the_time_to_an_hour(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operation_retention, "MOST", 2)
    crowd = [operation(hours, timedelta(hours=hours, minutes=-1)) for hours in range(1, 6)]
    assert forgotten(world(crowd)) == {"3", "4", "5"}
    fresh = [operation(number, timedelta(minutes=number)) for number in range(10)]
    assert forgotten(world(fresh)) == set()


@given(st.lists(st.integers(0, 30 * 24 * 60), max_size=20))
def test_after_forgetting_nothing_more_is_outdated(minutes: list[int]) -> None:
    before = world(operation(number, timedelta(minutes=m)) for number, m in enumerate(minutes))
    after = before.after(outdated(before, NOW))
    assert outdated(after, NOW) == ()
    assert len(after.operations) == sum(m <= 14 * 24 * 60 for m in minutes)


async def test_a_region_forgets_by_itself_also_on_the_disk(
    tmp_path: Path,
) -> None:
    store, clock = Store(Journal(tmp_path / "world.sqlite")), Clock(NOW - datetime.now(UTC))
    kept = operation(1, timedelta(days=1))
    await store.commit(lambda _world: Decision((kept, operation(2, timedelta(days=20)))))
    forgotten = asyncio.Event()
    store.watch(lambda _world: forgotten.set())
    forgetting = asyncio.create_task(forget_operations(store, clock))
    await asyncio.wait_for(forgotten.wait(), 5)
    forgetting.cancel()
    await store.close()
    journal = Journal(tmp_path / "world.sqlite")
    assert list(journal.load().operations) == [kept.operation.name.path]
    journal.close()
