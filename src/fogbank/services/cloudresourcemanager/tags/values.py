"""Tag values: what a key may have, and what resources are bound to."""

from collections.abc import Iterable, Mapping

from fogbank.errors import ApiError
from fogbank.resources.authorization import denied
from fogbank.resources.names import ResourceName
from fogbank.resources.regular_expressions import compile_pattern
from fogbank.resources.tags import KEYS, VALUES, bindings_with, find_namespaced, find_tag, values_of
from fogbank.resources.world import Json, Put, Resource, World
from fogbank.services.access import iam_methods
from fogbank.services.cloudresourcemanager.tags import common
from fogbank.services.contract import NO_PERMISSION, Call, Decision, List, Method, Read, Write

MOST_VALUES = 1000
"""Of one key (https://cloud.google.com/resource-manager/docs/limits)."""


def create(world: World, call: Call) -> Decision:
    """Make a value of a key."""
    key = _key(world, call, str(call.body.get("parent") or ""), "resourcemanager.tagValues.create")
    short, description = str(call.body.get("shortName") or ""), str(call.body.get("description") or "")
    common.check_words(short, description)
    pattern = str(key.body.get("allowedValuesRegex") or "")
    if pattern and not compile_pattern(pattern).fullmatch(short):
        raise common.bad_request(
            f"The short name '{short}' does not match the key's allowed values '{pattern}'."
        )
    namespaced = f"{key.private['namespaced']}/{short}"
    if find_namespaced(world, namespaced):
        raise ApiError(
            409,
            f"A tag value with the short name '{short}' already exists.",
            "ALREADY_EXISTS",
            "alreadyExists",
        )
    if sum(1 for _ in values_of(world, key)) >= MOST_VALUES:
        raise common.unfit(f"The tag key has {MOST_VALUES} values, which is the most that it may have.")
    owner = key.name.path.partition("/tagKeys/")[0]
    name = ResourceName(VALUES, f"{owner}/tagValues/{call.new_id()}")
    fields = {"parent": key.body["name"], "shortName": short, "description": description}
    made = common.new_tag(call, name, fields, namespaced, f"{key.body['namespacedName']}/{short}")
    return common.over(call, made, (Put(made),), "Create")


def _key(world: World, call: Call, reference: str, permission: str) -> Resource:
    """Find the key that a body or a query names, for a caller with ``permission`` on it."""
    found = find_tag(world, reference)
    if found is None or found.name.collection != KEYS or not common.may(world, call, permission, found):
        raise denied(permission, reference, service="cloudresourcemanager")
    return found


def list_(world: World, call: Call) -> Iterable[Json]:
    """List the values of a key."""
    key = _key(world, call, str(call.parameters.get("parent") or ""), "resourcemanager.tagValues.list")
    return (each.body for each in values_of(world, key))


def get_namespaced(world: World, call: Call) -> Json:
    """Show the value with a namespaced name."""
    return common.namespaced(world, call, "resourcemanager.tagValues.get")


def patch(world: World, call: Call) -> Decision:
    """Change a value's description."""
    return common.patch(world, call, {"description": ""})


def delete(world: World, call: Call) -> Decision:
    """Delete a value that no resource has."""
    users = bindings_with(world, common.find(world, call))
    return common.delete(world, call, users, "Cannot delete tag value still attached to resources")


METHODS: Mapping[str, Method] = {
    # The key is in the body or the query: these ask for their permission themselves.
    "v3.tagValues.create": Write(create, NO_PERMISSION),
    "v3.tagValues.list": List(list_, "tagValues", permission=NO_PERMISSION),
    "v3.tagValues.getNamespaced": Read(get_namespaced, NO_PERMISSION),
    "v3.tagValues.get": Read(common.get, "resourcemanager.tagValues.get"),
    "v3.tagValues.patch": Write(patch, "resourcemanager.tagValues.update"),
    "v3.tagValues.delete": Write(delete, "resourcemanager.tagValues.delete"),
    **iam_methods("v3.tagValues.", common.guarded, "resourcemanager.tagValues"),
}
