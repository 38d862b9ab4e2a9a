"""The methods of jobs in Cloud Run's v2 API.

A write of a job answers with an operation that ends when the job is ready or has failed; that of a run or a
cancellation ends with the execution.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import timedelta

from fogbank.errors import ApiError
from fogbank.resources.listings import listing
from fogbank.resources.names import ResourceName
from fogbank.resources.operations import rfc3339
from fogbank.resources.run_jobs import (
    EXECUTIONS,
    JOB_LABEL,
    JOBS,
    TASKS,
    execution_name,
    executions_of,
    is_over,
    job_name,
    tasks_of,
)
from fogbank.resources.tags import tagged, values_asked
from fogbank.resources.world import Json, Resource, World
from fogbank.services.access import iam_methods
from fogbank.services.contract import Call, Decision, List, Method, Read, Write
from fogbank.services.run.jobs import changes, completion
from fogbank.services.run.jobs.v2_parse import parse_job, parse_overrides
from fogbank.services.run.jobs.v2_render import (
    EXECUTION_TYPE,
    JOB_TYPE,
    execution_message,
    job_message,
    render_execution,
    render_job,
    render_pending,
    render_task,
)
from fogbank.services.run.lists import under_place
from fogbank.services.run.naming import policy_name
from fogbank.services.run.objects import bad_request
from fogbank.services.run.v2.operations import check_etag, open_operation
from fogbank.services.run.v2.parse import without_tags
from fogbank.services.run.v2.refusals import check_vpc_access, translating
from fogbank.services.segments import location_of, project_of, segments

_FIELDS: Mapping[str, str] = {
    "spec.template.spec.template.spec.timeoutSeconds": "template.template.timeout",
    "spec.template.spec.template.spec.serviceAccountName": "template.template.serviceAccount",
    "spec.template.spec.template.spec.": "template.template.",
    "spec.template.spec.": "template.",
    "spec.template.metadata.": "template.",
    "metadata.name": "job_id",
}

_speaks_v2 = translating(_FIELDS)


def create(world: World, call: Call) -> Decision:
    """Make a job."""
    identifier = str(call.parameters.get("jobId") or "")
    if not identifier:
        raise bad_request("job_id is required.")
    _check_access(call.body, "CreateJob")
    name = job_name(project_of(world, call), location_of(call), identifier)
    tags = values_asked(world, call.access, call.principal, call.body.get("tags") or {})
    written = changes.create(world, call, name, *parse_job(without_tags(call.body)))
    return tagged(world, tags, _decision(call, written, "CreateJob"), call.new_id)


def patch(world: World, call: Call) -> Decision:
    """Replace a job: this method has no mask."""
    name = _name(world, call)
    _check_access(call.body, "UpdateJob")
    found = world.find(name)
    if found is None and call.parameters.get("allowMissing"):
        written = changes.create(world, call, name, *parse_job(call.body))
        return _decision(call, written, "CreateJob")
    found = _find(world, call)
    check_etag(call.body.get("etag"), found)
    return _decision(call, changes.update(world, call, found, *parse_job(call.body)), "UpdateJob")


def _check_access(body: Json, rpc: str) -> None:
    check_vpc_access((body.get("template") or {}), rpc, f"{rpc}Request.job.template.template")


def _decision(call: Call, written: changes.Written, rpc: str) -> Decision:
    job = written.resource
    opened = open_operation(call, f"Jobs.{rpc}", job.name, JOB_TYPE, render_pending(job))
    ended = replace(opened, metadata=job_message(job)).done(call.now, job_message(job))
    if call.parameters.get("validateOnly"):
        return Decision(operation=ended)
    settled = changes.is_settled(job.body)
    return Decision(written.changes, operation=ended if settled else opened, opened=opened)


def run(world: World, call: Call) -> Decision:
    """Begin an execution of a job; the operation ends with it."""
    found = _find(world, call)
    check_etag(call.body.get("etag"), found)
    begun = changes.execute(world, call, found, parse_overrides(call.body.get("overrides") or {}))
    execution = begun.resource
    opened = open_operation(call, "Jobs.RunJob", execution.name, EXECUTION_TYPE, render_execution(execution))
    if call.body.get("validateOnly"):
        return Decision(operation=opened.done(call.now, execution_message(execution)))
    return Decision(begun.changes, operation=opened, opened=opened)


def delete(world: World, call: Call) -> Decision:
    """Delete a job with its executions."""
    found = _find(world, call)
    check_etag(call.parameters.get("etag"), found)
    opened = open_operation(call, "Jobs.DeleteJob", found.name, JOB_TYPE, render_pending(found) | _gone(call))
    if call.parameters.get("validateOnly"):
        return Decision(operation=opened.done(call.now, response=opened.metadata))
    ended = [
        change
        for name in (found.name, *(each.name for each in executions_of(world, found.name)))
        for change in completion.abandoned(world, name, call.now)
    ]
    return Decision((*ended, *changes.delete(world, found.name)), operation=opened, opened=opened)


def _gone(call: Call) -> Json:
    return {"deleteTime": rfc3339(call.now), "expireTime": rfc3339(call.now + _KEPT)}


def get(world: World, call: Call) -> Json:
    """Show a job."""
    return render_job(_find(world, call))


def list_(world: World, call: Call) -> Iterable[Json]:
    """List the jobs of a location."""
    return listing(world, JOBS, under_place(world, call), render_job)


def _name(world: World, call: Call) -> ResourceName:
    return job_name(project_of(world, call), location_of(call), segments(call)["jobs"])


def _find(world: World, call: Call) -> Resource:
    name = _name(world, call)
    found = world.find(name)
    if found is None:
        raise ApiError(404, f'job "{name.path}" not found', "NOT_FOUND", "notFound")
    return found


def get_execution(world: World, call: Call) -> Json:
    """Show an execution."""
    return render_execution(_find_execution(world, call))


def list_executions(world: World, call: Call) -> Iterable[Json]:
    """List the executions of a job, ``-`` being all, newest first."""
    if segments(call)["jobs"] == "-":
        found = world.all(EXECUTIONS, under_place(world, call))
    else:
        found = executions_of(world, _name(world, call))
    newest_first = sorted(found, key=lambda each: (each.created, each.id), reverse=True)
    return map(render_execution, newest_first)


def cancel_execution(world: World, call: Call) -> Decision:
    """Have an execution end; the operation ends when its last task has."""
    found = _find_execution(world, call)
    check_etag(call.body.get("etag"), found)
    written = changes.cancel(call, found)
    message = render_execution(written.resource)
    opened = open_operation(call, "Executions.CancelExecution", found.name, EXECUTION_TYPE, message)
    if is_over(found.body) or call.body.get("validateOnly"):
        return Decision(operation=opened.done(call.now, execution_message(found)))
    return Decision(written.changes, operation=opened, opened=opened)


def delete_execution(world: World, call: Call) -> Decision:
    """Delete an execution; its tasks are ended."""
    found = _find_execution(world, call)
    check_etag(call.parameters.get("etag"), found)
    shown = render_execution(found) | _gone(call)
    opened = open_operation(call, "Executions.DeleteExecution", found.name, EXECUTION_TYPE, shown)
    if call.parameters.get("validateOnly"):
        return Decision(operation=opened.done(call.now, response=opened.metadata))
    ended = completion.abandoned(world, found.name, call.now)
    gone = changes.delete_execution(world, call, found, _name(world, call))
    return Decision((*ended, *gone), operation=opened, opened=opened)


def _find_execution(world: World, call: Call) -> Resource:
    job, identifier = _name(world, call), segments(call)["executions"]
    found = world.find(execution_name(job.project, job.region or "", identifier))
    if found is None or found.body["metadata"]["labels"][JOB_LABEL] != job.id:
        path = f"{job.path}/executions/{identifier}"
        raise ApiError(404, f'execution "{path}" not found', "NOT_FOUND", "notFound")
    return found


def get_task(world: World, call: Call) -> Json:
    """Show a task."""
    execution, identifier = _find_execution(world, call), segments(call)["tasks"]
    for found in tasks_of(world, execution.name):
        if found.name.id == identifier:
            return render_task(found)
    path = f"{_name(world, call).path}/executions/{execution.name.id}/tasks/{identifier}"
    raise ApiError(404, f'task "{path}" not found', "NOT_FOUND", "notFound")


def list_tasks(world: World, call: Call) -> Iterable[Json]:
    """List the tasks of an execution that were started, by their numbers; ``-`` is all executions."""
    if segments(call)["executions"] == "-":
        found = world.all(TASKS, under_place(world, call))
    else:
        found = tasks_of(world, _find_execution(world, call).name)
    return map(render_task, sorted(found, key=lambda each: each.body["status"]["index"]))


def guarded(world: World, call: Call) -> ResourceName:
    """Name the policy of a job."""
    name = _name(world, call)
    if not call.method.endswith("testIamPermissions"):
        _find(world, call)
    return policy_name(name)


_KEPT = timedelta(days=30)
"""How long Google shows when a deleted resource will be gone for good (unverified)."""

_JOBS = "v2.projects.locations.jobs."
_EXECUTIONS = f"{_JOBS}executions."

METHODS: Mapping[str, Method] = {
    f"{_JOBS}create": Write(_speaks_v2(create), "run.jobs.create"),
    f"{_JOBS}patch": Write(_speaks_v2(patch), "run.jobs.update"),
    f"{_JOBS}delete": Write(delete, "run.jobs.delete"),
    f"{_JOBS}run": Write(_speaks_v2(run), "run.jobs.run"),
    f"{_JOBS}get": Read(get, "run.jobs.get"),
    f"{_JOBS}list": List(list_, "jobs", permission="run.jobs.list"),
    f"{_EXECUTIONS}get": Read(get_execution, "run.executions.get"),
    f"{_EXECUTIONS}list": List(list_executions, "executions", permission="run.executions.list"),
    f"{_EXECUTIONS}delete": Write(delete_execution, "run.executions.delete"),
    f"{_EXECUTIONS}cancel": Write(cancel_execution, "run.executions.cancel"),
    f"{_EXECUTIONS}tasks.get": Read(get_task, "run.tasks.get"),
    f"{_EXECUTIONS}tasks.list": List(list_tasks, "tasks", permission="run.tasks.list"),
    **iam_methods(_JOBS, guarded, "run.jobs", without_public=True),
}
"""The v2 methods about jobs."""
