"""Tag keys: named in a project or an organisation, with the values that they may have."""

import re
from collections.abc import Iterable, Mapping

from fogbank.errors import ApiError, not_built
from fogbank.resources.names import ResourceName
from fogbank.resources.projects import project_id, project_name, project_number
from fogbank.resources.regular_expressions import BadPatternError, compile_pattern
from fogbank.resources.tags import KEYS, find_namespaced, find_tag, values_of
from fogbank.resources.world import Json, Put, World
from fogbank.services.access import iam_methods
from fogbank.services.cloudresourcemanager.tags import common
from fogbank.services.contract import NO_PERMISSION, Call, Decision, List, Method, Read, Write

_PARENT = re.compile(r"(?:organizations/[0-9]+|projects/[^/]+)")
MOST_KEYS = 1000
"""In one project or organisation (https://cloud.google.com/resource-manager/docs/limits)."""


def create(world: World, call: Call) -> Decision:
    """Make a key."""
    body, parent = call.body, _parent(world, str(call.body.get("parent") or ""))
    short, description = str(body.get("shortName") or ""), str(body.get("description") or "")
    common.check_words(short, description)
    purpose = body.get("purpose")
    if purpose not in {None, "PURPOSE_UNSPECIFIED"} or body.get("purposeData"):
        raise not_built(f"tag keys with the purpose {purpose}")
    pattern = str(body.get("allowedValuesRegex") or "")
    _check_pattern(pattern)
    owner = parent.partition("/")[2]
    if find_namespaced(world, f"{owner}/{short}"):
        raise ApiError(
            409, f"A tag key with the short name '{short}' already exists.", "ALREADY_EXISTS", "alreadyExists"
        )
    if world.count(KEYS, f"{parent}/tagKeys/") >= MOST_KEYS:
        raise common.unfit(f"{parent} has {MOST_KEYS} tag keys, which is the most that it may have.")
    shown = parent
    if parent.startswith("projects/"):
        shown = f"projects/{project_number(world, owner)}"
    name = ResourceName(KEYS, f"{parent}/tagKeys/{call.new_id()}")
    fields = {"parent": shown, "shortName": short, "description": description, "allowedValuesRegex": pattern}
    made = common.new_tag(call, name, fields, f"{owner}/{short}", f"{owner}/{short}")
    return common.over(call, made, (Put(made),), "Create")


def _parent(world: World, parent: str) -> str:
    """Return ``projects/ID`` or ``organizations/NUMBER``, where a key is to be."""
    if not _PARENT.fullmatch(parent):
        raise common.bad_request(f"The parent '{parent}' must be organizations/NUMBER or projects/PROJECT.")
    kind, _, identifier = parent.partition("/")
    if kind == "organizations":
        return parent
    project = project_id(world, identifier)
    if world.find(project_name(project)) is None:
        raise common.bad_request(f"The parent '{parent}' does not exist.")
    return f"projects/{project}"


def _check_pattern(pattern: str) -> None:
    try:
        compile_pattern(pattern)
    except BadPatternError as error:
        raise common.bad_request(f"allowed_values_regex is no regular expression: {error}.") from None


def list_(world: World, call: Call) -> Iterable[Json]:
    """List the keys of a project or an organisation."""
    parent = _parent(world, str(call.parameters.get("parent") or ""))
    return (each.body for each in world.all(KEYS, f"{parent}/tagKeys/"))


def get_namespaced(world: World, call: Call) -> Json:
    """Show the key with a namespaced name."""
    return common.namespaced(world, call, "resourcemanager.tagKeys.get")


def patch(world: World, call: Call) -> Decision:
    """Change a key's description, or which values it may have from now on."""
    _check_pattern(str(call.body.get("allowedValuesRegex") or ""))
    return common.patch(world, call, {"description": "", "allowedValuesRegex": ""})


def delete(world: World, call: Call) -> Decision:
    """Delete a key without values."""
    values = values_of(world, common.find(world, call))
    return common.delete(world, call, values, "Cannot delete tag key with existing tag values.")


def projects_of_parent(given: Json) -> tuple[str, ...]:
    """Name the project whose permission counts for a key that is to be made or listed."""
    kind, _, identifier = str(given.get("parent") or "").partition("/")
    return (identifier,) if kind == "projects" and identifier and "/" not in identifier else ()


def key_of(world: World, value: Json) -> Json:
    """Return the key of a value."""
    found = find_tag(world, str(value["parent"]))
    return found.body if found else {}


METHODS: Mapping[str, Method] = {
    "v3.tagKeys.create": Write(create, "resourcemanager.tagKeys.create", projects_of_parent),
    "v3.tagKeys.get": Read(common.get, "resourcemanager.tagKeys.get"),
    "v3.tagKeys.getNamespaced": Read(get_namespaced, NO_PERMISSION),  # it asks for tagKeys.get itself
    "v3.tagKeys.list": List(
        list_, "tagKeys", permission="resourcemanager.tagKeys.list", projects=projects_of_parent
    ),
    "v3.tagKeys.patch": Write(patch, "resourcemanager.tagKeys.update"),
    "v3.tagKeys.delete": Write(delete, "resourcemanager.tagKeys.delete"),
    **iam_methods("v3.tagKeys.", common.guarded, "resourcemanager.tagKeys"),
}
