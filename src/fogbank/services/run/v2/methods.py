"""The methods of Cloud Run's v2 API.

Writes answer with operations whose metadata and response are the service itself; they end when the service is
ready or has failed, which the control loop tells.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta

from fogbank.errors import ApiError
from fogbank.resources.listings import listing
from fogbank.resources.names import ResourceName
from fogbank.resources.operations import Operation, rfc3339
from fogbank.resources.run import (
    REVISIONS,
    SERVICE_LABEL,
    SERVICES,
    revision_name,
    service_name,
    stored_revisions,
)
from fogbank.resources.tags import tagged, values_asked
from fogbank.resources.world import Json, Resource, World
from fogbank.services.access import iam_methods
from fogbank.services.contract import Call, Decision, List, Method, Read, Write
from fogbank.services.masks import mask_paths
from fogbank.services.run import changes, convergence
from fogbank.services.run.lists import under_place
from fogbank.services.run.naming import policy_name
from fogbank.services.run.objects import bad_request
from fogbank.services.run.revisions import delete_revision
from fogbank.services.run.status import is_settled
from fogbank.services.run.v2.masks import EVERYTHING, check_path, lay
from fogbank.services.run.v2.operations import check_etag, open_operation
from fogbank.services.run.v2.parse import WRITABLE, parse_service, without_tags
from fogbank.services.run.v2.refusals import check_vpc_access, speaks_v2
from fogbank.services.run.v2.render import (
    REVISION_TYPE,
    SERVICE_TYPE,
    render_pending,
    render_revision,
    render_service,
    service_message,
)
from fogbank.services.segments import location_of, project_of, segments


def create(world: World, call: Call) -> Decision:
    """Make a service."""
    identifier = str(call.parameters.get("serviceId") or "")
    if not identifier:
        raise bad_request("service_id is required.")
    check_vpc_access(call.body, "CreateService")
    name = service_name(project_of(world, call), location_of(call), identifier)
    tags = values_asked(world, call.access, call.principal, call.body.get("tags") or {})
    written = changes.create(world, call, name, *parse_service(without_tags(call.body)))
    return tagged(world, tags, _decision(call, written, "CreateService"), call.new_id)


def patch(world: World, call: Call) -> Decision:
    """Replace a service, or only the fields that a mask names."""
    name, paths = _name(world, call), mask_paths(call)
    for path in paths:
        check_path(path)
    found = world.find(name)
    if not paths or any(path in _WITH_ACCESS or path.startswith("template.vpcAccess.") for path in paths):
        check_vpc_access(call.body, "UpdateService")
    if found is None and call.parameters.get("allowMissing"):
        written = changes.create(world, call, name, *parse_service(call.body))
        return _decision(call, written, "CreateService")
    found = _find(world, call)
    check_etag(call.body.get("etag"), found)
    parsed = parse_service(_masked(found, call, paths))
    revise = bool(call.parameters.get("forceNewRevision"))
    written = changes.update(world, call, found, *parsed, revise=revise)
    return _decision(call, written, "UpdateService")


def _masked(found: Resource, call: Call, paths: Sequence[str]) -> Json:
    """Lay what the mask names over what there is; without a mask the body is the whole."""
    if not paths or EVERYTHING in paths:
        return call.body
    return lay(
        {key: value for key, value in render_service(found).items() if key in WRITABLE}, call.body, paths
    )


def _decision(call: Call, written: changes.Written, rpc: str) -> Decision:
    """Open an operation that the caller sees not done, whatever becomes of it a moment later."""
    service = written.service
    opened = open_operation(call, f"Services.{rpc}", service.name, SERVICE_TYPE, render_pending(service))
    ended = replace(opened, metadata=service_message(service)).done(call.now, service_message(service))
    if call.parameters.get("validateOnly"):
        return Decision(operation=ended)
    settled = is_settled(service.body)
    return Decision(written.changes, operation=ended if settled else opened, opened=opened)


def delete(world: World, call: Call) -> Decision:
    """Delete a service with everything in it."""
    found = _find(world, call)
    check_etag(call.parameters.get("etag"), found)
    times = {"deleteTime": rfc3339(call.now), "expireTime": rfc3339(call.now + _KEPT)}
    opened = open_operation(
        call, "Services.DeleteService", found.name, SERVICE_TYPE, render_pending(found) | times
    )
    if call.parameters.get("validateOnly"):
        return Decision(operation=opened.done(call.now, response=opened.metadata))
    ended = convergence.abandoned(world, found.name, call.now)
    return Decision((*ended, *changes.delete(world, found.name)), operation=opened, opened=opened)


def get(world: World, call: Call) -> Json:
    """Show a service."""
    return render_service(_find(world, call))


def list_(world: World, call: Call) -> Iterable[Json]:
    """List the services of a location."""
    return listing(world, SERVICES, under_place(world, call), render_service)


def _name(world: World, call: Call) -> ResourceName:
    return service_name(project_of(world, call), location_of(call), segments(call)["services"])


def _find(world: World, call: Call) -> Resource:
    name = _name(world, call)
    found = world.find(name)
    if found is None:
        raise ApiError(404, f'service "{name.path}" not found', "NOT_FOUND", "notFound")
    return found


def get_revision(world: World, call: Call) -> Json:
    """Show a revision."""
    return render_revision(_find_revision(world, call))


def list_revisions(world: World, call: Call) -> Iterable[Json]:
    """List the revisions of a service, ``-`` being all."""
    under = under_place(world, call)
    if segments(call)["services"] == "-":
        return map(render_revision, world.all(REVISIONS, under))
    found = stored_revisions(world, _name(world, call))
    return map(render_revision, found)


def delete_one_revision(world: World, call: Call) -> Decision:
    """Delete a revision that nobody needs."""
    found = _find_revision(world, call)
    check_etag(call.parameters.get("etag"), found)
    operation = open_operation(
        call, "Revisions.DeleteRevision", found.name, REVISION_TYPE, render_revision(found)
    )
    gone = delete_revision(world, call, found)
    if call.parameters.get("validateOnly"):
        return Decision(operation=operation.done(call.now, response=operation.metadata))
    return Decision(gone, operation=operation, opened=operation)


def _find_revision(world: World, call: Call) -> Resource:
    service, identifier = _name(world, call), segments(call)["revisions"]
    found = world.find(revision_name(service, identifier))
    if found is None or found.body["metadata"]["labels"][SERVICE_LABEL] != service.id:
        raise ApiError(
            404, f'revision "{service.path}/revisions/{identifier}" not found', "NOT_FOUND", "notFound"
        )
    return found


def _guarded(world: World, call: Call) -> ResourceName:
    name = _name(world, call)
    if not call.method.endswith("testIamPermissions"):
        _find(world, call)
    return policy_name(name)


def finishes(_world: World, operation: Operation) -> bool:
    """Return whether an operation ends with the network: only a delete does, the others await something."""
    return operation.type.rpartition(".")[2].startswith("Delete")


def operation_response(_world: World, operation: Operation) -> Mapping[str, object]:
    """Answer a delete with what was deleted, which nothing reconciles any more."""
    return {key: value for key, value in operation.metadata.items() if key != "reconciling"}


_WITH_ACCESS = frozenset({EVERYTHING, "template", "template.vpcAccess"})

_KEPT = timedelta(days=30)
"""How long Google shows when a deleted resource will be gone for good (unverified)."""

_PARENT = "v2.projects.locations.services."

METHODS: Mapping[str, Method] = {
    f"{_PARENT}create": Write(speaks_v2(create), "run.services.create"),
    f"{_PARENT}patch": Write(speaks_v2(patch), "run.services.update"),
    f"{_PARENT}delete": Write(delete, "run.services.delete"),
    f"{_PARENT}get": Read(get, "run.services.get"),
    f"{_PARENT}list": List(list_, "services", permission="run.services.list"),
    f"{_PARENT}revisions.get": Read(get_revision, "run.revisions.get"),
    f"{_PARENT}revisions.list": List(list_revisions, "revisions", permission="run.revisions.list"),
    f"{_PARENT}revisions.delete": Write(delete_one_revision, "run.revisions.delete"),
    **iam_methods(_PARENT, _guarded, "run.services"),
}
"""The v2 methods."""
