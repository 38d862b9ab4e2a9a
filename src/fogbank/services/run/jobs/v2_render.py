"""Jobs, executions and tasks as the v2 API shows them."""

from fogbank.resources.names import ResourceName
from fogbank.resources.run_containers import SECRET_ALIASES
from fogbank.resources.run_jobs import EXECUTION_LABEL, JOB_LABEL, is_over, job_name
from fogbank.resources.world import Json, Resource
from fogbank.services.run.jobs import words
from fogbank.services.run.jobs.objects import CREATOR, MODIFIER
from fogbank.services.run.objects import find_condition, without_empty
from fogbank.services.run.v2.render import etag_of, render_condition, render_container, render_placed
from fogbank.services.run.v2.volumes import Aliases, render_volume
from fogbank.services.run.v2.words import own_words, render_words

JOB_TYPE = "google.cloud.run.v2.Job"
EXECUTION_TYPE = "google.cloud.run.v2.Execution"

_COUNTS = ("runningCount", "succeededCount", "failedCount", "cancelledCount", "retriedCount")
_ATTEMPT = ("exitCode", "termSignal", "status")


def job_message(job: Resource) -> Json:
    """Render a job as the message in an operation."""
    return {"@type": f"type.googleapis.com/{JOB_TYPE}", **render_job(job)}


def execution_message(execution: Resource) -> Json:
    """Render an execution as the message in an operation."""
    return {"@type": f"type.googleapis.com/{EXECUTION_TYPE}", **render_execution(execution)}


def render_job(job: Resource) -> Json:
    """Render a job."""
    body = job.body
    metadata, status, annotations = body["metadata"], body["status"], body["metadata"]["annotations"]
    ready = find_condition(body) or {}
    fields = _common(job) | {
        "updateTime": job.private.get("updated", metadata["creationTimestamp"]),
        "launchStage": "GA",
        **render_words(words.JOB, annotations),
        "template": _render_template(body["spec"]["template"], job.name),
        "terminalCondition": render_condition(ready),
        "executionCount": status.get("executionCount"),
        "latestCreatedExecution": _render_reference(job.name, status.get("latestCreatedExecution")),
        "reconciling": ready.get("status") == "Unknown" or None,
        **{key: body["spec"].get(key) for key in ("startExecutionToken", "runExecutionToken")},
    }
    return without_empty(fields)


def render_pending(job: Resource) -> Json:
    """Render a job that was just written, before anything of it is done."""
    shown = render_job(job)
    terminal = {"type": "Ready", "state": "CONDITION_PENDING"}
    return shown | {"reconciling": True, "terminalCondition": shown["terminalCondition"] | terminal}


def _common(resource: Resource) -> Json:
    metadata = resource.body["metadata"]
    annotations = metadata["annotations"]
    return {
        "name": resource.name.path,
        "uid": metadata["uid"],
        "generation": str(metadata["generation"]),
        "observedGeneration": str(resource.body["status"]["observedGeneration"]),
        "labels": own_words(metadata["labels"]),
        "annotations": own_words(annotations),
        "createTime": metadata["creationTimestamp"],
        "creator": annotations.get(CREATOR),
        "lastModifier": annotations.get(MODIFIER),
        "etag": etag_of(metadata),
    }


def _render_reference(job: ResourceName, reference: Json | None) -> Json | None:
    if not reference:
        return None
    return without_empty(
        {
            "name": f"{job.path}/executions/{reference['name']}",
            "createTime": reference["creationTimestamp"],
            "completionTime": reference.get("completionTimestamp"),
            "deleteTime": reference.get("deletionTimestamp"),
            "completionStatus": reference.get("completionStatus"),
        }
    )


def _render_template(template: Json, place: ResourceName) -> Json:
    metadata, spec = template["metadata"], template["spec"]
    annotations = metadata.get("annotations", {})
    return without_empty(
        {
            "labels": own_words(metadata.get("labels", {})),
            "annotations": own_words(annotations),
            **render_words(words.EXECUTION, annotations),
            "parallelism": spec.get("parallelism"),
            "taskCount": spec["taskCount"],
            "template": _render_task_template(spec["template"]["spec"], annotations, place),
        }
    )


def _render_task_template(task: Json, annotations: Json, place: ResourceName) -> Json:
    aliases = Aliases(annotations.get(SECRET_ALIASES, ""))
    return {"executionEnvironment": "EXECUTION_ENVIRONMENT_GEN2"} | without_empty(
        {
            **render_placed(words.TASK, annotations, place),
            "containers": [render_container(each, {}, aliases) for each in task["containers"]],
            "volumes": [render_volume(each, aliases) for each in task.get("volumes", ())],
            "timeout": f"{task['timeoutSeconds']}s",
            "serviceAccount": task["serviceAccountName"],
            "maxRetries": task["maxRetries"],
        }
    )


def _parent(resource: Resource) -> ResourceName:
    name = resource.name
    return job_name(name.project, name.region or "", resource.body["metadata"]["labels"][JOB_LABEL])


def render_execution(execution: Resource) -> Json:
    """Render an execution."""
    body, job = execution.body, _parent(execution)
    metadata, spec, status = body["metadata"], body["spec"], body["status"]
    annotations = metadata["annotations"]
    fields = _common(execution) | {
        "name": f"{job.path}/executions/{execution.name.id}",
        "job": job.id,
        "updateTime": max(each["lastTransitionTime"] for each in status["conditions"]),
        "launchStage": "GA",
        **render_words(words.EXECUTION, annotations),
        "parallelism": spec["parallelism"],
        "taskCount": spec["taskCount"],
        "template": _render_task_template(spec["template"]["spec"], annotations, execution.name),
        "conditions": [render_condition(each) for each in status["conditions"]],
        "startTime": status.get("startTime"),
        "completionTime": status.get("completionTime"),
        **{key: status.get(key) for key in _COUNTS},
        "logUri": status["logUri"],
        "reconciling": not is_over(body) or None,
    }
    fields.pop("lastModifier")
    return without_empty(fields)


def render_task(task: Resource) -> Json:
    """Render a task."""
    body, job = task.body, _parent(task)
    metadata, status = body["metadata"], body["status"]
    execution = metadata["labels"][EXECUTION_LABEL]
    result = status.get("lastAttemptResult")
    fields = _common(task) | {
        "name": f"{job.path}/executions/{execution}/tasks/{task.name.id}",
        "job": job.id,
        "execution": execution,
        "updateTime": max(each["lastTransitionTime"] for each in status["conditions"]),
        **_render_task_template(body["spec"], metadata["annotations"], task.name),
        "index": status["index"],
        "retried": status.get("retried"),
        "conditions": [render_condition(each) for each in status["conditions"]],
        "scheduledTime": status["startTime"],
        "startTime": status["startTime"],
        "completionTime": status.get("completionTime"),
        "lastAttemptResult": {key: result[key] for key in _ATTEMPT if key in result} if result else None,
        "logUri": status["logUri"],
        "reconciling": "completionTime" not in status or None,
    }
    return without_empty({key: fields[key] for key in fields if key not in {"creator", "lastModifier"}})
