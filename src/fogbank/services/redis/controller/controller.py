"""Keeps the redis-servers of instances running and told what they should be, and says when they are.

Each node is a server of its own (`control.server_containers`). When one answers it is told its settings; when
an instance changes, those that run are told the new ones. An instance is READY when the network has its
nodes and all have their settings. When the primary of an instance with a replica dies, the replica takes its
place and its address (behaviour/memorystore-redis.md#high-availability).
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from fogbank.control.background import BackgroundTasks
from fogbank.control.controller import Controller, Runtime, TraceSource
from fogbank.control.periodic import every
from fogbank.control.progress import Failure
from fogbank.control.server_containers import Server, ServerContainers
from fogbank.dataplane.driver import Drifted, Event, WorkloadExited, WorkloadWrote
from fogbank.errors import DriverError
from fogbank.resources.decisions import Decision
from fogbank.resources.names import ResourceName
from fogbank.resources.server_images import REDIS
from fogbank.resources.world import Change, Resource, World, changed_members
from fogbank.services.redis.controller.admin import Refused, administer
from fogbank.services.redis.controller.certificates import ensure_certificates, shown_certificates
from fogbank.services.redis.controller.configuration import (
    ADMIN_SOCKET,
    DUMP,
    Command,
    container,
    renamed,
    settings,
)
from fogbank.services.redis.instances import (
    creation_failed,
    failover_given_up,
    moved_to_replica,
    settled,
    snapshot_taken,
)
from fogbank.services.redis.model import IN_CHANGE, INSTANCES, Node, RedisInstance, read_instance

log = logging.getLogger(__name__)

START_SECONDS = 30.0
"""How long a server has to answer after its container started."""
ASK_SECONDS = 0.02
HOLD_MILLISECONDS = "3000"
"""How long a primary that hands over takes no writes, and its replica has to catch up."""
SNAPSHOT_SECONDS = 5.0
"""How often it is looked whether a snapshot is due."""


def make_controller(runtime: Runtime) -> "RedisController":
    """Make the controller of Memorystore."""
    return RedisController(runtime)


class RedisController(Controller):
    """All servers of all instances."""

    name = "redis"

    def __init__(self, runtime: Runtime) -> None:
        self._runtime, self._store, self._loop = runtime, runtime.store, runtime.loop
        self._servers = ServerContainers(
            "redis", runtime, answers=self._answers, ready=self._came_up, died=self._died, refused=self._look
        )
        self._told: dict[str, tuple[Command, ...]] = {}
        """By server, the settings that it has."""
        self._telling: set[str] = set()
        self._working: set[ResourceName] = set()
        self._refusals: dict[str, Failure] = {}
        self._versions: dict[str, str] = {}
        self._tasks = BackgroundTasks("work on a redis-server")
        self._store.watch_changes(self._world_changed)
        self._loop.after_pass(self._look)

    async def run(self) -> None:
        """Work until cancelled."""
        self._update()
        await asyncio.gather(self._servers.run(), every(SNAPSHOT_SECONDS, self.take_snapshots))

    def reconcile(self) -> None:
        """Look at all instances again."""
        self._update()
        self._tasks.spawn(self.take_snapshots())

    def status(self) -> Mapping[str, list[dict[str, Any]]]:
        """List the servers, with the version that really runs."""
        rows = [
            {
                "instance": instance.name.path,
                "node": node.number,
                "role": "primary" if node.primary else "replica",
                "address": f"{node.address}:{instance.port}",
                "state": self._servers.phase(node.id) or "stopped",
                "server": self._versions.get(node.id, ""),
            }
            for instance in self._instances()
            for node in instance.nodes
        ]
        return {"redis": rows} if rows else {}

    def explain(self) -> Iterable[tuple[ResourceName, Failure]]:
        """List instances whose servers die, refuse their settings or cannot be had."""
        yield from self._servers.explain()
        for failure in self._refusals.values():
            yield from ((owner, failure) for owner in failure.owners)

    def handle(self, event: Event) -> bool:
        """Log what servers write, and start those again that end."""
        if isinstance(event, Drifted):
            return False
        server = self._servers.find(event.name)
        if server is None:
            return False
        match event:
            case WorkloadWrote(stream=stream, line=line):
                self._runtime.logbook.append(_log_name(server), stream, line)
            case WorkloadExited(status=status, requested=requested):
                self._told.pop(event.name, None)
                if not requested:
                    text = f"redis-server exited with status {status}."
                    self._runtime.logbook.append(_log_name(server), "system", text)
                self._servers.exited(event)
        return True

    def log_names(self) -> Iterable[str]:
        """Name every instance."""
        return [f"redis/{each.name.id}" for each in self._store.world.all(INSTANCES)]

    def trace_sources(self) -> Iterable[TraceSource]:
        """List none: servers answer, and begin nothing."""
        return ()

    def _instances(self) -> Iterator[RedisInstance]:
        return map(read_instance, self._store.world.all(INSTANCES))

    def _find(self, server: str) -> tuple[RedisInstance, Node] | None:
        return next(
            ((each, node) for each in self._instances() for node in each.nodes if node.id == server), None
        )

    def _world_changed(self, changes: Sequence[Change]) -> None:
        if any(changed_members(changes, INSTANCES)):
            self._update()

    def _update(self) -> None:
        world = self._store.world
        self._servers.want(
            Server(node.id, resource, container(instance, node))
            for resource in world.all(INSTANCES)
            for instance in (read_instance(resource),)
            for node in instance.nodes
        )
        known = {each.name for each in world.all(INSTANCES)}
        self._refusals = {key: each for key, each in self._refusals.items() if each.owners & known}
        self._look()

    def _look(self) -> None:
        """Tell servers what they do not know yet, and finish instances whose servers know everything."""
        for instance in self._instances():
            for node in instance.nodes:
                if self._servers.phase(node.id) == "ready":
                    self._tell(instance, node)
            why = self._servers.missing_image(REDIS.repository)
            if instance.state == "CREATING" and why:
                self._tasks.spawn(self._give_up(instance.name, why))
            if instance.state in IN_CHANGE and self._is_as_wanted(instance):
                work = self._settle if instance.failover is None else self._hand_over
                self._tasks.spawn(self._alone(instance, work))

    def _tell(self, instance: RedisInstance, node: Node) -> None:
        known = self._told.get(node.id) == settings(instance, node)
        if not known and node.id not in self._telling and node.id not in self._refusals:
            self._telling.add(node.id)
            self._tasks.spawn(self._retell(instance, node))

    def _is_as_wanted(self, instance: RedisInstance) -> bool:
        """Return whether the network and every server have what the instance says."""
        built = self._loop.progress.applied_version >= self._store.world.version
        return (
            built
            and instance.name not in self._loop.progress.failing
            and all(
                self._servers.phase(node.id) == "ready"
                and self._told.get(node.id) == settings(instance, node)
                for node in instance.nodes
            )
        )

    async def _answers(self, server: Server) -> bool:
        """Wait until a server that was started answers, and tell it its settings."""
        deadline = asyncio.get_running_loop().time() + START_SECONDS
        while asyncio.get_running_loop().time() < deadline:
            found = self._find(server.id)
            if found is None:
                return False
            try:
                await asyncio.to_thread(self._configure, *found)
            except Refused as error:
                self._refuse(found[0], server.id, error)
                return False
            except DriverError:
                await asyncio.sleep(ASK_SECONDS)
            else:
                return True
        return False

    async def _came_up(self, server: Server) -> None:
        self._refusals.pop(server.id, None)
        found = self._find(server.id)
        if found is not None and not found[0].persistent:
            # What an orderly end has left was read; a server that dies from now on loses its data.
            path = self._runtime.data.path(server.id, DUMP)
            await asyncio.to_thread(path.unlink, missing_ok=True)
        self._look()

    async def _retell(self, instance: RedisInstance, node: Node) -> None:
        try:
            await asyncio.to_thread(self._configure, instance, node)
        except Refused as error:
            self._refuse(instance, node.id, error)
        except DriverError as error:  # it has ended just now: it is told everything when it is back
            log.debug("%s was not told: %s", node.id, error)
        finally:
            self._telling.discard(node.id)
        self._look()

    def _configure(self, instance: RedisInstance, node: Node) -> None:
        """Tell a server everything; it blocks. DriverError when it does not answer."""
        path = self._runtime.data.path(node.id, ADMIN_SOCKET)
        wanted = settings(instance, node)
        version = _version(administer(path, instance.secret, [("INFO", "server")])[0])
        if instance.tls:
            ensure_certificates(self._runtime.data, instance)
        administer(path, instance.secret, wanted)
        self._versions[node.id], self._told[node.id] = version, wanted

    def _refuse(self, instance: RedisInstance, server: str, error: Refused) -> None:
        now = self._runtime.clock.now()
        self._refusals[server] = Failure(
            "its server's settings", str(error), 1, now, frozenset({instance.name})
        )

    async def _alone(self, instance: RedisInstance, work: Callable[[RedisInstance], Awaitable[None]]) -> None:
        """Do ``work`` unless something is done to the instance already."""
        if instance.name in self._working:
            return
        self._working.add(instance.name)
        try:
            await work(instance)
        finally:
            self._working.discard(instance.name)
        self._look()

    async def _hand_over(self, instance: RedisInstance) -> None:
        """Let a replica be primary once it has all that the primary has; nothing is written meanwhile."""
        path = self._runtime.data.path(instance.primary.id, ADMIN_SOCKET)
        others = str(len(instance.nodes) - 1)
        hold = [("CLIENT", "PAUSE", HOLD_MILLISECONDS, "WRITE"), ("WAIT", others, HOLD_MILLISECONDS)]
        try:
            _, replicas = await asyncio.to_thread(administer, path, instance.secret, hold)
        except DriverError as error:
            log.warning("the primary of %s is not held: %s", instance.name, error)
            replicas = "0"
        name, now = instance.name, self._runtime.clock.now()
        if replicas != others and not instance.failover:
            await asyncio.to_thread(administer, path, instance.secret, [("CLIENT", "UNPAUSE")])
            await self._store.commit(lambda world: Decision(failover_given_up(world, name, now)))
            return
        await self._commit_moved(name, instance.primary.number)

    async def _give_up(self, name: ResourceName, why: str) -> None:
        """End the creation of an instance for which this machine has no server: nobody waits in vain."""
        now = self._runtime.clock.now()
        await self._store.commit(lambda world: Decision(creation_failed(world, name, why, now)))

    async def _commit_moved(self, name: ResourceName, primary: int) -> None:
        await self._store.commit(lambda world: Decision(moved_to_replica(world, name, primary)))

    async def _settle(self, instance: RedisInstance) -> None:
        await self._until_replicated(instance)
        await self._commit_settled(instance)

    async def _until_replicated(self, instance: RedisInstance) -> None:
        """Wait until the replicas have what the primary has, or the instance has changed."""
        for node in (each for each in instance.nodes if not each.primary):
            path = self._runtime.data.path(node.id, ADMIN_SOCKET)
            ask = ("INFO", "replication")
            while self._is_as_wanted(instance):
                try:
                    (answer,) = await asyncio.to_thread(administer, path, instance.secret, [ask])
                except DriverError:
                    return  # it has ended just now
                if "master_link_status:up" in answer:
                    break
                await asyncio.sleep(ASK_SECONDS)

    async def _commit_settled(self, instance: RedisInstance) -> None:
        if not self._is_as_wanted(instance):
            return
        shown = await asyncio.to_thread(shown_certificates, self._runtime.data, instance)
        now = self._runtime.clock.now()

        def decide(world: World) -> Decision:
            found = world.find(instance.name)
            as_seen = found is not None and read_instance(found) == instance
            return Decision(settled(world, instance.name, now, shown) if as_seen else ())

        await self._store.commit(decide)

    def _died(self, server: Server) -> None:
        """Let the replica take over when it was the primary that died."""
        found = self._find(server.id)
        if found is None:
            return
        instance, node = found
        others = [each for each in instance.nodes if each.id != node.id]
        if node.primary and others and all(self._servers.phase(each.id) == "ready" for each in others):
            self._tasks.spawn(self._fail_over(instance.name, node.number))

    async def _fail_over(self, name: ResourceName, lost: int) -> None:
        await self._commit_moved(name, lost)
        self._runtime.logbook.append(
            f"redis/{name.id}", "system", f"node-{lost} was lost; the replica is the primary now."
        )

    async def take_snapshots(self) -> None:
        """Have instances with persistence write the snapshots that are due."""
        for resource in tuple(self._store.world.all(INSTANCES)):
            due = _due(resource)
            if due is None or self._runtime.clock.now() < due:
                continue
            instance = read_instance(resource)
            save = (renamed(instance.secret, "BGSAVE"),)
            path = self._runtime.data.path(instance.primary.id, ADMIN_SOCKET)
            try:
                await asyncio.to_thread(administer, path, instance.secret, [save])
            except DriverError as error:
                log.warning("no snapshot of %s: %s", instance.name, error)
                continue
            now, name = self._runtime.clock.now(), instance.name
            await self._store.commit(lambda world, name=name, now=now: _noted(world, name, now))  # type: ignore[misc]


def _noted(world: World, name: ResourceName, now: datetime) -> Decision:
    return Decision(snapshot_taken(world, name, now))


def _due(resource: Resource) -> datetime | None:
    """Return when the next snapshot is due; None when none is."""
    config = resource.body["persistenceConfig"]
    text = config.get("rdbNextSnapshotTime")
    return datetime.fromisoformat(text) if text else None


def _version(answer: str) -> str:
    lines = (line.partition(":") for line in answer.splitlines())
    return next((value for key, _, value in lines if key == "redis_version"), "")


def _log_name(server: Server) -> str:
    """Name a server as ``fogbank logs`` does: ``redis/INSTANCE/NODE``."""
    return f"redis/{server.owner.id}/node-{server.id.rpartition('-')[2]}"
