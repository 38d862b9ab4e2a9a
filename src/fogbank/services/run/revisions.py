"""Revisions in the v1 API: read and deleted; only a service makes them."""

from collections.abc import Mapping

from fogbank.errors import ApiError
from fogbank.resources.run import REVISIONS, read_revision, read_service, revision_name, service_name
from fogbank.resources.world import Change, Delete, Json, Put, Resource, World
from fogbank.services.contract import Call, Decision, Method, Read, Write
from fogbank.services.run.lists import listing
from fogbank.services.run.services import deleted, is_dry_run, missing
from fogbank.services.run.status import revision_bodies, with_status
from fogbank.services.segments import location_of, project_of, segments


def find(world: World, call: Call) -> Resource:
    """Find the revision that the call's path names; Google's 404 otherwise."""
    project, location = project_of(world, call), location_of(call)
    identifier = segments(call)["revisions"]
    found = world.find(revision_name(service_name(project, location, ""), identifier))
    if found is None:
        raise missing("REVISION", identifier, location, project)
    return found


def get(world: World, call: Call) -> Json:
    """Show a revision."""
    return find(world, call).body


def delete(world: World, call: Call) -> Decision:
    """Delete a revision that nobody needs."""
    trial, found = is_dry_run(call), find(world, call)
    gone = delete_revision(world, call, found)
    return Decision(() if trial else gone, answer=deleted(found.name, "revisions"))


def delete_revision(world: World, call: Call, found: Resource) -> tuple[Change, ...]:
    """Take a revision away; refuse while it is the newest, or traffic may reach it."""
    service = world.find(read_revision(found).service)
    if service is None:
        return (Delete(found.name),)
    view, identifier = read_service(service), found.name.id
    wanted = {target.get("revisionName") for target in service.body["spec"]["traffic"]}
    if identifier in wanted | {target.revision for target in view.traffic}:
        raise _needed(identifier, "it is actively serving traffic")
    if identifier == view.latest_created:
        raise _needed(identifier, "it is the latest created revision")
    left = revision_bodies(world, service.name)
    del left[identifier]
    return (Delete(found.name), Put(service.with_body(**with_status(service.body, left, call.now))))


def _needed(identifier: str, why: str) -> ApiError:
    return ApiError(
        400,
        f"Revision '{identifier}' could not be deleted because {why}.",
        "FAILED_PRECONDITION",
        "failedPrecondition",
    )


_OBJECTS: Mapping[str, Method] = {
    "revisions.get": Read(get, "run.revisions.get"),
    "revisions.list": listing(REVISIONS, "Revision", "run.revisions.list"),
    "revisions.delete": Write(delete, "run.revisions.delete"),
}

METHODS: Mapping[str, Method] = {
    f"v1.{parent}.{method}": handler
    for parent in ("namespaces", "projects.locations")
    for method, handler in _OBJECTS.items()
}
"""The v1 methods about revisions."""
