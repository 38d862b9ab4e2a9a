"""The builder: lowers, plans and applies in one worker thread, and keeps what it observed.

A small network is lowered and planned where we are, which takes less time than to wake another thread; then
only what there is to apply goes there. What lowering remembers must not be used by two at a time, so a
preview (`fogbank plan`) is made in the thread, too, and while it is, nothing is done elsewhere. The event
loop hands in a World and a fleet, which never change, and gets values back.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeVar, TypeVarTuple

from immutables import Map

from fogbank.dataplane.driver import Driver, Outcome
from fogbank.lowering.fragments import Lowered
from fogbank.network.topology import Topology
from fogbank.planning.plan import Plan, plan
from fogbank.planning.unapplied import unapplied
from fogbank.resources.fleet import Fleet
from fogbank.resources.world import Resource, World

SMALL = 1000
"""A network of so many elements is lowered and planned in the event loop: it takes a millisecond."""

R = TypeVar("R")
Ts = TypeVarTuple("Ts")


class Compiler(Protocol):
    """What turns Worlds into networks: `fogbank.lowering.compiler.Compiler`."""

    def compile(self, world: World, fleet: Fleet, observed: Topology) -> Lowered: ...
    def preview(self, world: World, fleet: Fleet, observed: Topology) -> Lowered: ...


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

    def __init__(self, driver: Driver, compiler: Compiler) -> None:
        self._driver, self._compiler = driver, compiler
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="builder")
        self._jobs: set[Future[Any]] = set()
        """What the thread has to do, also when nobody waits for it any more."""
        self._observed = Topology()
        self._lowered: Lowered | None = None
        self._converged: _Inputs | None = None
        """What the last pass without actions was made of: the very same needs no other."""

    async def build(self, world: World, fleet: Fleet, *, observe: bool) -> Built | None:
        """Make what ``world`` and ``fleet`` ask for; None when they and what exists are as last time.

        With ``observe`` the driver is asked first what exists.
        """
        inputs = _Inputs(world.collections, fleet, self._observed)
        if not observe and self._converged is not None and inputs.same(self._converged):
            return None
        if observe or self._jobs or len(inputs.observed) > SMALL:
            return await self._in_thread(self._build, world, fleet, observe)
        made = self._decide(world, fleet)
        return await self._in_thread(self._apply, made) if made.plan else made

    async def preview(self, world: World, fleet: Fleet) -> Plan:
        """Return what :meth:`build` would do now; nothing is done."""
        return await self._in_thread(self._preview, world, fleet)

    def close(self) -> None:
        """Wait for what is being done and end the thread; blocks."""
        self._thread.shutdown(cancel_futures=True)

    async def _in_thread(self, work: Callable[[*Ts], R], *args: *Ts) -> R:
        job = self._thread.submit(work, *args)
        self._jobs.add(job)
        job.add_done_callback(self._jobs.discard)
        return await asyncio.wrap_future(job)

    def _build(self, world: World, fleet: Fleet, observe: bool) -> Built:
        if observe:
            self._observed, self._converged = self._driver.observe(), None
        made = self._decide(world, fleet)
        return self._apply(made) if made.plan else made

    def _decide(self, world: World, fleet: Fleet) -> Built:
        """Lower and plan; nothing is done yet."""
        observed, before = self._observed, self._lowered
        lowered = self._lowered = self._compiler.compile(world, fleet, observed)
        # While nothing was built since, what gives the same network has nothing to do either.
        unchanged = self._converged and observed is self._converged.observed and lowered is before
        actions = () if unchanged else plan(observed, lowered.topology)
        if not actions:
            self._converged = _Inputs(world.collections, fleet, observed)
        return Built(lowered, actions, (), observed)

    def _apply(self, made: Built) -> Built:
        """Do what is planned."""
        outcomes = self._driver.apply(made.plan)
        done = (outcome.action for outcome in outcomes if outcome.error is None)
        refused = [outcome.action for outcome in outcomes if outcome.error is not None]
        self._observed = unapplied(self._observed, made.lowered.topology, done, refused)
        return replace(made, outcomes=outcomes, observed=self._observed)

    def _preview(self, world: World, fleet: Fleet) -> Plan:
        lowered = self._compiler.preview(world, fleet, self._observed)
        return plan(self._observed, lowered.topology)
