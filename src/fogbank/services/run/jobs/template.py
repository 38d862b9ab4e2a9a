"""A job's template: Google's defaults filled in, and everything refused that no task could keep.

What tasks share with revisions is checked where revisions are; refusals then name the fields of a job.
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace

from fogbank.errors import ApiError, not_built
from fogbank.resources.authorization import check_acts_as
from fogbank.resources.names import ResourceName
from fogbank.resources.run_containers import SECRET_ALIASES
from fogbank.resources.world import Json, World
from fogbank.services.contract import Call
from fogbank.services.labels import check_labels
from fogbank.services.run.containers import check_container, complete_resources, only_container
from fogbank.services.run.limits import check_all_limits
from fogbank.services.run.objects import bad_request, without_empty
from fogbank.services.run.probes import complete_probe, probe_in
from fogbank.services.run.secret_references import check_aliases
from fogbank.services.run.template import check_environment
from fogbank.services.run.volumes import check_mounts, check_volumes, complete_volumes

DEFAULT_RETRIES = 3
DEFAULT_TIMEOUT = 600
MOST_RETRIES = 10
MOST_TASKS = 10_000
MOST_SECONDS = 168 * 3600

RESERVED = frozenset(
    f"CLOUD_RUN_{each}" for each in ("JOB", "EXECUTION", "TASK_INDEX", "TASK_ATTEMPT", "TASK_COUNT")
)
"""What Cloud Run sets in the environment of a task (behaviour/cloud-run-jobs.md#tasks)."""

_TASK = "spec.template.spec.template.spec"
_FIELD_OF_REVISION = re.compile(r"spec\.template\.spec\b")


def complete(template: Json, account: str) -> Json:
    """Fill in the defaults of a job's template, ``account`` among them; nothing is checked.

    See behaviour/cloud-run-jobs.md#jobs.
    """
    metadata: Json = template.get("metadata") or {}
    spec: Json = template.get("spec") or {}
    task: Json = (spec.get("template") or {}).get("spec") or {}
    retries = task.get("maxRetries")
    return {
        "metadata": without_empty({key: metadata.get(key) for key in ("labels", "annotations")}),
        "spec": without_empty({key: spec.get(key) for key in ("parallelism", "delayExecution")})
        | {
            "taskCount": 1 if spec.get("taskCount") is None else spec["taskCount"],
            "template": {
                "spec": without_empty(task)
                | without_empty({"volumes": complete_volumes(task.get("volumes") or [])})
                | {
                    "containers": [_complete_container(each) for each in task.get("containers") or ()],
                    "maxRetries": DEFAULT_RETRIES if retries is None else retries,
                    "timeoutSeconds": str(task.get("timeoutSeconds") or DEFAULT_TIMEOUT),
                    "serviceAccountName": task.get("serviceAccountName") or account,
                }
            },
        },
    }


def _complete_container(container: Json) -> Json:
    port = ((container.get("ports") or [{}])[0]).get("containerPort") or 8080
    probe = probe_in(container, "startupProbe")
    return (
        without_empty(container)
        | {"resources": complete_resources(container)}
        | ({"startupProbe": complete_probe(probe, port, "startupProbe")} if probe else {})
    )


def check(world: World, call: Call, job: ResourceName, template: Json) -> None:
    """Refuse a completed template that could not become executions of ``job``."""
    with _fields_of_a_job():
        check_runnable(world, call, job, template)
        account = template["spec"]["template"]["spec"]["serviceAccountName"]
        check_acts_as(call.access, world, call.principal, account)


def check_runnable(world: World, call: Call, job: ResourceName, template: Json) -> None:
    """Refuse what could not run, whoever asks: an execution is checked again, with what was overridden."""
    check_labels(template["metadata"].get("labels", {}))
    spec, task = template["spec"], template["spec"]["template"]["spec"]
    with _fields_of_a_job():
        annotations = template["metadata"].get("annotations", {})
        check_environment(world, call, job, annotations, task)
        container, volumes = only_container(task["containers"]), task.get("volumes", [])
        if "livenessProbe" in container:
            raise bad_request("spec.template.spec.containers[0].livenessProbe: a job has no liveness probe.")
        check_container(container, "spec.template.spec.containers[0]", RESERVED)
        check_volumes(volumes)
        check_mounts([container], volumes)
        check_aliases(annotations.get(SECRET_ALIASES, ""))
        check_all_limits([container["resources"]["limits"]], concurrency=1)
    if spec.get("delayExecution"):
        raise not_built("delayed executions of Cloud Run (delayExecution)")
    _within("spec.template.spec.taskCount", spec["taskCount"], 1, MOST_TASKS)
    _within("spec.template.spec.parallelism", spec.get("parallelism", 0), 0, spec["taskCount"])
    _within(f"{_TASK}.maxRetries", task["maxRetries"], 0, MOST_RETRIES)
    _within(f"{_TASK}.timeoutSeconds", int(task["timeoutSeconds"]), 1, MOST_SECONDS)


def _within(field: str, value: int, least: int, most: int) -> None:
    if not least <= value <= most:
        raise bad_request(f"{field}: should be between {least} and {most} inclusive")


@contextmanager
def _fields_of_a_job() -> Iterator[None]:
    """Have refusals of what a revision has, too, name the fields of a job: its task's spec is deeper."""
    try:
        yield
    except ApiError as error:
        if _TASK in error.message:
            raise
        message = _FIELD_OF_REVISION.sub(_TASK, error.message)
        details = tuple(_deeper(detail) for detail in error.details)
        raise replace(error, message=message, details=details) from error


def _deeper(detail: Mapping[str, object]) -> Mapping[str, object]:
    violations = detail.get("fieldViolations")
    if not isinstance(violations, list):
        return detail
    named = [each | {"field": _FIELD_OF_REVISION.sub(_TASK, each["field"])} for each in violations]
    return {**detail, "fieldViolations": named}
