"""A v2 job as a client writes it, turned into the v1 object that is kept.

A field that this region cannot honour is refused by name, here or by the checks that both APIs share.
"""

from typing import Any

from fogbank.resources.world import Json
from fogbank.services.run.jobs import words
from fogbank.services.run.objects import without_empty
from fogbank.services.run.v2.parse import (
    parse_container,
    parse_seconds,
    refuse_others,
    without_defaults,
)
from fogbank.services.run.v2.volumes import Aliases, parse_variable, parse_volume
from fogbank.services.run.v2.words import parse_words, refuse_system_words

_OUTPUT = frozenset(
    {
        "name", "uid", "generation", "observedGeneration", "createTime", "updateTime", "deleteTime",
        "expireTime", "creator", "lastModifier", "terminalCondition", "conditions", "reconciling", "etag",
        "executionCount", "latestCreatedExecution", "satisfiesPzs",
    }
)  # fmt: skip
WRITABLE = frozenset(
    {
        "labels", "annotations", "client", "clientVersion", "launchStage", "template",
        "startExecutionToken", "runExecutionToken", "binaryAuthorization",
    }
)  # fmt: skip
_TEMPLATE = frozenset(
    {"labels", "annotations", "client", "clientVersion", "parallelism", "taskCount", "template"}
)
_TASK = frozenset(
    {
        "containers", "volumes", "maxRetries", "timeout", "serviceAccount", "executionEnvironment",
        "encryptionKey", "vpcAccess",
    }
)  # fmt: skip


def parse_job(body: Json) -> tuple[Json, Json]:
    """Read a job; return the metadata and the spec of the v1 object."""
    refuse_others(body, WRITABLE | _OUTPUT, "", "jobs")
    template: Json = body.get("template") or {}
    refuse_others(template, _TEMPLATE, "template.", "jobs")
    task: Json = template.get("template") or {}
    refuse_others(task, _TASK, "template.template.", "jobs")
    own, written = _texts(body), _texts(template)
    aliases = Aliases()
    parsed = _parse_task(task, aliases)
    found = parse_words(words.EXECUTION, template) | parse_words(words.TASK, task) | aliases.annotations()
    spec = {
        "parallelism": template.get("parallelism"),
        "taskCount": template.get("taskCount") or None,
        "template": {"spec": parsed},
    }
    tokens = {key: body.get(key) for key in ("startExecutionToken", "runExecutionToken")}
    metadata = {
        "labels": own["labels"],
        "annotations": own["annotations"] | parse_words(words.JOB, without_defaults(body)),
    }
    return metadata, without_empty(tokens) | {
        "template": {
            "metadata": written | {"annotations": written["annotations"] | found},
            "spec": without_empty(spec),
        }
    }


def _texts(fields: Json) -> Json:
    labels, annotations = fields.get("labels") or {}, fields.get("annotations") or {}
    refuse_system_words(labels, "Label")
    refuse_system_words(annotations, "Annotation")
    return {"labels": labels, "annotations": annotations}


def _parse_task(task: Json, aliases: Aliases) -> Json:
    return without_empty(
        {
            "containers": [parse_container(each, aliases) for each in task.get("containers") or ()],
            "volumes": [parse_volume(each, aliases) for each in task.get("volumes") or ()],
            "maxRetries": task.get("maxRetries"),
            "timeoutSeconds": parse_seconds(task.get("timeout")),
            "serviceAccountName": task.get("serviceAccount"),
        }
    )


def parse_overrides(overrides: Json) -> Json:
    """Read what is overridden for one execution, as v1 has it."""
    containers: list[Any] = [
        each | ({"env": [parse_variable(v, Aliases()) for v in each["env"]]} if each.get("env") else {})
        for each in overrides.get("containerOverrides") or ()
    ]
    return without_empty(
        {
            "containerOverrides": containers,
            "taskCount": overrides.get("taskCount"),
            "timeoutSeconds": parse_seconds(overrides.get("timeout")),
        }
    )
