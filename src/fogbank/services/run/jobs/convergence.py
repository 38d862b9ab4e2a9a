"""What becomes of jobs and their executions: the controller tells, and everything that shows it follows.

Each function is pure: from the World and what happened to the changes that show it. An execution counts its
tasks, ends with the last of them, and with it the operations and the job that waited. The numbers of an
execution follow from those before and one task's step, so a step costs the same however many tasks there are.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from fogbank.resources.names import ResourceName
from fogbank.resources.operations import Operation, OperationError, rfc3339
from fogbank.resources.run_jobs import (
    JOB_LABEL,
    STATE_LABEL,
    TaskState,
    is_over,
    job_name,
    read_execution,
    read_task,
    tasks_of,
)
from fogbank.resources.world import Change, Json, Put, PutOperation, Resource, World
from fogbank.services.run.convergence import running_on, with_digest
from fogbank.services.run.jobs import v2_render
from fogbank.services.run.jobs.changes import is_settled
from fogbank.services.run.jobs.objects import duration, new_task
from fogbank.services.run.objects import condition, find_condition, with_conditions, without_empty

NON_ZERO = "NonZeroExitCode"
CANCELLED = "Cancelled"

TIMED_OUT = "The configured timeout was reached."
EXITED = "The container exited with an error."

_INTERNAL = 13
"""The code of an attempt that failed, and of the operation of an execution that did (observed)."""


@dataclass(frozen=True, slots=True)
class ImageFailure:
    """Why an image cannot be had: a reason as conditions have it, and Google's words."""

    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Started:
    """An attempt of the task ``index`` runs; ``number`` is used once."""

    index: int
    number: int


@dataclass(frozen=True, slots=True)
class Ended:
    """An attempt of the task ``index`` is over: with an exit code, by a signal, or for ``why`` else.

    ``cancelled`` ones were told to end because the whole execution was.
    """

    index: int
    code: int | None = None
    signal: int | None = None
    why: str = EXITED
    cancelled: bool = False

    @property
    def succeeded(self) -> bool:
        return self.code == 0 and not self.cancelled and self.why == EXITED


Report = Started | Ended


def image_found(world: World, job: ResourceName, generation: int, now: datetime) -> tuple[Change, ...]:
    """Make a job ready whose image is known, unless it waits for an execution as well.

    What is known of another generation than the job's is no longer of interest.
    """
    found = _undecided(world, job, generation)
    if found is None or "awaits" in found.private:
        return ()
    return _decided(world, found, condition("Ready", "True", now), now)


def image_unknown(
    world: World, job: ResourceName, generation: int, why: ImageFailure, now: datetime
) -> tuple[Change, ...]:
    """Show that the image of a job cannot be had."""
    found = _undecided(world, job, generation)
    if found is None:
        return ()
    return _decided(world, found, condition("Ready", "False", now, why.reason, why.message), now)


def _undecided(world: World, job: ResourceName, generation: int) -> Resource | None:
    found = world.find(job)
    if found is None or is_settled(found.body) or found.body["metadata"]["generation"] != generation:
        return None
    return found


def _decided(world: World, job: Resource, ready: Json, now: datetime) -> tuple[Change, ...]:
    conditions = with_conditions(job.body["status"].get("conditions", []), [ready])
    private = {key: value for key, value in job.private.items() if key not in {"awaits", "until"}}
    job = replace(job.with_body(status=job.body["status"] | {"conditions": conditions}), private=private)
    return (Put(job), *(PutOperation(each) for each in _ended_with_job(world, job, now)))


def _ended_with_job(world: World, job: Resource, now: datetime) -> Iterable[Operation]:
    message = v2_render.job_message(job)
    shown = find_condition(job.body) or {}
    for operation in running_on(world, job.name):
        if operation.type.endswith(".DeleteJob"):
            continue
        told = replace(operation, metadata=message)
        if shown["status"] == "True":
            yield told.done(now, message)
        else:
            why = OperationError(400, "FAILED_PRECONDITION", shown.get("message", ""))
            yield told.done(now, error=why)


def image_imported(world: World, execution: ResourceName, digest: str, now: datetime) -> tuple[Change, ...]:
    """Keep what the image was when the execution began; its tasks can start now."""
    found = _running(world, execution)
    if found is None:
        return ()
    pullable = with_digest(read_execution(found).image, digest)
    spec = found.body["spec"]
    task = spec["template"]["spec"]
    containers = [{**task["containers"][0], "image": pullable}, *task["containers"][1:]]
    took = duration(now - found.created)
    news = (
        condition("ContainerReady", "True", now, message=f"Imported container image in {took}."),
        condition("ResourcesAvailable", "True", now, message="Provisioned imported containers."),
    )
    body = _with_news(found.body, news, startTime=rfc3339(now)) | {
        "spec": spec | {"template": {"spec": task | {"containers": containers}}}
    }
    return (Put(replace(found, body=body, private=found.private | {"digest": pullable})),)


def image_missing(
    world: World, execution: ResourceName, why: ImageFailure, now: datetime
) -> tuple[Change, ...]:
    """End an execution whose image cannot be had."""
    found = _running(world, execution)
    if found is None:
        return ()
    missing = condition("ContainerReady", "False", now, why.reason, why.message)
    return _completed(
        world,
        replace(found, body=_with_news(found.body, (missing,))),
        condition("Completed", "False", now, why.reason, why.message),
        now,
    )


def reported(
    world: World, execution: ResourceName, reports: Iterable[Report], now: datetime
) -> tuple[Change, ...]:
    """Show what happened to tasks, in order, and end the execution with the last of them."""
    found = _running(world, execution)
    if found is None:
        return ()
    steps = _Steps(world, found, now)
    for report in reports:
        match report:
            case Started():
                steps.start(report)
            case Ended():
                steps.end(report)
    changes = steps.changes()
    if not changes or not steps.begun:
        return changes
    return (*changes, *_started_for_job(world.after(changes), execution, now))


def stopped(world: World, execution: ResourceName, now: datetime) -> tuple[Change, ...]:
    """End a cancelled execution of which no task runs any more; one that was to be retried is not."""
    found = _running(world, execution)
    if found is None or not found.private.get("cancelled"):
        return ()
    status = found.body["status"]
    finished = sum(status.get(each, 0) for each in ("succeededCount", "failedCount"))
    rest = {"cancelledCount": int(found.body["spec"]["taskCount"]) - finished, "runningCount": None}
    body = found.body | {"status": {k: v for k, v in (status | rest).items() if v is not None}}
    told = condition("Completed", "False", now, CANCELLED, "Execution was cancelled.")
    left = [each for each in tasks_of(world, execution) if read_task(each).state is TaskState.RUNNING]
    puts = tuple(Put(_with_end(each, TaskState.CANCELLED, {}, _NEVER, now)) for each in left)
    return (*puts, *_completed(world.after(puts), replace(found, body=body), told, now))


def _running(world: World, execution: ResourceName) -> Resource | None:
    found = world.find(execution)
    return None if found is None or is_over(found.body) else found


class _Steps:
    """The tasks of one execution while reports about them are taken in."""

    def __init__(self, world: World, execution: Resource, now: datetime) -> None:
        self._world, self._now = world, now
        self._execution, self._view = execution, read_execution(execution)
        self._tasks: dict[int, Resource] = {}
        self._counts = {key: execution.body["status"].get(key, 0) for key in _COUNTS}
        self.begun = False
        self._failure: str = execution.private.get("failure", "")

    def start(self, report: Started) -> None:
        found = self._find(report.index)
        if found is None:
            name = self._view.task(report.index)
            body = new_task(name, self._execution, report.index, report.number, self._now)
            self._tasks[report.index] = Resource(name, report.number, self._now, body)
            self._counts["runningCount"] += 1

    def end(self, report: Ended) -> None:
        found = self._find(report.index)
        if found is None or read_task(found).state is not TaskState.RUNNING:
            return
        task = read_task(found)
        result = {"lastAttemptResult": _result(report)}
        if report.succeeded:
            self._finish(found, TaskState.SUCCEEDED, result, report)
        elif report.cancelled:
            self._finish(found, TaskState.CANCELLED, result, report)
        elif task.attempt < self._view.max_retries:
            self._counts["retriedCount"] += task.attempt == 0
            self._tasks[report.index] = found.with_body(
                status=found.body["status"] | result | {"retried": task.attempt + 1}
            )
        else:
            self._failure = self._failure or _failure(self._execution.name.id, report)
            self._finish(found, TaskState.FAILED, result, report)

    def _find(self, index: int) -> Resource | None:
        return self._tasks.get(index) or self._world.find(self._view.task(index))

    def _finish(self, task: Resource, state: TaskState, result: Json, report: Ended) -> None:
        self._counts["runningCount"] -= 1
        self._counts[_COUNT_OF[state]] += 1
        self._tasks[report.index] = _with_end(task, state, result, report, self._now)

    def changes(self) -> tuple[Change, ...]:
        puts: tuple[Change, ...] = tuple(Put(task) for task in self._tasks.values())
        if not puts:
            return ()
        body = _with_news(self._execution.body, self._begun(), **self._counts)
        private = self._execution.private | ({"failure": self._failure} if self._failure else {})
        execution = replace(self._execution, body=body, private=private)
        finished = sum(self._counts[each] for each in _COUNT_OF.values())
        if finished < self._view.tasks or self._view.cancelled:
            return (*puts, Put(execution))
        return (*puts, *_completed(self._world.after(puts), execution, self._verdict(), self._now))

    def _begun(self) -> tuple[Json, ...]:
        body = self._execution.body
        if (find_condition(body, "Started") or {}).get("status") != "Unknown":
            return ()
        self.begun = True
        since = (find_condition(body, "ResourcesAvailable") or {})["lastTransitionTime"]
        took = duration(self._now - datetime.fromisoformat(since))
        waiting = () if self._view.cancelled else (_waiting(self._now),)
        told = condition("Started", "True", self._now, message=f"Started deployed execution in {took}.")
        return (*waiting, told)

    def _verdict(self) -> Json:
        if self._failure:
            return condition("Completed", "False", self._now, NON_ZERO, self._failure)
        since = datetime.fromisoformat(self._execution.body["status"]["startTime"])
        took = duration(self._now - since)
        return condition(
            "Completed", "True", self._now, message=f"Execution completed successfully in {took}."
        )


def _with_end(task: Resource, state: TaskState, result: Json, report: Ended, now: datetime) -> Resource:
    """Show on a task how it ended; ``result`` is what is known of its last attempt."""
    metadata, status = task.body["metadata"], task.body["status"]
    labels = metadata["labels"] | {STATE_LABEL: state.value}
    told = condition("Completed", *_outcome(state, now, report))
    others = [each for each in status["conditions"] if each["type"] != "Completed"]
    ended = {
        "completionTime": rfc3339(now),
        "conditions": with_conditions(status["conditions"], [told, *others]),
    }
    return task.with_body(metadata=metadata | {"labels": labels}, status=status | result | ended)


_NEVER = Ended(0, cancelled=True)

_COUNT_OF = {
    TaskState.SUCCEEDED: "succeededCount",
    TaskState.FAILED: "failedCount",
    TaskState.CANCELLED: "cancelledCount",
}
_COUNTS = ("runningCount", *_COUNT_OF.values(), "retriedCount")


def _waiting(now: datetime) -> Json:
    return condition("Completed", "Unknown", now, message="Waiting for execution to complete.")


def _result(report: Ended) -> Json:
    if report.succeeded:
        return {"exitCode": 0, "status": {}}
    message = "The task was cancelled." if report.cancelled else report.why
    return without_empty(
        {
            "exitCode": report.code,
            "termSignal": report.signal,
            "status": {"code": 1 if report.cancelled else _INTERNAL, "message": message},
        }
    )


def _outcome(state: TaskState, now: datetime, report: Ended) -> tuple[Any, ...]:
    match state:
        case TaskState.SUCCEEDED:
            return ("True", now)
        case TaskState.CANCELLED:
            return ("False", now, CANCELLED, "The task was cancelled.")
        case _:
            return ("False", now, NON_ZERO, report.why)


def _failure(execution: str, report: Ended) -> str:
    """Say in Google's words which task failed (observed)."""
    code = 0 if report.code is None else report.code
    return f"Task {execution}-task{report.index} failed with exit code: {code} and message: {report.why}"


def _with_news(body: Json, news: Iterable[Json], **fields: Any) -> Json:
    """Replace conditions and fields of a status; a count of nothing is not shown."""
    before: list[Json] = body["status"]["conditions"]
    changed = {each["type"]: each for each in news}
    conditions = with_conditions(before, [changed.get(each["type"], each) for each in before])
    status = {key: value for key, value in (body["status"] | fields).items() if value != 0}
    return body | {"status": status | {"conditions": conditions}}


def _completed(world: World, execution: Resource, told: Json, now: datetime) -> tuple[Change, ...]:
    """End an execution, show it on its job, and end the operations that waited for it."""
    ended = replace(execution, body=_with_news(execution.body, (told,), completionTime=rfc3339(now)))
    put = Put(ended)
    return (put, *_operations(world, ended, told, now), *_told_job(world.after((put,)), ended, told, now))


def _operations(world: World, execution: Resource, told: Json, now: datetime) -> tuple[Change, ...]:
    """End the operations of an execution: with the execution, or why it failed; a cancelled one did not."""
    message = v2_render.execution_message(execution)
    ended = []
    for operation in running_on(world, execution.name):
        told_of = replace(operation, metadata=message)
        if told["status"] == "True" or told.get("reason") == CANCELLED:
            ended.append(told_of.done(now, message))
        else:
            ended.append(told_of.done(now, error=OperationError(500, "INTERNAL", told["message"])))
    return tuple(map(PutOperation, ended))


def _told_job(world: World, execution: Resource, told: Json, now: datetime) -> tuple[Change, ...]:
    found = world.find(_job_of(execution))
    if found is None:
        return ()
    status = found.body["status"]
    latest = status.get("latestCreatedExecution", {})
    changes: tuple[Change, ...] = ()
    if latest.get("name") == execution.name.id:
        latest = latest | {
            "completionTimestamp": rfc3339(now),
            "completionStatus": _completion_status(told),
        }
        found = found.with_body(status=status | {"latestCreatedExecution": latest})
        changes = (Put(found),)
    if found.private.get("awaits") == execution.name.id:
        return _decided(world.after(changes), found, _as_execution(told, now), now)
    return changes


def _started_for_job(world: World, execution: ResourceName, now: datetime) -> tuple[Change, ...]:
    """Make a job ready that waited for the start of an execution."""
    found = world.find(execution)
    job = world.find(_job_of(found)) if found else None
    if found is None or job is None or (find_condition(found.body, "Started") or {}).get("status") != "True":
        return ()
    if job.private.get("awaits") != execution.id or job.private.get("until") != "Started":
        return ()
    return _decided(world, job, condition("Ready", "True", now), now)


def _job_of(execution: Resource) -> ResourceName:
    name = execution.name
    return job_name(name.project, name.region or "", execution.body["metadata"]["labels"][JOB_LABEL])


def _as_execution(told: Json, now: datetime) -> Json:
    """Make the Ready condition of a job that waited for an execution."""
    if told["status"] == "True":
        return condition("Ready", "True", now)
    return condition("Ready", "False", now, told.get("reason"), told.get("message"))


def _completion_status(told: Json) -> str:
    if told["status"] == "True":
        return "EXECUTION_SUCCEEDED"
    return "EXECUTION_CANCELLED" if told.get("reason") == CANCELLED else "EXECUTION_FAILED"


def abandoned(world: World, name: ResourceName, now: datetime) -> tuple[Change, ...]:
    """End the operations that waited for a job or an execution which is being deleted."""
    gone = OperationError(409, "ABORTED", f"'{name.id}' was deleted.")
    return tuple(PutOperation(each.done(now, error=gone)) for each in running_on(world, name))
