"""The control loop: observe, lower, plan, apply, report.

One pass takes the newest World, lowers it, applies the difference to what exists, and then finishes every
operation whose target has nothing failing. A failing action shows on its owners, is retried with growing
pauses, and never stops the others. What cannot be lowered shows, too, and ends the operations that wait for
it with an error. Passes never overlap; while one runs, any number of commits collect for
the next. The work of a pass is done in a thread of its own (`builder`): the event loop serves requests and
DNS meanwhile, and only takes the results.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence

from fogbank.clock import Clock
from fogbank.control.builder import Builder, Built, Compiler
from fogbank.control.progress import Failure, Pass, Progress
from fogbank.dataplane.driver import Driver, Outcome
from fogbank.lowering.fragments import Lowered
from fogbank.network.topology import Key, Topology
from fogbank.planning.plan import Plan, element_of
from fogbank.planning.words import words
from fogbank.resources.decisions import Decision
from fogbank.resources.fleet import Fleet, Instance
from fogbank.resources.names import ResourceName
from fogbank.resources.operations import Operation, OperationError
from fogbank.resources.world import Change, PutOperation, World
from fogbank.services.contract import Service
from fogbank.store.store import Store

log = logging.getLogger(__name__)

RETRY_SECONDS = (0.1, 0.3, 1.0, 3.0, 10.0)
"""Pauses before a failed action is tried again; the last one repeats."""

_PASS: Key = ("pass",)
"""Where a failure of the loop's own is kept, beside those of elements."""

_LOWERING = "lowering"
"""What the keys of failures to lower something begin with."""

_UNLOWERED = "its part of the network"


class ControlLoop:
    """Keeps the kernel in step with the World, and tells those who wait."""

    def __init__(
        self, store: Store, driver: Driver, compiler: Compiler, services: Sequence[Service], clock: Clock
    ) -> None:
        self._store = store
        self._builder = Builder(driver, compiler)
        self._services = {service.name: service for service in services}
        self._clock = clock
        self._wake = asyncio.Event()
        self._reobserve = True
        self._unfinished = False
        self._considered: tuple[object, object] | None = None
        """The running operations and the failing resources of the last look at operations."""
        self._healing: frozenset[ResourceName] = frozenset()
        """What can be lowered again, and is not known to be as promised yet."""
        self._settled: dict[str, list[asyncio.Future[None]]] = {}
        self._after_pass: list[Callable[[], None]] = []
        self._pass_ended = asyncio.Event()
        self._shares: dict[str, Mapping[str, Instance]] = {}
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

    def set_fleet(self, controller: str, instances: Mapping[str, Instance]) -> None:
        """Take what ``controller`` wants to run now, by id; the next pass builds it.

        The fleet is the union of what all controllers want; two must not claim one id (ValueError).
        ``instances`` must not be changed afterwards.
        """
        shares = self._shares | {controller: instances}
        fleet = {key: instance for share in shares.values() for key, instance in share.items()}
        if len(fleet) < sum(map(len, shares.values())):
            raise ValueError(f"{controller} claims instances that another controller runs")
        self._shares, self.fleet = shares, Fleet(fleet)
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
        reobserve, self._reobserve = self._reobserve, False
        built = await self._builder.build(world, fleet, observe=reobserve)
        if built is not None:
            self._take(built, world, started)
        self.progress.applied_version = world.version
        await self._finish_operations(world)
        await self._heal(world)
        for tell in self._after_pass:
            tell()
        self._pass_ended.set()
        self._pass_ended = asyncio.Event()

    def _take(self, built: Built, world: World, started: float) -> None:
        """Show what a pass has made."""
        before, self.lowered, self.observed = self.lowered, built.lowered, built.observed
        self._healing = (self._healing | before.unlowered) - built.lowered.unlowered
        self._note_failures(built.outcomes, before, built.lowered)
        if built.plan:
            failed = {element_of(o.action).key: str(o.error) for o in built.outcomes if o.error}
            took = self._clock.seconds() - started
            self.progress.passes.append(Pass(self._clock.now(), world.version, took, built.plan, failed))

    async def applied(self, version: int, seconds: float) -> bool:
        """Return whether the World ``version`` was applied within ``seconds``."""
        try:
            async with asyncio.timeout(seconds):
                while self.progress.applied_version < version:
                    await self._pass_ended.wait()
        except TimeoutError:
            return False
        return True

    async def _wait(self) -> None:
        tried = [failure.attempts for failure in self.progress.failures.values() if failure.attempts]
        if not tried and not self._unfinished:
            await self._wake.wait()
            return
        attempts = min(tried, default=3)
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
        for unit, each in lowered.failures.items():
            key = (_LOWERING, *map(str, unit))
            known = self.progress.failures.get(key)
            failures[key] = Failure(_UNLOWERED, each.why, 0, known.since if known else now, each.owners)
            if known is None or known.why != each.why:
                log.error(
                    "%s could not be lowered: %s",
                    ", ".join(map(str, each.owners)),
                    each.why,
                    exc_info=each.error,
                )
        self.progress.set_failures(failures)

    def _note_bug(self, error: Exception) -> None:
        known = self.progress.failures.get(_PASS)
        failure = Failure(
            "a pass of the control loop",
            f"{type(error).__name__}: {error}",
            known.attempts + 1 if known else 1,
            known.since if known else self._clock.now(),
            frozenset(),
        )
        self.progress.set_failures({**self.progress.failures, _PASS: failure})

    async def _finish_operations(self, world: World) -> None:
        """End what waited for the network; nothing is looked at while none is new and nothing has healed."""
        failing, running = self.progress.failing, self._store.world.running
        before = self._considered
        if before and before[0] is running and before[1] is failing and not self._unfinished:
            return
        known = [operation for operation in running.values() if operation.version <= world.version]
        if len(known) == len(running):
            self._considered = running, failing
        unlowered = self.lowered.unlowered
        ended = [
            operation
            for operation in known
            if (operation.target not in failing or operation.target in unlowered)
            and self._ends_with_network(operation)
        ]
        done = await asyncio.gather(
            *(self._finish(operation, self._why_unlowered(operation.target)) for operation in ended)
        )
        self._unfinished = not all(done)
        for operation, finished in zip(ended, done, strict=True):
            if finished:
                self.settled(operation.target.path)

    def _ends_with_network(self, operation: Operation) -> bool:
        service = self._services.get(operation.target.service)
        return service is None or service.finishes(self._store.world, operation)

    def _why_unlowered(self, target: ResourceName) -> OperationError | None:
        """Say why an operation on ``target`` fails; None when all of it could be lowered."""
        for failure in self.lowered.failures.values():
            if target in failure.owners:
                return OperationError(
                    500, "INTERNAL", f"The network of {target.path} cannot be made: {failure.why}"
                )
        return None

    async def _heal(self, world: World) -> None:
        """Tell the services of resources that could not be lowered and now are as promised."""
        ready = [name for name in self._healing if name not in self.progress.failing and world.find(name)]

        def decide(world: World) -> Decision:
            changes: tuple[Change, ...] = ()
            for name in sorted(ready):
                if (service := self._services.get(name.service)) is not None:
                    changes += service.converged(world.after(changes), name, self._clock.now())
            return Decision(changes)

        if ready:
            await self._store.commit(decide, synced=False)
        self._healing &= self.progress.failing

    async def _finish(self, operation: Operation, error: OperationError | None) -> bool:
        service = self._services.get(operation.target.service)

        def decide(world: World) -> Decision:
            current = world.operations.get(operation.name.path)
            if current is None or current.status == "DONE":
                return Decision()
            now = self._clock.now()
            changes: tuple[Change, ...] = ()
            response = None
            if service is not None and error is None:
                changes = service.converged(world, operation.target, now)
                response = service.operation_response(world.after(changes), current)
            return Decision((*changes, PutOperation(current.done(now, response, error))))

        try:
            await self._store.commit(decide, synced=False)
        except Exception:
            log.exception("operation %s could not be finished", operation.name)
            return False
        return True

    async def pending(self) -> Plan:
        """List what the next pass would do; empty when everything is as promised."""
        return await self._builder.preview(self._store.world, self.fleet)

    async def close(self) -> None:
        """Wait for what is being built, and end the thread that builds."""
        await asyncio.to_thread(self._builder.close)

    def explain(self) -> list[tuple[ResourceName | None, Failure]]:
        """List what is not as promised, one row for each resource (None: the region itself) and failure."""
        return [
            (owner, failure)
            for failure in self.progress.failures.values()
            for owner in (sorted(failure.owners) or (None,))
        ]
