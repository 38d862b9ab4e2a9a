"""What tasks of jobs write to Cloud Logging and to the logbook: their lines, and how their containers ended.

See behaviour/logging.md#cloud-run.
"""

from fogbank.clock import Clock
from fogbank.control.logbook import Logbook
from fogbank.dataplane.driver import WorkloadExited
from fogbank.resources.log_entries import line_fields
from fogbank.resources.world import Json
from fogbank.services.run.controller.log_entries import SYSTEM, memory_exceeded, run_entry
from fogbank.services.run.controller.tasks import Attempt
from fogbank.services.run.jobs.task_steps import TIMED_OUT
from fogbank.store.log_entries import LogEntries


class TaskLog:
    """Writes about attempts of tasks."""

    def __init__(self, entries: LogEntries, logbook: Logbook, clock: Clock) -> None:
        self._entries, self._logbook, self._clock = entries, logbook, clock

    def wrote(self, attempt: Attempt, stream: str, line: str) -> None:
        """Take a line that a container wrote on ``stdout`` or ``stderr``."""
        self._logbook.append(_name(attempt), stream, line)
        self._append(attempt, stream, line_fields(line))

    def exited(self, attempt: Attempt, event: WorkloadExited) -> None:
        """Say how a container ended."""
        if event.exceeded is not None:
            text, severity = memory_exceeded(event.exceeded), "ERROR"
        else:
            text, severity = _last_words(attempt, event.status), "WARNING" if event.status else "INFO"
        self._logbook.append(_name(attempt), "system", text)
        self._append(attempt, SYSTEM, {"textPayload": text, "severity": severity})

    def _append(self, attempt: Attempt, log: str, fields: Json) -> None:
        execution = attempt.runs
        project = execution.name.project
        resource = {
            "type": "cloud_run_job",
            "labels": {
                "project_id": project,
                "location": execution.region,
                "job_name": execution.job.id,
            },
        }
        labels = {
            "instanceId": attempt.id,
            "run.googleapis.com/execution_name": execution.name.id,
            "run.googleapis.com/task_index": str(attempt.task.index),
            "run.googleapis.com/task_attempt": str(attempt.task.attempt),
            **fields.get("labels", {}),
        }
        entry = run_entry(project, resource, log, {**fields, "labels": labels}, self._clock)
        self._entries.append(project, entry)


def _name(attempt: Attempt) -> str:
    """Name a task as ``fogbank logs`` does: ``job/JOB/EXECUTION/INSTANCE``."""
    return f"job/{attempt.runs.job.id}/{attempt.runs.name.id}/{attempt.id}"


def _last_words(attempt: Attempt, status: int) -> str:
    """Say how a task's container ended (observed)."""
    if attempt.why == TIMED_OUT:
        return (
            f"Terminating task because it has reached the maximum timeout of {attempt.runs.timeout} seconds. "
            "To change this limit, see https://cloud.google.com/run/docs/configuring/task-timeout"
        )
    return f"Uncaught signal: {-status}" if status < 0 else f"Container called exit({status})."
