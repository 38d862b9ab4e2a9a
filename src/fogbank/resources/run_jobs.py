"""Cloud Run's jobs, executions and tasks, read from their stored Knative JSON into real types.

A job is a template; an execution is one run of it, with the template as it was then; a task is the work of
one container in it. A task's resource exists from its first start on. The surprising fact: an execution does
not run the image that its job names, but the digest that the name stood for when it began.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from fogbank.resources.direct_vpc import DirectVpc, read_direct_vpc
from fogbank.resources.indexes import Index
from fogbank.resources.names import ResourceName
from fogbank.resources.quantities import cpu_millis, memory_bytes
from fogbank.resources.run import CONNECTOR, Egress, connector_name, read_egress
from fogbank.resources.run_containers import (
    ContainerProbe,
    RunContainer,
    RunVolume,
    read_containers,
    read_probe,
    read_volumes,
)
from fogbank.resources.world import Json, Resource, World

JOBS = "run.jobs"
EXECUTIONS = "run.executions"
TASKS = "run.tasks"

JOB_LABEL = "run.googleapis.com/job"
EXECUTION_LABEL = "run.googleapis.com/execution"
STATE_LABEL = "run.googleapis.com/runningState"

MAX_PARALLELISM = 100
"""How many tasks of one execution run at a time when it does not say (behaviour/cloud-run-jobs.md#tasks)."""


class TaskState(Enum):
    """Where a task stands, in the words of its label."""

    RUNNING = "Running"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    CANCELLED = "Cancelled"


@dataclass(frozen=True, slots=True)
class Execution:
    """What an execution runs: ``tasks`` containers, at most ``parallelism`` at a time.

    ``digest`` is the pullable ``repository@sha256:…``, None until it is resolved. Empty ``command`` or
    ``args`` take the image's. ``timeout`` is in seconds, for each attempt of a task. A cancelled one may
    still have tasks that end; one that is ``over`` has none.
    """

    name: ResourceName
    job: ResourceName
    image: str
    digest: str | None
    command: tuple[str, ...]
    args: tuple[str, ...]
    cpu_millis: int
    memory_bytes: int
    service_account: str
    connector: ResourceName | None
    egress: Egress
    direct_vpc: DirectVpc | None
    tasks: int
    parallelism: int
    max_retries: int
    timeout: int
    startup_probe: ContainerProbe | None
    containers: tuple[RunContainer, ...]
    volumes: tuple[RunVolume, ...]
    cancelled: bool
    over: bool

    @property
    def region(self) -> str:
        return self.name.region or ""

    def task(self, index: int) -> ResourceName:
        """Name a task."""
        return task_name(self.name, index)


@dataclass(frozen=True, slots=True)
class Task:
    """A task that was started: ``attempt`` counts from 0."""

    name: ResourceName
    index: int
    attempt: int
    state: TaskState


def job_name(project: str, location: str, identifier: str) -> ResourceName:
    """Name a job."""
    return ResourceName(JOBS, f"projects/{project}/locations/{location}/jobs/{identifier}")


def execution_name(project: str, location: str, identifier: str) -> ResourceName:
    """Name an execution, of whichever job: v1 has them all beside one another."""
    return ResourceName(EXECUTIONS, f"projects/{project}/locations/{location}/executions/{identifier}")


def task_name(execution: ResourceName, index: int) -> ResourceName:
    """Name a task of an execution."""
    where = f"projects/{execution.project}/locations/{execution.region}"
    return ResourceName(TASKS, f"{where}/tasks/{execution.id}-task{index}")


def read_execution(resource: Resource) -> Execution:
    """Read a stored execution."""
    metadata, spec, name = resource.body["metadata"], resource.body["spec"], resource.name
    annotations = metadata.get("annotations", {})
    task, container = spec["template"]["spec"], spec["template"]["spec"]["containers"][0]
    limits, connector = container["resources"]["limits"], annotations.get(CONNECTOR)
    region = name.region or ""
    return Execution(
        name=name,
        job=job_name(name.project, region, metadata["labels"][JOB_LABEL]),
        image=container["image"],
        digest=resource.private.get("digest"),
        command=tuple(container.get("command", ())),
        args=tuple(container.get("args", ())),
        cpu_millis=cpu_millis(limits["cpu"]),
        memory_bytes=memory_bytes(limits["memory"]),
        service_account=task["serviceAccountName"],
        connector=connector_name(connector, name.project, region) if connector else None,
        egress=read_egress(annotations),
        direct_vpc=read_direct_vpc(annotations, name.project, region),
        tasks=int(spec["taskCount"]),
        parallelism=min(int(spec["parallelism"]), int(spec["taskCount"])),
        max_retries=int(task["maxRetries"]),
        timeout=int(task["timeoutSeconds"]),
        startup_probe=read_probe(container, "startupProbe"),
        containers=read_containers(task, annotations),
        volumes=read_volumes(task, annotations),
        cancelled=bool(resource.private.get("cancelled")),
        over=is_over(resource.body),
    )


def is_over(execution: Json) -> bool:
    """Return whether an execution has ended, well or not."""
    return "completionTime" in execution["status"]


def read_task(resource: Resource) -> Task:
    """Read a stored task."""
    status = resource.body["status"]
    return Task(
        resource.name,
        int(status["index"]),
        int(status.get("retried", 0)),
        TaskState(resource.body["metadata"]["labels"][STATE_LABEL]),
    )


def executions_of(world: World, job: ResourceName) -> Iterator[Resource]:
    """List the executions of ``job`` as they are stored, by name."""
    return world.by(_BY_JOB, job.path)


def tasks_of(world: World, execution: ResourceName) -> Iterator[Resource]:
    """List the tasks of ``execution`` that were started, as they are stored, by name."""
    return world.by(_BY_EXECUTION, execution.path)


def unfinished_executions(world: World) -> Iterator[Resource]:
    """List the executions that are not over."""
    return world.by(_UNFINISHED, True)


def _job_of(execution: Resource) -> tuple[str, ...]:
    job = execution.body["metadata"]["labels"][JOB_LABEL]
    return (job_name(execution.name.project, execution.name.region or "", job).path,)


def _execution_of(task: Resource) -> tuple[str, ...]:
    name = task.name
    execution = task.body["metadata"]["labels"][EXECUTION_LABEL]
    return (execution_name(name.project, name.region or "", execution).path,)


def _unfinished(execution: Resource) -> tuple[bool, ...]:
    return () if is_over(execution.body) else (True,)


_BY_JOB = Index(EXECUTIONS, _job_of)
_BY_EXECUTION = Index(TASKS, _execution_of)
_UNFINISHED = Index(EXECUTIONS, _unfinished)
