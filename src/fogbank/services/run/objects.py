"""The Knative objects of Cloud Run, as its v1 API shows them: how their JSON is put together.

A service owns revisions; its configuration and its route are the same facts from another side and are
not stored. The surprising fact: a namespace is a project's number.
"""

import re
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from datetime import datetime
from hashlib import blake2b
from typing import Any, Literal

from fogbank.errors import ApiError
from fogbank.resources.names import ResourceName
from fogbank.resources.operations import rfc3339
from fogbank.resources.run import SERVICE_LABEL
from fogbank.resources.world import Json

API_VERSION = "serving.knative.dev/v1"
LOCATION = "cloud.googleapis.com/location"
CREATOR = "serving.knative.dev/creator"
MODIFIER = "serving.knative.dev/lastModifier"
OPERATION_ID = "run.googleapis.com/operation-id"
INGRESS_STATUS = "run.googleapis.com/ingress-status"
GENERATION = "serving.knative.dev/configurationGeneration"

Status = Literal["True", "False", "Unknown"]

_FIELD = re.compile(r"(?:spec|metadata)[\w.\[\]]*")
_LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"


def bad_request(message: str) -> ApiError:
    """Refuse an argument; a ``message`` that begins with a field's path and a colon has a violation."""
    return ApiError(400, message, "INVALID_ARGUMENT", "badRequest", _violations(message))


def _violations(message: str) -> tuple[Json, ...]:
    """List the field that ``message`` begins with, as clients print it (google.rpc.BadRequest)."""
    field, colon, why = message.partition(": ")
    if not colon or not _FIELD.fullmatch(field):
        return ()
    return (bad_fields({"field": field, "description": why}),)


def bad_fields(*violations: Json) -> Json:
    """Make the detail of an error that says what is wrong with which fields."""
    return {"@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": list(violations)}


def without_empty(fields: Mapping[str, Any]) -> Json:
    """Leave out what is not set; zero and False are."""
    return {key: value for key, value in fields.items() if value not in (None, "", {}, [], ())}


def uid(number: int) -> str:
    """Make a UUID of a number that is used once."""
    digest = blake2b(number.to_bytes(16, "big"), digest_size=16).hexdigest()
    return "-".join((digest[:8], digest[8:12], "4" + digest[13:16], "a" + digest[17:20], digest[20:]))


def operation_id(number: int) -> str:
    """Make the UUID of the change that a number which is used once stands for."""
    return uid(2**64 + number)


def version_mark(number: int) -> str:
    """Make a resourceVersion, which is v2's etag, of a number that is used once."""
    return urlsafe_b64encode(blake2b(number.to_bytes(16, "big"), digest_size=9).digest()).decode()


def revision_suffix(number: int) -> str:
    """Make the three characters at the end of a revision's name (behaviour/cloud-run.md#revisions)."""
    digest = blake2b(number.to_bytes(16, "big"), digest_size=8).digest()
    value = int.from_bytes(digest, "big")
    return "".join(_LETTERS[value // len(_LETTERS) ** i % len(_LETTERS)] for i in range(3))


def condition(
    type_: str, status: Status, now: datetime, reason: str | None = None, message: str | None = None
) -> Json:
    """Make a condition."""
    return without_empty(
        {
            "type": type_,
            "status": status,
            "reason": reason,
            "message": message,
            "lastTransitionTime": rfc3339(now),
        }
    )


def with_conditions(before: list[Json], after: list[Json]) -> list[Json]:
    """Take over the transition times of conditions that have not changed."""
    known = {c["type"]: c for c in before}
    return [
        known[c["type"]] if c["type"] in known and _content(known[c["type"]]) == _content(c) else c
        for c in after
    ]


def _content(one: Json) -> Json:
    return {key: value for key, value in one.items() if key != "lastTransitionTime"}


def find_condition(body: Json, type_: str = "Ready") -> Json | None:
    """Find a condition of a service or a revision."""
    found: list[Json] = [c for c in body.get("status", {}).get("conditions", ()) if c["type"] == type_]
    return found[0] if found else None


def service_message_v1(service: Json) -> Json:
    """Render a service as the message in an operation of v1."""
    return {"@type": "type.googleapis.com/google.cloud.run.v1.Service", **service}


def self_link(namespace: str, kind: str, identifier: str) -> str:
    """Return the path under which Knative shows an object."""
    return f"/apis/{API_VERSION}/namespaces/{namespace}/{kind}/{identifier}"


def new_service(
    name: ResourceName, namespace: str, metadata: Json, *, principal: str, number: int, now: datetime
) -> Json:
    """Put a new service together, without spec and status; ``metadata`` is what the client wrote."""
    annotations: Json = metadata.get("annotations") or {}
    return {
        "apiVersion": API_VERSION,
        "kind": "Service",
        "metadata": {
            "name": name.id,
            "namespace": namespace,
            "selfLink": self_link(namespace, "services", name.id),
            "uid": uid(number),
            "resourceVersion": version_mark(number),
            "generation": 1,
            "creationTimestamp": rfc3339(now),
            "labels": (metadata.get("labels") or {}) | {LOCATION: name.region},
            "annotations": annotations
            | {CREATOR: principal, MODIFIER: principal, OPERATION_ID: operation_id(number)},
        },
    }


def new_revision(name: ResourceName, service: Json, principal: str, number: int, now: datetime) -> Json:
    """Put a revision together from the template of ``service``."""
    owner = service["metadata"]
    template: Json = service["spec"]["template"]
    written: Json = template.get("metadata") or {}
    labels = (written.get("labels") or {}) | {
        SERVICE_LABEL: owner["name"],
        "serving.knative.dev/configuration": owner["name"],
        GENERATION: str(owner["generation"]),
        "serving.knative.dev/route": owner["name"],
        "serving.knative.dev/serviceUid": owner["uid"],
        LOCATION: name.region,
    }
    annotations = (written.get("annotations") or {}) | {
        CREATOR: principal,
        OPERATION_ID: owner["annotations"][OPERATION_ID],
    }
    waiting = ("Ready", "Active", "ContainerHealthy", "ContainerReady", "ResourcesAvailable")
    return {
        "apiVersion": API_VERSION,
        "kind": "Revision",
        "metadata": {
            "name": name.id,
            "namespace": owner["namespace"],
            "selfLink": self_link(owner["namespace"], "revisions", name.id),
            "uid": uid(number),
            "resourceVersion": version_mark(number),
            "generation": 1,
            "creationTimestamp": rfc3339(now),
            "labels": labels,
            "annotations": annotations,
            "ownerReferences": [_owner(owner)],
        },
        "spec": template["spec"],
        "status": {
            "observedGeneration": 1,
            "conditions": [condition(type_, "Unknown", now, "Deploying") for type_ in waiting],
            "logUrl": log_url(name, owner["name"]),
        },
    }


def _owner(owner: Json) -> Json:
    return {
        "apiVersion": API_VERSION,
        "kind": "Configuration",
        "name": owner["name"],
        "uid": owner["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }


def log_url(revision: ResourceName, service: str) -> str:
    """Return the address that Google's console has for a revision's logs."""
    resource = f"cloud_run_revision/service_name/{service}/revision_name/{revision.id}"
    return f"https://console.cloud.google.com/logs/viewer?project={revision.project}&resource={resource}"


def configuration(service: Json) -> Json:
    """Show a service's configuration: its template and the newest revisions."""
    status = service["status"]
    kept = ("observedGeneration", "latestCreatedRevisionName", "latestReadyRevisionName")
    return _derived(
        service,
        "Configuration",
        {"template": service["spec"]["template"]},
        {key: status[key] for key in kept if key in status},
        "ConfigurationsReady",
    )


def route(service: Json) -> Json:
    """Show a service's route: its traffic and addresses."""
    status = service["status"]
    kept = ("observedGeneration", "traffic", "url", "address")
    return _derived(
        service,
        "Route",
        {"traffic": service["spec"]["traffic"]},
        {key: status[key] for key in kept if key in status},
        "RoutesReady",
    )


def _derived(service: Json, kind: str, spec: Json, status: Json, ready: str) -> Json:
    metadata = service["metadata"]
    link = metadata["selfLink"].replace("/services/", f"/{kind.lower()}s/")
    found = find_condition(service, ready)
    conditions = [found | {"type": "Ready"}] if found else []
    return {
        "apiVersion": API_VERSION,
        "kind": kind,
        "metadata": metadata
        | {
            "selfLink": link,
            "labels": metadata["labels"] | {SERVICE_LABEL: metadata["name"]},
            "ownerReferences": [_owner(metadata) | {"kind": "Service"}],
        },
        "spec": spec,
        "status": status | {"conditions": conditions},
    }
