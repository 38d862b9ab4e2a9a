"""A v2 service as a client writes it, turned into the Knative object that is kept.

A field that this region cannot honour is refused by name, here or by the checks that both APIs share.
"""

import json

from fogbank.errors import not_built
from fogbank.resources.run_containers import DEPENDENCIES
from fogbank.resources.world import Json
from fogbank.services.run.objects import bad_request, without_empty
from fogbank.services.run.v2 import words
from fogbank.services.run.v2.render import LATEST
from fogbank.services.run.v2.volumes import Aliases, parse_variable, parse_volume

_OUTPUT = frozenset(
    {
        "name", "uid", "generation", "observedGeneration", "createTime", "updateTime", "deleteTime",
        "expireTime", "creator", "lastModifier", "trafficStatuses", "latestCreatedRevision",
        "latestReadyRevision", "uri", "urls", "terminalCondition", "conditions", "reconciling", "etag",
        "satisfiesPzs", "threatDetectionEnabled",
    }
)  # fmt: skip
WRITABLE = frozenset(
    {
        "description", "labels", "annotations", "client", "clientVersion", "ingress", "launchStage",
        "template", "traffic", "scaling", "invokerIamDisabled", "defaultUriDisabled", "customAudiences",
        "binaryAuthorization",
    }
)  # fmt: skip
_TEMPLATE = frozenset(
    {
        "revision", "labels", "annotations", "scaling", "vpcAccess", "timeout", "serviceAccount",
        "containers", "volumes", "executionEnvironment", "encryptionKey", "maxInstanceRequestConcurrency",
        "sessionAffinity", "healthCheckDisabled", "client", "clientVersion",
    }
)  # fmt: skip
_CONTAINER = frozenset(
    {
        "name", "image", "command", "args", "env", "resources", "ports", "volumeMounts", "workingDir",
        "livenessProbe", "startupProbe", "readinessProbe", "dependsOn",
    }
)  # fmt: skip


def parse_service(body: Json) -> tuple[Json, Json]:
    """Read a service; return the metadata and the spec of the Knative object."""
    refuse_others(body, WRITABLE | _OUTPUT, "")
    labels, annotations = body.get("labels") or {}, body.get("annotations") or {}
    words.refuse_system_words(labels, "Label")
    words.refuse_system_words(annotations, "Annotation")
    metadata = {
        "labels": labels,
        "annotations": annotations | words.parse_words(words.SERVICE, without_defaults(body)),
    }
    spec = {
        "template": _template(body.get("template") or {}),
        "traffic": [_target(t) for t in body.get("traffic") or ()],
    }
    return metadata, spec


def without_defaults(body: Json) -> Json:
    """Leave out what goes without saying: the launch stage GA, and not to use a policy."""
    said = {key: value for key, value in body.items() if (key, value) != ("launchStage", "GA")}
    authorization = {key: value for key, value in (body.get("binaryAuthorization") or {}).items() if value}
    return {**said, "binaryAuthorization": authorization}


def without_tags(body: Json) -> Json:
    """Leave out the tags, which only a creation may name (behaviour/tags.md#bindings)."""
    return {key: value for key, value in body.items() if key != "tags"}


def refuse_others(fields: Json, known: frozenset[str], where: str, kind: str = "services") -> None:
    """Refuse by name the fields that are not ``known``; one that is false or empty asks for nothing."""
    for key in without_empty(fields).keys() - known:
        if fields[key] is not False:
            raise not_built(f"the field {where}{key} of Cloud Run {kind}")


def _template(template: Json) -> Json:
    refuse_others(template, _TEMPLATE, "template.")
    labels, annotations = template.get("labels") or {}, template.get("annotations") or {}
    words.refuse_system_words(labels, "Label")
    words.refuse_system_words(annotations, "Annotation")
    containers = template.get("containers") or []
    resources = _resources(_answering(containers)) if containers else {}
    aliases, waiting = Aliases(), _dependencies(containers)
    found = words.parse_words(words.TEMPLATE, template) | words.parse_words(words.CONTAINER, resources)
    spec = {
        "containerConcurrency": template.get("maxInstanceRequestConcurrency"),
        "timeoutSeconds": parse_seconds(template.get("timeout")),
        "serviceAccountName": template.get("serviceAccount"),
        "containers": [parse_container(c, aliases) for c in containers],
        "volumes": [parse_volume(each, aliases) for each in template.get("volumes") or ()],
    }
    found |= waiting | aliases.annotations()
    return {
        "metadata": without_empty(
            {"name": template.get("revision"), "labels": labels, "annotations": annotations | found}
        ),
        "spec": without_empty(spec),
    }


def _answering(containers: list[Json]) -> Json:
    """Return the container that answers requests: v1 keeps what its resources say for the whole instance."""
    return next((each for each in containers if each.get("ports")), containers[0])


def _dependencies(containers: list[Json]) -> dict[str, str]:
    """Write which containers start after which others as v1 does."""
    waiting = {each.get("name", ""): each["dependsOn"] for each in containers if each.get("dependsOn")}
    return {DEPENDENCIES: json.dumps(waiting, separators=(",", ":"))} if waiting else {}


def _resources(container: Json) -> Json:
    """Read a container's resources: CPU is idle between requests, unless they are given without saying so.

    https://cloud.google.com/run/docs/reference/rest/v2/Container#ResourceRequirements
    """
    given = without_empty(container.get("resources") or {})
    return {"cpuIdle": False, **given} if given else {}


def parse_seconds(duration: str | None) -> int | None:
    """Read a duration as Google's JSON has it: ``300s``."""
    if not duration:
        return None
    number = duration.removesuffix("s")
    try:
        return int(float(number))
    except ValueError:
        raise bad_request(f"'{duration}' is not a duration such as 300s.") from None


def parse_container(container: Json, aliases: Aliases) -> Json:
    """Read a container; ``aliases`` takes the secrets of other projects that it names."""
    refuse_others(container, _CONTAINER, "template.containers.")
    limits = (container.get("resources") or {}).get("limits")
    variables = [parse_variable(v, aliases) for v in container.get("env") or ()]
    same = _CONTAINER - {"env", "resources", "dependsOn"}
    return without_empty(
        {key: container.get(key) for key in same}
        | {"env": variables, "resources": {"limits": limits} if limits else None}
    )


def _target(target: Json) -> Json:
    latest = target.get("type") == LATEST or not target.get("revision")
    return without_empty(
        {
            "latestRevision": True if latest else None,
            "revisionName": None if latest else target["revision"].rpartition("/")[2],
            "percent": target.get("percent"),
            "tag": target.get("tag"),
        }
    )
