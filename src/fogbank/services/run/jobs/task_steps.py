"""The tasks of an execution while the controller reports about them: attempts, retries, how each ended.

The numbers of an execution follow from those before and one task's step, so a step costs the same however
many tasks there are.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from fogbank.resources.operations import rfc3339
from fogbank.resources.run_jobs import (
    STATE_LABEL,
    TaskState,
    read_execution,
    read_task,
)
from fogbank.resources.world import Change, Json, Put, Resource, World
from fogbank.services.run.jobs.completion import CANCELLED, completed, with_news
from fogbank.services.run.jobs.objects import duration, new_task
from fogbank.services.run.objects import condition, find_condition, with_conditions, without_empty

NON_ZERO = "NonZeroExitCode"

TIMED_OUT = "The configured timeout was reached."
EXITED = "The container exited with an error."

_INTERNAL = 13
"""The code of an attempt that failed, and of the operation of an execution that did (observed)."""


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


class TaskSteps:
    """The tasks of one execution while reports about them are taken in."""

    def __init__(self, world: World, execution: Resource, now: datetime) -> None:
        self._world, self._now = world, now
        self._execution, self._view = execution, read_execution(execution)
        self._tasks: dict[int, Resource] = {}
        self._counts = {key: execution.body["status"].get(key, 0) for key in _COUNTS}
        self.begun = False
        self._failure: str = execution.private.get("failure", "")

    def start(self, report: Started) -> None:
        """Take note of an attempt; only the first of a task shows."""
        found = self._find(report.index)
        if found is None:
            name = self._view.task(report.index)
            body = new_task(name, self._execution, report.index, report.number, self._now)
            self._tasks[report.index] = Resource(name, report.number, self._now, body)
            self._counts["runningCount"] += 1

    def end(self, report: Ended) -> None:
        """Take note of an attempt's end: the task is over, or waits for the next one."""
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
        self._tasks[report.index] = with_end(task, state, result, report, self._now)

    def changes(self) -> tuple[Change, ...]:
        """Return what the reports so far come to; none when they changed nothing."""
        puts: tuple[Change, ...] = tuple(Put(task) for task in self._tasks.values())
        if not puts:
            return ()
        body = with_news(self._execution.body, self._begun(), **self._counts)
        private = self._execution.private | ({"failure": self._failure} if self._failure else {})
        execution = replace(self._execution, body=body, private=private)
        finished = sum(self._counts[each] for each in _COUNT_OF.values())
        if finished < self._view.tasks or self._view.cancelled:
            return (*puts, Put(execution))
        return (*puts, *completed(self._world.after(puts), execution, self._verdict(), self._now))

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


def with_end(task: Resource, state: TaskState, result: Json, report: Ended, now: datetime) -> Resource:
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


NEVER_RAN = Ended(0, cancelled=True)
"""The end of a task whose execution was cancelled before it was tried again."""

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
