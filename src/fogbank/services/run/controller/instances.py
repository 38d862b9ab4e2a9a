"""Instances: starts instances of revisions, probes them, has requests assigned to them, and retires them.

Which instances should run is decided here from the World and the load; the control loop builds them like
everything else. A revision becomes ready when its first instance passes the start-up probe, and fails when
that instance exits or never listens: Google's rule, with Google's words from `services.run`.
"""

import logging
import secrets
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from ipaddress import IPv4Address
from typing import Any

from fogbank.control.background import BackgroundTasks
from fogbank.control.controller import Runtime
from fogbank.control.fleet_share import FleetShare
from fogbank.control.periodic import every, in_slices
from fogbank.control.progress import Failure
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
from fogbank.resources.world import Change, Resource, changed_members
from fogbank.services.run.controller import egress_pool
from fogbank.services.run.controller.addresses import Addresses, Refusal
from fogbank.services.run.controller.container_probes import ContainerProbes, Verdicts
from fogbank.services.run.controller.instance_state import InstanceState
from fogbank.services.run.controller.log_entries import RunLog
from fogbank.services.run.controller.obstacles import Obstacles
from fogbank.services.run.controller.places import Places
from fogbank.services.run.controller.request_queue import RequestQueue
from fogbank.services.run.controller.revision_reports import RevisionReports
from fogbank.services.run.controller.roster import Roster
from fogbank.services.run.controller.scaling import Limits, Load, desired_instances, required_instances
from fogbank.services.run.controller.secret_values import SecretValues, about_secrets
from fogbank.services.run.controller.serving import ServingRevisions
from fogbank.services.run.controller.standby import Standby
from fogbank.services.run.instance_containers import startable
from fogbank.services.run.instances import instance_of, subnetworks_of
from fogbank.services.run.secrets import SecretsRefusedError, Values

log = logging.getLogger(__name__)

TICK_SECONDS = 1.0
FULL_PASS_TICKS = 60
"""So often everything is looked at again, not only what changed or has instances."""


class Instances:
    """All instances and their life; ``roster`` lists them."""

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
        self.roster = Roster()
        self.running, self.ending = self.roster.running, self.roster.ending
        self._share = FleetShare(name, self._loop)
        self._places = places or Places(FABRIC_INSTANCES.num_addresses - 1)
        self._obstacles = Obstacles(self._clock, len(self._places))
        self._standby = Standby(self._clock)
        self._serving = ServingRevisions()
        self._request_queue = RequestQueue(self._clock, self.roster.by_revision, self._scale_out)
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
                self._scale_all(service)
                yield
            self._addresses.look()
        self._addresses.retry()
        for revision in self.roster.revisions():
            if revision not in self._serving:
                self._retire_idle(revision)
                yield
        for revision in tuple(self._serving):
            self._scale(revision)
            self._redraw_pool(self.roster.of(revision))
            yield
        self._share.publish()

    def _world_changed(self, changes: Sequence[Change]) -> None:
        for service in self._serving.touched(changes):
            for revision in self._update(service):
                self._standby.keep(revision)
            self._scale_all(service)
        if about_secrets(changes):
            self._refresh_secrets()
        for connector in changed_members(changes, CONNECTORS):
            self._reports.connector_changed(connector)
        self._share.publish()

    def _update(self, service: ResourceName) -> AbstractSet[ResourceName]:
        """Look at one service again; return which revisions begin to serve."""
        shift = self._serving.update(self._store.world, service)
        for revision in shift.begun:
            self._reports.serving(revision)
        for revision in shift.ended:
            self._reports.retired(revision)
            self._obstacles.forget(revision)
            self._standby.drop(revision)
            self._retire_idle(revision)
        return shift.begun

    def _scale_all(self, service: ResourceName) -> None:
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
        self._standby.keep(instance.revision.name, since=instance.idle_since)
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
        self._obstacles.deaths.died(instance.revision.name, why)
        if starting:
            self._tasks.spawn(self._failed_to_start(instance, why, probed=False))

    def explain(self) -> list[tuple[ResourceName, Failure]]:
        """List the serving revisions whose instances die again and again, or lack a place or a network."""
        return self._obstacles.explain(self._store.world, self._serving)

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

    def _scale_out(self, name: ResourceName) -> None:
        """Start what a request needs that has to wait; it costs the same however many instances there are."""
        found = self._serving.find(name)
        if found is None or found[1].readiness is Readiness.UNKNOWN:
            return
        wanted = required_instances(self._in_flight(name), self._limits(found[1]))
        self._start(*found, wanted - len(self.roster.of(name)), scaled=True)
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
        instances = self.roster.of(name)
        load = Load(self._in_flight(name), instances.idle_seconds(self._clock.seconds()))
        wanted = desired_instances(load, self._limits(revision), serves=True)
        if revision.readiness is Readiness.UNKNOWN:
            wanted = 1
            if any(each.phase == "ready" for each in instances):  # the disk may have refused to say so
                self._tasks.spawn(self._reports.ready(revision))
        self._start(resource, revision, wanted - len(instances), scaled=bool(self._in_flight(name)))
        for instance in instances.idlest(len(instances) - wanted):
            self._retire(instance)

    def _limits(self, revision: Revision) -> Limits:
        own = Limits(revision.min_instances, revision.max_instances, revision.concurrency)
        portion = self._serving.portion(revision.name)
        return portion.within(own, standby=self._standby.minimum(revision.name))

    def _in_flight(self, name: ResourceName) -> int:
        return self.roster.of(name).in_flight + self._request_queue.waiting(name)

    def _start(self, resource: Resource, revision: Revision, count: int, *, scaled: bool) -> None:
        """Start ``count`` instances, or as many as may be."""
        if count <= 0 or (values := self._read_secrets(revision)) is None:
            return
        for _ in range(count):
            if not self._obstacles.may_start(revision.name):
                return
            place = self._places.take()
            if place is None:
                self._obstacles.crowded_out(revision.name)
                return
            self._obstacles.placed(revision.name)
            self.log.started(self._start_at(place, resource, revision, values), scaled=scaled)

    def _start_at(self, place: int, resource: Resource, revision: Revision, values: Values) -> InstanceState:
        self._started += 1
        now = self._clock.seconds()
        identifier = f"{revision.name.id}-{secrets.token_hex(4)}"
        spec = instance_of(identifier, resource, place, egress_pool.draw(), values)
        planned = spec.containers
        spec = replace(spec, containers=startable(revision, planned, set()))
        instance = InstanceState(
            spec, revision, place, self._started, now, idle_since=now, pool_drawn=now, planned=planned
        )
        self.roster.add(instance)
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
            if self._obstacles.deaths.may_start(revision.name):
                self._obstacles.deaths.died(revision.name, str(error))
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
            self._obstacles.addresses.died(revision.name, answer.message)
            self.log.not_started(instance, answer.message)
            self._tasks.spawn(self._reports.without_address(instance.id, revision, answer))
        else:
            instance.spec = answer
            self._obstacles.addresses.came_up(revision.name)
        if instance.id in self.running:
            self._share.put(instance.spec)
        else:
            self._gone(instance)
        self._share.publish()

    def _retire_idle(self, revision: ResourceName) -> None:
        for instance in tuple(self.roster.of(revision)):
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
        self.roster.remove(instance)
        self._probes.stop(instance)

    def _gone(self, instance: InstanceState) -> None:
        """Let go of what an instance had: its container is no more."""
        self._share.drop(instance.id)
        for subnetwork in subnetworks_of(instance.spec):
            self._addresses.ended(instance.id, subnetwork, successor=instance.died)
        self.roster.vacate(instance)
        self._places.give_back(instance.place)

    def _redraw_pool(self, instances: Iterable[InstanceState]) -> None:
        for instance in instances:
            if instance.id not in self._addresses and (spec := egress_pool.redrawn(instance, self._clock)):
                self._share.put(spec)

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
        self._obstacles.deaths.came_up(instance.revision.name)
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
        self.roster.by_revision[instance.revision.name].became_ready(instance)
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
            self.roster.by_revision[instance.revision.name].became_unready(instance)

    def _died(self, instance: InstanceState, why: str) -> None:
        """Replace an instance that fails its liveness probe (behaviour/cloud-run.md#deployment)."""
        log.warning("instance %s: %s", instance.id, why)
        instance.died = True
        self._standby.keep(instance.revision.name, since=instance.idle_since)
        self._retire(instance)
        self._obstacles.deaths.died(instance.revision.name, why)
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
