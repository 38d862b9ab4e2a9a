"""Keeps PostgreSQL servers as their instances say, and does the work that calls have left for them.

The surprising fact: what is to be done (databases, users, another configuration) is kept with the instance
until the server has done it, so that a region that ends meanwhile does it after its next start. Every piece
of work can be done twice.
"""

import asyncio
import logging
from collections.abc import Awaitable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from fogbank.control.background import BackgroundTasks
from fogbank.control.controller import Controller, Runtime
from fogbank.control.progress import Failure
from fogbank.control.server_containers import Server, ServerContainers
from fogbank.dataplane.driver import Drifted, Event, WorkloadExited, WorkloadWrote
from fogbank.errors import DriverError
from fogbank.resources.decisions import Decision
from fogbank.resources.names import ResourceName
from fogbank.resources.operations import rfc3339
from fogbank.resources.server_images import POSTGRES
from fogbank.resources.world import Change, Delete, Json, Resource, World, changed_members
from fogbank.services.sqladmin.controller.admin import Refused, administer
from fogbank.services.sqladmin.controller.certificates import ensure_certificate, shown_certificate
from fogbank.services.sqladmin.controller.configuration import (
    RULES,
    SOCKET,
    container,
    opening,
    rules,
    statements,
)
from fogbank.services.sqladmin.model import INSTANCES, SqlInstance, read_instance
from fogbank.services.sqladmin.operations import end
from fogbank.services.sqladmin.work import IN_CHANGE, finished, given_up

log = logging.getLogger(__name__)

START_SECONDS = 60.0
"""How long a server may take from its start to its first answer; the first one makes its cluster."""
ASK_SECONDS = 0.1
ATTEMPTS = 4
"""How often a server may end before the change that it does not start with has failed."""

_DATABASES = "SELECT datname FROM pg_database WHERE datallowconn AND datname <> 'template1'"
_USERS = "SELECT rolname FROM pg_roles"


class SqlController(Controller):
    """All servers of all instances."""

    name = "sqladmin"

    def __init__(self, runtime: Runtime) -> None:
        self._runtime, self._store, self._loop = runtime, runtime.store, runtime.loop
        self._servers = ServerContainers(
            "sqladmin", runtime, answers=self._answers, ready=self._came_up, refused=self._look
        )
        self._working: set[ResourceName] = set()
        self._versions: dict[str, str] = {}
        self._tasks = BackgroundTasks("work on a PostgreSQL server")
        self._store.watch_changes(self._world_changed)
        self._loop.after_pass(self._look)

    async def run(self) -> None:
        """Work until cancelled."""
        self.reconcile()
        await self._servers.run()

    def reconcile(self) -> None:
        """Look at all instances again."""
        instances = list(self._instances())
        self._servers.want(
            (Server(each.server, found, container(each)) for each, found in instances if each.wanted),
            (each.server for each, found in instances if not found.private.get("deleting")),
        )
        self._look()

    def status(self) -> Mapping[str, list[dict[str, Any]]]:
        """List the servers, with the version that really runs."""
        rows = [
            {
                "instance": each.name.path,
                "address": str(each.address),
                "state": self._servers.phase(each.server) or "stopped",
                "server": self._versions.get(each.server, ""),
            }
            for each, _ in self._instances()
        ]
        return {"sql": rows} if rows else {}

    def explain(self) -> Iterable[tuple[ResourceName, Failure]]:
        """List instances whose servers die or cannot be had."""
        return self._servers.explain()

    def handle(self, event: Event) -> bool:
        """Log what servers write, and start those again that end."""
        if isinstance(event, Drifted):
            return False
        server = self._servers.find(event.name)
        if server is None:
            return False
        match event:
            case WorkloadWrote(stream=stream, line=line):
                self._runtime.logbook.append(f"sql/{server.owner.id}", stream, line)
            case WorkloadExited():
                self._servers.exited(event)
                self._look()
        return True

    def log_names(self) -> Iterable[str]:
        """Name the logs of the servers."""
        return (f"sql/{each.name.id}" for each, _ in self._instances())

    def _instances(self) -> Iterator[tuple[SqlInstance, Resource]]:
        return ((read_instance(each), each) for each in self._store.world.all(INSTANCES))

    def _world_changed(self, changes: Iterable[Change]) -> None:
        if any(changed_members(changes, INSTANCES)):
            self.reconcile()

    def _look(self) -> None:
        """Do what can be done now: one piece of work of each instance at a time."""
        dying = {owner: each for owner, each in self._servers.explain() if each.attempts >= ATTEMPTS}
        for instance, found in self._instances():
            if instance.name in self._working:
                continue
            why = self._servers.missing_image(POSTGRES.repository)
            phase = self._servers.phase(instance.server)
            if found.private.get("deleting"):
                if phase is None:
                    self._begin(instance, self._delete(instance, str(found.private["deleting"])))
            elif instance.state == "PENDING_CREATE" and why:
                self._begin(instance, self._give_up(instance, why))
            elif instance.state in IN_CHANGE and instance.name in dying:
                why = f"PostgreSQL does not start with these settings: {dying[instance.name].why}"
                self._begin(instance, self._give_up(instance, why))
            elif instance.work and self._is_as_wanted(instance, phase):
                self._begin(instance, self._do(instance, instance.work[0]))

    def _is_as_wanted(self, instance: SqlInstance, phase: str | None) -> bool:
        """Return whether the network has the instance, and its server runs, or not, as it should."""
        if not instance.wanted:
            return phase is None
        built = self._loop.progress.applied_version >= self._store.world.version
        running = self._servers.find(instance.server)
        current = running is not None and running.container == container(instance)
        return built and instance.name not in self._loop.progress.failing and phase == "ready" and current

    def _begin(self, instance: SqlInstance, work: Awaitable[None]) -> None:
        self._working.add(instance.name)

        async def alone() -> None:
            try:
                await work
            finally:
                self._working.discard(instance.name)
            self._look()

        self._tasks.spawn(alone())

    async def _answers(self, server: Server) -> bool:
        """Wait until a server that was started answers."""
        deadline = asyncio.get_running_loop().time() + START_SECONDS
        while asyncio.get_running_loop().time() < deadline:
            found = self._store.world.find(server.owner)
            if found is None:
                return False
            try:
                await asyncio.to_thread(self._open, read_instance(found))
            except DriverError as error:
                log.debug("%s does not answer yet: %s", server.id, error)
                await asyncio.sleep(ASK_SECONDS)
            else:
                return True
        return False

    def _open(self, instance: SqlInstance) -> None:
        """Let clients in; it blocks. DriverError when the server does not answer."""
        path = self._socket(instance)
        version = administer(path, ["SHOW server_version"])[0][0]
        data = self._runtime.data
        ensure_certificate(data, instance)
        data.write(instance.server, RULES, rules(instance).encode())
        administer(path, opening())
        self._versions[instance.server] = str(version).split()[0]

    def _socket(self, instance: SqlInstance) -> Path:
        return self._runtime.data.path(instance.server, SOCKET)

    async def _came_up(self, _server: Server) -> None:
        self._look()

    async def _do(self, instance: SqlInstance, work: Json) -> None:
        """Do one piece of work and end its operation; what the server refuses is the operation's error."""
        error = ""
        try:
            shown = await asyncio.to_thread(self._told, instance, work) if instance.wanted else {}
        except Refused as refused:
            error, shown = str(refused), {}
        except DriverError as gone:  # it has ended just now: it is told when it is back
            log.debug("%s was not told: %s", instance.server, gone)
            await asyncio.sleep(ASK_SECONDS)
            return
        moment = rfc3339(self._runtime.clock.now())
        await self._store.commit(
            lambda world: Decision(finished(world, instance.name, work, shown, moment, error=error))
        )

    def _told(self, instance: SqlInstance, work: Json) -> Json:
        """Tell the server; it blocks. Return what the instance shows from now on."""
        path = self._socket(instance)
        databases, users = (
            frozenset(str(each[0]) for each in administer(path, [query])) for query in (_DATABASES, _USERS)
        )
        for database, statement in statements(work, databases, users):
            administer(path, [statement], database)
        data = self._runtime.data
        if work["do"] == "configure":
            data.write(instance.server, RULES, rules(instance).encode())
            administer(path, ["SELECT pg_reload_conf()"])
        version = self._versions.get(instance.server, "").replace(".", "_")
        return {
            "serverCaCert": shown_certificate(data, instance),
            "databaseInstalledVersion": f"POSTGRES_{version}",
        }

    async def _delete(self, instance: SqlInstance, operation: str) -> None:
        moment = rfc3339(self._runtime.clock.now())

        def decide(world: World) -> Decision:
            return Decision((Delete(instance.name), *end(world, operation, moment)))

        await self._store.commit(decide)

    async def _give_up(self, instance: SqlInstance, why: str) -> None:
        """End a change that comes to nothing: the machine has no server, or it does not start."""
        moment = rfc3339(self._runtime.clock.now())
        await self._store.commit(lambda world: Decision(given_up(world, instance.name, moment, why)))


def make_controller(runtime: Runtime) -> SqlController:
    """Make the controller of Cloud SQL."""
    return SqlController(runtime)
