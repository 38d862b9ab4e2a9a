"""What becomes of a job's attempts: its status, and whether and when it is tried again.

Pure: from a job and the outcome of an attempt to the job as it is then.
See behaviour/cloud-scheduler.md#retries.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from fogbank.resources.operations import rfc3339
from fogbank.resources.world import Resource
from fogbank.services.cloudscheduler.jobs import retry_config, scheduled, seconds_of
from fogbank.services.cloudscheduler.schedule import catch_up

_CODES = {400: 3, 401: 16, 403: 7, 404: 5, 409: 10, 429: 8, 499: 1, 500: 13, 501: 12, 503: 14, 504: 4}
UNAVAILABLE, DEADLINE_EXCEEDED, UNKNOWN = 14, 4, 2


@dataclass(frozen=True, slots=True)
class Occasion:
    """Why an attempt is made: for the time ``scheduled``, first tried at ``first``, now for the ``count``-th
    time (0: the first); ``forced`` by a person.
    """

    scheduled: datetime
    first: datetime
    count: int = 0
    forced: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an attempt went: a code of google.rpc (0: well), and its time."""

    code: int
    started: datetime
    ended: datetime


def occasion_of(job: Resource, now: datetime) -> Occasion:
    """Tell for what a job that is due is to run now."""
    if "forced" in job.private:
        return Occasion(datetime.fromisoformat(job.private["forced"]), now, forced=True)
    retry = job.private.get("retry")
    if retry:
        first = datetime.fromisoformat(retry["first"])
        return Occasion(datetime.fromisoformat(retry["scheduled"]), first, int(retry["count"]))
    due = datetime.fromisoformat(job.private["due"])
    return Occasion(catch_up(job.body["schedule"], job.body["timeZone"], due, now), now)


def code_of(status: int) -> int:
    """Return the code of google.rpc that an HTTP status means; 0 for success, which is 200 to 299."""
    if 200 <= status < 300:
        return 0
    return _CODES.get(status, 13 if status >= 500 else UNKNOWN)


def attempted(job: Resource, occasion: Occasion, outcome: Outcome) -> Resource:
    """Show an attempt on the job, and decide when it runs next."""
    job = shown(job, outcome)
    if occasion.forced:
        private = {key: value for key, value in job.private.items() if key != "forced"}
        return replace(job, private=private)
    if job.body["state"] != "ENABLED":
        return job
    if outcome.code and (at := _again(job, occasion, outcome.ended)) is not None:
        retry = {
            "scheduled": occasion.scheduled.isoformat(),
            "first": occasion.first.isoformat(),
            "count": occasion.count + 1,
            "at": at.isoformat(),
        }
        job = replace(job, private=job.private | {"retry": retry})
        return job.with_body(scheduleTime=rfc3339(at))
    return scheduled(job, occasion.scheduled)


def shown(job: Resource, outcome: Outcome) -> Resource:
    """Show an attempt on the job, which goes on as it would have."""
    status = {"code": outcome.code} if outcome.code else {}
    return job.with_body(lastAttemptTime=rfc3339(outcome.started), status=status)


def _again(job: Resource, occasion: Occasion, now: datetime) -> datetime | None:
    """Return when a failed execution is tried again; None when it is not.

    With a count and a duration it is tried until both are used up.
    """
    config = retry_config(job)
    count, limit = int(config.get("retryCount", 0)), seconds_of(config["maxRetryDuration"])
    by_count = occasion.count < count
    by_time = limit > 0 and now - occasion.first < timedelta(seconds=limit)
    if not by_count and not by_time:
        return None
    return now + timedelta(seconds=backoff(job, occasion.count))


def backoff(job: Resource, count: int) -> float:
    """Return the seconds before retry ``count`` (from 0): doubled, then linear, at most the maximum."""
    config = retry_config(job)
    least, most = seconds_of(config["minBackoffDuration"]), seconds_of(config["maxBackoffDuration"])
    doublings = int(config["maxDoublings"])
    pause = least * 2 ** min(count, doublings)
    if count > doublings:
        pause += least * 2**doublings * (count - doublings)
    return min(float(pause), most)
