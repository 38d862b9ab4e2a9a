"""What every compute collection does alike: names, references, outputs, operations.

A stored body is what the API shows, but for what is derived when somebody reads (users of an address,
subnetworks of a network).
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from functools import partial
from typing import Any

from fogbank.errors import (
    ApiError,
    already_exists,
    invalid_value,
    not_built,
    required_field,
    shown,
)
from fogbank.resources.compute import DEFAULT_GATEWAY
from fogbank.resources.fingerprints import fingerprint
from fogbank.resources.listings import listing
from fogbank.resources.names import COMPUTE_PREFIX, ResourceName, Scope, compute_name, parse_compute_reference
from fogbank.resources.operations import compute_operation
from fogbank.resources.places import REGIONS
from fogbank.resources.projects import project_id
from fogbank.resources.world import Change, Delete, Json, Put, Resource, World
from fogbank.services.access import iam_methods
from fogbank.services.contract import Call, Decision, Method

NAME_PATTERN = "(?:[a-z](?:[-a-z0-9]{0,61}[a-z0-9])?)"
_NAME = re.compile(NAME_PATTERN)
_LABEL_KEY = re.compile(r"[a-z][a-z0-9_-]{0,62}")
_LABEL_VALUE = re.compile(r"[a-z0-9_-]{0,63}")
_STANDARD_BASE64 = str.maketrans("-_", "+/")
_PACIFIC = timezone(timedelta(hours=-8))

KINDS = {
    "networks": "compute#network",
    "subnetworks": "compute#subnetwork",
    "routers": "compute#router",
    "addresses": "compute#address",
    "globalAddresses": "compute#address",
    "firewalls": "compute#firewall",
    "routes": "compute#route",
}

LONGEST_DESCRIPTION = 2048

OUTPUTS = frozenset({"kind", "id", "creationTimestamp", "selfLink", "selfLinkWithId"})
"""Fields that only the region writes, in every collection; what a client sends of them is passed over."""


def timestamp(moment: datetime) -> str:
    """Render a moment as compute does: ``2026-01-02T03:04:05.678-08:00``."""
    return moment.astimezone(_PACIFIC).isoformat(timespec="milliseconds")


def project_of(world: World, call: Call) -> str:
    """Return the id of the project in the call's path."""
    return project_id(world, call["project"])


def region_of(call: Call) -> str:
    """Return the region in the call's path; refuses one that Google does not have."""
    region = call["region"]
    if region not in REGIONS:
        raise invalid_value("region", region, "Unknown region.")
    return region


def named(world: World, call: Call, kind: str, identifier: str) -> ResourceName:
    """Name what the call is about: ``identifier`` (a name or an id) of ``kind``, in the place of its path."""
    project = project_of(world, call)
    if kind == "globalAddresses":
        name = ResourceName("compute.globalAddresses", f"projects/{project}/global/addresses/{identifier}")
    elif "region" in call.parameters:
        name = compute_name(kind, project, "regions", region_of(call), identifier)
    else:
        name = compute_name(kind, project, "global", None, identifier)
    return by_id(world, name)


def by_id(world: World, name: ResourceName) -> ResourceName:
    """Return the real name of what is called by its id, as ``selfLinkWithId`` does; any other stays."""
    if not name.id.isdigit():  # a name begins with a letter
        return name
    place = name.path.rpartition("/")[0] + "/"
    found = world.with_id(name.collection, name.id, place)
    return name if found is None else found.name


def place_path(world: World, call: Call) -> str:
    """Return the beginning of the paths of everything in the project, or region, of the call's path."""
    project = project_of(world, call)
    if "region" in call.parameters:
        return f"projects/{project}/regions/{region_of(call)}/"
    return f"projects/{project}/"


def new_identifier(body: Json) -> str:
    """Check the name in a body that makes something."""
    if not body.get("name"):
        raise required_field("resource.name")
    check_name("resource.name", body["name"])
    return str(body["name"])


def check_name(field: str, value: object) -> None:
    """Refuse what is no name in compute (behaviour/vpc.md#networks)."""
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        raise invalid_value(field, value, f"Must be a match of regex '{NAME_PATTERN}'")


def check_labels(labels: Mapping[str, str]) -> None:
    """Refuse labels that break Google's rules (behaviour/api.md#labels)."""
    if len(labels) > 64:
        raise invalid_value("resource.labels", len(labels), "A resource has at most 64 labels.")
    for key, value in labels.items():
        if not _LABEL_KEY.fullmatch(key) or not _LABEL_VALUE.fullmatch(value):
            raise invalid_value(
                "resource.labels",
                f"{key}={value}",
                "Label keys must match [a-z][a-z0-9_-]{0,62} and values [a-z0-9_-]{0,63}.",
            )


def inputs(body: Json, outputs: Iterable[str] = ()) -> Json:
    """Return what a client asks for: without nulls, and without fields that only the region writes.

    Refuses a description of more than 2,048 characters (unverified).
    """
    skipped = OUTPUTS.union(outputs)
    if len(description := str(body.get("description") or "")) > LONGEST_DESCRIPTION:
        why = f"A description has at most {LONGEST_DESCRIPTION} characters."
        raise invalid_value("resource.description", description, why)
    return {key: value for key, value in without_nulls(body).items() if key not in skipped}


def without_nulls(value: Any) -> Any:
    """Take every null away, at any depth: it says the same as a field that is absent."""
    match value:
        case dict():
            return {key: without_nulls(each) for key, each in value.items() if each is not None}
        case list():
            return [without_nulls(each) for each in value if each is not None]
        case _:
            return value


def merged(before: Json, given: Json) -> Json:
    """Return ``before`` as a patch changes it: fields that are ``given`` replace, a null takes one away."""
    whole: Json = without_nulls(before | given)
    return whole


def refuse_unbuilt(collection: str, body: Json, unbuilt: Mapping[str, tuple[object, ...]]) -> None:
    """Refuse honestly a field that the network cannot honour yet; its harmless values pass.

    An absent, empty or false field is always harmless.
    """
    for field, harmless in unbuilt.items():
        value = body.get(field)
        if value and value not in harmless:
            raise not_built(f"compute.{collection} with {field}={shown(value)}")


def one_of(field: str, value: object, allowed: Iterable[str]) -> None:
    """Refuse a value that is none of ``allowed``."""
    choices = tuple(allowed)
    if value not in choices:
        raise invalid_value(field, value, f"Must be one of {', '.join(choices)}.")


def reference(field: str, value: object, kind: str, project: str, region: str | None = None) -> ResourceName:
    """Read a reference in a body, in any of Google's forms: to something global, or of ``region``."""
    scope: Scope = "regions" if region else "global"
    try:
        return parse_compute_reference(str(value), kind, project, scope, region)
    except (ValueError, IndexError):
        raise invalid_value(
            field, value, f"The URL is malformed: it must name one of the {kind} of a project."
        ) from None


def find_referred(world: World, field: str, value: object, kind: str, call: Call) -> Resource:
    """Find the resource that a body refers to: global or in the call's region; 404 when there is none.

    It must be in the call's project, as Google wants it where no VPC is shared, and in no other region.
    """
    region = region_of(call) if kind in {"subnetworks", "addresses"} else None
    project = project_of(world, call)
    name = by_id(world, reference(field, value, kind, project, region))
    if name.project != project:
        raise invalid_value(field, name.path, "Cross project referencing is not allowed for this resource.")
    if name.region != region:
        wanted = f"in region '{region}'" if region else "global"
        raise invalid_value(field, name.path, f"The resource must be {wanted}.")
    return world.get(name)


def made(call: Call, name: ResourceName, fields: Json, private: Json | None = None) -> Resource:
    """Make a resource with the outputs that all have: kind, id, creationTimestamp, name, selfLink, region."""
    return make(name, call.new_id(), call.now, fields, private)


def make(
    name: ResourceName, number: int, now: datetime, fields: Json, private: Json | None = None
) -> Resource:
    """Make a resource whose id is ``number``."""
    body = {
        "kind": KINDS[name.collection.partition(".")[2]],
        "id": str(number),
        "creationTimestamp": timestamp(now),
        "name": name.id,
        **fields,
        "selfLink": name.self_link,
    }
    if name.region:
        body["region"] = f"{COMPUTE_PREFIX}projects/{name.project}/regions/{name.region}"
    return Resource(name, number, now, body, private or {})


def fingerprinted(resource: Resource) -> Resource:
    """Add the fingerprint of its present content to the resource."""
    return resource.with_body(fingerprint=fingerprint(resource.body))


def is_current(given: object, present: str) -> bool:
    """Whether a client holds the present fingerprint; it may have written it in either kind of base64."""
    return str(given).translate(_STANDARD_BASE64) == present


def check_free(world: World, name: ResourceName) -> None:
    """Refuse a name that is taken."""
    if world.find(name) is not None:
        raise already_exists(name.path)


def committed(
    call: Call, kind: str, resource: Resource, changes: Iterable[Change], *, done: bool = False
) -> Decision:
    """Decide ``changes``, answered by an operation of type ``kind`` on ``resource``.

    ``done`` when nothing in the network has to change for it.
    """
    request = call.parameters.get("requestId")
    operation = compute_operation(
        kind,
        resource.name,
        resource.id,
        now=call.now,
        new_id=call.new_id,
        user=call.principal,
        done=done,
        request_id=str(request) if request else None,
    )
    return Decision(tuple(changes), operation)


def put(call: Call, kind: str, resource: Resource, *, done: bool = False) -> Decision:
    """Decide to make or replace ``resource``."""
    return committed(call, kind, resource, (Put(resource),), done=done)


def deleted(call: Call, resource: Resource, *others: Change, done: bool = False) -> Decision:
    """Decide to take ``resource`` away, and with it ``others``."""
    changes = (*others, Delete(policy_name(resource.name)), Delete(resource.name))
    return committed(call, "delete", resource, changes, done=done)


def policy_name(guarded: ResourceName) -> ResourceName:
    """Name the IAM policy that stands beside a resource."""
    return ResourceName("compute.policies", guarded.path)


def permission_tester(kind: str) -> Method:
    """Make testIamPermissions for resources of ``kind``."""

    def guarded(world: World, call: Call) -> ResourceName:
        return policy_name(world.get(named(world, call, kind, call["resource"])).name)

    return iam_methods("", guarded)["testIamPermissions"]


def unchanged(resource: Resource, body: Json, fields: Iterable[str]) -> None:
    """Refuse a patch that gives any of ``fields`` another value than it has."""
    for field in fields:
        if field in body and body[field] != resource.body.get(field):
            raise invalid_value(f"resource.{field}", body[field], "The field cannot be changed.")


def same_reference(world: World, resource: Resource, body: Json, field: str, kind: str) -> None:
    """Refuse a patch that makes ``field`` refer to something else."""
    if field in body:
        now = resource.body[field]
        new = by_id(world, reference(f"resource.{field}", body[field], kind, resource.name.project))
        if new.self_link != now:
            raise invalid_value(f"resource.{field}", body[field], "The field cannot be changed.")


def replaced(resource: Resource, body: Json) -> Resource:
    """Replace the whole body of the resource; its outputs stay."""
    kept = {key: value for key, value in resource.body.items() if key in OUTPUTS or key in ("name", "region")}
    return replace(resource, body=kept | body)


def bad_request(message: str, reason: str = "invalid") -> ApiError:
    """Refuse with a sentence of Google's that names no field."""
    return ApiError(400, message, "INVALID_ARGUMENT", reason)


def gateway_link(project: str) -> str:
    """Return the link of a project's internet gateway."""
    return f"{COMPUTE_PREFIX}projects/{project}/global/gateways/{DEFAULT_GATEWAY}"


Render = Callable[[World, Resource], Json]
"""How a resource looks to somebody who reads it."""


def as_stored(_world: World, resource: Resource) -> Json:
    """Show the body as it is kept."""
    return resource.body


def getter(kind: str, parameter: str, render: Render = as_stored) -> Callable[[World, Call], Json]:
    """Make the handler of ``get``: ``parameter`` is the path parameter with the name."""

    def get(world: World, call: Call) -> Json:
        return render(world, world.get(named(world, call, kind, call[parameter])))

    return get


def lister(kind: str, render: Render = as_stored) -> Callable[[World, Call], Iterable[Json]]:
    """Make the handler of ``list`` and ``aggregatedList``: everything in the call's region or project."""

    def listed(world: World, call: Call) -> Iterable[Json]:
        return in_place(world, call, kind, render)

    return listed


def in_place(world: World, call: Call, kind: str, render: Render = as_stored) -> Iterable[Json]:
    """List everything of ``kind`` in the call's region or project."""
    items = listing(world, f"compute.{kind}", place_path(world, call), partial(render, world))
    # Those of several regions are not in the order of their names.
    return list(items) if call.method.endswith(".aggregatedList") else items


def sorted_by_name(resources: Iterable[Resource]) -> list[Resource]:
    """Order resources as Google lists them."""
    return sorted(resources, key=lambda each: each.name.path)


def number(value: Any) -> int:
    """Read an integer of a body, which may come as a string."""
    return int(value)
