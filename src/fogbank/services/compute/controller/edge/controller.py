"""Runs the proxy of Google's front ends, tells it what load balancers want, and checks backends.

The proxy is there while a forwarding rule leads to a target proxy. What it is told are files that it watches;
each is replaced as a whole, endpoints and certificates before what names them, so it never reads half of a
change and never starts again for one.
"""

import asyncio
import json
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from fogbank.control.background import BackgroundTasks
from fogbank.control.controller import Controller, Runtime
from fogbank.control.progress import Failure
from fogbank.control.server_containers import Server, ServerContainers
from fogbank.dataplane.driver import Drifted, Event, WorkloadExited, WorkloadWrote
from fogbank.errors import DriverError
from fogbank.lowering.edge import EDGE_ID
from fogbank.network.elements import DataFolder
from fogbank.resources.decisions import Decision
from fogbank.resources.fleet import Container
from fogbank.resources.instances import INSTANCES
from fogbank.resources.load_balancing import (
    BACKEND_SERVICES,
    CERTIFICATE_MAPS,
    CERTIFICATES,
    ENDPOINT_GROUPS,
    FORWARDING_RULES,
    FRONT_ENDS,
    HEALTH_CHECKS,
    MAP_ENTRIES,
    PROXY_KINDS,
    SSL_CERTIFICATES,
    URL_MAPS,
    Endpoint,
    HealthCheck,
    endpoints_of,
    group_of,
    leads_to_proxy,
)
from fogbank.resources.names import ResourceName
from fogbank.resources.run import SERVICES
from fogbank.resources.server_images import ENVOY
from fogbank.resources.world import Change, Delete, Put, Resource, World
from fogbank.services.compute.controller.edge.checking import HealthChecking
from fogbank.services.compute.controller.edge.clusters import FOLDER
from fogbank.services.compute.controller.edge.passthrough import passthrough_changes
from fogbank.services.compute.controller.edge.probes import probe
from fogbank.services.compute.controller.edge.request_log import request_entry
from fogbank.services.compute.controller.edge.snapshot import CLUSTERS, LISTENERS, check_of, snapshot

log = logging.getLogger(__name__)

DATA = "edge-files"
ADMIN_SOCKET = "admin.sock"
START_SECONDS = 30.0
ASK_SECONDS = 0.02
DRAIN_SECONDS = 30
_NAME = ResourceName(FRONT_ENDS, "front-ends")
_MEANT = frozenset(
    {
        BACKEND_SERVICES,
        CERTIFICATE_MAPS,
        CERTIFICATES,
        ENDPOINT_GROUPS,
        FORWARDING_RULES,
        HEALTH_CHECKS,
        MAP_ENTRIES,
        SSL_CERTIFICATES,
        URL_MAPS,
        "compute.sslPolicies",
        SERVICES,
        INSTANCES,
        *(f"compute.{kind}" for kind in PROXY_KINDS),
    }
)
"""The collections that say what the proxy does."""

_LOG = "edge/front-ends"


class EdgeController(Controller):
    """The proxy of all load balancers, and the health checks."""

    name = "edge"

    def __init__(self, runtime: Runtime) -> None:
        self._runtime, self._store = runtime, runtime.store
        self._health = runtime.backend_health
        self._servers = ServerContainers("edge", runtime, answers=self._answers, ready=self._came_up)
        self._checks = HealthChecking(self._health, self._probe, self._verdict)
        self._written: dict[str, bytes] = {}
        self._following = False
        self._tasks = BackgroundTasks("what the network has of load balancers")
        self._resource = Resource(_NAME, 0, datetime.fromtimestamp(0, UTC), {})
        self._store.watch_changes(self._world_changed)
        runtime.loop.after_pass(self._checks.hurry)

    async def run(self) -> None:
        """Work until cancelled."""
        self._update()
        try:
            await self._servers.run()
        finally:
            await self._checks.close()

    def reconcile(self) -> None:
        """Look at everything again."""
        self._update()
        self._checks.hurry()

    def status(self) -> Mapping[str, list[dict[str, Any]]]:
        """List the endpoints that are checked."""
        rows = [
            {
                "health check": check.name.id,
                "endpoint": f"{endpoint.address}:{endpoint.port}",
                "network": endpoint.network.id,
                "health": "HEALTHY" if self._health.is_healthy(check.name, endpoint) else "UNHEALTHY",
                "why": self._health.why.get((check.name, endpoint), ""),
            }
            for check, endpoint in self._pairs()
        ]
        return {"load balancing": rows} if rows else {}

    def explain(self) -> Iterable[tuple[ResourceName, Failure]]:
        """Say why the proxy does not run."""
        yield from self._servers.explain()

    def handle(self, event: Event) -> bool:
        """Log what the proxy writes, and start it again when it ends."""
        if isinstance(event, Drifted) or event.name != EDGE_ID:
            return False
        match event:
            case WorkloadWrote(stream=stream, line=line):
                entry = request_entry(self._store.world, line, self._runtime.clock.now())
                if entry is not None:
                    self._runtime.log_entries.append(*entry)
                elif not line.startswith("{"):
                    self._runtime.logbook.append(_LOG, stream, line)
            case WorkloadExited(status=status, requested=requested):
                if not requested:
                    self._runtime.logbook.append(_LOG, "system", f"The proxy exited with status {status}.")
                self._servers.exited(event)
        return True

    def log_names(self) -> Iterable[str]:
        """Name the proxy's log."""
        return (_LOG,) if self._written else ()

    def _world_changed(self, changes: Sequence[Change]) -> None:
        if any(_collection(each) in _MEANT for each in changes):
            self._update()

    def _update(self) -> None:
        """Follow the World: what is checked, whether the proxy runs, what it is told."""
        self._checks.want(self._pairs())
        self._follow_passthrough()
        wanted = any(map(leads_to_proxy, self._store.world.all(FORWARDING_RULES)))
        if wanted:
            if self._servers.find(EDGE_ID) is None:
                self._prepare()
            self._servers.want([Server(EDGE_ID, self._resource, _container())])
            self._tell()
        else:
            self._servers.want([])
            self._written = {}

    def _verdict(self) -> None:
        """Follow the health checks."""
        self._tell()
        self._follow_passthrough()

    def _follow_passthrough(self) -> None:
        if not self._following and self._passthrough_changes(self._store.world):
            self._following = True
            self._tasks.spawn(self._commit_passthrough())

    def _passthrough_changes(self, world: World) -> tuple[Change, ...]:
        return passthrough_changes(world, self._health, self._runtime.clock.now())

    async def _commit_passthrough(self) -> None:
        try:
            await self._store.commit(lambda world: Decision(self._passthrough_changes(world)))
        finally:
            self._following = False
        self._follow_passthrough()

    def _pairs(self) -> Iterator[tuple[HealthCheck, Endpoint]]:
        world = self._store.world
        seen = set[tuple[HealthCheck, Endpoint]]()
        for service in world.all(BACKEND_SERVICES):
            check = check_of(world, service)
            if check is None:
                continue
            read = HealthCheck.of(check)
            for backend in service.body["backends"]:
                group = world.find(group_of(backend["group"]))
                for endpoint in endpoints_of(group) if group else ():
                    if (read, endpoint) not in seen:
                        seen.add((read, endpoint))
                        yield read, endpoint

    async def _probe(self, check: HealthCheck, endpoint: Endpoint) -> str:
        return await probe(check, endpoint, self._runtime.driver.open_socket)

    def _prepare(self) -> None:
        """Have the files there before the proxy starts."""
        files = snapshot(self._store.world, self._health)
        self._runtime.data.prepare(DATA, files)
        self._written = files

    def _tell(self) -> None:
        """Replace the files that changed: first those that others name, and the listeners last."""
        if not self._written:
            return
        files = snapshot(self._store.world, self._health)
        changed = [name for name, content in files.items() if self._written.get(name) != content]
        try:
            for name in sorted(changed, key=_turn):
                self._runtime.data.write(DATA, name, files[name])
        except DriverError as error:
            log.warning("the proxy of load balancers is not told: %s", error)
            return
        self._written = files

    async def _answers(self, server: Server) -> bool:
        """Wait until the proxy says that it is ready."""
        del server
        path = self._runtime.data.path(DATA, ADMIN_SOCKET)
        deadline = asyncio.get_running_loop().time() + START_SECONDS
        while asyncio.get_running_loop().time() < deadline:
            try:
                reader, writer = await asyncio.open_unix_connection(str(path))
            except OSError:
                await asyncio.sleep(ASK_SECONDS)
                continue
            writer.write(b"GET /ready HTTP/1.1\r\nHost: edge\r\nConnection: close\r\n\r\n")
            answer = await reader.readline()
            writer.transport.abort()
            if b" 200 " in answer:
                return True
            await asyncio.sleep(ASK_SECONDS)
        return False

    async def _came_up(self, server: Server) -> None:
        del server
        self._tell()


def _collection(change: Change) -> str:
    match change:
        case Put(resource):
            return resource.name.collection
        case Delete(name):
            return name.collection
        case _:
            return ""


def _turn(name: str) -> int:
    return {CLUSTERS: 1, LISTENERS: 3}.get(name, 2 if name.startswith("rds-") else 0)


def _container() -> Container:
    command = (
        *("/usr/bin/envoy", "--config-yaml", json.dumps(_bootstrap()), "--concurrency", "2"),
        *("--disable-hot-restart", "--log-level", "warning", "--drain-time-s", str(DRAIN_SECONDS)),
    )
    return Container(image=ENVOY, ports=(443,), command=command, data=(DataFolder(DATA, FOLDER),))


def _bootstrap() -> dict[str, Any]:
    def source(name: str) -> dict[str, Any]:
        watched = {"path": f"{FOLDER}/{name}", "watched_directory": {"path": FOLDER}}
        return {"path_config_source": watched, "resource_api_version": "V3"}

    return {
        "node": {"id": "edge", "cluster": "edge"},
        "admin": {"address": {"pipe": {"path": f"{FOLDER}/{ADMIN_SOCKET}"}}},
        "dynamic_resources": {"lds_config": source(LISTENERS), "cds_config": source(CLUSTERS)},
    }
