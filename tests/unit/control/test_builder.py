"""Lowering, planning and applying happen in one thread, which is not the one that serves requests."""

import asyncio
import threading
from collections.abc import Sequence

from fogbank.control.builder import SMALL, Builder
from fogbank.dataplane.driver import Outcome
from fogbank.dataplane.simulated import SimulatedDriver
from fogbank.lowering.fragments import Lowered
from fogbank.network.topology import NetnsName, NetworkNamespace, Topology
from fogbank.planning.plan import Action, Create
from fogbank.resources.fleet import Fleet
from fogbank.resources.world import World

NETNS = NetworkNamespace(NetnsName("vpc/a"))
WANTED = Lowered(Topology.of([NETNS]))


class Machine(SimulatedDriver):
    """Notes in which threads it works, and waits until it may apply; ``wanted`` is what lowering gives."""

    def __init__(self) -> None:
        super().__init__()
        self.wanted = WANTED
        self.lowered_in: list[int] = []
        self.threads: set[int] = set()
        self.applying, self.go_on = threading.Event(), threading.Event()
        self.previewing, self.preview_goes_on = threading.Event(), threading.Event()
        self.preview_goes_on.set()

    def observe(self) -> Topology:
        self.threads.add(threading.get_ident())
        return super().observe()

    def apply(self, actions: Sequence[Action]) -> tuple[Outcome, ...]:
        self.threads.add(threading.get_ident())
        self.applying.set()
        assert self.go_on.wait(5)
        return super().apply(actions)

    def compile(self, _world: World, _fleet: Fleet, _observed: Topology) -> Lowered:
        self.lowered_in.append(threading.get_ident())
        return self.wanted

    def preview(self, world: World, fleet: Fleet, observed: Topology) -> Lowered:
        self.previewing.set()
        assert self.preview_goes_on.wait(5)
        return self.compile(world, fleet, observed)


async def test_the_event_loop_goes_on_while_a_pass_is_made_and_a_preview_waits_for_its_end() -> None:
    machine = Machine()
    builder = Builder(machine, machine)
    passing = asyncio.create_task(builder.build(World(), Fleet(), observe=True))
    await asyncio.to_thread(machine.applying.wait, 5)
    previewing = asyncio.create_task(builder.preview(World(), Fleet()))
    await asyncio.sleep(0)
    assert not passing.done()
    machine.go_on.set()
    built = await passing
    assert built
    assert (built.plan, built.observed.elements) == ((Create(NETNS),), {NETNS.key: NETNS})
    assert await previewing == ()
    assert len(machine.threads) == 1
    assert machine.threads == set(machine.lowered_in)
    assert threading.get_ident() not in machine.threads
    builder.close()


async def test_a_preview_builds_nothing() -> None:
    machine = Machine()
    builder = Builder(machine, machine)
    assert await builder.preview(World(), Fleet()) == (Create(NETNS),)
    assert machine.applied == []
    builder.close()


async def test_the_very_same_is_not_looked_at_again() -> None:
    machine, world, fleet = Machine(), World(), Fleet()
    machine.go_on.set()
    builder = Builder(machine, machine)
    assert await builder.build(world, fleet, observe=True)
    second = await builder.build(world, fleet, observe=False)
    assert second
    assert second.plan == ()
    assert await builder.build(world, fleet, observe=False) is None
    builder.close()


async def test_a_small_network_is_lowered_in_the_event_loop_and_a_large_one_is_not() -> None:
    machine, here = Machine(), threading.get_ident()
    machine.go_on.set()
    builder = Builder(machine, machine)
    await builder.build(World(), Fleet(), observe=True)
    many = [NetworkNamespace(NetnsName(f"vpc/{number}")) for number in range(SMALL + 1)]
    machine.wanted = Lowered(Topology.of(many))
    await builder.build(World(), Fleet(), observe=False)
    await builder.build(World(version=1), Fleet(), observe=False)
    assert [thread == here for thread in machine.lowered_in] == [False, True, False]
    assert here not in machine.threads
    builder.close()


async def test_while_the_thread_works_on_what_nobody_waits_for_nothing_is_lowered_elsewhere() -> None:
    machine, here = Machine(), threading.get_ident()
    machine.go_on.set()
    builder = Builder(machine, machine)
    await builder.build(World(), Fleet(), observe=True)
    machine.preview_goes_on.clear()
    previewing = asyncio.create_task(builder.preview(World(), Fleet()))
    await asyncio.to_thread(machine.previewing.wait, 5)
    previewing.cancel()
    await asyncio.wait([previewing])
    building = asyncio.create_task(builder.build(World(version=1), Fleet(), observe=False))
    await asyncio.sleep(0)
    machine.preview_goes_on.set()
    await building
    assert here not in machine.lowered_in
    builder.close()
