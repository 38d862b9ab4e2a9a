"""Tags of Resource Manager: keys, their values, and which resources have which value.

`cloudresourcemanager` makes them, compute binds some to what it creates, authorization asks whose a tag is.
The surprising fact: a binding counts as long as the resource exists for which it was made. What is left of
it then is deleted with the next change of a tag.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from fogbank.errors import ApiError
from fogbank.resources.authorization import Access, denied
from fogbank.resources.decisions import Decision
from fogbank.resources.indexes import Index
from fogbank.resources.names import ResourceName
from fogbank.resources.projects import PROJECTS, project_id, project_name, project_number
from fogbank.resources.world import Delete, Put, Resource, World

KEYS = "cloudresourcemanager.tagKeys"
VALUES = "cloudresourcemanager.tagValues"
BINDINGS = "cloudresourcemanager.tagBindings"
TAG_POLICIES = "cloudresourcemanager.policies"

_FULL_NAME = re.compile(r"//([a-z][a-z0-9-]*)\.googleapis\.com/(projects/[^/]+(?:/[^/]+)*)")
_COLLECTIONS = {"tagKeys": KEYS, "tagValues": VALUES}


def find_tag(world: World, reference: str) -> Resource | None:
    """Find what ``tagKeys/281`` or ``tagValues/281`` names."""
    kind, _, identifier = reference.partition("/")
    return world.with_id(_COLLECTIONS[kind], identifier) if kind in _COLLECTIONS else None


def is_tag(reference: str) -> bool:
    """Return whether a path is that of a tag's key or value."""
    return reference.partition("/")[0] in _COLLECTIONS


def owner_of(world: World, reference: str) -> str:
    """Return the project of a tag; empty for an organisation's, and for one that does not exist."""
    found = find_tag(world, reference)
    return found.name.project if found is not None else ""


def tag_policies(world: World, reference: str) -> tuple[ResourceName, ...]:
    """Name the policies beside a tag: for a value its key's first."""
    found = find_tag(world, reference)
    if found is None:
        return ()
    own = ResourceName(TAG_POLICIES, found.name.path)
    return (*tag_policies(world, str(found.body["parent"])), own)


def find_namespaced(world: World, namespaced: str) -> Resource | None:
    """Find a key by ``PARENT/KEY``, or a value by ``PARENT/KEY/VALUE``; a project goes by id or number."""
    parent, _, rest = namespaced.partition("/")
    known = f"{project_id(world, parent)}/{rest}"
    collection = VALUES if "/" in rest else KEYS
    return next(world.by(_BY_NAMESPACED[collection], known), None)


def values_of(world: World, key: Resource) -> Iterator[Resource]:
    """List the values of a key."""
    return world.by(_BY_KEY, key.body["name"])


def bindings_of(world: World, resource: ResourceName) -> Iterator[Resource]:
    """List the bindings of a resource that exists."""
    return (each for each in world.by(_BY_RESOURCE, str(resource)) if _is_alive(world, each))


def bindings_with(world: World, value: Resource) -> Iterator[Resource]:
    """List the bindings of a value to resources that exist."""
    return (each for each in world.by(_BY_VALUE, value.body["name"]) if _is_alive(world, each))


def left_over(world: World) -> tuple[Delete, ...]:
    """Delete the bindings of resources that are gone."""
    return tuple(Delete(each.name) for each in world.all(BINDINGS) if not _is_alive(world, each))


def find_bound(world: World, full_name: str) -> Resource | None:
    """Find the resource that a full name means: ``//compute.googleapis.com/projects/P/global/networks/N``.

    Its last segment may be the resource's number, and the project its number
    (https://cloud.google.com/asset-inventory/docs/asset-names).
    """
    found = _FULL_NAME.fullmatch(full_name)
    if not found:
        return None
    service, parts = found[1], found[2].split("/")
    parts[1] = project_id(world, parts[1])
    if len(parts) == 2:
        return world.find(project_name(parts[1])) if service == "cloudresourcemanager" else None
    path, collection = "/".join(parts), f"{service}.{parts[-2]}"
    under = path.removesuffix(parts[-1])
    return world.find(ResourceName(collection, path)) or world.with_id(collection, parts[-1], under)


def full_name(world: World, resource: Resource) -> str:
    """Name a resource in full, with numbers where Google has them."""
    name = resource.name
    if name.collection == PROJECTS:
        return f"//cloudresourcemanager.googleapis.com/projects/{resource.body['projectNumber']}"
    path = name.path.replace(
        f"projects/{name.project}/", f"projects/{project_number(world, name.project)}/", 1
    )
    if name.service == "compute":
        path = f"{path.rpartition('/')[0]}/{resource.id}"
    return f"//{name.service}.googleapis.com/{path}"


def new_binding(world: World, resource: Resource, value: Resource, number: int) -> Resource:
    """Bind a value to a resource; ``number`` is used once."""
    name = ResourceName(BINDINGS, f"projects/{resource.name.project}/tagBindings/{number}")
    body = {"parent": full_name(world, resource), "tagValue": value.body["name"]}
    private = {"collection": resource.name.collection, "path": resource.name.path, "id": resource.id}
    return Resource(name, number, resource.created, body, private)


def check_binding(world: World, access: Access, principal: str, value: Resource) -> None:
    """Refuse (403) to bind a value to somebody who may not."""
    permission, reference = "resourcemanager.tagValueBindings.create", str(value.body["name"])
    beside = tag_policies(world, reference)
    if not access.allows(world, principal, permission, value.name.project, *beside):
        raise denied(permission, reference, service="cloudresourcemanager")


def value_for(world: World, key: str, value: str) -> Resource:
    """Find the value of a pair ``tagKeys/1: tagValues/2``, or of namespaced and short names (else 400)."""
    found = find_tag(world, value) if is_tag(value) else find_namespaced(world, f"{key}/{value}")
    if found is None or found.name.collection != VALUES or (is_tag(key) and found.body["parent"] != key):
        raise ApiError(
            400,
            f"Invalid resource manager tag '{key}: {value}': no such value of a tag key exists.",
            "INVALID_ARGUMENT",
            "invalid",
        )
    return found


def values_asked(
    world: World, access: Access, principal: str, tags: Mapping[str, str]
) -> tuple[Resource, ...]:
    """Find the values that a new resource is to have; refuse those that ``principal`` may not bind."""
    values = tuple(value_for(world, key, str(value)) for key, value in tags.items())
    for each in values:
        check_binding(world, access, principal, each)
    if len({each.body["parent"] for each in values}) < len(values):
        message = "A resource has at most one value of each tag key."
        raise ApiError(400, message, "INVALID_ARGUMENT", "invalid")
    return values


def tagged(
    world: World, values: Sequence[Resource], decision: Decision, new_id: Callable[[], int]
) -> Decision:
    """Bind ``values`` to what ``decision`` makes: the resource that its operation is about."""
    target = decision.operation.target if decision.operation else None
    made = (each.resource for each in decision.changes if isinstance(each, Put))
    resource = next((each for each in made if each.name == target), None)
    if resource is None:  # it was only checked
        return decision
    bound = bound_at_birth(world, resource, [(each, new_id()) for each in values])
    return replace(decision, changes=(*decision.changes, *bound))


def bound_at_birth(
    world: World, resource: Resource, values: Iterable[tuple[Resource, int]]
) -> tuple[Put, ...]:
    """Bind values to a resource that is being made; each comes with a number that is used once."""
    return tuple(Put(new_binding(world, resource, value, number)) for value, number in values)


def _is_alive(world: World, binding: Resource) -> bool:
    private = binding.private
    found = world.find(ResourceName(str(private["collection"]), str(private["path"])))
    return found is not None and found.id == private["id"]


def _namespaced(tag: Resource) -> tuple[str]:
    return (str(tag.private["namespaced"]),)


_BY_KEY: Index[Resource] = Index(VALUES, lambda value: (value.body["parent"],))
_BY_VALUE: Index[Resource] = Index(BINDINGS, lambda binding: (binding.body["tagValue"],))
_BY_RESOURCE: Index[Resource] = Index(BINDINGS, lambda binding: (binding.private["path"],))
_BY_NAMESPACED: dict[str, Index[Resource]] = {each: Index(each, _namespaced) for each in (KEYS, VALUES)}
