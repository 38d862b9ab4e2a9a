"""One container for each resource that is a server: started, probed, started again, ended with its data.

An API's controller says which servers its resources want (:meth:`ServerContainers.want`) and is told when one
answers. The surprising fact: a server that changes is ended first and started when it is gone, because two
processes cannot have one address and one data folder.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Literal

from fogbank.control.background import BackgroundTasks
from fogbank.control.controller import Runtime
from fogbank.control.fleet_share import FleetShare
from fogbank.control.periodic import every
from fogbank.control.progress import Failure
from fogbank.control.restarts import Restarts
from fogbank.dataplane.driver import WorkloadExited
from fogbank.errors import DriverError
from fogbank.resources.fleet import Attachment, Container, Instance
from fogbank.resources.names import ResourceName
from fogbank.resources.world import Resource

log = logging.getLogger(__name__)

TICK_SECONDS = 0.2
"""How often what died is looked at: the shortest pause of a restart."""
IMAGE_SECONDS = 2.0
"""How long after a refusal an image is asked for again: somebody may have fetched it meanwhile."""


@dataclass(frozen=True, slots=True)
class Server:
    """A container that ``resource`` wants under the name ``id``, which is unique in the region.

    ``container`` names its image by a reference, in any form that the store knows. What it keeps goes when
    the server is wanted no more.
    """

    id: str
    resource: Resource
    container: Container
    attachments: tuple[Attachment, ...] = ()

    @property
    def owner(self) -> ResourceName:
        return self.resource.name

    def runs_as(self, other: "Server") -> bool:
        """Return whether a process of ``other`` would do: the resource may have changed otherwise."""
        return (self.container, self.attachments) == (other.container, other.attachments)


Phase = Literal["starting", "ready", "ending"]


@dataclass(slots=True, eq=False)
class _Running:
    """A server that was started as ``server`` says."""

    server: Server
    phase: Phase = "starting"
    probe: asyncio.Task[None] | None = None


@dataclass(slots=True)
class _Images:
    """Digests by reference, and what is said of those that the store does not have."""

    digests: dict[str, str] = field(default_factory=dict)
    asking: set[str] = field(default_factory=set)
    refused: dict[str, tuple[str, datetime, float]] = field(default_factory=dict)


class ServerContainers:
    """The servers of the API ``name``.

    ``answers`` is a probe: it returns when a server that was started answers, and False when it never will.
    ``ready`` is told of one that does, ``died`` of one that was ready and ended by itself, ``refused`` that
    an image was asked for in vain.
    """

    def __init__(
        self,
        name: str,
        runtime: Runtime,
        *,
        answers: Callable[[Server], Awaitable[bool]],
        ready: Callable[[Server], Awaitable[None]],
        died: Callable[[Server], None] = lambda _server: None,
        refused: Callable[[], None] = lambda: None,
    ) -> None:
        self._runtime, self._answers, self._ready, self._died = runtime, answers, ready, died
        self._refused = refused
        self._share = FleetShare(name, runtime.loop)
        self._prefix = f"{name}-"
        self._wanted: dict[str, Server] = {}
        self._stopped: frozenset[str] = frozenset()
        self._running: dict[str, _Running] = {}
        self._restarts = Restarts(runtime.clock)
        self._images = _Images()
        self._tasks = BackgroundTasks("work on a server")
        runtime.loop.after_pass(self._note_built)

    async def run(self) -> None:
        """Start again what died, until cancelled; what is kept for servers of long ago is removed first."""
        await self._sweep()
        await every(TICK_SECONDS, self._step)

    def want(self, servers: Iterable[Server], stopped: Iterable[str] = ()) -> None:
        """Have exactly ``servers`` run. To be called whenever the resources have changed.

        Servers that are ``stopped`` (by their folders' names) do not run and lose nothing.
        """
        self._stopped = frozenset(stopped)
        before, self._wanted = self._wanted, {each.id: each for each in servers}
        for each in self._wanted.values():
            if each.id in before and not before[each.id].runs_as(each):
                self._restarts.came_up(each.owner)  # what died is another: this one is tried at once
        images = {each.container.image for each in self._wanted.values()}
        refused = self._images.refused  # what nobody wants any more is asked for anew when somebody does
        self._images.refused = {image: why for image, why in refused.items() if image in images}
        self._step()

    def restart(self, identifier: str) -> None:
        """End a server; it is started again when it is gone."""
        running = self._running.get(identifier)
        if running is not None and running.phase != "ending":
            self._end(running)
            self._share.publish()

    def phase(self, identifier: str) -> Phase | None:
        """Return what a server does; None when it does not run."""
        running = self._running.get(identifier)
        return running.phase if running else None

    def find(self, identifier: str) -> Server | None:
        """Find a server that runs, also when it is about to end."""
        running = self._running.get(identifier)
        return running.server if running else None

    def missing_image(self, image: str) -> str:
        """Return why the store does not have ``image``; empty when it has, or was not asked yet."""
        refusal = self._images.refused.get(image)
        return refusal[0] if refusal else ""

    def exited(self, event: WorkloadExited) -> bool:
        """Take note that a container ended; False when it is none of these."""
        running = self._running.get(event.name)
        if running is None:
            return False
        if running.phase != "ending" and event.requested:  # its network is built anew, and it with that
            return True
        del self._running[event.name]
        self._share.drop(event.name)
        if running.probe is not None:
            running.probe.cancel()
        if running.phase != "ending":
            self._restarts.died(running.server.owner, f"It exited with status {event.status}.")
            if running.phase == "ready":
                self._died(running.server)
        if event.name not in self._wanted:
            self._forget(running.server)
        self._step()
        return True

    def explain(self) -> Iterator[tuple[ResourceName, Failure]]:
        """List the resources whose servers die, or whose image is not here."""
        yield from self._restarts.failures("its server")
        for each in self._wanted.values():
            if refusal := self._images.refused.get(each.container.image):
                why, since, _ = refusal
                yield each.owner, Failure("its server's image", why, 1, since, frozenset({each.owner}))

    def _step(self) -> None:
        for running in list(self._running.values()):
            wanted = self._wanted.get(running.server.id)
            if running.phase != "ending" and (wanted is None or not running.server.runs_as(wanted)):
                self._end(running)
        for server in self._wanted.values():
            if server.id not in self._running and self._restarts.may_start(server.owner):
                self._start(server)
        self._share.publish()

    def _start(self, server: Server) -> None:
        digest = self._digest(server.container.image)
        if digest is None:
            return
        container = replace(server.container, image=digest)
        self._running[server.id] = _Running(server)
        self._share.put(Instance(server.id, server.owner, server.resource, server.attachments, (container,)))

    def _end(self, running: _Running) -> None:
        running.phase = "ending"
        if running.probe is not None:
            running.probe.cancel()
            running.probe = None
        self._share.end(running.server.id)

    def _note_built(self) -> None:
        """Probe what a pass has started, and let go of what will never be."""
        built, never = self._share.take_built()
        for identifier in built:
            running = self._running.get(identifier)
            if running is not None and running.phase == "starting":
                running.probe = self._tasks.spawn(self._probe(running))
        for identifier in never:
            running = self._running.pop(identifier)
            if identifier not in self._wanted:
                self._forget(running.server)
        if never:
            self._step()

    async def _probe(self, running: _Running) -> None:
        why = await self._comes_up(running)
        running.probe = None
        if why:
            self._restarts.died(running.server.owner, why)
            self._end(running)
            self._share.publish()

    async def _comes_up(self, running: _Running) -> str:
        """Wait until a server answers, and tell who waits for it; return why that came to nothing, or ''.

        A probe with a bug must not leave its server starting for ever: it counts as one that failed.
        """
        try:
            if not await self._answers(running.server):
                return "It did not answer in time."
            running.phase = "ready"
            await self._ready(running.server)
        except Exception as error:
            log.exception("the probe of %s failed", running.server.id)
            return f"Its probe failed: {error}"
        self._restarts.came_up(running.server.owner)
        return ""

    def _digest(self, reference: str) -> str | None:
        """Return an image's digest; None when it is not known yet, and then it is asked for."""
        images = self._images
        if reference in images.digests:
            return images.digests[reference]
        refusal = images.refused.get(reference)
        waits = refusal is not None and self._runtime.clock.seconds() - refusal[2] < IMAGE_SECONDS
        if not waits and reference not in images.asking:
            images.asking.add(reference)
            self._tasks.spawn(self._resolve(reference))
        return None

    async def _resolve(self, reference: str) -> None:
        images, clock = self._images, self._runtime.clock
        try:
            images.digests[reference] = await asyncio.to_thread(self._runtime.resolve_image, reference, "")
        except DriverError as error:
            since = images.refused[reference][1] if reference in images.refused else clock.now()
            images.refused[reference] = str(error), since, clock.seconds()
            self._refused()
        else:
            images.refused.pop(reference, None)
        finally:
            images.asking.discard(reference)
        self._step()

    def _forget(self, server: Server) -> None:
        """Let go of what a server had that is wanted no more."""
        self._restarts.came_up(server.owner)
        if server.container.data:
            self._tasks.spawn(self._remove([each.name for each in server.container.data]))

    async def _sweep(self) -> None:
        """Remove what was kept for servers that went while the region did not run."""
        kept = self._kept()
        names = await asyncio.to_thread(self._runtime.data.names)
        await self._remove([each for each in names if each.startswith(self._prefix) and each not in kept])

    async def _remove(self, names: list[str]) -> None:
        for name in names:
            if name not in self._kept():
                await asyncio.to_thread(self._runtime.data.remove, name)

    def _kept(self) -> frozenset[str]:
        folders = (folder.name for each in self._wanted.values() for folder in each.container.data)
        return self._stopped.union(folders)
