"""Which resources have which tag values, by themselves or from their project.

The resource is in the body, the query or a name of Google's that holds it escaped: each method asks for its
permission itself.
"""

from collections.abc import Iterable, Mapping
from urllib.parse import quote, unquote

from fogbank.errors import ApiError
from fogbank.resources.authorization import denied
from fogbank.resources.projects import PROJECTS, project_name
from fogbank.resources.tags import (
    VALUES,
    bindings_of,
    check_binding,
    find_bound,
    find_namespaced,
    find_tag,
    left_over,
    new_binding,
)
from fogbank.resources.world import Delete, Json, Put, Resource, World
from fogbank.services.cloudresourcemanager.tags import common
from fogbank.services.cloudresourcemanager.tags.keys import key_of
from fogbank.services.contract import NO_PERMISSION, Call, Decision, List, Method, Write

_ONE_OF_A_KEY = "The resource already has a value of this tag key."


def create(world: World, call: Call) -> Decision:
    """Bind a value to a resource."""
    resource = _resource(world, call, str(call.body.get("parent") or ""), "createTagBinding")
    namespaced = str(call.body.get("tagValueNamespacedName") or "")
    reference = str(call.body.get("tagValue") or "")
    value = find_namespaced(world, namespaced) if namespaced else find_tag(world, reference)
    if value is None or value.name.collection != VALUES:
        raise denied(
            "resourcemanager.tagValueBindings.create", namespaced or reference, service="cloudresourcemanager"
        )
    check_binding(world, call.access, call.principal, value)
    for each in bindings_of(world, resource.name):
        bound = find_tag(world, each.body["tagValue"])
        if bound is not None and bound.body["parent"] == value.body["parent"]:
            raise ApiError(409, _ONE_OF_A_KEY, "ALREADY_EXISTS", "alreadyExists")
    made = new_binding(world, resource, value, call.new_id())
    return common.over(call, made, (Put(made), *left_over(world)), "Create", _shown(world, made))


def delete(world: World, call: Call) -> Decision:
    """Take a value away from a resource."""
    escaped, _, value = call["name"].removeprefix("tagBindings/").rpartition("/tagValues/")
    resource = _resource(world, call, unquote(escaped), "deleteTagBinding")
    wanted = f"tagValues/{value}"
    found = next(
        (each for each in bindings_of(world, resource.name) if each.body["tagValue"] == wanted), None
    )
    if found is None:
        raise denied(call.method, call["name"], service="cloudresourcemanager")
    return common.over(call, found, (Delete(found.name), *left_over(world)), "Delete", _shown(world, found))


def list_(world: World, call: Call) -> Iterable[Json]:
    """List what a resource has by itself."""
    resource = _resource(world, call, str(call.parameters.get("parent") or ""), "listTagBindings")
    return [_shown(world, each) for each in bindings_of(world, resource.name)]


def effective(world: World, call: Call) -> Iterable[Json]:
    """List what a resource has by itself, and from its project what it has no value of its own for."""
    resource = _resource(world, call, str(call.parameters.get("parent") or ""), "listEffectiveTags")
    found: dict[str, Json] = {}
    for holder in (project_name(resource.name.project), resource.name):
        for each in bindings_of(world, holder):
            value = find_tag(world, each.body["tagValue"])
            if value is not None:
                found[value.body["parent"]] = _effective(world, value, inherited=holder != resource.name)
    return found.values()


def _effective(world: World, value: Resource, *, inherited: bool) -> Json:
    key = key_of(world, value.body)
    return {
        "tagValue": value.body["name"],
        "namespacedTagValue": value.body["namespacedName"],
        "tagKey": key["name"],
        "namespacedTagKey": key["namespacedName"],
        "tagKeyParentName": key["parent"],
        "inherited": inherited,
    }


def _shown(world: World, binding: Resource) -> Json:
    escaped, value = quote(binding.body["parent"], safe=""), binding.body["tagValue"]
    found = find_tag(world, value)
    named = {"tagValueNamespacedName": found.body["namespacedName"]} if found else {}
    return {"name": f"tagBindings/{escaped}/{value}", **binding.body, **named}


def _resource(world: World, call: Call, named: str, verb: str) -> Resource:
    """Find the resource of a binding, for a caller who may; a missing one is refused like another's."""
    found = find_bound(world, named)
    if found is not None:
        name = found.name
        kind = "resourcemanager.hierarchyNodes" if name.collection == PROJECTS else name.collection
        if call.access.allows(world, call.principal, f"{kind}.{verb}", name.project):
            return found
    raise denied(verb, named, service="cloudresourcemanager")


METHODS: Mapping[str, Method] = {
    "v3.tagBindings.create": Write(create, NO_PERMISSION),
    "v3.tagBindings.delete": Write(delete, NO_PERMISSION),
    "v3.tagBindings.list": List(list_, "tagBindings", permission=NO_PERMISSION),
    "v3.effectiveTags.list": List(effective, "effectiveTags", permission=NO_PERMISSION),
}
