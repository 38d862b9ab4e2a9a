"""Tasks of jobs: starts their containers, ends them in time, and tells what became of them.

The World says which executions there are; a container's exit is reported there, and what follows (a retry,
the next task, the end of the execution) is decided from it. So a region that starts again goes on from what
was noted last.
"""

import asyncio
import logging
import secrets
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from ipaddress import IPv4Address

from fogbank.control.background import BackgroundTasks
from fogbank.control.controller import Runtime
from fogbank.control.fleet_share import FleetShare
from fogbank.control.periodic import every
from fogbank.control.probing import passes
from fogbank.control.progress import Failure
from fogbank.dataplane.driver import WorkloadExited
from fogbank.lowering.netns_names import FABRIC
from fogbank.network.addressing import fabric_address
from fogbank.network.topology import NetnsName
from fogbank.resources.fleet import Instance
from fogbank.resources.names import ResourceName
from fogbank.resources.run_jobs import (
    EXECUTIONS,
    Execution,
    TaskState,
    read_execution,
    read_task,
    tasks_of,
    unfinished_executions,
)
from fogbank.resources.world import Change, changed_members
from fogbank.services.run.controller.addresses import Addresses, Refusal
from fogbank.services.run.controller.execution_reports import ExecutionReports
from fogbank.services.run.controller.execution_run import ExecutionRun
from fogbank.services.run.controller.places import Places
from fogbank.services.run.controller.secret_values import SecretValues
from fogbank.services.run.instances import TaskPlace, subnetworks_of, task_instance
from fogbank.services.run.jobs.task_steps import EXITED, TIMED_OUT, Ended, Started
from fogbank.services.run.secrets import SecretsRefusedError

log = logging.getLogger(__name__)

TICK_SECONDS = 1.0
POOL_SIZE = 250

_NOT_LISTENING = "The container failed its startup probe."


@dataclass(slots=True, eq=False)
class Attempt:
    """A container that runs ``task`` of ``runs``, at ``place`` of the fabric.

    ``deadline`` is on the clock's ``seconds``, None until the container was started. ``why`` tells of one
    that was told to end for what it did (it took too long); ``cancelled`` that nobody wants it any more.
    """

    spec: Instance
    runs: Execution
    task: TaskPlace
    place: int
    deadline: float | None = None
    why: str = EXITED
    cancelled: bool = False
    probe: asyncio.Task[None] | None = None
    told: bool = False
    """Whether its start was reported."""

    @property
    def id(self) -> str:
        return self.spec.id


class Tasks:
    """All attempts of tasks, by the ids of their instances, also those that are about to end."""

    def __init__(
        self,
        name: str,
        runtime: Runtime,
        places: Places,
        addresses: Addresses,
        *,
        address_of: Callable[[int], IPv4Address] = fabric_address,
        fabric: NetnsName = FABRIC,
    ) -> None:
        self._runtime, self._places, self._addresses = runtime, places, addresses
        self._store, self._clock = runtime.store, runtime.clock
        self._address_of, self._fabric = address_of, fabric
        self.attempts: dict[str, Attempt] = {}
        self._by_place: dict[int, Attempt] = {}
        self._runs: dict[ResourceName, ExecutionRun] = {}
        self._crowded_out: dict[ResourceName, datetime] = {}
        """The executions for whose next task there is no place in the fabric, and since when."""
        self._share = FleetShare(name, runtime.loop)
        self._secrets = SecretValues(runtime)
        self._tasks = BackgroundTasks("work on a task")
        self._reports = ExecutionReports(runtime, self._tasks, self._noted)
        self._store.watch_changes(self._world_changed)
        runtime.loop.after_pass(self._note_built)

    async def run(self) -> None:
        """Watch the time that attempts take until cancelled."""
        self.reconcile()
        await every(TICK_SECONDS, self._tick)

    def reconcile(self) -> None:
        """Look at all executions that are not over again, and at the clock."""
        self._reports.check_jobs()
        for found in tuple(unfinished_executions(self._store.world)):
            self._look(found.name)
        self._tick()

    def _tick(self) -> None:
        now = self._clock.seconds()
        for attempt in tuple(self.attempts.values()):
            if attempt.deadline is not None and attempt.deadline <= now and not attempt.spec.ending:
                attempt.why = TIMED_OUT
                self._end(attempt)
        for execution in tuple(self._crowded_out):
            self._look(execution)
        self._share.publish()

    def at(self, place: int) -> Attempt | None:
        """Find who has a place in the fabric."""
        return self._by_place.get(place)

    def find(self, identifier: str) -> Attempt | None:
        """Find an attempt."""
        return self.attempts.get(identifier)

    def explain(self) -> Iterator[tuple[ResourceName, Failure]]:
        """List the executions whose tasks lack a place."""
        why = f"All {len(self._places)} addresses of the serverless fabric are in use."
        for name, since in self._crowded_out.items():
            yield name, Failure("a task", why, 1, since, frozenset({name}))

    def exited(self, event: WorkloadExited) -> None:
        """Take note that a container ended; called in the event loop."""
        attempt = self.attempts.get(event.name)
        if attempt is None or (event.requested and not attempt.spec.ending):  # it is being replaced
            return
        failed = event.status if attempt.why == EXITED else 0
        self._over(attempt, code=failed if failed >= 0 else None, signal=-failed if failed < 0 else None)
        self._share.publish()

    def _world_changed(self, changes: Sequence[Change]) -> None:
        self._reports.world_changed(changes)
        for name in dict.fromkeys(changed_members(changes, EXECUTIONS)):
            self._look(name)
        self._share.publish()

    def _look(self, name: ResourceName) -> None:
        """Bring the tasks of one execution to what the World says of it."""
        found = self._store.world.find(name)
        view = read_execution(found) if found else None
        if found is None or view is None or view.over:
            self._let_go(name)
            return
        run = self._runs.get(name)
        if run is None:
            stored = map(read_task, tasks_of(self._store.world, name))
            run = self._runs[name] = ExecutionRun(view, stored)
        run.view = view
        if view.cancelled:
            self._end_all(name)
            if not run.at_work:
                self._reports.stopped(name)
        elif view.digest is None:
            self._reports.import_image(view)
        else:
            self._start(run)

    def _let_go(self, name: ResourceName) -> None:
        """End what runs of an execution that is over or gone."""
        self._runs.pop(name, None)
        self._crowded_out.pop(name, None)
        self._end_all(name)

    def _end_all(self, execution: ResourceName) -> None:
        for attempt in tuple(self.attempts.values()):
            if attempt.runs.name == execution and not attempt.cancelled:
                attempt.cancelled = True
                if not attempt.spec.ending:
                    self._end(attempt)

    def _end(self, attempt: Attempt) -> None:
        """Have a container end: SIGTERM, and SIGKILL ten seconds later."""
        if attempt.probe is not None:
            attempt.probe.cancel()
        if attempt.id not in self._addresses:  # else it was never built, and goes when the answer comes
            attempt.spec = self._share.end(attempt.id)

    def _start(self, run: ExecutionRun) -> None:
        """Start as many tasks as may run and have a place."""
        name = run.view.name
        while (place := self._places.take()) is not None:
            task = run.next()
            if task is None:
                self._places.give_back(place)
                break
            self._start_at(place, run.view, task)
        else:
            self._crowded_out.setdefault(name, self._clock.now())
            return
        self._crowded_out.pop(name, None)

    def _start_at(self, place: int, view: Execution, task: TaskPlace) -> None:
        try:
            values = self._secrets.read(view)
        except SecretsRefusedError as error:
            self._refuse(place, view, task, str(error))
            return
        identifier = f"{view.task(task.index).id}-{secrets.token_hex(4)}"
        definition = self._store.world.get(view.name)
        pool = secrets.randbelow(POOL_SIZE)
        spec = task_instance(identifier, definition, task, place, pool, secrets=values)
        attempt = Attempt(spec, view, task, place)
        self.attempts[identifier] = self._by_place[place] = attempt
        if view.direct_vpc is None:
            self._share.put(spec)
        else:
            self._addresses.ask(spec, view.direct_vpc.subnetwork, partial(self._addressed, attempt))

    def _refuse(self, place: int, view: Execution, task: TaskPlace, why: str) -> None:
        """Let an attempt fail that may not have its secrets; it never had a container."""
        self._places.give_back(place)
        self._reports.report(view.name, Started(task.index, secrets.randbits(62) | 1 << 61))
        self._reports.report(view.name, Ended(task.index, why=why))

    def _addressed(self, attempt: Attempt, answer: Instance | Refusal) -> None:
        """Build an attempt with Direct VPC egress, now that it has its address; or let it fail."""
        if isinstance(answer, Refusal):
            attempt.why = answer.message
        else:
            attempt.spec = answer
        if isinstance(answer, Refusal) or attempt.cancelled:
            self._over(attempt)
        else:
            self._share.put(attempt.spec)
        self._share.publish()

    def _note_built(self) -> None:
        """Take note of the containers that a pass has started, and let go of those that will never be."""
        built, never = self._share.take_built()
        for identifier in built:
            attempt = self.attempts.get(identifier)
            if attempt is not None and not attempt.spec.ending:
                attempt.deadline = self._clock.seconds() + attempt.runs.timeout
                if attempt.runs.startup_probe is None:
                    self._tell_start(attempt)
                else:
                    attempt.probe = self._tasks.spawn(self._probe(attempt))
        for identifier in never:
            self._over(self.attempts[identifier])
        self._share.publish()

    async def _probe(self, attempt: Attempt) -> None:
        probe, open_socket = attempt.runs.startup_probe, self._runtime.driver.open_socket
        listens = probe is None or await passes(
            probe, self._fabric, self._address_of(attempt.place), open_socket
        )
        attempt.probe = None
        if listens:
            self._tell_start(attempt)
            return
        attempt.why = _NOT_LISTENING
        self._end(attempt)
        self._share.publish()

    def _tell_start(self, attempt: Attempt) -> None:
        if not attempt.told:
            attempt.told = True
            number = secrets.randbits(62) | 1 << 61
            self._reports.report(attempt.runs.name, Started(attempt.task.index, number))

    def _over(self, attempt: Attempt, code: int | None = None, signal: int | None = None) -> None:
        """Let go of what an attempt had, and tell how it ended."""
        if attempt.probe is not None:
            attempt.probe.cancel()
        del self.attempts[attempt.id], self._by_place[attempt.place]
        self._share.drop(attempt.id)
        for subnetwork in subnetworks_of(attempt.spec):
            self._addresses.ended(attempt.id, subnetwork, successor=False)
        self._places.give_back(attempt.place)
        if attempt.runs.name not in self._runs:
            return
        self._tell_start(attempt)
        ended = Ended(attempt.task.index, code, signal, attempt.why, attempt.cancelled)
        self._reports.report(attempt.runs.name, ended)

    def _noted(self, execution: ResourceName, ended: Iterable[int], *, kept: bool) -> None:
        """Go on after reports: when they were not ``kept``, the disk refused, and the tasks start again."""
        run = self._runs.get(execution)
        if run is None:
            return
        for index in ended:
            found = self._store.world.find(run.view.task(index))
            task = read_task(found) if found else None
            if task is None:
                run.again(TaskPlace(index, 0))
            elif task.state is TaskState.RUNNING:
                run.again(TaskPlace(index, task.attempt))
            else:
                run.over(index)
        if not kept:
            log.warning("what became of tasks of %s could not be noted: they start again", execution)
        self._look(execution)
        self._share.publish()
