"""Instances: starts instances of revisions, probes them, has them lent to requests, and retires them.

The fleet (which copies should run) is decided here from the World and the load; the control loop builds it
like everything else. A revision becomes ready when its first copy passes the start-up probe, and fails when
that copy exits or never listens: Google's rule, with Google's words from `services.run`.
"""

import asyncio
import logging
import secrets
import socket
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from ipaddress import IPv4Address
from typing import Any

from fogbank.clock import Clock
from fogbank.control.instance_state import InstanceState
from fogbank.control.loop import ControlLoop, Failure
from fogbank.control.periodic import every
from fogbank.control.probing import passes
from fogbank.control.request_queue import RequestQueue
from fogbank.control.scaling import Limits, Load, desired_instances
from fogbank.dataplane.driver import WorkloadExited
from fogbank.errors import DriverError
from fogbank.network.addressing import FABRIC_INSTANCES
from fogbank.network.topology import NetnsName
from fogbank.resources.decisions import Decision
from fogbank.resources.fleet import Fleet, Instance
from fogbank.resources.names import ResourceName
from fogbank.resources.run import REVISIONS, SERVICES, Readiness, Revision, read_revision, read_service
from fogbank.resources.world import Change, Resource, World
from fogbank.services.run import convergence
from fogbank.services.run.instances import instance_of, with_pool
from fogbank.services.run.objects import log_url
from fogbank.store.store import Store

log = logging.getLogger(__name__)

TICK_SECONDS = 1.0
POOL_SECONDS = 300.0
"""How long an idle instance keeps its address of the default egress pool (SEMANTICS 5.8)."""
POOL_SIZE = 250
RESTART_PAUSES = (0.2, 1.0, 5.0, 20.0)
"""Seconds before a copy of a ready revision is started again after it died, growing with each death."""


@dataclass(frozen=True, slots=True)
class Deaths:
    """How often copies of a revision died since one last became ready, and what is known of it."""

    count: int
    last: float
    since: datetime
    why: str


class Instances:
    """The fleet and its life."""

    def __init__(
        self,
        store: Store,
        loop: ControlLoop,
        clock: Clock,
        *,
        open_socket: Callable[[NetnsName, socket.SocketKind], socket.socket],
        resolve: Callable[[str], str],
        address_of: Callable[[Instance], IPv4Address],
        fabric: NetnsName,
    ) -> None:
        self._store, self._loop, self._clock = store, loop, clock
        self._open_socket, self._resolve = open_socket, resolve
        self._address_of, self._fabric = address_of, fabric
        self.states: dict[str, InstanceState] = {}
        self._ending: dict[str, InstanceState] = {}
        """Those that were told to end and have not yet."""
        self._deaths: dict[ResourceName, Deaths] = {}
        self._resolving: set[ResourceName] = set()
        self._request_queue = RequestQueue(clock, self._of, self.reconcile)
        self._active: set[ResourceName] = set()
        self._last_index = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._seen: tuple[object, object] = (None, None)
        store.watch(self._world_changed)
        loop.after_pass(self._note_built)

    async def run(self) -> None:
        """Look at the load once a second until cancelled."""
        await every(TICK_SECONDS, self.reconcile)

    def reconcile(self) -> None:
        """Bring the fleet to what the World and the load ask for."""
        world = self._store.world
        serving = _serving(world)
        self._note_activity(serving)
        for state in tuple(self.states.values()):
            if state.revision.name not in serving and not state.in_flight:
                self._retire(state)
        for resource in world.all(REVISIONS):
            if resource.name in serving:
                self._scale(resource, read_revision(resource))
        self._redraw_pool()
        self._show_fleet()

    def exited(self, event: WorkloadExited) -> None:
        """Take note that a container ended; called in the event loop."""
        if self._ending.pop(event.name, None):
            self._show_fleet()
            return
        state = self.states.get(event.name)
        if state is None or event.requested:  # told though it should run: it is being replaced
            return
        self._forget(state)
        self._show_fleet()
        starting = state.phase == "starting"
        why = f"The container exited with status {event.status}{' before it listened' if starting else ''}."
        self._note_death(state.revision.name, why)
        if starting:
            self._spawn(self._failed_to_start(state, why))

    def explain(self) -> list[tuple[ResourceName, Failure]]:
        """List the serving revisions whose copies die and are started again."""
        return [
            (name, Failure("its containers", deaths.why, deaths.count, deaths.since, frozenset({name})))
            for name, deaths in self._deaths.items()
            if name in self._active and self._is_promised(name)
        ]

    def _is_promised(self, name: ResourceName) -> bool:
        found = self._store.world.find(name)
        return found is not None and read_revision(found).readiness is not Readiness.FAILED

    def _note_death(self, name: ResourceName, why: str) -> None:
        known = self._deaths.get(name)
        self._deaths[name] = Deaths(
            known.count + 1 if known else 1,
            self._clock.seconds(),
            known.since if known else self._clock.now(),
            why,
        )

    @asynccontextmanager
    async def lease(self, revision: ResourceName) -> AsyncIterator[tuple[NetnsName, IPv4Address, int]]:
        """Lend an instance of ``revision``: where to connect. NoInstance when none frees in time."""
        async with self._request_queue.lease(revision) as state:
            yield self._fabric, self._address_of(state.instance), state.revision.port

    def _of(self, revision: ResourceName) -> list[InstanceState]:
        return [state for state in self.states.values() if state.revision.name == revision]

    def _world_changed(self, world: World) -> None:
        seen = (world.collections.get(REVISIONS), world.collections.get(SERVICES))
        if any(new is not old for new, old in zip(seen, self._seen, strict=True)):
            self._seen = seen
            self.reconcile()

    def _note_activity(self, serving: set[ResourceName]) -> None:
        """Show on revisions that they were retired, or serve again."""
        changed = [(name, convergence.revision_retired) for name in self._active - serving]
        changed += [(name, convergence.revision_active) for name in serving - self._active]
        self._active = serving
        for name, change in changed:
            self._spawn(self._tell(name, change))

    async def _tell(
        self, revision: ResourceName, change: Callable[[World, ResourceName, datetime], tuple[Change, ...]]
    ) -> None:
        await self._change(lambda world: change(world, revision, self._clock.now()))

    def _scale(self, resource: Resource, revision: Revision) -> None:
        if revision.digest is None:
            self._resolve_image(revision)
            return
        states, now = self._of(revision.name), self._clock.seconds()
        idle = tuple(0.0 if c.in_flight or c.phase == "starting" else now - c.idle_since for c in states)
        in_flight = sum(c.in_flight for c in states) + self._request_queue.waiting(revision.name)
        limits = Limits(revision.min_instances, revision.max_instances, revision.concurrency)
        wanted = desired_instances(Load(in_flight, idle), limits, serves=True)
        if revision.readiness is Readiness.UNKNOWN:
            wanted = min(wanted, 1)
            if any(state.phase == "ready" for state in states):  # the disk may have refused to say so
                self._spawn(self._ready(revision))
        for _ in range(wanted - len(states)):
            if self._may_start(revision):
                self._start(resource, revision)
        surplus = sorted(states, key=lambda state: (state.in_flight, state.idle_since))[
            : max(0, len(states) - wanted)
        ]
        for state in surplus:
            if not state.in_flight:
                self._retire(state)

    def _may_start(self, revision: Revision) -> bool:
        deaths = self._deaths.get(revision.name)
        if deaths is None:
            return True
        return (
            self._clock.seconds() - deaths.last >= RESTART_PAUSES[min(deaths.count, len(RESTART_PAUSES)) - 1]
        )

    def _start(self, resource: Resource, revision: Revision) -> None:
        index = self._place()
        identifier = f"{revision.name.id}-{secrets.token_hex(4)}"
        now = self._clock.seconds()
        instance = instance_of(identifier, resource, index, secrets.randbelow(POOL_SIZE))
        self.states[identifier] = InstanceState(instance, revision, now, idle_since=now, dealt=now)

    def _place(self) -> int:
        """Take the next place in the fabric, in turn: what comes too late for one instance meets no other."""
        taken = {state.instance.fabric.index for state in self._living()}
        last = self._last_index
        places = (*range(last + 1, FABRIC_INSTANCES.num_addresses), *range(1, last + 1))
        self._last_index = next(place for place in places if place not in taken)
        return self._last_index

    def at(self, index: int) -> InstanceState | None:
        """Find who has a place in the fabric, also when it is about to end."""
        return next((state for state in self._living() if state.instance.fabric.index == index), None)

    def find(self, identifier: str) -> InstanceState | None:
        """Find an instance, also when it is about to end."""
        return self.states.get(identifier) or self._ending.get(identifier)

    def _living(self) -> Iterator[InstanceState]:
        yield from self.states.values()
        yield from self._ending.values()

    def _retire(self, state: InstanceState) -> None:
        """Have a copy end; its network stays until its container is gone, which has things to finish."""
        self._forget(state)
        state.instance = replace(state.instance, ending=True)
        self._ending[state.instance.id] = state

    def _forget(self, state: InstanceState) -> None:
        del self.states[state.instance.id]
        if state.probe is not None:
            state.probe.cancel()

    def _show_fleet(self) -> None:
        """Tell the loop which instances should run, when that has changed."""
        instances = {state.instance.id: state.instance for state in self._living()}
        if instances != self._loop.fleet.instances:
            self._loop.set_fleet(Fleet(instances))

    def _redraw_pool(self) -> None:
        now = self._clock.seconds()
        for state in self.states.values():
            if now - state.dealt > POOL_SECONDS and not state.in_flight:
                state.dealt = now
                state.instance = with_pool(state.instance, secrets.randbelow(POOL_SIZE))

    def _resolve_image(self, revision: Revision) -> None:
        if revision.name not in self._resolving:
            self._resolving.add(revision.name)
            self._spawn(self._resolved(revision))

    async def _resolved(self, revision: Revision) -> None:
        try:
            digest = await asyncio.to_thread(self._resolve, revision.image)
        except DriverError as error:
            log.warning("image %s of %s: %s", revision.image, revision.name, error)
            message = convergence.image_missing_message(revision.image)
            await self._fail(revision, convergence.IMAGE_MISSING, message)
        else:
            await self._change(
                lambda world: convergence.image_resolved(world, revision.name, digest, self._clock.now())
            )
        finally:
            self._resolving.discard(revision.name)

    def _note_built(self) -> None:
        """Probe the containers that a pass has started, and let go of those that will never be."""
        for state in self._living():
            state.built = state.built or ("workload", state.instance.id) in self._loop.observed.elements
        for state in self.states.values():
            if state.built and state.phase == "starting" and state.probe is None:
                state.probe = self._spawn(self._probe(state))
        never = [identifier for identifier, state in self._ending.items() if not state.built]
        for identifier in never:
            del self._ending[identifier]
        if never:
            self._show_fleet()

    async def _probe(self, state: InstanceState) -> None:
        probe = state.revision.startup_probe
        address = self._address_of(state.instance)
        heard = probe is None or await passes(probe, self._fabric, address, self._open_socket)
        state.probe = None
        if not heard:
            self._retire(state)
            self._show_fleet()
            await self._failed_to_start(state, "The container did not listen in time.")
            return
        state.phase, state.idle_since = "ready", self._clock.seconds()
        self._deaths.pop(state.revision.name, None)
        self._request_queue.started(state)
        await self._ready(state.revision)

    async def _ready(self, revision: Revision) -> None:
        await self._change(lambda world: convergence.revision_ready(world, revision.name, self._clock.now()))
        self._loop.settled(revision.service.path)

    async def _failed_to_start(self, state: InstanceState, why: str) -> None:
        log.warning("instance %s failed to start: %s", state.instance.id, why)
        if state.revision.readiness is Readiness.UNKNOWN:
            logs = log_url(state.revision.name, state.revision.service.id)
            message = convergence.container_failed_message(state.revision.port, logs)
            await self._fail(state.revision, convergence.CONTAINER_FAILED, message)

    async def _fail(self, revision: Revision, reason: str, message: str) -> None:
        await self._change(
            lambda world: convergence.revision_failed(
                world, revision.name, reason, message, self._clock.now()
            )
        )
        self._loop.settled(revision.service.path)

    async def _change(self, decide: Callable[[World], tuple[Change, ...]]) -> None:
        await self._store.commit(lambda world: Decision(decide(world)))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._finished)
        return task

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("work on an instance failed", exc_info=error)


def _serving(world: World) -> set[ResourceName]:
    """Name the revisions that get traffic, have a tag, or are being checked."""
    names: set[ResourceName] = set()
    for resource in world.all(SERVICES):
        service = read_service(resource)
        names |= {service.revision(t.revision) for t in service.traffic if t.percent or t.tag}
        if service.latest_created:
            latest = world.find(service.revision(service.latest_created))
            if latest and read_revision(latest).readiness is not Readiness.FAILED:
                names.add(latest.name)
    return names
