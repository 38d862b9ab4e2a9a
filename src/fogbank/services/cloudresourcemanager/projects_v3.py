"""Projects in the v3 API: another view of the same."""

from collections.abc import Iterable

from fogbank.errors import ApiError
from fogbank.resources.fingerprints import fingerprint
from fogbank.resources.world import Change, Json, Put, Resource, World
from fogbank.services.cloudresourcemanager.filters import parent_of, parse_filter
from fogbank.services.cloudresourcemanager.projects import (
    check_fields,
    created,
    find,
    find_active,
    marked,
    operation_of,
    visible,
)
from fogbank.services.contract import Call, Decision

_TYPE = "type.googleapis.com/google.cloud.resourcemanager.v3.Project"
_METADATA = "google.cloud.resourcemanager.v3."


def render(project: Resource) -> Json:
    """Render a project."""
    body = project.body
    fields = {
        "name": f"projects/{body['projectNumber']}",
        "projectId": body["projectId"],
        "state": body["lifecycleState"],
        "displayName": body.get("name"),
        "labels": body.get("labels"),
        "parent": parent_of(body),
        "createTime": body["createTime"],
        "updateTime": body["createTime"],
        "etag": fingerprint(body),
    }
    return {key: value for key, value in fields.items() if value}


def _v1_fields(body: Json) -> Json:
    fields: Json = {"name": body.get("displayName"), "labels": body.get("labels")}
    if parent := body.get("parent"):
        kind, _, identifier = str(parent).partition("/")
        fields["parent"] = {"type": kind.removesuffix("s"), "id": identifier}
    return {key: value for key, value in fields.items() if value}


def get(world: World, call: Call) -> Json:
    """Show a project."""
    return render(find(world, call))


def list_(world: World, call: Call) -> Iterable[Json]:
    """List the projects under a parent."""
    shown = [render(r) for r in visible(world, call)]
    parent, deleted = call.parameters.get("parent"), call.parameters.get("showDeleted")
    return [
        project
        for project in shown
        if (not parent or project.get("parent") == parent) and (deleted or project["state"] == "ACTIVE")
    ]


def search(world: World, call: Call) -> Iterable[Json]:
    """Find projects by the fields that a query names (``id:a* state:ACTIVE``)."""
    keep = parse_filter(str(call.parameters.get("query") or ""))
    return [render(r) for r in visible(world, call) if keep(r.body)]


def create(world: World, call: Call) -> Decision:
    """Make a project, with what the region's APIs put into a new one."""
    made, changes = created(world, call, _v1_fields(call.body))
    metadata = {"createTime": made.body["createTime"], "gettable": True, "ready": True}
    defaults = call.apis.new_project(made.name.id, call.now, call.new_id)
    return _over(call, made, (*changes, *defaults), "CreateProjectMetadata", metadata)


def patch(world: World, call: Call) -> Decision:
    """Change a project's display name or labels."""
    found = find_active(world, call)
    mask = str(call.parameters.get("updateMask") or "displayName,labels").replace(
        "display_name", "displayName"
    )
    fields = {"displayName": "name", "labels": "labels"}
    wanted = [field for field in mask.split(",") if field]
    for field in wanted:
        if field.partition(".")[0] not in fields:
            raise ApiError(
                400, f"The field '{field}' of a project cannot be changed.", "INVALID_ARGUMENT", "badRequest"
            )
    check_fields(_v1_fields(call.body))
    named = {field.partition(".")[0] for field in wanted} & call.body.keys()
    changed = found.with_body(**{fields[field]: call.body[field] for field in named})
    return _over(call, changed, (Put(changed),), "UpdateProjectMetadata")


def delete(world: World, call: Call) -> Decision:
    """Mark a project for deletion."""
    changed = marked(find(world, call), "DELETE_REQUESTED")
    return _over(call, changed, (Put(changed),), "DeleteProjectMetadata")


def undelete(world: World, call: Call) -> Decision:
    """Take the mark away."""
    changed = marked(find(world, call), "ACTIVE")
    return _over(call, changed, (Put(changed),), "UndeleteProjectMetadata")


def _over(
    call: Call, project: Resource, changes: tuple[Change, ...], message: str, metadata: Json | None = None
) -> Decision:
    response = {"@type": _TYPE, **render(project)}
    operation = operation_of(call, project.name, _METADATA + message, metadata or {}, response)
    return Decision(changes, operation=operation)
