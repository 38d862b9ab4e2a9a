"""The objects of jobs as v1 shows them: how the JSON of a job, an execution and a task is put together."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from hashlib import blake2b

from fogbank.resources.names import ResourceName
from fogbank.resources.operations import rfc3339
from fogbank.resources.run_jobs import EXECUTION_LABEL, JOB_LABEL, STATE_LABEL, TaskState
from fogbank.resources.world import Json, Resource
from fogbank.services.run.objects import LOCATION, OPERATION_ID, condition, operation_id, uid, version_mark

API_VERSION = "run.googleapis.com/v1"
CREATOR = "run.googleapis.com/creator"
MODIFIER = "run.googleapis.com/lastModifier"
UPDATED = "run.googleapis.com/lastUpdatedTime"
ENVIRONMENT = "run.googleapis.com/execution-environment"

CONDITIONS = ("Completed", "ResourcesAvailable", "Started", "ContainerReady")
"""The conditions of an execution, in the order in which answers show them (observed)."""

_SUFFIX = "bcdfghjklmnpqrstvwxz2456789"
_JOB_LABELS = ("jobGeneration", "jobResourceVersion", "jobUid")


def suffix(number: int) -> str:
    """Make the five characters at the end of an execution's name (observed: neither vowels nor 0, 1, 3)."""
    value = int.from_bytes(blake2b(number.to_bytes(16, "big"), digest_size=8).digest(), "big")
    return "".join(_SUFFIX[value // len(_SUFFIX) ** place % len(_SUFFIX)] for place in range(5))


def self_link(namespace: str, kind: str, identifier: str) -> str:
    """Return the path under which v1 shows an object."""
    return f"/apis/{API_VERSION}/namespaces/{namespace}/{kind}/{identifier}"


def _metadata(kind: str, name: ResourceName, namespace: str, number: int, now: datetime) -> Json:
    return {
        "name": name.id,
        "namespace": namespace,
        "selfLink": self_link(namespace, kind, name.id),
        "uid": uid(number),
        "resourceVersion": version_mark(number),
        "generation": 1,
        "creationTimestamp": rfc3339(now),
    }


def new_job(
    name: ResourceName, namespace: str, metadata: Json, *, principal: str, number: int, now: datetime
) -> Json:
    """Put a new job together, without its spec; ``metadata`` is what the client wrote."""
    labels: Json = metadata.get("labels") or {}
    annotations: Json = metadata.get("annotations") or {}
    return {
        "apiVersion": API_VERSION,
        "kind": "Job",
        "metadata": _metadata("jobs", name, namespace, number, now)
        | {
            "labels": labels | {LOCATION: name.region, UPDATED: rfc3339(now)},
            "annotations": annotations | {CREATOR: principal, **written_by(principal, number)},
        },
    }


def written_by(principal: str, number: int) -> Json:
    """Make the annotations that tell who wrote an object, by the change of a number that is used once."""
    return {MODIFIER: principal, OPERATION_ID: operation_id(number)}


def new_execution(
    name: ResourceName, job: Resource, spec: Json, *, principal: str, number: int, now: datetime
) -> Json:
    """Put an execution of ``job`` together; ``spec`` is the job's, with what was overridden."""
    owner = job.body["metadata"]
    written: Json = job.body["spec"]["template"].get("metadata") or {}
    about = (str(owner["generation"]), owner["resourceVersion"], owner["uid"])
    labels: Json = written.get("labels") or {}
    annotations: Json = {ENVIRONMENT: "gen2"} | (written.get("annotations") or {})
    return {
        "apiVersion": API_VERSION,
        "kind": "Execution",
        "metadata": _metadata("executions", name, owner["namespace"], number, now)
        | {
            "labels": labels
            | {LOCATION: name.region, JOB_LABEL: job.name.id}
            | {f"run.googleapis.com/{key}": value for key, value in zip(_JOB_LABELS, about, strict=True)},
            "annotations": annotations | {CREATOR: principal, **written_by(principal, number)},
            "ownerReferences": [_owner("Job", owner)],
        },
        "spec": spec,
        "status": {
            "observedGeneration": 1,
            "conditions": [condition(each, "Unknown", now) for each in CONDITIONS],
            "logUri": log_uri(name, job.name.id),
        },
    }


def new_task(name: ResourceName, execution: Resource, index: int, number: int, now: datetime) -> Json:
    """Put the task ``index`` of ``execution`` together, which starts for the first time."""
    owner = execution.body["metadata"]
    job = owner["labels"][JOB_LABEL]
    return {
        "apiVersion": API_VERSION,
        "kind": "Task",
        "metadata": _metadata("tasks", name, owner["namespace"], number, now)
        | {
            "labels": {
                LOCATION: name.region,
                JOB_LABEL: job,
                EXECUTION_LABEL: execution.name.id,
                STATE_LABEL: TaskState.RUNNING.value,
            },
            "annotations": {ENVIRONMENT: owner["annotations"][ENVIRONMENT]},
            "ownerReferences": [_owner("Execution", owner)],
        },
        "spec": execution.body["spec"]["template"]["spec"],
        "status": {
            "index": index,
            "observedGeneration": 1,
            "startTime": rfc3339(now),
            "conditions": [condition("Completed", "Unknown", now), condition("Started", "True", now)],
            "logUri": log_uri(execution.name, job),
        },
    }


def _owner(kind: str, owner: Json) -> Json:
    return {
        "apiVersion": API_VERSION,
        "kind": kind,
        "name": owner["name"],
        "uid": owner["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }


def log_uri(execution: ResourceName, job: str) -> str:
    """Return the address that Google's console has for an execution's logs."""
    chosen = (
        'resource.type="cloud_run_job"',
        f'resource.labels.job_name="{job}"',
        f'resource.labels.location="{execution.region}"',
        f'labels."run.googleapis.com/execution_name"="{execution.id}"',
    )
    query = "%0A".join(each.replace('"', "%22").replace("=", "%3D") for each in chosen)
    return f"https://console.cloud.google.com/logs/viewer?project={execution.project}&advancedFilter={query}"


def duration(took: timedelta) -> str:
    """Write how long something took, as conditions do (observed: ``2m45.46s``, ``1.09s``)."""
    hundredths = round(took.total_seconds() * 100)
    minutes, rest = divmod(max(hundredths, 0), 6000)
    hours, minutes = divmod(minutes, 60)
    seconds = f"{rest / 100:.2f}".rstrip("0").rstrip(".")
    return "".join(_parts(hours, minutes, seconds))


def _parts(hours: int, minutes: int, seconds: str) -> Iterator[str]:
    if hours:
        yield f"{hours}h"
    if hours or minutes:
        yield f"{minutes}m"
    yield f"{seconds}s"
