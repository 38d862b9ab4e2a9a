"""Instances: starts instances of revisions, probes them, has requests assigned to them, and retires them.

Which instances should run is decided here from the World and the load; the control loop builds them like
everything else. A revision becomes ready when its first instance passes the start-up probe, and fails when
that instance exits or never listens: Google's rule, with Google's words from `services.run`.
"""

import logging
import secrets
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime
from functools import partial
from ipaddress import IPv4Address
from typing import Any

from fogbank.control.background import BackgroundTasks
from fogbank.control.controller import Runtime
from fogbank.control.fleet_share import FleetShare
from fogbank.control.periodic import every, in_slices
from fogbank.control.progress import Failure
from fogbank.control.restarts import Restarts
from fogbank.dataplane.driver import WorkloadExited
from fogbank.frontend.ingress.sessions import Session
from fogbank.frontend.ingress.upstreams import InstancePort
from fogbank.lowering.netns_names import FABRIC
from fogbank.network.addressing import FABRIC_INSTANCES, fabric_address
from fogbank.network.topology import NetnsName
from fogbank.resources.fleet import Instance
from fogbank.resources.names import ResourceName
from fogbank.resources.run import SERVICES, Readiness, Revision
from fogbank.resources.vpcaccess import CONNECTORS
from fogbank.resources.world import Change, Delete, Put, Resource
from fogbank.services.run.controller.addresses import Addresses, Refusal
from fogbank.services.run.controller.container_probes import ContainerProbes, Verdicts
from fogbank.services.run.controller.failures import without_network
from fogbank.services.run.controller.instance_state import InstanceState
from fogbank.services.run.controller.log_entries import RunLog
from fogbank.services.run.controller.places import Places
from fogbank.services.run.controller.request_queue import RequestQueue
from fogbank.services.run.controller.revision_instances import RevisionInstances
from fogbank.services.run.controller.revision_reports import RevisionReports
from fogbank.services.run.controller.scaling import Limits, Load, desired_instances, required_instances
from fogbank.services.run.controller.secret_values import SecretValues, about_secrets
from fogbank.services.run.controller.serving import ServingRevisions
from fogbank.services.run.instance_containers import startable
from fogbank.services.run.instances import instance_of, subnetworks_of, with_pool
from fogbank.services.run.secrets import SecretsRefusedError, Values

log = logging.getLogger(__name__)

TICK_SECONDS = 1.0
FULL_PASS_TICKS = 60
"""So often everything is looked at again, not only what changed or has instances."""
POOL_SECONDS = 300.0
"""How long an idle instance keeps its address of the default egress pool (behaviour/cloud-run.md#egress)."""
POOL_SIZE = 250


class Instances:
    """All instances and their life.

    ``running`` are those that should run, by id; ``ending`` were told to end and have not yet.
    """

    def __init__(
        self,
        name: str,
        runtime: Runtime,
        *,
        address_of: Callable[[int], IPv4Address] = fabric_address,
        fabric: NetnsName = FABRIC,
        places: Places | None = None,
        addresses: Addresses | None = None,
    ) -> None:
        self._runtime = runtime
        self._store, self._loop, self._clock = runtime.store, runtime.loop, runtime.clock
        self._address_of, self._fabric = address_of, fabric
        self.log = RunLog(runtime.log_entries, runtime.clock)
        self.running: dict[str, InstanceState] = {}
        self.ending: dict[str, InstanceState] = {}
        self._by_place: dict[int, InstanceState] = {}
        self._by_revision: dict[ResourceName, RevisionInstances] = {}
        self._share = FleetShare(name, self._loop)
        self._places = places or Places(FABRIC_INSTANCES.num_addresses - 1)
        self._restarts = Restarts(self._clock)
        self._serving = ServingRevisions()
        self._request_queue = RequestQueue(self._clock, self._by_revision, self._scale_out)
        self._crowded_out: dict[ResourceName, datetime] = {}
        """The revisions for whose next instance there is no place in the fabric, and since when."""
        self._started = 0
        self._ticks = 0
        self._tasks = BackgroundTasks("work on an instance")
        self._reports = RevisionReports(runtime, self._tasks)
        self._secrets = SecretValues(runtime)
        self._probes = ContainerProbes(
            self._tasks,
            netns=fabric,
            address_of=address_of,
            open_socket=runtime.driver.open_socket,
            log=self.log,
            verdicts=Verdicts(self._started_container, self._failed, self._died, self._readiness_changed),
        )
        self._addresses = addresses or Addresses(runtime, self._tasks)
        self._without_address = Restarts(self._clock)
        self._store.watch_changes(self._world_changed)
        self._loop.after_pass(self._note_built)

    async def run(self) -> None:
        """Look at the load once a second until cancelled."""
        await every(TICK_SECONDS, self._tick)

    def reconcile(self) -> None:
        """Bring the fleet to what the World and the load ask for: a full pass over all services."""
        for _ in self._steps(full=True):
            pass

    async def _tick(self) -> None:
        self._ticks += 1
        await in_slices(self._steps(full=self._ticks % FULL_PASS_TICKS == 1))

    def _steps(self, *, full: bool) -> Iterator[None]:
        """Scale what serves in and out and retire what does no longer, one revision a step.

        With ``full`` what serves is found out anew first, one service a step.
        """
        if full:
            services = {resource.name for resource in self._store.world.all(SERVICES)}
            for service in services | self._serving.services():
                self._update(service)
                yield
            self._addresses.look()
        self._addresses.retry()
        for revision in [name for name in self._by_revision if name not in self._serving]:
            self._retire_idle(revision)
            yield
        for revision in tuple(self._serving):
            self._scale(revision)
            self._redraw_pool(self._of(revision))
            yield
        self._share.publish()

    def _world_changed(self, changes: Sequence[Change]) -> None:
        for service in self._serving.touched(changes):
            self._update(service)
        if about_secrets(changes):
            self._refresh_secrets()
        for connector in _connectors_in(changes):
            self._reports.connector_changed(connector)
        self._share.publish()

    def _update(self, service: ResourceName) -> None:
        """Look at one service again."""
        shift = self._serving.update(self._store.world, service)
        for revision in shift.begun:
            self._reports.serving(revision)
        for revision in shift.ended:
            self._reports.retired(revision)
            self._restarts.came_up(revision)
            self._without_address.came_up(revision)
            self._crowded_out.pop(revision, None)
            self._retire_idle(revision)
        for revision in self._serving.of(service):
            self._scale(revision)

    def exited(self, event: WorkloadExited) -> None:
        """Take note that a container ended; called in the event loop."""
        identifier, _, container = event.name.partition(".")
        if identifier in self.ending:
            if self._share.ended(identifier, container):
                self._gone(self.ending.pop(identifier))
            self._share.publish()
            return
        instance = self.running.get(identifier)
        if instance is None or event.requested:  # told though it should run: it is being replaced
            return
        instance.died = True
        starting = instance.phase == "starting"
        if self._share.ended(identifier, container):
            self._remove(instance)
            self._gone(instance)
        else:  # without one of its containers the others end, too
            self._retire(instance)
        self._share.publish()
        named = f" '{container}'" if container else ""
        early = " before it listened" if starting else ""
        why = f"The container{named} exited with status {event.status}{early}."
        self._restarts.died(instance.revision.name, why)
        if starting:
            self._tasks.spawn(self._failed_to_start(instance, why, probed=False))

    def explain(self) -> list[tuple[ResourceName, Failure]]:
        """List the serving revisions whose instances die again and again, or lack a place or a network."""
        failures = [
            *self._restarts.failures("its containers"),
            *self._without_place(),
            *self._without_address.failures("an address in its subnetwork"),
            *without_network(self._store.world, self._serving.revisions(), self._clock.now()),
        ]
        return [(name, failure) for name, failure in failures if self._is_promised(name)]

    def _without_place(self) -> Iterator[tuple[ResourceName, Failure]]:
        why = f"All {len(self._places)} addresses of the serverless fabric are in use."
        for name, since in self._crowded_out.items():
            yield name, Failure("an instance", why, 1, since, frozenset({name}))

    def _is_promised(self, name: ResourceName) -> bool:
        found = self._serving.find(name)
        return found is not None and found[1].readiness is not Readiness.FAILED

    @asynccontextmanager
    async def lease(
        self, revision: ResourceName, session: Session | None = None
    ) -> AsyncIterator[InstancePort]:
        """Assign an instance of ``revision``: where to connect. NoCapacity when none frees in time.

        A ``session`` prefers its instance, and is told which one it got.
        """
        async with self._request_queue.lease(revision, session.instance if session else "") as instance:
            if session is not None:
                session.instance = instance.id
            yield InstancePort(
                self._fabric, self._address_of(instance.place), instance.revision.port, instance.id
            )

    def subnetworks(self) -> list[dict[str, Any]]:
        """List the subnetworks that instances have addresses in, as ``fogbank status`` shows them."""
        return self._addresses.status()

    def at(self, place: int) -> InstanceState | None:
        """Find who has a place in the fabric, also when it is about to end."""
        return self._by_place.get(place)

    def find(self, identifier: str) -> InstanceState | None:
        """Find an instance, also when it is about to end."""
        return self.running.get(identifier) or self.ending.get(identifier)

    def _scale_out(self, name: ResourceName) -> None:
        """Start what a request needs that has to wait; it costs the same however many instances there are."""
        found = self._serving.find(name)
        if found is None or found[1].readiness is Readiness.UNKNOWN:
            return
        wanted = required_instances(self._in_flight(name), self._limits(found[1]))
        self._start(*found, wanted - len(self._of(name)), scaled=True)
        self._share.publish()

    def _scale(self, name: ResourceName) -> None:
        """Give a serving revision as many instances as it should have."""
        found = self._serving.find(name)
        if found is None:
            return
        resource, revision = found
        if revision.unresolved:
            self._reports.resolve_images(revision)
            return
        instances, now = self._of(name), self._clock.seconds()
        idle = tuple(
            0.0 if each.in_flight or each.phase == "starting" else now - each.idle_since for each in instances
        )
        wanted = desired_instances(Load(self._in_flight(name), idle), self._limits(revision), serves=True)
        if revision.readiness is Readiness.UNKNOWN:
            wanted = 1
            if any(each.phase == "ready" for each in instances):  # the disk may have refused to say so
                self._tasks.spawn(self._reports.ready(revision))
        self._start(resource, revision, wanted - len(instances), scaled=bool(self._in_flight(name)))
        self._retire_surplus(instances, len(instances) - wanted)

    def _limits(self, revision: Revision) -> Limits:
        portion = self._serving.portion(revision.name)
        minimum = max(revision.min_instances, portion.minimum)
        return Limits(minimum, revision.max_instances, revision.concurrency, portion.manual)

    def _of(self, name: ResourceName) -> RevisionInstances:
        return self._by_revision.get(name) or RevisionInstances()

    def _in_flight(self, name: ResourceName) -> int:
        return self._of(name).in_flight + self._request_queue.waiting(name)

    def _start(self, resource: Resource, revision: Revision, count: int, *, scaled: bool) -> None:
        """Start ``count`` instances, or as many as may be."""
        if count <= 0 or (values := self._read_secrets(revision)) is None:
            return
        for _ in range(count):
            if not all(each.may_start(revision.name) for each in (self._restarts, self._without_address)):
                return
            place = self._places.take()
            if place is None:
                self._crowded_out.setdefault(revision.name, self._clock.now())
                return
            self._crowded_out.pop(revision.name, None)
            self.log.started(self._start_at(place, resource, revision, values), scaled=scaled)

    def _start_at(self, place: int, resource: Resource, revision: Revision, values: Values) -> InstanceState:
        self._started += 1
        now = self._clock.seconds()
        identifier = f"{revision.name.id}-{secrets.token_hex(4)}"
        spec = instance_of(identifier, resource, place, secrets.randbelow(POOL_SIZE), values)
        planned = spec.containers
        spec = replace(spec, containers=startable(revision, planned, set()))
        instance = InstanceState(
            spec, revision, place, self._started, now, idle_since=now, pool_drawn=now, planned=planned
        )
        self.running[identifier] = self._by_place[place] = instance
        self._by_revision.setdefault(revision.name, RevisionInstances()).add(instance)
        if revision.direct_vpc is None:
            self._share.put(spec)
        else:
            self._addresses.ask(spec, revision.direct_vpc.subnetwork, partial(self._addressed, instance))
        return instance

    def _read_secrets(self, revision: Revision) -> Values | None:
        """Read what instances of ``revision`` need; None when they may not have it, which is then shown."""
        try:
            return self._secrets.read(revision)
        except SecretsRefusedError as error:
            if self._restarts.may_start(revision.name):
                self._restarts.died(revision.name, str(error))
            if revision.readiness is Readiness.UNKNOWN:
                self._tasks.spawn(self._reports.secrets_refused(revision, str(error)))
            return None

    def _refresh_secrets(self) -> None:
        """Have instances see the latest versions in their files."""
        for instance in self.running.values():
            fresh = self._secrets.refreshed(instance.spec)
            if fresh is not None:
                instance.spec = fresh
                self._share.put(fresh)

    def _addressed(self, instance: InstanceState, answer: Instance | Refusal) -> None:
        """Build an instance with Direct VPC egress, now that it has its address; or give it up."""
        revision = instance.revision
        if isinstance(answer, Refusal):
            if instance.id in self.running:
                self._remove(instance)
            self._without_address.died(revision.name, answer.message)
            self.log.not_started(instance, answer.message)
            self._tasks.spawn(self._reports.without_address(instance.id, revision, answer))
        else:
            instance.spec = answer
            self._without_address.came_up(revision.name)
        if instance.id in self.running:
            self._share.put(instance.spec)
        else:
            self._gone(instance)
        self._share.publish()

    def _retire_idle(self, revision: ResourceName) -> None:
        for instance in tuple(self._of(revision)):
            if not instance.in_flight:
                self._retire(instance)

    def _retire_surplus(self, instances: Iterable[InstanceState], surplus: int) -> None:
        """Retire the ones that have been idle for the longest time; none that serves a request."""
        if surplus <= 0:
            return
        by_use = sorted(instances, key=lambda each: (each.in_flight, each.idle_since))
        for instance in by_use[:surplus]:
            if not instance.in_flight:
                self._retire(instance)

    def _retire(self, instance: InstanceState) -> None:
        """Have an instance end; its network stays until its container is gone, which has things to finish."""
        self._remove(instance)
        if instance.id in self._addresses:  # never built: it goes when the answer comes
            return
        instance.spec = self._share.end(instance.id)
        self.ending[instance.id] = instance

    def _remove(self, instance: InstanceState) -> None:
        """Have no more requests assigned to an instance."""
        del self.running[instance.id]
        siblings = self._by_revision[instance.revision.name]
        siblings.remove(instance)
        if not siblings:
            del self._by_revision[instance.revision.name]
        self._probes.stop(instance)

    def _gone(self, instance: InstanceState) -> None:
        """Let go of what an instance had: its container is no more."""
        self._share.drop(instance.id)
        for subnetwork in subnetworks_of(instance.spec):
            self._addresses.ended(instance.id, subnetwork, successor=instance.died)
        del self._by_place[instance.place]
        self._places.give_back(instance.place)

    def _redraw_pool(self, instances: Iterable[InstanceState]) -> None:
        now = self._clock.seconds()
        for instance in instances:
            busy = instance.in_flight or instance.id in self._addresses
            if now - instance.pool_drawn > POOL_SECONDS and not busy:
                instance.pool_drawn = now
                instance.spec = with_pool(instance.spec, secrets.randbelow(POOL_SIZE))
                self._share.put(instance.spec)

    def _note_built(self) -> None:
        """Probe the containers that a pass has started, and let go of those that will never be."""
        started, never = self._share.take_started()
        for identifier, container in started:
            instance = self.running.get(identifier)
            if instance is not None:
                self._probes.begin(instance, container)
        for identifier in never:
            self._gone(self.ending.pop(identifier))
        self._share.publish()

    def _started_container(self, instance: InstanceState, container: str) -> None:
        """Start what waited for a container; with the last of them an instance can serve."""
        instance.up.add(container)
        if len(instance.up) < len(instance.planned):
            able = startable(instance.revision, instance.planned, instance.up)
            instance.spec = replace(instance.spec, containers=able)
            self._share.put(instance.spec)
            self._share.publish()
            return
        self._restarts.came_up(instance.revision.name)
        self._probes.watch(instance)
        if instance.unready:
            instance.phase = "unready"
        else:
            self._serve(instance)
        self._tasks.spawn(self._reports.ready(instance.revision))

    def _serve(self, instance: InstanceState) -> None:
        """Let requests have an instance."""
        first = instance.phase == "starting" or not instance.served
        instance.idle_since, instance.served = self._clock.seconds(), True
        self._by_revision[instance.revision.name].became_ready(instance)
        if first:
            self._request_queue.started(instance)
        else:
            self._request_queue.assign(instance.revision.name)

    def _readiness_changed(self, instance: InstanceState, ready: bool) -> None:
        """Take an instance out of serving, or back."""
        if ready and instance.phase == "unready":
            self._serve(instance)
        elif not ready and instance.phase == "ready":
            log.warning("instance %s fails its readiness probe", instance.id)
            self._by_revision[instance.revision.name].became_unready(instance)

    def _died(self, instance: InstanceState, why: str) -> None:
        """Replace an instance that fails its liveness probe (behaviour/cloud-run.md#deployment)."""
        log.warning("instance %s: %s", instance.id, why)
        instance.died = True
        self._retire(instance)
        self._restarts.died(instance.revision.name, why)
        self._share.publish()

    def _failed(self, instance: InstanceState, why: str) -> None:
        """Give up an instance that did not start."""
        instance.died = True
        self._retire(instance)
        self._share.publish()
        self._tasks.spawn(self._failed_to_start(instance, why, probed=True))

    async def _failed_to_start(self, instance: InstanceState, why: str, *, probed: bool) -> None:
        log.warning("instance %s failed to start: %s", instance.id, why)
        await self._reports.failed_to_start(instance.revision, probed=probed)


def _connectors_in(changes: Iterable[Change]) -> Iterator[ResourceName]:
    for change in changes:
        match change:
            case Put(resource) if resource.name.collection == CONNECTORS:
                yield resource.name
            case Delete(name) if name.collection == CONNECTORS:
                yield name
            case _:
                continue
