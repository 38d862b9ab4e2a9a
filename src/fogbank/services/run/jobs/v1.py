"""The methods of jobs in Cloud Run's v1 API, which gcloud speaks: jobs, executions and tasks.

They are called on a region's own host. Executions and tasks of all jobs stand beside one another; labels say
whose they are.
"""

from collections.abc import Mapping

from fogbank.resources.names import ResourceName
from fogbank.resources.run_jobs import (
    EXECUTIONS,
    JOB_LABEL,
    JOBS,
    TASKS,
    execution_name,
    executions_of,
    job_name,
    task_name,
)
from fogbank.resources.world import Json, Resource, World
from fogbank.services.access import iam_methods
from fogbank.services.contract import Call, Decision, Method, Read, Write
from fogbank.services.run.jobs import changes, completion
from fogbank.services.run.jobs.objects import API_VERSION
from fogbank.services.run.lists import listing
from fogbank.services.run.naming import policy_name
from fogbank.services.run.services import (
    check_body,
    check_version,
    deleted,
    is_dry_run,
    missing,
)
from fogbank.services.segments import location_of, project_of, segments


def create(world: World, call: Call) -> Decision:
    """Make a job."""
    trial, project = is_dry_run(call), project_of(world, call)
    metadata = check_body(world, call.body, project)
    name = job_name(project, location_of(call), metadata.get("name", ""))
    return _decision(changes.create(world, call, name, metadata, call.body.get("spec") or {}), trial=trial)


def replace_job(world: World, call: Call) -> Decision:
    """Replace a job, unless it has changed since the client read it."""
    trial, found = is_dry_run(call), find(world, call)
    metadata = check_body(world, call.body, found.name.project, found.name.id)
    check_version(found, metadata)
    return _decision(changes.update(world, call, found, metadata, call.body.get("spec") or {}), trial=trial)


def _decision(written: changes.Written, *, trial: bool) -> Decision:
    job = written.resource
    if trial or not written.changes or changes.is_settled(job.body):
        return Decision(() if trial else written.changes, answer=job.body)
    return Decision(written.changes, answer=job.body, settles=job.name)


def run(world: World, call: Call) -> Decision:
    """Begin an execution of a job, and show it."""
    begun = changes.execute(world, call, find(world, call), call.body.get("overrides") or {})
    return Decision(begun.changes, answer=begun.resource.body)


def delete(world: World, call: Call) -> Decision:
    """Delete a job with its executions."""
    trial, name = is_dry_run(call), find(world, call).name
    ended = [
        change
        for each in (name, *(execution.name for execution in executions_of(world, name)))
        for change in completion.abandoned(world, each, call.now)
    ]
    gone = (*ended, *changes.delete(world, name))
    return Decision(() if trial else gone, answer=deleted(name, "jobs", API_VERSION))


def find(world: World, call: Call) -> Resource:
    """Find the job that the call's path names; Google's 404 otherwise."""
    return _found(world, job_name(*_place(world, call), segments(call)["jobs"]), "JOB")


def _place(world: World, call: Call) -> tuple[str, str]:
    return project_of(world, call), location_of(call)


def _found(world: World, name: ResourceName, kind: str) -> Resource:
    found = world.find(name)
    if found is None:
        raise missing(kind, name.id, name.region or "", name.project)
    return found


def get(world: World, call: Call) -> Json:
    """Show a job."""
    return find(world, call).body


def find_execution(world: World, call: Call) -> Resource:
    """Find the execution that the call's path names; Google's 404 otherwise."""
    return _found(world, execution_name(*_place(world, call), segments(call)["executions"]), "EXECUTION")


def get_execution(world: World, call: Call) -> Json:
    """Show an execution."""
    return find_execution(world, call).body


def cancel_execution(world: World, call: Call) -> Decision:
    """Have an execution end."""
    written = changes.cancel(call, find_execution(world, call))
    return Decision(written.changes, answer=written.resource.body)


def delete_execution(world: World, call: Call) -> Decision:
    """Delete an execution; its tasks are ended."""
    trial, found = is_dry_run(call), find_execution(world, call)
    job = job_name(*_place(world, call), found.body["metadata"]["labels"][JOB_LABEL])
    ended = completion.abandoned(world, found.name, call.now)
    gone = (*ended, *changes.delete_execution(world, call, found, job))
    return Decision(() if trial else gone, answer=deleted(found.name, "executions", API_VERSION))


def get_task(world: World, call: Call) -> Json:
    """Show a task."""
    project, location = _place(world, call)
    execution, _, index = segments(call)["tasks"].rpartition("-task")
    name = execution_name(project, location, execution)
    number = int(index) if index.isascii() and index.isdigit() else -1
    return _found(world, task_name(name, number), "TASK").body


def guarded(world: World, call: Call) -> ResourceName:
    """Name the policy of a job; permissions may be tested before it exists."""
    name = job_name(*_place(world, call), segments(call)["jobs"])
    if not call.method.endswith("testIamPermissions"):
        find(world, call)
    return policy_name(name)


_JOBS, _EXECUTIONS, _TASKS = (f"v1.namespaces.{each}." for each in ("jobs", "executions", "tasks"))

METHODS: Mapping[str, Method] = {
    f"{_JOBS}create": Write(create, "run.jobs.create"),
    f"{_JOBS}get": Read(get, "run.jobs.get"),
    f"{_JOBS}list": listing(JOBS, "Job", "run.jobs.list", version=API_VERSION),
    f"{_JOBS}replaceJob": Write(replace_job, "run.jobs.update"),
    f"{_JOBS}delete": Write(delete, "run.jobs.delete"),
    f"{_JOBS}run": Write(run, "run.jobs.run"),
    f"{_EXECUTIONS}get": Read(get_execution, "run.executions.get"),
    f"{_EXECUTIONS}list": listing(EXECUTIONS, "Execution", "run.executions.list", version=API_VERSION),
    f"{_EXECUTIONS}delete": Write(delete_execution, "run.executions.delete"),
    f"{_EXECUTIONS}cancel": Write(cancel_execution, "run.executions.cancel"),
    f"{_TASKS}get": Read(get_task, "run.tasks.get"),
    f"{_TASKS}list": listing(TASKS, "Task", "run.tasks.list", version=API_VERSION),
    **iam_methods("v1.projects.locations.jobs.", guarded, "run.jobs", without_public=True),
}
"""The v1 methods about jobs."""
