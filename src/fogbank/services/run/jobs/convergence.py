"""What becomes of jobs and their executions: the controller tells, and everything that shows it follows.

Each function is pure: from the World and what happened to the changes that show it. An execution counts its
tasks, ends with the last of them, and with it the operations and the job that waited.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime

from fogbank.resources.names import ResourceName
from fogbank.resources.operations import rfc3339
from fogbank.resources.run_jobs import (
    TaskState,
    is_over,
    read_execution,
    read_task,
    tasks_of,
)
from fogbank.resources.world import Change, Put, Resource, World
from fogbank.services.run.convergence import with_digest
from fogbank.services.run.jobs.changes import is_settled
from fogbank.services.run.jobs.completion import CANCELLED, completed, decided, started_for_job, with_news
from fogbank.services.run.jobs.objects import duration
from fogbank.services.run.jobs.task_steps import NEVER_RAN, Ended, Report, Started, TaskSteps, with_end
from fogbank.services.run.objects import condition


@dataclass(frozen=True, slots=True)
class ImageFailure:
    """Why an image cannot be had: a reason as conditions have it, and Google's words."""

    reason: str
    message: str


def image_found(world: World, job: ResourceName, generation: int, now: datetime) -> tuple[Change, ...]:
    """Make a job ready whose image is known, unless it waits for an execution as well.

    What is known of another generation than the job's is no longer of interest.
    """
    found = _undecided(world, job, generation)
    if found is None or "awaits" in found.private:
        return ()
    return decided(world, found, condition("Ready", "True", now), now)


def image_unknown(
    world: World, job: ResourceName, generation: int, why: ImageFailure, now: datetime
) -> tuple[Change, ...]:
    """Show that the image of a job cannot be had."""
    found = _undecided(world, job, generation)
    if found is None:
        return ()
    return decided(world, found, condition("Ready", "False", now, why.reason, why.message), now)


def _undecided(world: World, job: ResourceName, generation: int) -> Resource | None:
    found = world.find(job)
    if found is None or is_settled(found.body) or found.body["metadata"]["generation"] != generation:
        return None
    return found


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
    body = with_news(found.body, news, startTime=rfc3339(now)) | {
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
    return completed(
        world,
        replace(found, body=with_news(found.body, (missing,))),
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
    steps = TaskSteps(world, found, now)
    for report in reports:
        match report:
            case Started():
                steps.start(report)
            case Ended():
                steps.end(report)
    changes = steps.changes()
    if not changes or not steps.begun:
        return changes
    return (*changes, *started_for_job(world.after(changes), execution, now))


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
    puts = tuple(Put(with_end(each, TaskState.CANCELLED, {}, NEVER_RAN, now)) for each in left)
    return (*puts, *completed(world.after(puts), replace(found, body=body), told, now))


def _running(world: World, execution: ResourceName) -> Resource | None:
    found = world.find(execution)
    return None if found is None or is_over(found.body) else found
