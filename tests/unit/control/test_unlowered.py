"""What cannot be lowered fails for whoever asked for it, and for nobody else, until it can be."""

import asyncio
from datetime import UTC, datetime

import pytest
from tests.passes import Passes
from tests.worlds import network, resource, subnetwork

from fogbank.app.features import features
from fogbank.clock import Clock
from fogbank.control import loop as control
from fogbank.control.loop import ControlLoop
from fogbank.dataplane.simulated import SimulatedDriver
from fogbank.lowering.compiler import Compiler
from fogbank.lowering.feature import Feature
from fogbank.lowering.fragments import Fragment
from fogbank.network.topology import NetnsName, NetworkNamespace
from fogbank.resources.decisions import Decision
from fogbank.resources.names import ResourceName
from fogbank.resources.operations import Operation
from fogbank.resources.world import Put
from fogbank.services.contract import Service
from fogbank.store.journal import Journal
from fogbank.store.store import Store

NOW = datetime(2026, 1, 2, tzinfo=UTC)


class Boxes(Feature):
    """A namespace of the name that a box has in its body, which may be another's."""

    resources = frozenset({"toy.boxes"})

    def outside(self, source):
        return Fragment.of((NetworkNamespace(NetnsName(source.body["netns"])),), source.name)


def ready(world, name, _now):
    found = world.find(name)
    return (Put(found.with_body(state="READY")),) if found.body["state"] != "READY" else ()


SERVICE = Service("toy", {}, converged=ready)


def box(name, netns):
    path = f"projects/demo/locations/l/boxes/{name}"
    return resource(ResourceName("toy.boxes", path), {"netns": netns, "state": "CREATING"})


def create(made, name="one"):
    operation = Operation(
        ResourceName(f"{made.name.service}.operations", f"projects/demo/operations/{name}"),
        1, "insert", made.name, 1, "me", NOW,
    )  # fmt: skip
    return Decision((Put(made),), operation)


class Region:
    """A store, a loop that turns, and a machine that only remembers."""

    def __init__(self, tmp_path):
        self.store = Store(Journal(tmp_path / "world.sqlite"))
        self.driver = SimulatedDriver()
        compiler = Compiler((*features(), Boxes()))
        self.loop = ControlLoop(self.store, self.driver, compiler, (SERVICE,), Clock())
        self.passes = Passes(self.loop)

    async def commit(self, decision):
        await self.store.commit(lambda _: decision)
        await self.passes.until(lambda: self.loop.progress.applied_version >= self.store.world.version)

    def operation(self, api, name="one"):
        return self.store.world.operations[f"projects/demo/operations/{name}"]

    def exists(self, netns):
        return ("netns", netns) in self.driver.observe().elements


@pytest.fixture
async def region(tmp_path):
    region = Region(tmp_path)
    turning = asyncio.create_task(region.loop.run())
    yield region
    turning.cancel()
    await region.loop.close()
    await region.store.close()


async def test_a_contradiction_ends_the_operation_with_an_error_and_holds_up_nobody_else(region):
    await region.commit(create(box("a", "internet")))
    failed = region.operation("toy")
    assert (failed.status, failed.error.http_status, failed.error.code) == ("DONE", 500, "INTERNAL")
    assert "two parts claim ('netns', 'internet'): projects/demo/locations/l/boxes/a" in failed.error.message
    await region.commit(create(network(), "two"))
    await region.commit(create(subnetwork("s", "10.1.0.0/24"), "three"))
    assert region.exists("vpc/demo/default")
    assert {region.operation("compute", name).error for name in ("two", "three")} == {None}
    [(owner, failure)] = region.loop.explain()
    assert (owner, failure.attempts) == (box("a", "").name, 0)


async def test_what_can_be_lowered_again_is_built_and_told_to_its_service(region):
    await region.commit(create(box("a", "internet")))
    bad = region.store.world.get(box("a", "").name)
    assert bad.body["state"] == "CREATING"
    await region.commit(create(box("a", "boxes/a"), "two"))
    assert region.exists("boxes/a")
    assert region.loop.explain() == []
    assert region.operation("toy", "two").error is None
    assert region.store.world.get(bad.name).body["state"] == "READY"


async def test_it_heals_when_the_other_side_of_the_contradiction_goes(region):
    await region.commit(create(box("a", "boxes/x")))
    await region.commit(create(box("b", "boxes/x"), "two"))
    assert region.operation("toy", "two").error is not None
    assert region.exists("boxes/x")
    await region.commit(Decision((Put(box("a", "boxes/a").with_body(state="READY")),)))
    b = box("b", "").name
    await region.passes.until(lambda: region.store.world.get(b).body["state"] == "READY")
    assert region.loop.explain() == []
    assert region.loop.lowered.owners["netns", "boxes/x"] == {b}


async def test_nothing_is_tried_again_while_nothing_changes(region, monkeypatch):
    monkeypatch.setattr(control, "RETRY_SECONDS", (0.0,))
    await region.commit(create(box("a", "internet")))
    await region.commit(Decision())
    passes = []
    region.loop.after_pass(lambda: passes.append(1))
    for _ in range(200):
        await asyncio.sleep(0)  # a pass takes a handful of turns of the event loop
    assert len(passes) <= 1
