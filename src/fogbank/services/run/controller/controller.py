"""Cloud Run while the region runs: its instances, as the region's control plane sees them."""

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from fogbank.control.controller import Controller, Runtime, TraceSource
from fogbank.control.progress import Failure
from fogbank.dataplane.driver import Drifted, Event, WorkloadExited, WorkloadWrote
from fogbank.frontend.ingress.exchange import RequestRecord
from fogbank.lowering.netns_names import instance_netns
from fogbank.resources.fleet import Instance
from fogbank.resources.names import ResourceName
from fogbank.resources.run import SERVICES
from fogbank.resources.run_jobs import JOBS
from fogbank.services.run.controller.instance_state import InstanceState
from fogbank.services.run.controller.instances import Instances
from fogbank.services.run.controller.log_entries import memory_exceeded
from fogbank.services.run.controller.metrics import RunMetrics
from fogbank.services.run.controller.spans import RequestSpans
from fogbank.services.run.controller.task_log import TaskLog
from fogbank.services.run.controller.tasks import Attempt, Tasks
from fogbank.services.run.instances import Runs, network_of


class Occupant(Protocol):
    """Who has a place in the serverless fabric: an instance of a revision, or of a task."""

    @property
    def id(self) -> str:
        """Return the instance's id."""
        ...

    @property
    def spec(self) -> Instance:
        """Return what the fleet says of it."""
        ...

    @property
    def runs(self) -> Runs:
        """Return what it was started for."""
        ...


class RunController(Controller):
    """Keeps instances of revisions and of tasks running; the ingress asks ``instances``."""

    name = "run"

    def __init__(self, runtime: Runtime, instances: Instances, tasks: Tasks) -> None:
        self._store, self._logbook = runtime.store, runtime.logbook
        self.instances, self.tasks = instances, tasks
        self.log = instances.log
        self._metrics = RunMetrics(self.instances.running.values)
        self._traces = RequestSpans(runtime.spans, runtime.clock)
        runtime.time_series.sources.append(self._metrics.samples)
        self._task_log = TaskLog(runtime.log_entries, runtime.logbook, runtime.clock)

    def served(self, record: RequestRecord) -> None:
        """Log and count a request to a service."""
        self.log.request(record)
        self._metrics.request(record)
        self._traces.request(record)

    async def run(self) -> None:
        """Follow the load and the time until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.instances.run())
            group.create_task(self.tasks.run())

    def reconcile(self) -> None:
        """Look at all services and executions again."""
        self.instances.reconcile()
        self.tasks.reconcile()

    def at(self, place: int) -> Occupant | None:
        """Find who has a place in the fabric, also when it is about to end."""
        return self.instances.roster.at(place) or self.tasks.at(place)

    def status(self) -> Mapping[str, list[dict[str, Any]]]:
        """List the instances that should run, and the subnetworks that they have addresses in."""
        rows = [
            {
                "id": instance.id,
                "revision": instance.revision.name.path,
                "state": instance.phase,
                "inFlight": instance.in_flight,
            }
            for instance in self.instances.running.values()
        ]
        return {
            "instances": rows,
            "tasks": [_task_row(each) for each in self.tasks.attempts.values()],
            "subnetworks": self.instances.subnetworks(),
        }

    def explain(self) -> Iterable[tuple[ResourceName, Failure]]:
        """List revisions whose instances do not live, and executions whose tasks cannot start."""
        return [*self.instances.explain(), *self.tasks.explain()]

    def handle(self, event: Event) -> bool:
        """Log what a container writes and how it ends, and replace it."""
        if isinstance(event, Drifted):
            return False
        if (attempt := self.tasks.find(event.name)) is not None:
            self._handle_task(event, attempt)
            return True
        instance = self.instances.roster.find(event.name.partition(".")[0])
        if instance is None:
            return False
        match event:
            case WorkloadWrote(stream=stream, line=line):
                self._logbook.append(_log_name(instance), stream, line)
                self.log.wrote(instance, stream, line)
            case WorkloadExited(status=status, requested=requested, exceeded=exceeded):
                if not requested:
                    text = (
                        memory_exceeded(exceeded) if exceeded else f"Container exited with status {status}."
                    )
                    self._logbook.append(_log_name(instance), "system", text)
                    self.log.exited(instance, event)
                self.instances.exited(event)
        return True

    def _handle_task(self, event: WorkloadWrote | WorkloadExited, attempt: Attempt) -> None:
        match event:
            case WorkloadWrote(stream=stream, line=line):
                self._task_log.wrote(attempt, stream, line)
            case WorkloadExited():
                self._task_log.exited(attempt, event)
                self.tasks.exited(event)

    def log_names(self) -> Iterable[str]:
        """Name every service and every job."""
        world = self._store.world
        return [
            *(f"run/{resource.name.id}" for resource in world.all(SERVICES)),
            *(f"job/{resource.name.id}" for resource in world.all(JOBS)),
        ]

    def trace_sources(self) -> Iterable[TraceSource]:
        """List the instances that listen."""
        for instance in self.instances.running.values():
            if instance.phase == "ready":
                parts = (instance.revision.name.id, instance.id)
                yield self._trace_source(instance, instance.revision.service, parts)
        for attempt in self.tasks.attempts.values():
            yield self._trace_source(attempt, attempt.runs.job, (attempt.runs.name.id, attempt.id))

    def _trace_source(self, who: Occupant, resource: ResourceName, parts: tuple[str, ...]) -> TraceSource:
        network = network_of(self._store.world, who.spec)
        return TraceSource(who.id, instance_netns(who.id), resource, parts, network)


def _task_row(attempt: Attempt) -> dict[str, Any]:
    return {
        "id": attempt.id,
        "execution": attempt.runs.name.path,
        "index": attempt.task.index,
        "attempt": attempt.task.attempt,
        "state": "ending" if attempt.spec.ending else "running" if attempt.told else "starting",
    }


def _log_name(instance: InstanceState) -> str:
    """Name an instance as ``fogbank logs`` does: ``run/SERVICE/INSTANCE``."""
    return f"run/{instance.revision.service.id}/{instance.id}"
