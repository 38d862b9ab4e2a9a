"""What a write to a service comes to: the service itself and, when its template changed, a new revision.

Both versions of the API decide here, so that they cannot disagree. ``metadata`` and ``spec`` are Knative's,
as a client wrote them.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from fogbank.errors import ApiError
from fogbank.resources.authorization import denied
from fogbank.resources.names import ResourceName
from fogbank.resources.operations import rfc3339
from fogbank.resources.projects import compute_account, project_number
from fogbank.resources.run import (
    IAM_CHECK_OFF,
    INGRESS,
    MANUAL_COUNT,
    SCALING_MODE,
    SERVICE_MAX_SCALE,
    SERVICE_MIN_SCALE,
    URLS,
    is_manual,
    revision_name,
)
from fogbank.resources.urls import service_urls
from fogbank.resources.world import Change, Delete, Json, Put, Resource, World
from fogbank.services.contract import Call
from fogbank.services.labels import check_labels
from fogbank.services.run import objects, template, traffic
from fogbank.services.run.direct_vpc import check_launch_stage
from fogbank.services.run.naming import check_new_name, policy_name
from fogbank.services.run.objects import (
    CREATOR,
    INGRESS_STATUS,
    LOCATION,
    MODIFIER,
    OPERATION_ID,
    bad_request,
)
from fogbank.services.run.status import generation_of, revision_bodies, with_status
from fogbank.services.run.v2 import words

MOST_REVISIONS = 1000
"""Of one service (behaviour/cloud-run.md#revisions)."""

_COUNT = re.compile(r"[0-9]{1,4}")
_INGRESSES = ("all", "internal", "internal-and-cloud-load-balancing", "none")
_SYSTEM = frozenset({CREATOR, MODIFIER, OPERATION_ID, URLS, INGRESS_STATUS})


@dataclass(frozen=True, slots=True)
class Written:
    """A service as it is to become, and all changes that make it so (none when nothing differs)."""

    service: Resource
    changes: tuple[Change, ...]


def create(world: World, call: Call, name: ResourceName, metadata: Json, spec: Json) -> Written:
    """Make a service and its first revision."""
    check_new_name(world, name)
    number = call.new_id()
    namespace = project_number(world, name.project)
    urls = service_urls(name.id, namespace, name.region or "")
    body = objects.new_service(
        name, namespace, metadata, principal=call.principal, number=number, now=call.now
    )
    body["metadata"] = _with_urls(body["metadata"], urls)
    body["spec"] = _complete(world, spec, name)
    body["status"] = {"url": urls[0], "address": {"url": urls[0]}}
    _check_invokers(world, call, name, {}, body["metadata"]["annotations"])
    return _write(world, call, Resource(name, number, call.now, body, {"revisions": 0}), revise=True)


def update(
    world: World, call: Call, found: Resource, metadata: Json, spec: Json, *, revise: bool = False
) -> Written:
    """Replace what a client may write of a service; ``revise`` makes a new revision in any case."""
    old, name = found.body, found.name
    spec = _complete(world, spec, name)
    before: Json = old["metadata"]
    labels = (metadata.get("labels") or {}) | {LOCATION: name.region}
    kept = {key: value for key, value in before["annotations"].items() if key in _SYSTEM}
    annotations = {INGRESS: "all"} | (metadata.get("annotations") or {}) | kept
    annotations[INGRESS_STATUS] = annotations[INGRESS]
    _check_invokers(world, call, name, before["annotations"], annotations)
    same_words = labels == before["labels"] and annotations == before["annotations"]
    revise = revise or _needs_revision(old, spec["template"])
    if not revise:
        spec["template"] = old["spec"]["template"]
    if same_words and not revise and spec["traffic"] == old["spec"]["traffic"]:
        return Written(found, ())
    number = call.new_id()
    changed = before | {
        "generation": before["generation"] + 1,
        "resourceVersion": objects.version_mark(number),
        "labels": labels,
        "annotations": annotations | {MODIFIER: call.principal, OPERATION_ID: objects.operation_id(number)},
    }
    body = old | {"metadata": changed, "spec": spec}
    return _write(world, call, replace(found, body=body), revise=revise)


def _write(world: World, call: Call, service: Resource, *, revise: bool) -> Written:
    """Check the service as a whole, add a revision if one is due, and work out the status."""
    name, spec = service.name, service.body["spec"]
    _check_words(service.body["metadata"]["annotations"])
    check_labels(service.body["metadata"]["labels"])
    revisions = revision_bodies(world, name)
    made: tuple[Change, ...] = ()
    if revise:
        template.check(world, call, name, spec["template"])
        check_launch_stage(world, service.body["metadata"]["annotations"], spec["template"])
        words.check_words(
            words.TEMPLATE,
            "GoogleCloudRunV2RevisionTemplate",
            spec["template"]["metadata"].get("annotations", {}),
        )
        count = service.private["revisions"] + 1
        revision = _revision(world, call, service, count)
        revisions[revision.name.id] = revision.body
        status = service.body["status"] | {"latestCreatedRevisionName": revision.name.id}
        service = replace(service, body=service.body | {"status": status}, private={"revisions": count})
        outdated = _outdated(service.body, revisions)
        for identifier in outdated:
            del revisions[identifier]
        made = (Put(revision), *(Delete(revision_name(name, each)) for each in outdated))
    traffic.check(spec["traffic"], frozenset(revisions), name.id)
    body = with_status(service.body, revisions, call.now)
    service = replace(service, body=body, private=service.private | {"updated": rfc3339(call.now)})
    return Written(service, (*made, Put(service)))


def _revision(world: World, call: Call, service: Resource, count: int) -> Resource:
    number = call.new_id()
    wanted = service.body["spec"]["template"]["metadata"].get("name")
    identifier = wanted or f"{service.name.id}-{count:05d}-{objects.revision_suffix(number)}"
    name = revision_name(service.name, identifier)
    if world.find(name):
        raise ApiError(
            409,
            f"Revision named '{identifier}' with different configuration already exists.",
            "ALREADY_EXISTS",
            "alreadyExists",
        )
    body = objects.new_revision(name, service.body, call.principal, number, call.now)
    return Resource(name, number, call.now, body)


def _outdated(service: Json, revisions: Mapping[str, Json]) -> list[str]:
    """List the oldest revisions beyond those that are kept, none of which traffic or a tag may reach.

    See behaviour/cloud-run.md#revisions.
    """
    if len(revisions) <= MOST_REVISIONS:
        return []
    status: Json = service["status"]
    targets = (*service["spec"]["traffic"], *status.get("traffic", ()))
    needed = {each.get("revisionName") for each in targets}
    needed |= {status.get("latestCreatedRevisionName"), status.get("latestReadyRevisionName")}
    unneeded = sorted(revisions.keys() - needed, key=lambda each: generation_of(revisions[each]))
    return unneeded[: len(revisions) - MOST_REVISIONS]


def delete(world: World, service: ResourceName) -> tuple[Change, ...]:
    """Take a service away with its revisions and its policy."""
    revisions = (Delete(revision_name(service, name)) for name in revision_bodies(world, service))
    return (*revisions, Delete(policy_name(service)), Delete(service))


def _complete(world: World, spec: Json, name: ResourceName) -> Json:
    account = compute_account(project_number(world, name.project))
    return {
        "template": template.complete(spec.get("template") or {}, account),
        "traffic": traffic.complete(spec.get("traffic") or []),
    }


def _with_urls(metadata: Json, urls: tuple[str, ...]) -> Json:
    annotations: Json = {INGRESS: "all"} | metadata["annotations"]
    annotations |= {INGRESS_STATUS: annotations[INGRESS], URLS: json.dumps(urls, separators=(",", ":"))}
    return metadata | {"annotations": annotations}


def _needs_revision(old: Json, new: Json) -> bool:
    """Return whether the template differs, beyond the name that the last revision was given."""
    name = new["metadata"].get("name")
    if name not in {None, old["status"]["latestCreatedRevisionName"]}:
        return True
    return _unnamed(old["spec"]["template"]) != _unnamed(new)


def _unnamed(one: Json) -> Json:
    metadata = {key: value for key, value in one["metadata"].items() if key != "name"}
    return one | {"metadata": metadata | {"annotations": words.meaning(metadata.get("annotations", {}))}}


def _check_invokers(world: World, call: Call, name: ResourceName, before: Json, after: Json) -> None:
    """Refuse to open a service to everybody without the permission to set its policy.

    Cloud Run's documentation asks for run.services.setIamPolicy to turn the check of invokers off
    ("Allowing public access").
    """
    if not _is_open(after) or _is_open(before):
        return
    permission, policy = "run.services.setIamPolicy", policy_name(name)
    if not call.access.allows(world, call.principal, permission, name.project, policy):
        raise denied(permission, name.path, service="run")


def _is_open(annotations: Json) -> bool:
    return str(annotations.get(IAM_CHECK_OFF, "")).lower() == "true"


def _check_words(annotations: Json) -> None:
    if annotations[INGRESS] not in _INGRESSES:
        raise bad_request(
            f"Annotation {INGRESS} must be one of {', '.join(_INGRESSES)}, not '{annotations[INGRESS]}'."
        )
    words.check_words(words.SERVICE, "GoogleCloudRunV2Service", annotations)
    words.check_authorization(annotations)
    template.check_scale(annotations, SERVICE_MIN_SCALE, SERVICE_MAX_SCALE)
    if is_manual(annotations) and not _COUNT.fullmatch(annotations.get(MANUAL_COUNT, "")):
        raise bad_request(
            f"Annotation {MANUAL_COUNT} must be a number of instances with {SCALING_MODE} manual, not "
            f"'{annotations.get(MANUAL_COUNT, '')}'."
        )
