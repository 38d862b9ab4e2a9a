"""Cloud Scheduler's jobs: made, changed, paused, resumed, run now, deleted. Writes answer with the job."""

import re
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from typing import Any

from fogbank.errors import ApiError
from fogbank.resources.listings import listing
from fogbank.resources.names import ResourceName
from fogbank.resources.operations import rfc3339
from fogbank.resources.places import REGIONS
from fogbank.resources.scheduler import JOBS, job_name
from fogbank.resources.world import Delete, Json, Put, Resource, World
from fogbank.services.cloudscheduler.schedule import check_schedule, next_time
from fogbank.services.cloudscheduler.targets import complete_target
from fogbank.services.collections import bad_request
from fogbank.services.contract import Call, Decision
from fogbank.services.masks import mask_paths
from fogbank.services.segments import location_of, project_of, segments

_ID = re.compile(r"[A-Za-z0-9_-]{1,500}")
_DURATION = re.compile(r"(\d{1,9})(?:\.\d{1,9})?s")
_WRITABLE = (
    "description", "schedule", "timeZone", "httpTarget", "pubsubTarget", "appEngineHttpTarget", "retryConfig",
    "attemptDeadline",
)  # fmt: skip
_RETRIES: Json = {
    "maxRetryDuration": "0s",
    "minBackoffDuration": "5s",
    "maxBackoffDuration": "3600s",
    "maxDoublings": 5,
}
_MOST_RETRIES = 5


def create(world: World, call: Call) -> Decision:
    """Make a job."""
    project, location = project_of(world, call), location_of(call)
    _check_location(location)
    path = str(call.body.get("name") or f"projects/{project}/locations/{location}/jobs/{_unnamed(call)}")
    parts = path.split("/")
    name = job_name(project, location, parts[-1])
    if parts[:-1] != name.path.split("/")[:-1] and parts[2:-1] != ["locations", location, "jobs"]:
        raise bad_request(f"Job name must be in {name.path.rpartition('/')[0]}.", "job.name")
    if not _ID.fullmatch(name.id):
        raise bad_request(
            "Job ID must have letters, digits, hyphens and underscores, at most 500 characters.", "job.name"
        )
    if world.find(name) is not None:
        raise ApiError(409, f"Job {name.path} already exists.", "ALREADY_EXISTS", "alreadyExists")
    body = {"name": name.path, **_fields(world, call, call.body, project), "state": "ENABLED"}
    return _written(Resource(name, call.new_id(), call.now, body), call.now)


def _unnamed(call: Call) -> str:
    """Make an id for a job without one."""
    return str(call.new_id())


def patch(world: World, call: Call) -> Decision:
    """Replace a job, or only the fields that a mask names."""
    found = find(world, call)
    body = call.body
    if paths := mask_paths(call):
        body = {key: found.body[key] for key in _WRITABLE if key in found.body}
        for path in paths:
            body = _laid(body, call.body, path.split("."))
    fields = _fields(world, call, body, found.name.project)
    kept = {key: value for key, value in found.body.items() if key not in {*_WRITABLE, "scheduleTime"}}
    private = {key: value for key, value in found.private.items() if key == "forced"}
    return _written(replace(found, body=kept | fields, private=private), call.now)


def _laid(current: Json, new: Json, steps: list[str]) -> Json:
    """Lay one field of ``new`` over ``current``; what ``new`` lacks goes."""
    first, rest = steps[0], steps[1:]
    if first not in _WRITABLE and "httpTarget" not in current and not current:
        raise bad_request(f"The field {first} of a job cannot be changed.")
    if rest:
        return current | {first: _laid(current.get(first) or {}, new.get(first) or {}, rest)}
    without = {key: value for key, value in current.items() if key != first}
    return without | ({first: new[first]} if first in new else {})


def _fields(world: World, call: Call, body: Json, project: str) -> Json:
    schedule, zone = str(body.get("schedule") or ""), str(body.get("timeZone") or "Etc/UTC")
    check_schedule(schedule, zone)
    fields = {
        "description": body.get("description") or None,
        "schedule": schedule,
        "timeZone": zone,
        "httpTarget": complete_target(world, call, body, project),
        "retryConfig": _retries(body["retryConfig"]) if body.get("retryConfig") else None,
        "attemptDeadline": _deadline(body.get("attemptDeadline")),
        "userUpdateTime": rfc3339(call.now),
    }
    if len(str(fields["description"] or "")) > 500:
        raise bad_request("The description of a job has at most 500 characters.", "job.description")
    return {key: value for key, value in fields.items() if value is not None}


def _deadline(given: Any) -> str:
    deadline = str(given or "180s")
    if not 15 <= seconds_of(deadline) <= 1800:
        raise bad_request("The attempt deadline must be between 15s and 1800s.", "job.attempt_deadline")
    return deadline


def retry_config(job: Resource) -> Json:
    """Return how a job is tried again; one that says nothing of it is shown so, and is not."""
    return _RETRIES | (job.body.get("retryConfig") or {})


def _retries(given: Json) -> Json:
    config = _RETRIES | {key: value for key, value in given.items() if value is not None}
    for key in ("maxRetryDuration", "minBackoffDuration", "maxBackoffDuration"):
        seconds_of(str(config[key]))
    count = int(config.get("retryCount", 0))
    if not 0 <= count <= _MOST_RETRIES:
        raise bad_request(
            f"retryCount must be between 0 and {_MOST_RETRIES}.", "job.retry_config.retry_count"
        )
    if not 0 <= int(config["maxDoublings"]) <= 16:
        raise bad_request("maxDoublings must be between 0 and 16.", "job.retry_config.max_doublings")
    return {key: value for key, value in config.items() if key != "retryCount" or value}


def seconds_of(duration: str) -> float:
    """Read a duration of Google's JSON: ``180s``; 400 when it is none."""
    if not _DURATION.fullmatch(duration):
        raise bad_request(f"'{duration}' is not a duration such as 180s.")
    return float(duration[:-1])


def _written(job: Resource, now: datetime) -> Decision:
    """Keep a job, whose schedule begins anew."""
    job = scheduled(job, now)
    return Decision((Put(job),), answer=job.body)


def scheduled(job: Resource, after: datetime) -> Resource:
    """Have a job run next when its schedule says so after ``after``."""
    due = next_time(job.body["schedule"], job.body["timeZone"], after)
    private = {key: value for key, value in job.private.items() if key != "retry"} | {"due": due.isoformat()}
    return replace(job.with_body(scheduleTime=rfc3339(due)), private=private)


def get(world: World, call: Call) -> Json:
    """Show a job."""
    return find(world, call).body


def list_(world: World, call: Call) -> Iterable[Json]:
    """List the jobs of a location."""
    location = location_of(call)
    _check_location(location)
    under = f"projects/{project_of(world, call)}/locations/{location}/jobs/"
    return listing(world, JOBS, under, lambda job: job.body)


def delete(world: World, call: Call) -> Decision:
    """Delete a job."""
    return Decision((Delete(find(world, call).name),), answer={})


def pause(world: World, call: Call) -> Decision:
    """Have a job wait until it is resumed; one that waits already goes on to."""
    found = find(world, call)
    private = {key: value for key, value in found.private.items() if key != "retry"}
    job = replace(found.with_body(state="PAUSED"), private=private)
    return Decision((Put(job),), answer=job.body)


def resume(world: World, call: Call) -> Decision:
    """Have a paused job run by its schedule again; what it missed is not made up for.

    One that is not paused stays as it is: Terraform resumes every job that it has made.
    """
    found = find(world, call)
    if found.body["state"] != "PAUSED":
        return Decision(answer=found.body)
    job = scheduled(found.with_body(state="ENABLED"), call.now)
    return Decision((Put(job),), answer=job.body)


def run(world: World, call: Call) -> Decision:
    """Have a job run now, whatever its schedule and state."""
    found = find(world, call)
    job = replace(found, private=found.private | {"forced": call.now.isoformat()})
    return Decision((Put(job),), answer=job.body)


def find(world: World, call: Call) -> Resource:
    """Find the job that the call's path names; Google's 404 otherwise."""
    found = world.find(_name(world, call))
    if found is None:
        raise ApiError(404, "Job not found.", "NOT_FOUND", "notFound")
    return found


def _name(world: World, call: Call) -> ResourceName:
    return job_name(project_of(world, call), location_of(call), segments(call)["jobs"])


def _check_location(location: str) -> None:
    if location not in REGIONS:
        raise ApiError(404, f"Location {location} is not found.", "NOT_FOUND", "notFound")
