"""Cloud SQL's operations, which are of a kind of their own: ``sql#operation``.

They are resources: the controller ends one when the server has what was asked for.
"""

from collections.abc import Iterable

from fogbank.errors import ApiError
from fogbank.resources.names import ResourceName
from fogbank.resources.operations import rfc3339
from fogbank.resources.projects import project_id
from fogbank.resources.world import Change, Json, Put, Resource, World
from fogbank.services.contract import Call
from fogbank.services.sqladmin.model import OPERATIONS

API = "https://sqladmin.googleapis.com/sql/v1beta4/"


def link(name: ResourceName) -> str:
    """Give the URL of a resource."""
    return f"{API}{name.path}"


def opened(call: Call, kind: str, target: ResourceName) -> Resource:
    """Open an operation on the instance ``target``; ``kind`` is CREATE, UPDATE, CREATE_DATABASE and so on."""
    digits = f"{call.new_id():016x}{call.new_id():016x}"
    identifier = "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:32]))
    name = ResourceName(OPERATIONS, f"projects/{target.project}/operations/{identifier}")
    moment = rfc3339(call.now)
    body = {
        "kind": "sql#operation",
        "name": identifier,
        "operationType": kind,
        "status": "PENDING",
        "user": call.principal,
        "insertTime": moment,
        "startTime": moment,
        "targetId": target.id,
        "targetLink": link(target),
        "targetProject": target.project,
        "selfLink": link(name),
    }
    return Resource(name, call.new_id(), call.now, body)


def ended(operation: Resource, moment: str, error: str = "", code: str = "INTERNAL_ERROR") -> Resource:
    """End an operation, with an ``error`` if there was one."""
    failed = {
        "kind": "sql#operationErrors",
        "errors": [{"kind": "sql#operationError", "code": code, "message": error}],
    }
    return operation.with_body(status="DONE", endTime=moment, **({"error": failed} if error else {}))


def end(world: World, path: str, moment: str, error: str = "") -> tuple[Change, ...]:
    """End the operation at ``path`` unless it has ended."""
    found = world.find(ResourceName(OPERATIONS, path))
    if found is None or found.body["status"] == "DONE":
        return ()
    return (Put(ended(found, moment, error)),)


def get(world: World, call: Call) -> Json:
    """Show an operation."""
    path = f"projects/{project_id(world, call['project'])}/operations/{call['operation']}"
    found = world.find(ResourceName(OPERATIONS, path))
    if found is None:
        raise ApiError(404, "The Cloud SQL operation does not exist.", "NOT_FOUND", "operationDoesNotExist")
    return found.body


def list_(world: World, call: Call) -> Iterable[Json]:
    """List the operations of a project, or of one instance, the newest first."""
    under = f"projects/{project_id(world, call['project'])}/operations/"
    wanted = call.parameters.get("instance")
    found = [each.body for each in world.all(OPERATIONS, under)]
    chosen = [each for each in found if wanted in {None, "", each["targetId"]}]
    return sorted(chosen, key=lambda each: str(each["insertTime"]), reverse=True)
