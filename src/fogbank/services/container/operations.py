"""Kubernetes Engine's operations, which are of a kind of their own; the controller ends them."""

from collections.abc import Iterable

from fogbank.errors import ApiError
from fogbank.resources.names import ResourceName
from fogbank.resources.operations import rfc3339
from fogbank.resources.projects import project_number
from fogbank.resources.world import Change, Json, Put, Resource, World
from fogbank.services.contract import Call
from fogbank.services.segments import location_of, project_of, segments

OPERATIONS = "container.operations"
API = "https://container.googleapis.com/v1"


def link(world: World, name: ResourceName) -> str:
    """Give the URL of a resource, which names the project by its number and a zone as such."""
    _, project, _, location, *rest = name.path.split("/")
    place = "zones" if is_zone(location) else "locations"
    return f"{API}/projects/{project_number(world, project)}/{place}/{location}/{'/'.join(rest)}"


def is_zone(location: str) -> bool:
    """Return whether a location is a zone: ``us-central1-a``."""
    return location.count("-") == 2


def opened(world: World, call: Call, kind: str, target: ResourceName) -> Resource:
    """Open an operation on the cluster ``target``; ``kind`` is CREATE_CLUSTER and so on."""
    millis = int(call.now.timestamp() * 1000)
    digits = f"{call.new_id():016x}{call.new_id():016x}"
    unique = "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:32]))
    _, project, _, location, *_ = target.path.split("/")
    name = ResourceName(
        OPERATIONS, f"projects/{project}/locations/{location}/operations/operation-{millis}-{unique}"
    )
    body = {
        "name": name.id,
        **({"zone": location} if is_zone(location) else {"location": location}),
        "operationType": kind,
        "status": "RUNNING",
        "startTime": rfc3339(call.now),
        "selfLink": link(world, name),
        "targetLink": link(world, target),
    }
    return Resource(name, call.new_id(), call.now, body)


def ended(operation: Resource, moment: str, error: str = "") -> Resource:
    """End an operation, with an ``error`` if there was one (code 13: internal)."""
    failed = {"error": {"code": 13, "message": error}, "statusMessage": error} if error else {}
    return operation.with_body(status="DONE", endTime=moment, **failed)


def end(world: World, path: str, moment: str, error: str = "") -> tuple[Change, ...]:
    """End the operation at ``path`` unless it has ended."""
    found = world.find(ResourceName(OPERATIONS, path)) if path else None
    if found is None or found.body["status"] == "DONE":
        return ()
    return (Put(ended(found, moment, error)),)


def get(world: World, call: Call) -> Json:
    """Show an operation."""
    identifier = segments(call)["operations"]
    path = f"projects/{project_of(world, call)}/locations/{location_of(call)}/operations/{identifier}"
    found = world.find(ResourceName(OPERATIONS, path))
    if found is None:
        raise ApiError(404, f"Not found: {path}.", "NOT_FOUND", "notFound")
    return found.body


def list_(world: World, call: Call) -> Iterable[Json]:
    """List the operations of a location, ``-`` being all."""
    location = location_of(call)
    under = f"projects/{project_of(world, call)}/locations/"
    return [each.body for each in world.all(OPERATIONS, under if location == "-" else f"{under}{location}/")]
