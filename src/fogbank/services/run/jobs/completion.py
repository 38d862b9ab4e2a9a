"""The end of an execution, and what ends with it: the operations that waited for it, and its job's wait."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from typing import Any

from fogbank.resources.names import ResourceName
from fogbank.resources.operations import Operation, OperationError, rfc3339
from fogbank.resources.run_jobs import (
    JOB_LABEL,
    job_name,
)
from fogbank.resources.world import Change, Json, Put, PutOperation, Resource, World
from fogbank.services.run.convergence import running_on
from fogbank.services.run.jobs import v2_render
from fogbank.services.run.objects import condition, find_condition, with_conditions

CANCELLED = "Cancelled"


def with_news(body: Json, news: Iterable[Json], **fields: Any) -> Json:
    """Replace conditions and fields of a status; a count of nothing is not shown."""
    before: list[Json] = body["status"]["conditions"]
    changed = {each["type"]: each for each in news}
    conditions = with_conditions(before, [changed.get(each["type"], each) for each in before])
    status = {key: value for key, value in (body["status"] | fields).items() if value != 0}
    return body | {"status": status | {"conditions": conditions}}


def completed(world: World, execution: Resource, told: Json, now: datetime) -> tuple[Change, ...]:
    """End an execution, show it on its job, and end the operations that waited for it."""
    ended = replace(execution, body=with_news(execution.body, (told,), completionTime=rfc3339(now)))
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
        return decided(world.after(changes), found, _as_execution(told, now), now)
    return changes


def started_for_job(world: World, execution: ResourceName, now: datetime) -> tuple[Change, ...]:
    """Make a job ready that waited for the start of an execution."""
    found = world.find(execution)
    job = world.find(_job_of(found)) if found else None
    if found is None or job is None or (find_condition(found.body, "Started") or {}).get("status") != "True":
        return ()
    if job.private.get("awaits") != execution.id or job.private.get("until") != "Started":
        return ()
    return decided(world, job, condition("Ready", "True", now), now)


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


def decided(world: World, job: Resource, ready: Json, now: datetime) -> tuple[Change, ...]:
    """Show on a job whether it is ready, and end the operations that waited for that."""
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


def abandoned(world: World, name: ResourceName, now: datetime) -> tuple[Change, ...]:
    """End the operations that waited for a job or an execution which is being deleted."""
    gone = OperationError(409, "ABORTED", f"'{name.id}' was deleted.")
    return tuple(PutOperation(each.done(now, error=gone)) for each in running_on(world, name))
