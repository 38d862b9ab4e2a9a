"""Connections: a network of the customer's peered with the one where Google's services have their servers.

A connection names the ranges that services may take; nothing is built until one does. Paths have no project:
the network in the body or in the query says whose it is
(behaviour/private-services-access.md#connections).
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from fogbank.errors import ApiError
from fogbank.resources.names import ResourceName, compute_name
from fogbank.resources.operations import Operation, OperationError, longrunning_operation
from fogbank.resources.private_services import (
    CONNECTIONS,
    PEERING,
    PRODUCER,
    connection_name,
    peering_range,
    producers,
)
from fogbank.resources.projects import project_id, project_number
from fogbank.resources.world import Change, Delete, Json, Put, Resource, World
from fogbank.services.collections import bad_request
from fogbank.services.contract import Call, Decision, List, Method, Write
from fogbank.services.masks import mask_paths

_MODIFIES = "Cannot modify allocated ranges in CreateConnection. Please use UpdateConnection."
_IN_USE = (
    "Failed to delete connection; Producer services (e.g. CloudSQL, Cloud Memstore, etc.) are still using "
    "this connection."
)
_SERVICES = "servicenetworking.services"
_PARTS = len(("projects", "NUMBER", "global", "networks", "NAME"))
_INTERFACE = "google.cloud.servicenetworking.v1.ServicePeeringManager"


def create(world: World, call: Call) -> Decision:
    """Connect a network, with the ranges that services may take."""
    network = _network(world, str(call.body.get("network") or ""))
    _check_producer(call)
    ranges = _ranges(world, network, call.body)
    name = connection_name(network)
    found = world.find(name)
    if found is not None:
        same = sorted(found.body.get("reservedPeeringRanges", ())) == sorted(ranges)
        error = None if same else OperationError(400, "FAILED_PRECONDITION", _MODIFIES)
        return _answer(call, "CreateConnection", found, (), error)
    made = _connection(world, call, network, ranges)
    return _answer(call, "CreateConnection", made, (Put(made),))


def _connection(world: World, call: Call, network: ResourceName, ranges: Sequence[str]) -> Resource:
    body = {
        "network": _numbered(world, network),
        "peering": PEERING,
        "reservedPeeringRanges": list(ranges),
        "service": f"services/{PRODUCER}",
    }
    private = {"network": network.path, "peering": PEERING}
    return Resource(connection_name(network), call.new_id(), call.now, body, private)


def patch(world: World, call: Call) -> Decision:
    """Change the ranges; with ``force`` some may go, which those who have addresses in them keep.

    With ``force`` a network that has no connection gets one (recorded).
    """
    network = _network(world, str(call.body.get("network") or ""))
    _check_producer(call)
    force = bool(call.parameters.get("force"))
    found = world.find(connection_name(network)) if force else _find(world, network)
    if set(mask_paths(call)) - {"reservedPeeringRanges"}:
        raise bad_request("Only reservedPeeringRanges of a connection can be changed.", "update_mask")
    ranges = _ranges(world, network, call.body)
    if found is None:
        made = _connection(world, call, network, ranges)
        return _answer(call, "UpdateConnection", made, (Put(made),))
    gone = set(found.body.get("reservedPeeringRanges", ())) - set(ranges)
    if gone and not force:
        raise bad_request(
            f"Allocated ranges {', '.join(sorted(gone))} would be removed: that needs force.", "force"
        )
    changed = found.with_body(reservedPeeringRanges=list(ranges))
    return _answer(call, "UpdateConnection", changed, (Put(changed),))


def list_connections(world: World, call: Call) -> Iterable[Json]:
    """List the connections of the network in the query, or of every network of the project that it names."""
    reference = str(call.parameters.get("network") or "")
    parts = reference.split("/")
    if parts[-1:] == ["-"] and len(parts) == _PARTS:
        project = project_id(world, parts[1])
        return [
            each.body for each in world.all(CONNECTIONS) if each.name.path.startswith(f"projects/{project}/")
        ]
    network = _network(world, reference, must_exist=False)
    found = world.find(connection_name(network))
    return [found.body] if found else []


def delete(world: World, call: Call) -> Decision:
    """Take a connection away, unless a service has addresses in its ranges."""
    reference = str(call.body.get("consumerNetwork") or "")
    network = _network(world, reference)
    found = _find(world, network)
    if next(producers(world, network), None) is not None:
        error = OperationError(400, "FAILED_PRECONDITION", _IN_USE)
        return _answer(call, "DeleteConnection", found, (), error)
    return _answer(call, "DeleteConnection", found, (Delete(found.name),))


def _network(world: World, reference: str, *, must_exist: bool = True) -> ResourceName:
    """Read ``projects/NUMBER/global/networks/NAME``."""
    parts = reference.split("/")
    if len(parts) != _PARTS or (parts[0], parts[2], parts[3]) != ("projects", "global", "networks"):
        raise bad_request(
            f"Invalid network '{reference}': it is projects/NUMBER/global/networks/NAME.", "network"
        )
    project = project_id(world, parts[1])
    name = compute_name("networks", project, "global", None, parts[4])
    if must_exist and world.find(name) is None:
        raise ApiError(404, f"The network '{name.path}' was not found.", "NOT_FOUND", "notFound")
    return name


def _check_producer(call: Call) -> None:
    parent = str(call.parameters.get("parent") or call.parameters.get("name"))
    service = parent.split("/")[1]
    if service != PRODUCER:
        raise bad_request(f"The service '{service}' makes no connections; use {PRODUCER}.", "parent")


def _find(world: World, network: ResourceName) -> Resource:
    found = world.find(connection_name(network))
    if found is None:
        raise ApiError(
            404, f"The connection of the network '{network.path}' was not found.", "NOT_FOUND", "notFound"
        )
    return found


def _ranges(world: World, network: ResourceName, body: Json) -> tuple[str, ...]:
    ranges = tuple(dict.fromkeys(map(str, body.get("reservedPeeringRanges") or ())))
    if not ranges:
        raise bad_request("At least one allocated range is required.", "reserved_peering_ranges")
    for each in ranges:
        if peering_range(world, network, each) is None:
            raise bad_request(
                f"The range '{each}' is not allocated for peering in the network '{network.path}'.",
                "reserved_peering_ranges",
            )
    return ranges


def _numbered(world: World, network: ResourceName) -> str:
    return f"projects/{project_number(world, network.project)}/global/networks/{network.id}"


def _answer(
    call: Call,
    rpc: str,
    resource: Resource,
    changes: tuple[Change, ...],
    error: OperationError | None = None,
) -> Decision:
    """Open an operation that is over at once: services build what they need later."""
    operation: Operation = longrunning_operation(
        "servicenetworking",
        None,
        f"{_INTERFACE}.{rpc}",
        resource.name,
        now=call.now,
        new_id=call.new_id,
        user=call.principal,
        project=resource.name.project,
        metadata_type="google.protobuf.Empty",
        metadata={},
        response=_response(rpc, resource),
        done=True,
    )
    return Decision(changes, operation=replace(operation, error=error, response=None) if error else operation)


def _response(rpc: str, resource: Resource) -> Json:
    if rpc == "DeleteConnection":
        return {"@type": "type.googleapis.com/google.protobuf.Empty"}
    return {"@type": "type.googleapis.com/google.cloud.servicenetworking.v1.Connection", **resource.body}


def _projects_of(field: str) -> Callable[[Json], Iterator[str]]:
    """Make what finds the project of the network in ``field``; none when that is no network's path."""

    def projects(given: Json) -> Iterator[str]:
        parts = str(given.get(field) or "").split("/")
        if len(parts) == _PARTS and parts[0] == "projects":
            yield parts[1]

    return projects


METHODS: Mapping[str, Method] = {
    "services.connections.create": Write(create, f"{_SERVICES}.addPeering", _projects_of("network")),
    "services.connections.patch": Write(patch, f"{_SERVICES}.addPeering", _projects_of("network")),
    "services.connections.list": List(
        list_connections, "connections", permission=f"{_SERVICES}.get", projects=_projects_of("network")
    ),
    "services.connections.deleteConnection": Write(
        delete, f"{_SERVICES}.deleteConnection", _projects_of("consumerNetwork")
    ),
}
