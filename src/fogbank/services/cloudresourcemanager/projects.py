"""Projects in the v1 API, whose shape is the one that is kept.

A project that does not exist is refused like one that the caller may not see (recorded). A deleted one
waits in state DELETE_REQUESTED and can be brought back.
"""

from collections.abc import Iterable

from fogbank.errors import ApiError
from fogbank.resources.authorization import denied
from fogbank.resources.names import ResourceName
from fogbank.resources.operations import Operation, longrunning_operation
from fogbank.resources.projects import PROJECTS, is_googles_own, policy_name, project_id, project_name
from fogbank.resources.world import Json, Put, Resource, World
from fogbank.services.cloudresourcemanager.creation import check_id, new_project
from fogbank.services.cloudresourcemanager.filters import parse_filter
from fogbank.services.contract import Call, Decision
from fogbank.services.labels import check_labels

_WRITABLE = ("name", "labels", "parent")
_LONGEST_NAME = 30


def named(call: Call) -> str:
    """Return which project the call is about: v1 and v3 have the id or number under several names."""
    for key in ("projectId", "name", "resource"):
        if value := call.parameters.get(key):
            return str(value).removeprefix("projects/")
    return ""


def find(world: World, call: Call) -> Resource:
    """Find the project; Google's refusal otherwise."""
    found = world.find(project_name(project_id(world, named(call))))
    if found is None:
        raise denied(
            "resourcemanager.projects.get", f"projects/{named(call)}", service="cloudresourcemanager"
        )
    return found


def visible(world: World, call: Call) -> Iterable[Resource]:
    """List the projects that the caller may get."""
    for project in world.all(PROJECTS):
        if call.access.allows(world, call.principal, "resourcemanager.projects.get", project.name.id):
            yield project


def find_active(world: World, call: Call) -> Resource:
    """Find a project that is to be changed, which one that waits for its deletion cannot be (v1's text)."""
    found = find(world, call)
    if found.body["lifecycleState"] != "ACTIVE":
        raise _wrong_state(found)
    return found


def get(world: World, call: Call) -> Json:
    """Show a project."""
    return find(world, call).body


def list_(world: World, call: Call) -> Iterable[Json]:
    """List the projects that pass the call's filter."""
    keep = parse_filter(str(call.parameters.get("filter") or ""))
    return [r.body for r in visible(world, call) if keep(r.body)]


def create(world: World, call: Call) -> Decision:
    """Make a project, with what the region's APIs put into a new one."""
    made, changes = created(world, call, call.body)
    response = {"@type": "type.googleapis.com/google.cloudresourcemanager.v1.Project", **made.body}
    metadata = {"createTime": made.body["createTime"], "gettable": True, "ready": True}
    operation = operation_of(
        call, made.name, "google.cloudresourcemanager.v1.ProjectCreationStatus", metadata, response
    )
    defaults = call.apis.new_project(made.name.id, call.now, call.new_id)
    return Decision((*changes, *defaults), operation=operation)


def created(world: World, call: Call, fields: Json) -> tuple[Resource, tuple[Put, ...]]:
    """Check and make a project; ``fields`` are v1's."""
    identifier = str(call.body.get("projectId") or "")
    check_id(identifier)
    if is_googles_own(identifier) or world.find(project_name(identifier)):
        raise ApiError(409, "Requested entity already exists", "ALREADY_EXISTS", "alreadyExists")
    wanted = {key: fields[key] for key in _WRITABLE if fields.get(key)}
    check_fields(wanted)
    made = new_project(identifier, call.now, call.new_id, owner=call.principal, fields=wanted)
    puts = tuple(change for change in made if isinstance(change, Put))
    return puts[0].resource, puts


def check_fields(fields: Json) -> None:
    """Refuse a display name or labels that are longer or more than Google's (Project's documentation)."""
    if len(str(fields.get("name") or "")) > _LONGEST_NAME:
        message = f"The display name of a project may have at most {_LONGEST_NAME} characters."
        raise ApiError(400, message, "INVALID_ARGUMENT", "badRequest")
    check_labels(fields.get("labels") or {})


def operation_of(call: Call, target: ResourceName, message: str, metadata: Json, response: Json) -> Operation:
    """Make an operation that is over at once."""
    return longrunning_operation(
        "cloudresourcemanager",
        None,
        f"google.cloud.resourcemanager.{call.method.split('.', 1)[1]}",
        target,
        now=call.now,
        new_id=call.new_id,
        user=call.principal,
        project=target.project,
        metadata_type=message,
        metadata=metadata,
        response=response,
        done=True,
    )


def update(world: World, call: Call) -> Decision:
    """Replace a project's name and labels."""
    found = find_active(world, call)
    check_fields(call.body)
    changed = found.with_body(**{key: call.body.get(key, found.body.get(key)) for key in _WRITABLE})
    return Decision((Put(changed),), answer=changed.body)


def delete(world: World, call: Call) -> Decision:
    """Mark a project for deletion."""
    return Decision((Put(marked(find(world, call), "DELETE_REQUESTED")),), answer={})


def undelete(world: World, call: Call) -> Decision:
    """Take the mark away."""
    return Decision((Put(marked(find(world, call), "ACTIVE")),), answer={})


def marked(found: Resource, state: str) -> Resource:
    """Set the state of a project; refuse to delete twice or to restore what is not deleted."""
    if found.body["lifecycleState"] == state:
        raise _wrong_state(found)
    return found.with_body(lifecycleState=state)


def _wrong_state(found: Resource) -> ApiError:
    message = f"Project '{found.name.id}' is in state {found.body['lifecycleState']}."
    return ApiError(400, message, "FAILED_PRECONDITION", "failedPrecondition")


def get_ancestry(world: World, call: Call) -> Json:
    """Show what a project is in: nothing but itself."""
    return {"ancestor": [{"resourceId": {"type": "project", "id": find(world, call).name.id}}]}


def guarded(world: World, call: Call) -> ResourceName:
    """Name the policy of the call's project."""
    return policy_name(find(world, call).name.id)
