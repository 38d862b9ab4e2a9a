"""The control loop: observe, lower, plan, apply, report.

One pass takes the newest World, lowers it, applies the difference to what exists, and then finishes every
operation whose target has nothing failing. A failing action shows on its owners, is retried with growing
pauses, and never stops the others. Passes never overlap; while one runs, any number of commits collect for
the next.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from immutables import Map

from fogbank.clock import Clock
from fogbank.dataplane.driver import Driver, Outcome
from fogbank.lowering.fragments import Lowered
from fogbank.network.topology import Key, Topology
from fogbank.planning.plan import Plan, element_of, plan
from fogbank.planning.unapplied import unapplied
from fogbank.planning.words import words
from fogbank.resources.decisions import Decision
from fogbank.resources.fleet import Fleet
from fogbank.resources.names import ResourceName
from fogbank.resources.operations import Operation
from fogbank.resources.world import Change, PutOperation, Resource, World
from fogbank.services.contract import Service
from fogbank.store.store import Store

log = logging.getLogger(__name__)

RETRY_SECONDS = (0.1, 0.3, 1.0, 3.0, 10.0)
"""Pauses before a failed action is tried again; the last one repeats."""

PASSES_KEPT = 50

_PASS: Key = ("pass",)
"""Where a failure of the loop's own is kept, beside those of elements."""


class Compiler(Protocol):
    """What turns Worlds into networks: `fogbank.lowering.compiler.Compiler`."""

    def compile(self, world: World, fleet: Fleet, observed: Topology) -> Lowered: ...
    def preview(self, world: World, fleet: Fleet, observed: Topology) -> Lowered: ...


@dataclass(frozen=True, slots=True)
class Failure:
    """Something that could not be made as promised: what, why, how often it was tried, since when.

    It has no owners when it belongs to the region itself.
    """

    what: str
    why: str
    attempts: int
    since: datetime
    owners: frozenset[ResourceName]


@dataclass(frozen=True, slots=True)
class Pass:
    """A record of one turn of the loop."""

    at: datetime
    version: int
    seconds: float
    plan: Plan
    failures: Mapping[Key, str]


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


@dataclass
class Progress:
    """What is known about convergence now: read by the operator's status and by the front end."""

    applied_version: int = -1
    failures: dict[Key, Failure] = field(default_factory=dict)
    passes: deque[Pass] = field(default_factory=lambda: deque(maxlen=PASSES_KEPT))

    def failing(self) -> frozenset[ResourceName]:
        """Name every resource that waits for something that fails."""
        return frozenset(owner for failure in self.failures.values() for owner in failure.owners)


class ControlLoop:
    """Keeps the kernel in step with the World, and tells those who wait."""

    def __init__(
        self, store: Store, driver: Driver, compiler: Compiler, services: Sequence[Service], clock: Clock
    ) -> None:
        self._store = store
        self._driver = driver
        self._compiler = compiler
        self._services = {service.name: service for service in services}
        self._clock = clock
        self._wake = asyncio.Event()
        self._reobserve = True
        self._unfinished = False
        self._converged: _Inputs | None = None
        """What the last pass without actions was made of: the very same needs no other."""
        self._settled: dict[str, list[asyncio.Future[None]]] = {}
        self._after_pass: list[Callable[[], None]] = []
        self.observed = Topology()
        self.lowered = Lowered()
        self.fleet = Fleet()
        self.progress = Progress()
        store.watch(self._world_changed)

    def _world_changed(self, world: World) -> None:
        self._wake.set()
        for path in tuple(self._settled):
            operation = world.operations.get(path)
            if operation is not None and operation.status == "DONE":
                self.settled(path)

    def set_fleet(self, fleet: Fleet) -> None:
        """Take the fleet's newest decision; the next pass builds it."""
        self.fleet = fleet
        self._wake.set()

    def after_pass(self, tell: Callable[[], None]) -> None:
        """Have ``tell`` called in the event loop when a pass has ended."""
        self._after_pass.append(tell)

    def drifted(self) -> None:
        """Observe anew before the next pass."""
        self._reobserve = True
        self._wake.set()

    async def settle(self, path: str, seconds: float) -> None:
        """Return when the operation or resource at ``path`` has settled, or after ``seconds``."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._settled.setdefault(path, []).append(future)
        try:
            await asyncio.wait_for(future, seconds)
        except TimeoutError:
            return
        finally:
            self._waits_no_more(path, future)

    def _waits_no_more(self, path: str, future: asyncio.Future[None]) -> None:
        waiting = self._settled.get(path, [])
        if future in waiting:
            waiting.remove(future)
            if not waiting:
                del self._settled[path]

    def settled(self, path: str) -> None:
        """Wake those who wait for ``path``."""
        for future in self._settled.pop(path, ()):
            if not future.done():
                future.set_result(None)

    async def run(self) -> None:
        """Turn until cancelled."""
        self._wake.set()
        while True:
            await self._wait()
            self._wake.clear()
            try:
                await self.turn()
            except Exception as error:  # the loop must outlive a bug, which shows in the log and the status
                log.exception("a pass of the control loop failed")
                self._note_bug(error)
                self._reobserve = True  # it may have done part of its work
                await asyncio.sleep(RETRY_SECONDS[2])
                self._wake.set()

    async def turn(self) -> None:
        """Make one pass."""
        started = self._clock.seconds()
        world, fleet = self._store.world, self.fleet
        if self._reobserve:
            self._reobserve = False
            self.observed = await asyncio.to_thread(self._driver.observe)
        inputs = _Inputs(world.collections, fleet, self.observed)
        if self._converged is None or not inputs.same(self._converged):
            await self._build(world, fleet, started)
        self.progress.applied_version = world.version
        await self._finish_operations(world)
        for tell in self._after_pass:
            tell()

    async def _build(self, world: World, fleet: Fleet, started: float) -> None:
        """Make what ``world`` and ``fleet`` ask for, and remember it when there was nothing to do."""
        before, self.lowered = self.lowered, self._compiler.compile(world, fleet, self.observed)
        # While nothing was built since, what gives the same network has nothing to do either.
        idle = self._converged and self.observed is self._converged.observed and self.lowered is before
        actions = () if idle else plan(self.observed, self.lowered.topology)
        outcomes = await asyncio.to_thread(self._driver.apply, actions) if actions else ()
        self._note_failures(outcomes, before, self.lowered)
        if not actions:
            self._converged = _Inputs(world.collections, fleet, self.observed)
            return
        refused = [outcome.action for outcome in outcomes if outcome.error is not None]
        self.observed = unapplied(self.observed, self.lowered.topology, refused)
        failed = {element_of(o.action).key: str(o.error) for o in outcomes if o.error}
        took = self._clock.seconds() - started
        self.progress.passes.append(Pass(self._clock.now(), world.version, took, actions, failed))

    async def _wait(self) -> None:
        if not self.progress.failures and not self._unfinished:
            await self._wake.wait()
            return
        attempts = min((failure.attempts for failure in self.progress.failures.values()), default=3)
        pause = RETRY_SECONDS[min(attempts, len(RETRY_SECONDS)) - 1]
        try:
            await asyncio.wait_for(self._wake.wait(), pause)
        except TimeoutError:
            return

    def _note_failures(self, outcomes: Iterable[Outcome], before: Lowered, lowered: Lowered) -> None:
        now = self._clock.now()
        failures: dict[Key, Failure] = {}
        for outcome in outcomes:
            if outcome.error is None:
                continue
            key = element_of(outcome.action).key
            known = self.progress.failures.get(key)
            # What could not be removed belongs to whoever had asked for it.
            asked = known.owners if known else before.owners.get(key, frozenset())
            failures[key] = Failure(
                words(element_of(outcome.action)),
                str(outcome.error),
                known.attempts + 1 if known else 1,
                known.since if known else now,
                lowered.owners.get(key) or asked,
            )
            if known is None:
                log.warning("%s failed: %s", outcome.action, outcome.error)
        self.progress.failures = failures

    def _note_bug(self, error: Exception) -> None:
        known = self.progress.failures.get(_PASS)
        self.progress.failures[_PASS] = Failure(
            "a pass of the control loop",
            f"{type(error).__name__}: {error}",
            known.attempts + 1 if known else 1,
            known.since if known else self._clock.now(),
            frozenset(),
        )

    async def _finish_operations(self, world: World) -> None:
        failing = self.progress.failing()
        running = [
            operation
            for operation in self._store.world.running.values()
            if operation.version <= world.version
            and operation.target not in failing
            and self._ends_with_network(operation)
        ]
        done = await asyncio.gather(*(self._finish(operation) for operation in running))
        self._unfinished = not all(done)
        for operation, finished in zip(running, done, strict=True):
            if finished:
                self.settled(operation.target.path)

    def _ends_with_network(self, operation: Operation) -> bool:
        service = self._services.get(operation.target.service)
        return service is None or service.finishes(self._store.world, operation)

    async def _finish(self, operation: Operation) -> bool:
        service = self._services.get(operation.target.service)

        def decide(world: World) -> Decision:
            current = world.operations.get(operation.name.path)
            if current is None or current.status == "DONE":
                return Decision()
            now = self._clock.now()
            changes: tuple[Change, ...] = ()
            response = None
            if service is not None:
                changes = service.converged(world, operation.target, now)
                response = service.operation_response(world.after(changes), current)
            return Decision((*changes, PutOperation(current.done(now, response))))

        try:
            await self._store.commit(decide, synced=False)
        except Exception:
            log.exception("operation %s could not be finished", operation.name)
            return False
        return True

    def pending(self) -> Plan:
        """List what the next pass would do; empty when everything is as promised."""
        lowered = self._compiler.preview(self._store.world, self.fleet, self.observed)
        return plan(self.observed, lowered.topology)

    def explain(self) -> list[tuple[ResourceName | None, Failure]]:
        """List what is not as promised, one row for each resource (None: the region itself) and failure."""
        return [
            (owner, failure)
            for failure in self.progress.failures.values()
            for owner in (sorted(failure.owners) or (None,))
        ]
