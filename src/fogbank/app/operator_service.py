"""The operator's desk: answers everything that the command line asks of a running region."""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from importlib.metadata import version
from typing import Any

from fogbank.app.tracing import Tracer
from fogbank.clock import Clock
from fogbank.control.connectors import Connectors
from fogbank.control.instances import Instances
from fogbank.control.logbook import Logbook, resolve_log_name
from fogbank.control.loop import ControlLoop
from fogbank.dataplane.linux.images.store import ImageStore
from fogbank.dataplane.linux.memory import resident
from fogbank.errors import OperatorError
from fogbank.network.topology import NetnsName, NetworkNamespace
from fogbank.planning.words import action_json
from fogbank.resources.clock_offset import advanced_offset
from fogbank.resources.decisions import Decision
from fogbank.resources.names import ResourceName
from fogbank.resources.operations import rfc3339
from fogbank.resources.run import SERVICES
from fogbank.resources.sites import Site, find_site, new_site, no_such_site, remove_site, sites
from fogbank.resources.vpcaccess import CONNECTORS
from fogbank.resources.world import Put, World
from fogbank.servers.access_log import AccessLog
from fogbank.settings import Settings
from fogbank.store.store import Store

Json = dict[str, Any]
SETTLE_SECONDS = 5.0
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")


@dataclass(slots=True)
class OperatorService:
    """Implements :class:`fogbank.control.operator.Operator`."""

    settings: Settings
    variables: Callable[[], Mapping[str, str | None]]
    store: Store
    loop: ControlLoop
    instances: Instances
    connectors: Connectors
    region_clock: Clock
    tracer: Tracer
    access_log: AccessLog
    logbook: Logbook
    registry: ImageStore
    drops_in: Callable[[NetnsName], Mapping[str, int]]
    advance_conntrack_timeouts: Callable[[int], None]
    user_document: Callable[[str], Json]
    new_id: Callable[[], int]
    stop: Callable[[], None]
    started: float
    ready: bool = False

    def status(self) -> Json:
        """Return what is up, what is converging, and why."""
        world, progress = self.store.world, self.loop.progress
        return {
            "region": self.settings.name,
            "version": version("fogbank"),
            "port": self.settings.port,
            "project": self.settings.project,
            "ready": self.ready,
            "uptimeSeconds": round(time.monotonic() - self.started, 3),
            "memoryBytes": resident(),
            "resources": {name: len(members) for name, members in sorted(world.collections.items())},
            "namespaces": len(self.loop.observed.of_kind(NetworkNamespace)),
            "instances": [
                {
                    "id": state.instance.id,
                    "revision": state.revision.name.path,
                    "state": state.phase,
                    "inFlight": state.in_flight,
                }
                for state in self.instances.states.values()
            ],
            "connectors": self.connectors.status(),
            "operations": [
                {
                    "name": operation.name.path,
                    "type": operation.type,
                    "target": operation.target.path,
                    "status": operation.status,
                    "since": rfc3339(operation.inserted),
                }
                for operation in world.running.values()
            ],
            "converging": [
                {
                    "resource": owner.path if owner else None,
                    "what": failure.what,
                    "why": failure.why,
                    "attempts": failure.attempts,
                    "since": rfc3339(failure.since),
                }
                for owner, failure in (*self.loop.explain(), *self.instances.explain())
            ],
            "worldVersion": world.version,
            "appliedVersion": progress.applied_version,
        }

    def environment(self) -> Mapping[str, str | None]:
        """Return the variables that point clients at the region."""
        return self.variables()

    def sites(self) -> Iterable[Json]:
        """List the third parties."""
        return [_site_json(site) for site in sites(self.store.world)]

    async def add_site(self, request: Json) -> Json:
        """Add a partner and return when it answers."""
        host = str(request.get("host", ""))

        def decide(world: World) -> Decision:
            now, ports, allow = self.region_clock.now(), request.get("ports"), request.get("allow")
            put = new_site(world, host, ports=ports or (), allow=allow or (), now=now, new_id=self.new_id)
            return Decision((put,))

        await self._commit(decide)
        host = host.strip().lower().rstrip(".")
        return next(_site_json(site) for site in sites(self.store.world) if site.host == host)

    async def remove_site(self, host: str) -> Json:
        """Take a partner away and return when it is gone."""
        await self._commit(lambda world: Decision((remove_site(world, host),)))
        return {}

    async def site_access_log(self, host: str, *, follow: bool) -> AsyncIterator[Mapping[str, object]]:
        """Return what third parties saw; OperatorError when ``host`` is none and nothing of it is kept."""
        host = host.strip().lower().rstrip(".")
        there = not host or find_site(self.store.world, host)
        if not there and not await self.access_log.knows(host):
            raise no_such_site(host)
        return self.access_log.tail(host, follow=follow)

    def logs(self, resource: str, *, follow: bool) -> AsyncIterator[Mapping[str, object]]:
        """Return what instances wrote; OperatorError when nothing is known by that name."""
        world = self.store.world
        services = {f"run/{name.id}" for name in _names(world, SERVICES)}
        connectors = {f"connector/{name.id}" for name in _names(world, CONNECTORS)}
        return self.logbook.read(
            resolve_log_name(resource, self.logbook.names() | services | connectors), follow=follow
        )

    async def trace(self, request: Json) -> Json:
        """Predict a path, and probe it."""
        source, url = str(request["source"]), str(request["url"])
        return await self.tracer.trace(source, url, probe=bool(request.get("probe")))

    def credentials(self, request: Json) -> Json:
        """Make the credential file of a user."""
        email = str(request["user"])
        if not _EMAIL.fullmatch(email):
            raise OperatorError(f"{email!r} is no e-mail address. Write it as in me@example.com.")
        if email.endswith(".gserviceaccount.com"):
            raise OperatorError(
                f"{email} is a service account and signs in with a key. Make one: "
                f"gcloud iam service-accounts keys create key.json --iam-account={email}"
            )
        return self.user_document(email)

    async def drops(self) -> Iterable[Json]:
        """Count dropped packets, by namespace and reason."""
        namespaces = sorted(netns.name for netns in self.loop.observed.of_kind(NetworkNamespace))
        counted = await asyncio.to_thread(lambda: [(netns, self.drops_in(netns)) for netns in namespaces])
        return [
            {"netns": netns, "reason": reason, "packets": packets}
            for netns, reasons in counted
            for reason, packets in reasons.items()
        ]

    def clock(self) -> Json:
        """Return the region's time."""
        clock = self.region_clock
        return {"now": rfc3339(clock.now()), "advancedSeconds": clock.offset.total_seconds()}

    async def advance(self, request: Json) -> Json:
        """Skip time, for good: a restart of the region does not take it back."""
        by, clock = timedelta(seconds=float(request["advanceSeconds"])), self.region_clock
        if by < timedelta():
            raise OperatorError("The clock only goes forward.")
        await self.store.commit(
            lambda world: Decision((advanced_offset(world, by, clock.now(), self.new_id),))
        )
        clock.advance(by)
        await asyncio.to_thread(self.advance_conntrack_timeouts, int(by.total_seconds()))
        self.instances.reconcile()
        return self.clock()

    def plan(self) -> Json:
        """Show what would change now and the last passes of the control loop, oldest first."""
        return {
            "pending": [action_json(action) for action in self.loop.pending()],
            "passes": [
                {
                    "time": rfc3339(turn.at),
                    "worldVersion": turn.version,
                    "milliseconds": round(turn.seconds * 1000, 3),
                    "actions": [action_json(action) for action in turn.plan],
                    "failures": {"/".join(key): why for key, why in turn.failures.items()},
                }
                for turn in self.loop.progress.passes
            ],
        }

    def images(self) -> Iterable[Json]:
        """List the images in the region's store."""
        return [{"image": name, "digest": digest} for name, digest in sorted(self.registry.images().items())]

    def down(self) -> Json:
        """End the region."""
        asyncio.get_running_loop().call_later(0.01, self.stop)
        return {}

    async def _commit(self, decide: Callable[[World], Decision]) -> None:
        """Commit, and return when it is built; OperatorError says what is in the way."""
        committed = await self.store.commit(decide)
        deadline = self.region_clock.seconds() + SETTLE_SECONDS
        while self.loop.progress.applied_version < committed.world.version:
            if self.region_clock.seconds() > deadline:
                raise OperatorError("It is recorded but not built yet; see `fogbank status` for why.")
            await asyncio.sleep(0.002)
        names = {change.resource.name for change in committed.decision.changes if isinstance(change, Put)}
        for owner, failure in self.loop.explain():
            if owner in names:
                raise OperatorError(f"It is recorded but not built yet: {failure.what}: {failure.why}")


def _names(world: World, collection: str) -> list[ResourceName]:
    return [resource.name for resource in world.all(collection)]


def _site_json(site: Site) -> Json:
    return {
        "host": site.host,
        "address": str(site.address),
        "ports": list(site.all_ports),
        "allow": [str(network) for network in site.allow],
    }
