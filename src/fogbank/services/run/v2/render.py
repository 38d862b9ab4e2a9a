"""Services and revisions as the v2 API shows them."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from fogbank.resources import run, run_containers
from fogbank.resources.names import ResourceName
from fogbank.resources.run import read_service
from fogbank.resources.world import Json, Resource
from fogbank.services.run.objects import CREATOR, MODIFIER, find_condition, without_empty
from fogbank.services.run.v2 import words
from fogbank.services.run.v2.volumes import Aliases, render_mounts, render_variables, render_volume

SERVICE_TYPE = "google.cloud.run.v2.Service"
REVISION_TYPE = "google.cloud.run.v2.Revision"

_STATES = {"True": "CONDITION_SUCCEEDED", "False": "CONDITION_FAILED", "Unknown": "CONDITION_RECONCILING"}
_PARTS = ("RoutesReady", "ConfigurationsReady")
LATEST = "TRAFFIC_TARGET_ALLOCATION_TYPE_LATEST"
PINNED = "TRAFFIC_TARGET_ALLOCATION_TYPE_REVISION"


def service_message(service: Resource) -> Json:
    """Render a service as the message in an operation."""
    return {"@type": f"type.googleapis.com/{SERVICE_TYPE}", **render_service(service)}


def render_service(service: Resource) -> Json:
    """Render a service."""
    body, view = service.body, read_service(service)
    metadata, status = body["metadata"], body["status"]
    annotations = metadata["annotations"]
    conditions = [render_condition(found) for each in _PARTS if (found := find_condition(body, each))]
    fields = {
        "name": service.name.path,
        "uid": metadata["uid"],
        "generation": str(metadata["generation"]),
        "observedGeneration": str(status["observedGeneration"]),
        "labels": words.own_words(metadata["labels"]),
        "annotations": words.own_words(annotations),
        "createTime": metadata["creationTimestamp"],
        "updateTime": service.private.get("updated", metadata["creationTimestamp"]),
        "creator": annotations[CREATOR],
        "lastModifier": annotations[MODIFIER],
        "launchStage": "GA",
        **words.render_words(words.SERVICE, annotations),
        "template": render_template(body["spec"]["template"], service.name),
        "traffic": [render_target(t) for t in body["spec"]["traffic"]],
        "trafficStatuses": [render_target(t) for t in status.get("traffic", ())],
        "latestCreatedRevision": _revision_path(service.name, view.latest_created),
        "latestReadyRevision": _revision_path(service.name, view.latest_ready),
        "uri": view.url,
        "urls": list(view.urls),
        "terminalCondition": render_condition(find_condition(body) or {}),
        "conditions": conditions,
        "reconciling": run.ready_condition(body) is run.Readiness.UNKNOWN or None,
        "etag": etag_of(metadata),
    }
    return without_empty(fields)


def etag_of(metadata: Json) -> str:
    """Return the etag of a service or a revision: an entity tag with its quotation marks, as HTTP has it."""
    return f'"{metadata["resourceVersion"]}"'


def render_pending(service: Resource) -> Json:
    """Render a service that was just written, before anything of it is done."""
    shown = render_service(service)
    pending = {"state": "CONDITION_PENDING"}
    kept = ("type", "lastTransitionTime")
    conditions = [{key: one[key] for key in kept} | pending for one in shown["conditions"]]
    terminal = {key: shown["terminalCondition"][key] for key in kept} | pending
    return shown | {"reconciling": True, "terminalCondition": terminal, "conditions": conditions}


def _revision_path(service: ResourceName, identifier: str | None) -> str | None:
    return f"{service.path}/revisions/{identifier}" if identifier else None


def render_condition(one: Json) -> Json:
    """Render a condition."""
    if not one:
        return {}
    field, value = words.REASONS.get(one.get("reason", ""), ("reason", None))
    return without_empty(
        {
            "type": one["type"],
            "state": _STATES[one["status"]],
            "message": one.get("message"),
            "lastTransitionTime": one["lastTransitionTime"],
            field: value,
        }
    )


def render_target(target: Json) -> Json:
    """Render a traffic target or its status."""
    latest = target.get("latestRevision")
    return without_empty(
        {
            "type": LATEST if latest else PINNED,
            "revision": target.get("revisionName"),
            "percent": target.get("percent"),
            "tag": target.get("tag"),
            "uri": target.get("url"),
        }
    )


def render_template(template: Json, service: ResourceName) -> Json:
    """Render a revision's template."""
    metadata = template.get("metadata", {})
    return without_empty(
        {
            "revision": metadata.get("name"),
            "labels": words.own_words(metadata.get("labels", {})),
            **_render_content(metadata.get("annotations", {}), template["spec"], service),
        }
    )


def _render_content(annotations: Mapping[str, str], spec: Json, place: ResourceName) -> Json:
    """Render what a template and a revision have in common; what goes without saying is shown, too."""
    annotations = {**words.UNWRITTEN, **annotations}
    extra = words.render_words(words.CONTAINER, annotations)
    aliases = Aliases(annotations.get(run_containers.SECRET_ALIASES, ""))
    answering = run_containers.ingress_container(spec)
    return {
        "annotations": words.own_words(annotations),
        **render_placed(words.TEMPLATE, annotations, place),
        "timeout": f"{spec['timeoutSeconds']}s",
        "serviceAccount": spec["serviceAccountName"],
        "maxInstanceRequestConcurrency": spec["containerConcurrency"],
        "containers": [
            render_container(
                c, extra if c is answering else {}, aliases, run_containers.read_dependencies(annotations)
            )
            for c in spec["containers"]
        ],
        "volumes": [render_volume(each, aliases) for each in spec.get("volumes", ())],
    }


def render_placed(
    table: tuple[words.Word, ...], annotations: Mapping[str, str], place: ResourceName
) -> dict[str, Any]:
    """Make the fields of a template's annotations; a connector is named in full, as seen from ``place``."""
    fields = words.render_words(table, annotations)
    access = fields.get("vpcAccess", {})
    if "connector" in access:
        access["connector"] = run.connector_name(access["connector"], place.project, place.region or "").path
    return fields


_AS_IN_V1 = (
    "name",
    "image",
    "command",
    "args",
    "ports",
    "workingDir",
    "startupProbe",
    "livenessProbe",
    "readinessProbe",
)


def render_container(
    container: Json,
    extra: Mapping[str, Any],
    aliases: Aliases,
    waiting: Mapping[str, list[str]] = MappingProxyType({}),
) -> Json:
    """Render a container; ``extra`` are the fields of its resources that annotations stand for.

    ``waiting`` says by name which start after which others.
    """
    fields = {
        "resources": {"limits": container["resources"]["limits"], **{k: v for k, v in extra.items() if v}},
        "env": list(render_variables(container.get("env", ()), aliases)),
        "volumeMounts": render_mounts(container.get("volumeMounts", ())),
        "dependsOn": waiting.get(container.get("name", "")),
    }
    return without_empty({key: container.get(key) for key in _AS_IN_V1} | fields)


def render_revision(revision: Resource) -> Json:
    """Render a revision."""
    body, view = revision.body, run.read_revision(revision)
    metadata, status = body["metadata"], body["status"]
    annotations = metadata["annotations"]
    fields = {
        "name": f"{view.service.path}/revisions/{revision.name.id}",
        "uid": metadata["uid"],
        "generation": str(metadata["generation"]),
        "observedGeneration": str(status["observedGeneration"]),
        "labels": words.own_words(metadata["labels"]),
        "createTime": metadata["creationTimestamp"],
        "updateTime": metadata["creationTimestamp"],
        "launchStage": "GA",
        "service": view.service.id,
        "creator": annotations[CREATOR],
        **_render_content(annotations, body["spec"], revision.name),
        "conditions": [render_condition(c) for c in status["conditions"]],
        "containerStatuses": status.get("containerStatuses"),
        "reconciling": view.readiness is run.Readiness.UNKNOWN or None,
        "logUri": status["logUrl"],
        "etag": etag_of(metadata),
    }
    fields.pop("healthCheckDisabled", None)  # only a template has it
    return without_empty(fields)
