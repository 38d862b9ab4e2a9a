"""Keeps a control plane for each cluster, and says in the cluster's status what it really does.

A cluster is RUNNING when its API server has said that it is ready; its operation ends then. One whose program
is not on this machine, or does not come up, is in ERROR, and its operation says why.
"""

import asyncio
import base64
import logging
import ssl
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from fogbank.control.background import BackgroundTasks
from fogbank.control.controller import Controller, Runtime
from fogbank.control.progress import Failure
from fogbank.control.server_containers import Server, ServerContainers
from fogbank.dataplane.driver import Drifted, Event, WorkloadExited, WorkloadWrote
from fogbank.errors import DriverError
from fogbank.resources.clusters import CLUSTERS, Cluster
from fogbank.resources.decisions import Decision
from fogbank.resources.names import ResourceName
from fogbank.resources.operations import rfc3339
from fogbank.resources.server_images import KUBERNETES, KUBERNETES_VERSION
from fogbank.resources.world import Change, Delete, Put, Resource, World, changed_members
from fogbank.services.container.controller.certificates import authority_of, ensure_files
from fogbank.services.container.controller.configuration import container
from fogbank.services.container.controller.readiness import is_ready
from fogbank.services.container.operations import end

log = logging.getLogger(__name__)

START_SECONDS = 120.0
"""How long a control plane may take until it is ready; on a machine with nothing else to do it takes 4."""
ASK_SECONDS = 0.1
ATTEMPTS = 3
"""How often one may end before its cluster is in ERROR."""


class ClusterController(Controller):
    """The control planes of all clusters."""

    name = "container"

    def __init__(self, runtime: Runtime) -> None:
        self._runtime, self._store = runtime, runtime.store
        self._servers = ServerContainers(
            "container", runtime, answers=self._answers, ready=self._came_up, refused=self._look
        )
        self._prepared = set[str]()
        self._working = set[ResourceName]()
        self._tasks = BackgroundTasks("work on a cluster")
        self._store.watch_changes(self._world_changed)
        runtime.loop.after_pass(self._look)

    async def run(self) -> None:
        """Work until cancelled."""
        self.reconcile()
        await self._servers.run()

    def reconcile(self) -> None:
        """Look at all clusters again."""
        clusters = list(self._clusters())
        living = [(each, found) for each, found in clusters if not each.deleting]
        self._servers.want(
            (
                Server(each.server, found, container(each))
                for each, found in living
                if each.server in self._prepared
            ),
            (each.server for each, _ in living),
        )
        self._prepared &= {each.server for each, _ in clusters}
        for each, _ in living:
            if each.server not in self._prepared:
                self._begin(each, self._prepare(each))
        self._look()

    def status(self) -> Mapping[str, list[dict[str, Any]]]:
        """List the control planes."""
        rows = [
            {
                "cluster": each.name.path,
                "endpoint": str(each.endpoint),
                "control plane": self._servers.phase(each.server) or "stopped",
                "kubernetes": KUBERNETES_VERSION,
            }
            for each, _ in self._clusters()
        ]
        return {"clusters": rows} if rows else {}

    def explain(self) -> Iterable[tuple[ResourceName, Failure]]:
        """List clusters whose control planes die or cannot be had."""
        return self._servers.explain()

    def handle(self, event: Event) -> bool:
        """Log what control planes write, and start those again that end."""
        if isinstance(event, Drifted):
            return False
        server = self._servers.find(event.name)
        if server is None:
            return False
        match event:
            case WorkloadWrote(stream=stream, line=line):
                self._runtime.logbook.append(_log_name(server.owner), stream, line)
            case WorkloadExited():
                self._servers.exited(event)
                self._look()
        return True

    def log_names(self) -> Iterable[str]:
        """Name the logs of the control planes."""
        return (_log_name(each.name) for each, _ in self._clusters())

    def _clusters(self) -> Iterator[tuple[Cluster, Resource]]:
        return ((Cluster.of(each), each) for each in self._store.world.all(CLUSTERS))

    def _world_changed(self, changes: Sequence[Change]) -> None:
        if any(changed_members(changes, CLUSTERS)):
            self.reconcile()

    def _look(self) -> None:
        """Do what can be done now."""
        dying = {owner: each for owner, each in self._servers.explain() if each.attempts >= ATTEMPTS}
        missing = self._servers.missing_image(KUBERNETES)
        for cluster, _ in self._clusters():
            if cluster.name in self._working:
                continue
            phase = self._servers.phase(cluster.server)
            if cluster.deleting:
                if phase is None:
                    self._begin(cluster, self._delete(cluster))
            elif phase == "ready":
                if cluster.status != "RUNNING":
                    self._begin(cluster, self._show_running(cluster))
            elif cluster.operation and missing:
                self._begin(cluster, self._give_up(cluster, missing))
            elif cluster.operation and cluster.name in dying:
                why = f"The control plane does not start: {dying[cluster.name].why}"
                self._begin(cluster, self._give_up(cluster, why))

    def _begin(self, cluster: Cluster, work: Awaitable[None]) -> None:
        if cluster.name in self._working:
            asyncio.ensure_future(work).cancel()
            return
        self._working.add(cluster.name)

        async def alone() -> None:
            try:
                await work
            finally:
                self._working.discard(cluster.name)
            self._look()

        self._tasks.spawn(alone())

    async def _prepare(self, cluster: Cluster) -> None:
        """Make a cluster's certificates and have its control plane start."""
        try:
            await asyncio.to_thread(ensure_files, self._runtime.data, cluster)
        except DriverError as error:
            await self._give_up(cluster, str(error))
            return
        self._prepared.add(cluster.server)
        self.reconcile()

    async def _answers(self, server: Server) -> bool:
        """Wait until a control plane says that it is ready."""
        deadline = asyncio.get_running_loop().time() + START_SECONDS
        while asyncio.get_running_loop().time() < deadline:
            found = self._store.world.find(server.owner)
            if found is None:
                return False
            try:
                if await is_ready(
                    self._runtime.driver.open_socket, Cluster.of(found).server, self._trust(found)
                ):
                    return True
            except (OSError, TimeoutError) as error:
                log.debug("%s does not answer yet: %s", server.id, error)
            await asyncio.sleep(ASK_SECONDS)
        return False

    def _trust(self, found: Resource) -> ssl.SSLContext:
        return ssl.create_default_context(cadata=authority_of(self._runtime.data, Cluster.of(found)).decode())

    async def _came_up(self, server: Server) -> None:
        del server
        self._look()

    async def _show_running(self, cluster: Cluster) -> None:
        authority = await asyncio.to_thread(authority_of, self._runtime.data, cluster)
        shown = {
            "status": "RUNNING",
            "statusMessage": None,
            "endpoint": str(cluster.endpoint),
            "masterAuth": {"clusterCaCertificate": base64.b64encode(authority).decode()},
        }
        await self._settle(cluster, lambda found: found.with_body(**shown))

    async def _give_up(self, cluster: Cluster, why: str) -> None:
        """End a creation that comes to nothing: whoever waits is told why."""
        await self._settle(cluster, lambda found: found.with_body(status="ERROR", statusMessage=why), why)

    async def _settle(
        self, cluster: Cluster, change: Callable[[Resource], Resource], error: str = ""
    ) -> None:
        """Commit a cluster's new state and end what waits for it."""
        moment = rfc3339(self._runtime.clock.now())

        def decide(world: World) -> Decision:
            found = world.find(cluster.name)
            if found is None or found.id != _number(cluster):
                return Decision(())
            settled = replace(change(found), private={**found.private, "operation": ""})
            return Decision((Put(settled), *end(world, cluster.operation, moment, error)))

        await self._store.commit(decide)

    async def _delete(self, cluster: Cluster) -> None:
        moment = rfc3339(self._runtime.clock.now())

        def decide(world: World) -> Decision:
            found = world.find(cluster.name)
            gone = (Delete(cluster.name),) if found is not None and found.id == _number(cluster) else ()
            return Decision((*gone, *end(world, cluster.deleting, moment)))

        await self._store.commit(decide)


def _number(cluster: Cluster) -> int:
    return int(cluster.server.rpartition("-")[2], 16)


def _log_name(name: ResourceName) -> str:
    return f"gke/{name.id}"


def make_controller(runtime: Runtime) -> ClusterController:
    """Make the controller of Kubernetes Engine."""
    return ClusterController(runtime)
