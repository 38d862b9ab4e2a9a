"""Roles: Google's own, as far as the region knows their permissions, and a project's.

The permissions listed are those that something in the region can ask about. A project's own role can be made
and bound, and grants nothing yet.
"""

import re
from collections.abc import Iterable

from fogbank.errors import ApiError
from fogbank.resources.apis import Catalogue
from fogbank.resources.fingerprints import fingerprint
from fogbank.resources.names import ResourceName
from fogbank.resources.policies import grants
from fogbank.resources.world import Json, Put, Resource, World
from fogbank.services.collections import bad_request, changed_fields, check_etag
from fogbank.services.contract import Call, Decision
from fogbank.services.masks import mask_paths
from fogbank.services.segments import project_of, segments

CUSTOM = "iam.roles"

_ID = re.compile(r"^[a-zA-Z0-9_.]{3,64}$")
_WRITABLE = ("title", "description", "includedPermissions", "stage")


def permissions(apis: Catalogue) -> list[str]:
    """List every permission that the region knows: those that its APIs ask about, and those of roles."""
    of_roles = {held for role in apis.roles.values() for held in role if held and not held.endswith(".")}
    return sorted(of_roles.union(apis.permissions))


def predefined(apis: Catalogue) -> list[str]:
    """List Google's roles."""
    return sorted({"roles/viewer", *apis.roles})


def get_predefined(_world: World, call: Call) -> Json:
    """Show one of Google's roles."""
    name = f"roles/{segments(call)['roles']}"
    if name not in predefined(call.apis):
        raise _missing(name)
    return _predefined(call.apis, name, full=True)


def list_predefined(_world: World, call: Call) -> Iterable[Json]:
    """List Google's roles."""
    return [_predefined(call.apis, name, full=_full(call)) for name in predefined(call.apis)]


def _predefined(apis: Catalogue, name: str, *, full: bool) -> Json:
    words = re.sub(r"([a-z])([A-Z])", r"\1 \2", name.removeprefix("roles/").replace(".", " "))
    role: Json = {"name": name, "title": words.title(), "stage": "GA"}
    if full:
        role["includedPermissions"] = [p for p in permissions(apis) if grants(name, p, apis.roles)]
    return role | {"etag": fingerprint(role)}


def _full(call: Call) -> bool:
    return call.parameters.get("view") == "FULL"


def _missing(name: str) -> ApiError:
    return ApiError(404, f"The role named {name} was not found.", "NOT_FOUND", "notFound")


def testable(_world: World, call: Call) -> Json:
    """List the permissions that a custom role can have."""
    return {"permissions": [{"name": name, "stage": "GA"} for name in permissions(call.apis)]}


def _find(world: World, call: Call) -> Resource:
    name = _custom_name(world, call, segments(call)["roles"])
    found = world.find(name)
    if found is None:
        raise _missing(name.path)
    return found


def _custom_name(world: World, call: Call, identifier: str) -> ResourceName:
    return ResourceName(CUSTOM, f"projects/{project_of(world, call)}/roles/{identifier}")


def show(role: Resource) -> Json:
    """Render a project's role."""
    return role.body | {"etag": fingerprint(role.body)}


def get(world: World, call: Call) -> Json:
    """Show a project's role."""
    return show(_find(world, call))


def list_(world: World, call: Call) -> Iterable[Json]:
    """List a project's roles."""
    under, deleted = f"projects/{project_of(world, call)}/", call.parameters.get("showDeleted")
    found = [show(r) for r in world.all(CUSTOM, under)]
    shown = [role for role in found if deleted or not role.get("deleted")]
    hidden = () if _full(call) else ("includedPermissions",)
    return [{key: value for key, value in role.items() if key not in hidden} for role in shown]


def create(world: World, call: Call) -> Decision:
    """Make a role of a project."""
    identifier = str(call.body.get("roleId", ""))
    if not _ID.match(identifier):
        raise bad_request(
            f"The role_id '{identifier}' must have 3 to 64 letters, digits, underscores and full stops."
        )
    name = _custom_name(world, call, identifier)
    if world.find(name):
        raise ApiError(
            409,
            f"A role named {identifier} in {name.path} already exists.",
            "ALREADY_EXISTS",
            "alreadyExists",
        )
    wanted: Json = call.body.get("role") or {}
    body = {"name": name.path} | {key: wanted[key] for key in _WRITABLE if wanted.get(key)}
    made = Resource(name, call.new_id(), call.now, body)
    return Decision((Put(made),), answer=show(made))


def patch(world: World, call: Call) -> Decision:
    """Change the fields that the mask names, or that the body has."""
    found = _find(world, call)
    check_etag(call.body, found.body, "role")
    names = changed_fields(mask_paths(call), call.body, _WRITABLE, "role")
    changed = found.with_body(**{key: call.body.get(key) or None for key in names})
    return Decision((Put(changed),), answer=show(changed))


def delete(world: World, call: Call) -> Decision:
    """Mark a role as deleted."""
    return _marked(_find(world, call), deleted=True)


def undelete(world: World, call: Call) -> Decision:
    """Bring a deleted role back."""
    return _marked(_find(world, call), deleted=None)


def _marked(role: Resource, *, deleted: bool | None) -> Decision:
    changed = role.with_body(deleted=deleted)
    return Decision((Put(changed),), answer=show(changed))
