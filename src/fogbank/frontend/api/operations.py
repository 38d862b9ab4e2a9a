"""Operations as clients see them, in both dialects, and the methods that every API has for them.

Compute shows ``compute#operation``; everybody else ``google.longrunning.Operation``
(behaviour/api.md#compute-operations, behaviour/api.md#long-running-operations).
"""

import re
from collections.abc import Iterator, Mapping
from datetime import timedelta, timezone
from http import HTTPStatus

from fogbank.discovery.routes import DiscoveryMethod, Match
from fogbank.errors import ApiError, invalid_value, not_found
from fogbank.frontend.api.lists import list_path
from fogbank.resources.indexes import OPERATIONS, Index, by_id
from fogbank.resources.listings import Listing
from fogbank.resources.names import COMPUTE_PREFIX
from fogbank.resources.operations import Operation, rfc3339
from fogbank.resources.places import REGIONS, ZONES
from fogbank.resources.world import Json, World
from fogbank.services.contract import OperationDialect

_PACIFIC = timezone(timedelta(hours=-8))
_COMPUTE_COLLECTIONS = {
    "globalOperations": "global",
    "regionOperations": "regions",
    "zoneOperations": "zones",
}
_PLACES = {"regions": REGIONS, "zones": ZONES}
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_COLLECTIONS = frozenset(
    {"operations", "projects.locations.operations", "projects.locations.global.operations"}
)
RPC_CODES = {
    "OK": 0, "CANCELLED": 1, "UNKNOWN": 2, "INVALID_ARGUMENT": 3, "DEADLINE_EXCEEDED": 4, "NOT_FOUND": 5,
    "ALREADY_EXISTS": 6, "PERMISSION_DENIED": 7, "RESOURCE_EXHAUSTED": 8, "FAILED_PRECONDITION": 9,
    "ABORTED": 10, "OUT_OF_RANGE": 11, "UNIMPLEMENTED": 12, "INTERNAL": 13, "UNAVAILABLE": 14,
    "DATA_LOSS": 15, "UNAUTHENTICATED": 16,
}  # fmt: skip
"""google.rpc.Code."""


def render_operation(operation: Operation, dialect: OperationDialect) -> Json:
    """Render an operation in the dialect of its service."""
    return _compute(operation) if dialect == "compute" else _longrunning(operation)


def _compute(operation: Operation) -> Json:
    inserted = operation.inserted.astimezone(_PACIFIC).isoformat(timespec="milliseconds")
    name = operation.name
    done = operation.status == "DONE"
    rendered: Json = {
        "kind": "compute#operation",
        "id": str(operation.id),
        "name": name.id,
        "operationType": operation.type,
        "targetLink": operation.target.self_link,
        "targetId": str(operation.target_id),
        "user": operation.user,
        "status": operation.status,
        "progress": 100 if done else 0,
        "insertTime": inserted,
        "startTime": inserted,
        "selfLink": name.self_link,
    }
    for label in ("region", "zone"):
        if place := name.segment(label + "s"):
            rendered[label] = f"{COMPUTE_PREFIX}projects/{name.project}/{label}s/{place}"
    if operation.request_id:
        rendered["clientOperationId"] = operation.request_id
    if operation.ended is not None:
        rendered["endTime"] = operation.ended.astimezone(_PACIFIC).isoformat(timespec="milliseconds")
    if operation.error is not None:
        error = operation.error
        rendered["error"] = {"errors": [{"code": error.code, "message": error.message}]}
        rendered["httpErrorStatusCode"] = error.http_status
        rendered["httpErrorMessage"] = HTTPStatus(error.http_status).phrase.upper()
    return rendered


def _longrunning(operation: Operation) -> Json:
    rendered: Json = {"name": operation.name.path}
    if operation.metadata:
        metadata = dict(operation.metadata)
        timed = "createTime" in metadata and metadata.get("@type", "").endswith("OperationMetadata")
        if operation.ended is not None and timed:
            metadata["endTime"] = rfc3339(operation.ended)
        rendered["metadata"] = metadata
    if operation.status != "DONE":
        return rendered
    rendered["done"] = True
    if operation.error is not None:
        code = RPC_CODES.get(operation.error.code, RPC_CODES["UNKNOWN"])
        rendered["error"] = {"code": code, "message": operation.error.message}
    else:
        empty = {"@type": "type.googleapis.com/google.protobuf.Empty"}
        rendered["response"] = dict(operation.response or empty)
    return rendered


def operation_verb(method: DiscoveryMethod, dialect: OperationDialect) -> str | None:
    """Return which verb of operations (``get``, ``list``, ``wait`` …) a method is; None for other methods."""
    collection, _, verb = method.name.rpartition(".")
    if dialect == "compute":
        return verb if collection in _COMPUTE_COLLECTIONS else None
    return verb if dialect == "longrunning" and collection in _COLLECTIONS else None


def operation_path(method: DiscoveryMethod, dialect: OperationDialect, parameters: Mapping[str, str]) -> str:
    """Return the path of the operation, or for a list of their parent, that a call names.

    It is empty for a list of all operations of an API: serviceusage's needs no parent. Google's 400 for a
    region or zone that does not exist.
    """
    if dialect != "compute":
        return parameters.get("name", "")
    collection = method.name.partition(".")[0]
    scope = _COMPUTE_COLLECTIONS[collection]
    place = parameters.get(scope[:-1], "")
    if place and place not in _PLACES[scope]:
        raise invalid_value(scope[:-1], place, f"Unknown {scope[:-1]}.")
    within = f"{scope}/{place}" if place else "global"
    path = f"projects/{parameters['project']}/{within}/operations"
    return f"{path}/{parameters['operation']}" if "operation" in parameters else path


def find_operation(world: World, api: str, dialect: OperationDialect, path: str) -> Operation:
    """Find an operation of ``api``; Google's 404 otherwise. Compute's may be called by their id."""
    found = world.operations.get(path)
    if found is not None and found.name.service == api:
        return found
    if dialect == "compute":
        place, _, identifier = path.rpartition("/")
        if identifier.isdigit():
            same: Iterator[Operation] = world.by(by_id(OPERATIONS), identifier)
            for operation in same:
                if operation.name.path.startswith(f"{place}/"):
                    return operation
        raise not_found(path)
    raise ApiError(404, f"Operation not found: {path}", "NOT_FOUND", "notFound")


def operations_under(world: World, api: str, dialect: OperationDialect, under: str) -> Listing[Operation]:
    """List the operations of ``api`` whose path starts with ``under``."""

    def members(after: str) -> Iterator[Operation]:
        return (each for each in world.operations_under(under, after) if each.name.service == api)

    return Listing(members, lambda operation: render_operation(operation, dialect))


def with_request_id(world: World, match: Match, body: Json, request_id: str) -> Operation | None:
    """Find what an earlier call with the same requestId, method and target opened.

    See behaviour/api.md#request-ids.

    With another method or target it is simply another request.
    """
    verb = match.method.name.rpartition(".")[2]
    path = list_path(match)
    called = f"{path}/{body.get('name')}" if verb == "insert" else path.removesuffix(f"/{verb}")
    for operation in world.by(_BY_REQUEST, request_id):
        same = operation.type.rpartition(".")[2] == verb
        if same and called in {operation.target.path, _numbered(operation)}:
            return operation
    return None


def _request_of(operation: Operation) -> tuple[str, ...]:
    return (operation.request_id,) if operation.request_id else ()


_BY_REQUEST = Index(OPERATIONS, _request_of)


def _numbered(operation: Operation) -> str:
    """Return the target's path with its number in place of its name."""
    return f"{operation.target.path.rpartition('/')[0]}/{operation.target_id}"


def check_request_id(request_id: str) -> None:
    """Refuse what is no UUID, and the zero UUID, which Google does not support.

    See behaviour/api.md#request-ids.
    """
    if not _UUID.fullmatch(request_id) or not request_id.strip("0-"):
        raise invalid_value("requestId", request_id, "Must be a UUID other than the zero UUID.")
