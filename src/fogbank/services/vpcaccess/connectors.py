"""Connectors: made, listed, grown and deleted.

A connector is CREATING until the kernel has its instances. It never shrinks
(behaviour/serverless-vpc-access.md#scaling), and it may be deleted while services use it: they lose their way
into the VPC (behaviour/serverless-vpc-access.md#data-path).
"""

from dataclasses import replace

from fogbank.errors import ApiError
from fogbank.resources import run
from fogbank.resources.names import ResourceName
from fogbank.resources.operations import OperationError
from fogbank.resources.vpcaccess import CONNECTORS, read_connector
from fogbank.resources.world import Change, Json, Put, Resource, World
from fogbank.services.collections import Collection, Field, Outcome, bad_request
from fogbank.services.contract import Call
from fogbank.services.vpcaccess.firewall import add_rules, drop_rules
from fogbank.services.vpcaccess.validation import (
    ID_PATTERN,
    Place,
    Size,
    is_taken,
    missing_limit,
    read_place,
    read_size,
)

_CONFLICT = (
    "Operation failed: Invalid IP CIDR range was provided. It conflicts with an existing subnetwork. "
    "Please delete the connector manually."
)
_NO_SUBNET = (
    "Operation failed: VPC Access did not have permission to resolve the subnet or the provided subnet does "
    "not exist."
)
_SIZES = ("minInstances", "maxInstances", "minThroughput", "maxThroughput")


def _created(world: World, call: Call, asked: Resource) -> Outcome:
    """Make a connector, or one in state ERROR when its range is taken.

    Google finds out only while it builds that the limits or the subnet are missing; no connector is left then
    (behaviour/serverless-vpc-access.md#connectors).
    """
    name = asked.name
    if call.body.get("name"):
        raise bad_request("Connector name must not be set.", "connector.name")
    if missing := missing_limit(call.body):
        return _failed(asked, missing)
    size, place = read_size(call.body), read_place(world, call, name.project, name.region or "")
    if place is None:
        return _failed(asked, _NO_SUBNET)
    if is_taken(world, place):
        failed = OperationError(400, "INVALID_ARGUMENT", _CONFLICT)
        return Outcome(_complete(asked, call, size, place, "ERROR"), error=failed)
    made = _complete(asked, call, size, place, "CREATING")
    return Outcome(made, add_rules(read_connector(made), call.now, call.new_id))


def _failed(asked: Resource, message: str) -> Outcome:
    return Outcome(asked, error=OperationError(400, "INVALID_ARGUMENT", message), kept=False)


def _complete(asked: Resource, call: Call, size: Size, place: Place, state: str) -> Resource:
    where = {"subnet": call.body["subnet"]} if place.subnet else {"ipCidrRange": str(place.range)}
    private = {
        "network": place.network.path,
        "range": str(place.range),
        "instances": size.minimum,
        **({"subnet": place.subnet.path} if place.subnet else {}),
    }
    # The short name, however the client called the network and where only a subnet was given.
    body = {"name": asked.name.path, "network": place.network.id, **where, **size.body, "state": state}
    return replace(asked, body=body, private=private)


def _updated(_world: World, call: Call, found: Resource, _after: Resource, fields: frozenset[str]) -> Outcome:
    """Grow a connector or change its machine type."""
    if found.body["state"] == "ERROR":
        raise ApiError(
            400,
            f"The connector '{found.name.path}' is in state ERROR; delete it and create it again.",
            "FAILED_PRECONDITION",
            "failedPrecondition",
        )
    size = read_size(_wanted(found, call, fields))
    now = read_connector(found)
    if size.minimum < now.min_instances or size.maximum < now.max_instances:
        raise bad_request(
            "The number of instances of a connector cannot be decreased: it has "
            f"minInstances {now.min_instances} and maxInstances {now.max_instances}."
        )
    changed = found.with_body(**size.body, state="UPDATING")
    grown = {"instances": max(now.instances, size.minimum)}
    return Outcome(replace(changed, private=found.private | grown))


def _wanted(found: Resource, call: Call, fields: frozenset[str]) -> Json:
    """Lay the fields that the call changes over those there are; instances stay unless it names them."""
    kept = {field: found.body[field] for field in ("machineType", *_SIZES)}
    for end in ("min", "max"):
        if f"{end}Throughput" in fields and f"{end}Instances" not in fields:
            del kept[f"{end}Instances"]
    return kept | {field: call.body[field] for field in fields if field in call.body}


def _deleted(_world: World, _call: Call, found: Resource) -> tuple[Change, ...]:
    """Take a connector's firewall rules away with it, whether services use it or not."""
    return drop_rules(read_connector(found)) if found.body["state"] != "ERROR" else ()


def _missing(_name: ResourceName) -> ApiError:
    return ApiError(404, "The connector is not found.", "NOT_FOUND", "notFound")


def show(world: World, resource: Resource) -> Json:
    """Render a connector, with the projects whose services use it."""
    users = {revision.name.project for revision in run.revisions_with_connector(world, resource.name)}
    return resource.body | ({"connectedProjects": sorted(users)} if users else {})


def scale_out(world: World, name: ResourceName, instances: int) -> tuple[Change, ...]:
    """Set a connector to ``instances`` machines; nothing changes when it has as many or may not have them."""
    found = world.find(name)
    if found is None or found.body["state"] == "ERROR":
        return ()
    now = read_connector(found)
    if not now.instances < instances <= now.max_instances:
        return ()
    return (Put(replace(found, private=found.private | {"instances": instances})),)


COLLECTION = Collection(
    name=CONNECTORS,
    noun="connector",
    id_parameter="connectorId",
    id_pattern=ID_PATTERN,
    message="google.cloud.vpcaccess.v1.Connector",
    interface="google.cloud.vpcaccess.{version}.VpcAccessService",
    metadata="google.cloud.vpcaccess.v1.OperationMetadata",
    fields={
        **{field: Field() for field in ("machineType", *_SIZES)},
        **{field: Field(immutable=True) for field in ("network", "ipCidrRange", "subnet")},
        **{field: Field(output=True) for field in ("name", "state", "connectedProjects")},
    },
    created=_created,
    updated=_updated,
    deleted=_deleted,
    show=show,
    missing=_missing,
)
