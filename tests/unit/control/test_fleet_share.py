"""A controller's share of the fleet: built by the loop, and gone only after its containers."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests import worlds
from tests.lowered import compiler

from fogbank.clock import Clock
from fogbank.control.fleet_share import FleetShare
from fogbank.control.loop import ControlLoop
from fogbank.dataplane.simulated import SimulatedDriver
from fogbank.store.journal import Journal
from fogbank.store.store import Store

(INSTANCE,) = worlds.fleet(worlds.revision("web-00001-abc")).instances.values()


@pytest.fixture
async def loop(tmp_path: Path) -> AsyncIterator[ControlLoop]:
    store = Store(Journal(tmp_path / "world.sqlite"))
    loop = ControlLoop(store, SimulatedDriver(), compiler(), (), Clock())
    yield loop
    await loop.close()
    await store.close()


async def test_an_instance_is_built_once_and_ends_when_its_container_has(loop: ControlLoop) -> None:
    share = FleetShare("run", loop)
    share.put(INSTANCE)
    share.publish()
    assert share.take_built() == ([], [])
    await loop.turn()
    assert share.take_built() == ([INSTANCE.id], [])
    assert share.take_built() == ([], [])
    assert share.end(INSTANCE.id).ending
    share.publish()
    await loop.turn()
    assert ("workload", INSTANCE.id) not in loop.observed.elements
    assert share.take_built() == ([], [])
    assert list(loop.fleet.instances) == [INSTANCE.id]
    share.drop(INSTANCE.id)
    share.publish()
    assert loop.fleet.instances == {}


async def test_one_that_is_told_to_end_before_it_was_built_goes_after_the_next_pass(
    loop: ControlLoop,
) -> None:
    share = FleetShare("run", loop)
    share.put(INSTANCE)
    share.end(INSTANCE.id)
    share.publish()
    await loop.turn()
    assert share.take_built() == ([], [INSTANCE.id])
    share.publish()
    assert loop.fleet.instances == {}


async def test_the_loop_is_told_only_of_changes(loop: ControlLoop) -> None:
    share = FleetShare("run", loop)
    share.put(INSTANCE)
    share.publish()
    fleet = loop.fleet
    share.drop("nobody")
    share.publish()
    assert loop.fleet is fleet
