"""The builder: lowers, plans and applies in one worker thread, and keeps what it observed.

What has been remembered of lowering is no other thread's business, so a preview (`fogbank plan`) is made in
this thread, too, between two passes. The event loop hands in a World and a fleet, which never change,
and gets values back.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar, TypeVarTuple

from immutables import Map

from fogbank.control.existing import Existing
from fogbank.dataplane.driver import Driver, Outcome
from fogbank.lowering.fragments import Lowered
from fogbank.network.topology import Topology
from fogbank.planning.plan import Plan, plan
from fogbank.resources.world import Fleet, Resource, World

Lower = Callable[[World, Fleet, Topology], Lowered]
R = TypeVar("R")
Ts = TypeVarTuple("Ts")


@dataclass(frozen=True, slots=True)
class Built:
    """What a pass has made: the network that should exist, the plan, its outcomes, and what exists now."""

    lowered: Lowered
    plan: Plan
    outcomes: tuple[Outcome, ...]
    observed: Topology


@dataclass(frozen=True, slots=True)
class _Inputs:
    """What a pass is made of."""

    collections: Map[str, Map[str, Resource]]
    fleet: Fleet
    observed: Topology

    def same(self, other: "_Inputs") -> bool:
        """Return whether all is the very same; nothing is compared."""
        return (
            self.collections is other.collections
            and self.fleet is other.fleet
            and self.observed is other.observed
        )


class Builder:
    """The thread that builds. Its methods are called from the event loop, one at a time or many at once."""

    def __init__(self, driver: Driver, lower: Lower) -> None:
        self._driver, self._lower = driver, lower
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="builder")
        self._existing = Existing(Topology())
        self._lowered: Lowered | None = None
        self._converged: _Inputs | None = None
        """What the last pass without actions was made of: the very same needs no other."""

    async def build(self, world: World, fleet: Fleet, *, observe: bool) -> Built | None:
        """Make what ``world`` and ``fleet`` ask for; None when they and what exists are as last time.

        With ``observe`` the driver is asked first what exists.
        """
        inputs = _Inputs(world.collections, fleet, self._existing.topology)
        if not observe and self._converged is not None and inputs.same(self._converged):
            return None
        return await self._in_thread(self._build, world, fleet, observe)

    async def preview(self, world: World, fleet: Fleet) -> Plan:
        """Return what :meth:`build` would do now; nothing is done."""
        return await self._in_thread(self._preview, world, fleet)

    def close(self) -> None:
        """Wait for what is being done and end the thread; blocks."""
        self._thread.shutdown(cancel_futures=True)

    async def _in_thread(self, work: Callable[[*Ts], R], *args: *Ts) -> R:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work, *args)

    def _build(self, world: World, fleet: Fleet, observe: bool) -> Built:
        if observe:
            self._existing, self._converged = Existing(self._driver.observe()), None
        before, lowered = self._lowered, self._lower(world, fleet, self._existing.topology)
        self._lowered = lowered
        # While nothing was built since, what gives the same network has nothing to do either.
        unchanged = (
            self._converged and self._existing.topology is self._converged.observed and lowered is before
        )
        actions = () if unchanged else plan(self._existing.topology, lowered.topology)
        if not actions:
            self._converged = _Inputs(world.collections, fleet, self._existing.topology)
            return Built(lowered, (), (), self._existing.topology)
        outcomes = self._driver.apply(actions)
        self._existing.take(outcomes)
        return Built(lowered, actions, outcomes, self._existing.topology)

    def _preview(self, world: World, fleet: Fleet) -> Plan:
        return plan(self._existing.topology, self._lower(world, fleet, self._existing.topology).topology)
