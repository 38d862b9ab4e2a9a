"""Connectors: made, listed, grown and deleted.

A connector is CREATING until the kernel has its instances. It never shrinks
(behaviour/serverless-vpc-access.md#scaling), and it may be deleted while services use it: they lose their way
into the VPC (behaviour/serverless-vpc-access.md#data-path).
"""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from functools import partial

from fogbank.errors import ApiError
from fogbank.resources import run
from fogbank.resources.listings import listing
from fogbank.resources.names import ResourceName
from fogbank.resources.operations import Operation, OperationError, longrunning_operation
from fogbank.resources.places import REGIONS
from fogbank.resources.vpcaccess import CONNECTORS, connector_name, read_connector
from fogbank.resources.world import Change, Delete, Json, Put, Resource, World
from fogbank.services.contract import Call, Decision
from fogbank.services.masks import mask_paths
from fogbank.services.segments import location_of, project_of, segments
from fogbank.services.vpcaccess.firewall import add_rules, drop_rules
from fogbank.services.vpcaccess.validation import (
    Place,
    Size,
    bad_request,
    check_id,
    is_taken,
    read_place,
    read_size,
)

_CONFLICT = (
    "Operation failed: Invalid IP CIDR range was provided. It conflicts with an existing subnetwork. "
    "Please delete the connector manually."
)
_SIZES = ("minInstances", "maxInstances", "minThroughput", "maxThroughput")
_UPDATABLE = frozenset({*_SIZES, "machineType"})


def create(world: World, call: Call) -> Decision:
    """Make a connector, or one in state ERROR when its range is taken."""
    project, location = project_of(world, call), location_of(call)
    identifier = str(call.parameters.get("connectorId", ""))
    check_id(identifier)
    _check_location(location)
    name = connector_name(project, location, identifier)
    if world.find(name):
        raise ApiError(409, "Requested entity already exists", "ALREADY_EXISTS", "alreadyExists")
    size, place = read_size(call.body), read_place(world, call.body, project, location)
    taken = is_taken(world, place)
    made = _resource(name, call, size, place, "ERROR" if taken else "CREATING")
    operation = _operation(call, "CreateConnector", name)
    if taken:
        failed = operation.done(call.now, error=OperationError(400, "INVALID_ARGUMENT", _CONFLICT))
        return Decision((Put(made),), operation=failed)
    return Decision((Put(made), *add_rules(read_connector(made), call.now, call.new_id)), operation=operation)


def _resource(name: ResourceName, call: Call, size: Size, place: Place, state: str) -> Resource:
    where = (
        {"subnet": call.body["subnet"]}
        if place.subnet
        else {"network": call.body.get("network") or "default", "ipCidrRange": str(place.range)}
    )
    body = {"name": name.path, **where, **size.body, "state": state}
    private = {
        "network": place.network.path,
        "range": str(place.range),
        "instances": size.minimum,
        **({"subnet": place.subnet.path} if place.subnet else {}),
    }
    return Resource(name, call.new_id(), call.now, body, private)


def _operation(call: Call, rpc: str, target: ResourceName) -> Operation:
    version = call.method.split(".")[1]
    return longrunning_operation(
        "vpcaccess",
        target.region,
        f"google.cloud.vpcaccess.{version}.VpcAccessService.{rpc}",
        target,
        now=call.now,
        new_id=call.new_id,
        user=call.principal,
        project=target.project,
        metadata_type="google.cloud.vpcaccess.v1.OperationMetadata",
    )


def get(world: World, call: Call) -> Json:
    """Show one connector."""
    return show(world, _find(world, call))


def list_(world: World, call: Call) -> Iterable[Json]:
    """List the connectors of a location, ``-`` being all."""
    under = f"projects/{project_of(world, call)}/locations/"
    location = location_of(call)
    if location != "-":
        _check_location(location)
        under += f"{location}/"
    return listing(world, CONNECTORS, under, partial(show, world))


def _check_location(location: str) -> None:
    if location not in REGIONS:
        raise ApiError(404, f"Location {location} is not found.", "NOT_FOUND", "notFound")


def patch(world: World, call: Call) -> Decision:
    """Grow a connector or change its machine type."""
    found = _find(world, call)
    if found.body["state"] == "ERROR":
        raise ApiError(
            400,
            f"The connector '{found.name.path}' is in state ERROR; delete it and create it again.",
            "FAILED_PRECONDITION",
            "failedPrecondition",
        )
    size = read_size(_wanted(found, call))
    now = read_connector(found)
    if size.minimum < now.min_instances or size.maximum < now.max_instances:
        raise bad_request(
            "The number of instances of a connector cannot be decreased: it has "
            f"minInstances {now.min_instances} and maxInstances {now.max_instances}."
        )
    changed = replace(
        found.with_body(**size.body, state="UPDATING"),
        private=found.private | {"instances": max(now.instances, size.minimum)},
    )
    return Decision((Put(changed),), operation=_operation(call, "UpdateConnector", found.name))


def _wanted(found: Resource, call: Call) -> Json:
    """Lay the fields that the call changes over those there are; instances stay unless it names them."""
    fields = set(filter(None, mask_paths(call))) or (_UPDATABLE & call.body.keys())
    if unknown := fields - _UPDATABLE:
        raise bad_request(f"The fields {', '.join(sorted(unknown))} of a connector cannot be changed.")
    kept = {field: found.body[field] for field in ("machineType", *_SIZES)}
    for end in ("min", "max"):
        if f"{end}Throughput" in fields and f"{end}Instances" not in fields:
            del kept[f"{end}Instances"]
    return kept | {field: call.body[field] for field in fields if field in call.body}


def delete(world: World, call: Call) -> Decision:
    """Delete a connector and its firewall rules, whether services use it or not."""
    found = _find(world, call)
    changes: list[Change] = [Delete(found.name)]
    if found.body["state"] != "ERROR":
        changes += drop_rules(read_connector(found))
    return Decision(tuple(changes), operation=_operation(call, "DeleteConnector", found.name))


def _find(world: World, call: Call) -> Resource:
    identifier = segments(call)["connectors"]
    found = world.find(connector_name(project_of(world, call), location_of(call), identifier))
    if found is None:
        raise ApiError(404, "The connector is not found.", "NOT_FOUND", "notFound")
    return found


def show(world: World, resource: Resource) -> Json:
    """Render a connector, with the projects whose services use it."""
    users = {revision.name.project for revision in run.revisions_with_connector(world, resource.name)}
    return resource.body | ({"connectedProjects": sorted(users)} if users else {})


def converged(world: World, name: ResourceName, _now: datetime) -> tuple[Change, ...]:
    """Make a connector READY that the kernel has."""
    found = world.find(name)
    if found is None or found.body["state"] not in {"CREATING", "UPDATING"}:
        return ()
    return (Put(found.with_body(state="READY")),)


def scale_out(world: World, name: ResourceName, instances: int) -> tuple[Change, ...]:
    """Set a connector to ``instances`` machines; nothing changes when it has as many or may not have them."""
    found = world.find(name)
    if found is None or found.body["state"] == "ERROR":
        return ()
    now = read_connector(found)
    if not now.instances < instances <= now.max_instances:
        return ()
    return (Put(replace(found, private=found.private | {"instances": instances})),)


def operation_response(world: World, operation: Operation) -> Json | None:
    """Return the message of a finished operation: the connector, or nothing after a delete."""
    if operation.type.endswith(".DeleteConnector"):
        return {"@type": "type.googleapis.com/google.protobuf.Empty"}
    found = world.find(operation.target)
    if found is None:
        return None
    return {"@type": "type.googleapis.com/google.cloud.vpcaccess.v1.Connector", **show(world, found)}
