"""What becomes of a revision: the control loop tells, and the service follows.

Each function is pure: from the World and one event to the changes that show it. Traffic moves when a
revision is ready and stays on the last good one when it fails (behaviour/cloud-run.md#deployment). Operations
of the v2 API that wait for the service end here, not when the network is built.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime

from fogbank.resources.artifactregistry import read_hosted
from fogbank.resources.images import parse_image
from fogbank.resources.indexes import OPERATIONS, Index
from fogbank.resources.names import ResourceName
from fogbank.resources.operations import Operation, OperationError
from fogbank.resources.projects import project_number, service_agent
from fogbank.resources.run import (
    HIDDEN_DIGESTS,
    Readiness,
    read_revision,
    ready_condition,
    revisions_with_connector,
)
from fogbank.resources.run_containers import CLOUD_SQL_PROXY
from fogbank.resources.world import Change, Json, Put, PutOperation, Resource, World
from fogbank.services.run.connectors import connector_missing_message, has_connector
from fogbank.services.run.objects import (
    condition,
    find_condition,
    service_message_v1,
    with_conditions,
    without_empty,
)
from fogbank.services.run.status import is_settled, revision_bodies, with_status
from fogbank.services.run.v2.render import service_message

CONTAINER_FAILED = "HealthCheckContainerError"
IMAGE_MISSING = "ContainerMissing"
SECRETS_REFUSED = "SecretsAccessCheckFailed"
IMAGE_DENIED = "ContainerPermissionDenied"
RETIRED = "Retired"
NETWORK_MISSING = "VpcNetworkNotFound"
ADDRESSES_EXHAUSTED = "IpSpaceExhausted"
"""Google's word for it is not known; compute's code is IP_SPACE_EXHAUSTED."""

_FAILED_CHECKS = {
    IMAGE_MISSING: "ContainerReady",
    IMAGE_DENIED: "ContainerReady",
    NETWORK_MISSING: "ResourcesAvailable",
    ADDRESSES_EXHAUSTED: "ResourcesAvailable",
}
"""The condition of a revision that fails beside Ready; any other reason is the container's health."""

V1 = "google.cloud.run.v1."
"""How the types of v1's operations begin."""

_FAILED_CHECK = {
    IMAGE_MISSING: "ContainerReady",
    IMAGE_DENIED: "ContainerReady",
    SECRETS_REFUSED: "ResourcesAvailable",
}
"""The condition that a failure is about; of the others it is the container's health."""

_CHECKS = ("Active", "ContainerHealthy", "ContainerReady", "ResourcesAvailable")


def container_failed_message(port: int, log_url: str) -> str:
    """Say in Google's words that a container never listened (behaviour/cloud-run.md#deployment)."""
    return (
        "The user-provided container failed to start and listen on the port defined provided by the "
        f"PORT={port} environment variable within the allocated timeout. This can happen when the container "
        "port is misconfigured or if the timeout is too short. The health check timeout can be extended. "
        "Logs for this revision might contain more information.\n\n"
        f"Logs URL: {log_url}\nFor more troubleshooting guidance, see "
        "https://cloud.google.com/run/docs/troubleshooting#container-failed-to-start"
    )


def probe_failed_message(log_url: str) -> str:
    """Say in Google's words that a container failed the start-up probe that its user configured.

    See behaviour/cloud-run.md#deployment.
    """
    return (
        "The user-provided container failed the configured startup probe checks. Logs for this revision "
        f"might contain more information.\n\nLogs URL: {log_url}\nFor more troubleshooting guidance, see "
        "https://cloud.google.com/run/docs/troubleshooting#container-failed-to-start"
    )


def image_missing_message(image: str) -> str:
    """Say that nobody knows ``image`` (behaviour/artifact-registry.md#images)."""
    return f"Image '{image}' not found."


def image_denied_message(world: World, image: str, project: str) -> str:
    """Say that the service agent may not read ``image`` (behaviour/artifact-registry.md#images)."""
    message = (
        f"Google Cloud Run Service Agent {service_agent(project_number(world, project))} must have "
        f"permission to read the image, {image}. Ensure that the provided container image URL is correct and "
        "that the above account has permission to access the image. If you just enabled the Cloud Run API, "
        "the permissions might take a few minutes to propagate."
    )
    place = read_hosted(parse_image(image))
    if place is None or place.repository.project == project:
        return message
    return (
        f"{message} Note that the image is from project [{place.repository.project}], which is not the same "
        f"as this project [{project}]. Permission must be granted to the Google Cloud Run Service Agent from "
        "this project. See https://cloud.google.com/run/docs/deploying#other-projects"
    )


def images_resolved(
    world: World, revision: ResourceName, digests: Mapping[str, str], now: datetime
) -> tuple[Change, ...]:
    """Keep what the images were when the revision was made: ``digests`` by reference."""
    found = world.find(revision)
    if found is None:
        return ()
    read = read_revision(found)
    pullable = with_digest(read.image, digests[read.image])
    statuses = [
        without_empty({"name": each.name, "imageDigest": with_digest(each.image, digests[each.image])})
        for each in read.containers
        if each.image != CLOUD_SQL_PROXY  # nobody asked for that container
    ]
    body = _with_revision_status(
        found.body,
        (condition("ContainerReady", "True", now),),
        imageDigest=pullable,
        containerStatuses=statuses,
    )
    private = dict(found.private)
    if proxy := digests.get(CLOUD_SQL_PROXY):
        private[HIDDEN_DIGESTS] = {CLOUD_SQL_PROXY: with_digest(CLOUD_SQL_PROXY, proxy)}
    return (Put(replace(found, body=body, private=private)),)


def with_digest(image: str, digest: str) -> str:
    """Make the pullable reference of ``image``: ``digest`` is ``sha256:…`` or a whole reference."""
    return f"{repository_of(image)}@{digest}" if digest.startswith("sha256:") else digest


def repository_of(image: str) -> str:
    """Take the tag or digest off an image's reference."""
    name = image.partition("@")[0]
    head, slash, tail = name.rpartition("/")
    return f"{head}{slash}{tail.partition(':')[0]}"


def revision_ready(world: World, revision: ResourceName, now: datetime) -> tuple[Change, ...]:
    """Let a revision serve: it has an instance that listens. One that was given up stays so."""
    found = _undecided(world, revision)
    if found is None:
        return ()
    good = tuple(condition(type_, "True", now) for type_ in ("Ready", *_CHECKS))
    return _told(world, replace(found, body=_with_revision_status(found.body, good)), now)


def revision_failed(
    world: World, revision: ResourceName, reason: str, message: str, now: datetime
) -> tuple[Change, ...]:
    """Mark a revision as failed; ``reason`` is one of Google's, ``message`` tells the user what to do.

    One that was ready once stays ready, whatever becomes of its instances.
    """
    found = _undecided(world, revision)
    if found is None:
        return ()
    check = _FAILED_CHECKS.get(reason, "ContainerHealthy")
    bad = tuple(condition(type_, "False", now, reason, message) for type_ in ("Ready", check))
    return _told(world, replace(found, body=_with_revision_status(found.body, bad)), now)


def _undecided(world: World, revision: ResourceName) -> Resource | None:
    found = world.find(revision)
    return found if found and ready_condition(found.body) is Readiness.UNKNOWN else None


def revision_retired(world: World, revision: ResourceName, now: datetime) -> tuple[Change, ...]:
    """Show that a revision gets no traffic and keeps no instance."""
    return _with_activity(world, revision, condition("Active", "False", now, RETIRED, "Revision retired."))


def revision_active(world: World, revision: ResourceName, now: datetime) -> tuple[Change, ...]:
    """Show that a retired revision serves again."""
    return _with_activity(world, revision, condition("Active", "True", now))


def connector_changed(world: World, connector: ResourceName, now: datetime) -> tuple[Change, ...]:
    """Show on ready revisions, and through them on services, whether the connector that they use is there.

    Google lets a connector go that services use; what they send through it is lost
    (behaviour/serverless-vpc-access.md#data-path).
    """
    there = has_connector(world, connector)
    message = None if there else connector_missing_message(connector)
    shown = condition(
        "ResourcesAvailable", "True" if there else "False", now, None if there else NETWORK_MISSING, message
    )
    changes: list[Change] = []
    for found in revisions_with_connector(world, connector):
        before = (find_condition(found.body, "ResourcesAvailable") or {}).get("status")
        if ready_condition(found.body) is Readiness.READY and before != shown["status"]:
            changes.append(Put(replace(found, body=_with_revision_status(found.body, (shown,)))))
    world = world.after(changes)
    services = {read_revision(each.resource).service for each in changes if isinstance(each, Put)}
    for name in sorted(services):
        if (service := world.find(name)) is not None:
            body = with_status(service.body, revision_bodies(world, name), now)
            changes.append(Put(replace(service, body=body)))
    return tuple(changes)


def _with_activity(world: World, revision: ResourceName, active: Json) -> tuple[Change, ...]:
    found = world.find(revision)
    if found is None:
        return ()
    if (find_condition(found.body, "Active") or {}).get("status") == active["status"]:
        return ()
    return (Put(replace(found, body=_with_revision_status(found.body, (active,)))),)


def _with_revision_status(body: Json, news: Iterable[Json], **fields: object) -> Json:
    before: list[Json] = body["status"]["conditions"]
    changed = {c["type"]: c for c in news}
    conditions = with_conditions(before, [changed.pop(c["type"], c) for c in before])
    return body | {"status": body["status"] | fields | {"conditions": conditions}}


def _told(world: World, revision: Resource, now: datetime) -> tuple[Change, ...]:
    """Change the revision, its service, and the operations that waited."""
    first = Put(revision)
    name = read_revision(revision).service
    world = world.after((first,))
    found = world.find(name)
    if found is None:
        return (first,)
    service = replace(found, body=with_status(found.body, revision_bodies(world, name), now))
    return (first, Put(service), *finished(world, service, now))


def finished(world: World, service: Resource, now: datetime) -> tuple[Change, ...]:
    """End the operations that waited for a service which is now ready or has failed."""
    if not is_settled(service.body):
        return ()
    return tuple(PutOperation(_ended(one, service, now)) for one in waiting(world, service.name))


def _ended(operation: Operation, service: Resource, now: datetime) -> Operation:
    """End one operation. A v1 client reads the outcome from the service's conditions, good or bad."""
    if operation.type.startswith(V1):
        return operation.done(now, service_message_v1(service.body))
    message = service_message(service)
    operation = replace(operation, metadata=message)
    if ready_condition(service.body) is Readiness.READY:
        return operation.done(now, message)
    why = (find_condition(service.body) or {}).get("message", "")
    return operation.done(now, error=OperationError(400, "FAILED_PRECONDITION", why))


def waiting(world: World, service: ResourceName) -> tuple[Operation, ...]:
    """List the unfinished operations that make or change ``service``."""
    return tuple(
        operation for operation in running_on(world, service) if not operation.type.endswith(".DeleteService")
    )


def running_on(world: World, target: ResourceName) -> tuple[Operation, ...]:
    """List the unfinished operations on ``target``."""
    return tuple(world.by(_RUNNING, target.path))


def _running_on(operation: Operation) -> tuple[str, ...]:
    return (operation.target.path,) if operation.status == "RUNNING" else ()


_RUNNING = Index(OPERATIONS, _running_on)


def abandoned(world: World, service: ResourceName, now: datetime) -> tuple[Change, ...]:
    """End the operations that waited for a service which is being deleted."""
    gone = OperationError(409, "ABORTED", f"The service '{service.id}' was deleted.")
    return tuple(PutOperation(operation.done(now, error=gone)) for operation in waiting(world, service))
