"""Cloud Scheduler's jobs as they are stored, and when each is due.

A job's ``private`` part has what no client sees: ``due`` is when its schedule wants it next, ``forced`` when
a person asked for it, ``retry`` what is left to try of an execution that failed.
"""

from collections.abc import Iterator
from datetime import datetime

from fogbank.resources.indexes import Index
from fogbank.resources.names import ResourceName
from fogbank.resources.world import Resource, World

JOBS = "cloudscheduler.jobs"


def job_name(project: str, location: str, identifier: str) -> ResourceName:
    """Name a job."""
    return ResourceName(JOBS, f"projects/{project}/locations/{location}/jobs/{identifier}")


def due_jobs(world: World, now: datetime) -> Iterator[Resource]:
    """List the jobs that are due at ``now``, the one that has waited longest first."""
    for key, job in world.ordered(_BY_TIME):
        if key > now:
            return
        yield job


def due_time(job: Resource) -> datetime | None:
    """Return when a job is to run next; None when it waits for somebody."""
    times = [job.private["forced"]] if "forced" in job.private else []
    if job.body["state"] == "ENABLED":
        times.append(job.private.get("retry", {}).get("at") or job.private["due"])
    return min(map(datetime.fromisoformat, times), default=None)


def _time_of(job: Resource) -> tuple[datetime, ...]:
    time = due_time(job)
    return () if time is None else (time,)


_BY_TIME = Index(JOBS, _time_of)
