"""Cloud Scheduler while the region runs: sends what is due, one execution of a job at a time.

What is due is read from the World once a second, on the region's clock, so a schedule goes on after a restart
and time that was skipped counts. What became of an attempt is a commit; a failed one makes the job due again.
"""

import logging
from base64 import b64decode

from fogbank.control.background import BackgroundTasks
from fogbank.control.controller import Controller, Runtime
from fogbank.control.outgoing import AccessToken, IdToken, OutgoingRequest
from fogbank.control.periodic import every
from fogbank.resources.decisions import Decision
from fogbank.resources.names import ResourceName
from fogbank.resources.operations import rfc3339
from fogbank.resources.scheduler import JOBS, due_jobs
from fogbank.resources.world import Put, Resource, World
from fogbank.services.cloudscheduler.attempts import (
    DEADLINE_EXCEEDED,
    UNAVAILABLE,
    Occasion,
    Outcome,
    attempted,
    code_of,
    occasion_of,
    shown,
)
from fogbank.services.cloudscheduler.jobs import seconds_of

log = logging.getLogger(__name__)

TICK_SECONDS = 1.0
MOST_AT_ONCE = 50
"""How many jobs run at a time (Fogbank): the others wait for the next look."""


class SchedulerController(Controller):
    """Runs jobs when they are due."""

    name = "cloudscheduler"

    def __init__(self, runtime: Runtime) -> None:
        self._runtime, self._store, self._clock = runtime, runtime.store, runtime.clock
        self._running: set[ResourceName] = set()
        self._tasks = BackgroundTasks("a job of Cloud Scheduler")
        self._store.watch_changes(lambda _changes: self.reconcile())

    async def run(self) -> None:
        """Look once a second until cancelled."""
        await every(TICK_SECONDS, self.reconcile)

    def reconcile(self) -> None:
        """Begin what is due."""
        for job in due_jobs(self._store.world, self._clock.now()):
            if len(self._running) >= MOST_AT_ONCE:
                return
            if job.name not in self._running:
                self._running.add(job.name)
                self._tasks.spawn(self._run(job))

    async def _run(self, job: Resource) -> None:
        """Make one attempt, and note what became of it."""
        try:
            started = self._clock.now()
            occasion = occasion_of(job, started)
            code = await self._attempt(job, occasion)
            outcome = Outcome(code, started, self._clock.now())
            self._log(job, code)
            await self._store.commit(lambda world: _noted(world, job, occasion, outcome))
        finally:
            self._running.discard(job.name)
        self.reconcile()

    async def _attempt(self, job: Resource, occasion: Occasion) -> int:
        try:
            return code_of(await self._runtime.outgoing(request_of(job, occasion)))
        except TimeoutError:
            return DEADLINE_EXCEEDED
        except OSError as error:
            log.info("job %s: %s", job.name, error)
            return UNAVAILABLE

    def _log(self, job: Resource, code: int) -> None:
        text = f"{job.body['httpTarget']['httpMethod']} {job.body['httpTarget']['uri']} code {code}"
        self._runtime.logbook.append(f"scheduler/{job.name.id}", "system", text, "ERROR" if code else "INFO")

    def log_names(self) -> list[str]:
        """Name every job."""
        return [f"scheduler/{job.name.id}" for job in self._store.world.all(JOBS)]


def _noted(world: World, job: Resource, occasion: Occasion, outcome: Outcome) -> Decision:
    """Show an attempt on the job as it is now; one that was written meanwhile goes on as it was told to."""
    found = world.find(job.name)
    if found is None:
        return Decision()
    same = found.body["userUpdateTime"] == job.body["userUpdateTime"]
    after = attempted(found, occasion, outcome) if same or occasion.forced else shown(found, outcome)
    return Decision((Put(after),))


def request_of(job: Resource, occasion: Occasion) -> OutgoingRequest:
    """Make the request of a job (behaviour/cloud-scheduler.md#targets)."""
    target = job.body["httpTarget"]
    headers = {
        **target["headers"],
        "X-CloudScheduler": "true",
        "X-CloudScheduler-JobName": job.name.id,
        "X-CloudScheduler-ScheduleTime": rfc3339(occasion.scheduled),
    }
    token: IdToken | AccessToken | None = None
    if "oidcToken" in target:
        token = IdToken(target["oidcToken"]["serviceAccountEmail"], target["oidcToken"]["audience"])
    elif "oauthToken" in target:
        scopes = tuple(target["oauthToken"]["scope"].split())
        token = AccessToken(target["oauthToken"]["serviceAccountEmail"], scopes)
    return OutgoingRequest(
        project=job.name.project,
        method=target["httpMethod"],
        url=target["uri"],
        headers=headers,
        body=b64decode(target.get("body", "")),
        seconds=seconds_of(job.body["attemptDeadline"]),
        token=token,
    )


def make_controller(runtime: Runtime) -> SchedulerController:
    """Make the controller of Cloud Scheduler."""
    return SchedulerController(runtime)
