"""Roles: Google's own, as its IAM API lists them, and a project's.

Of Google's roles the permissions of APIs that are built or may be are shown, of the others none.
"""

import re
from collections.abc import Iterable

from fogbank.errors import ApiError
from fogbank.resources.fingerprints import fingerprint
from fogbank.resources.names import ResourceName
from fogbank.resources.predefined_roles import is_permission, known_permissions, role_titles, roles_with
from fogbank.resources.projects import CUSTOM_ROLES, custom_role_name
from fogbank.resources.world import Json, Put, Resource, World
from fogbank.services.collections import bad_request, changed_fields, check_etag
from fogbank.services.contract import Call, Decision
from fogbank.services.masks import mask_paths
from fogbank.services.segments import project_of, segments

_ID = re.compile(r"^[a-zA-Z0-9_.]{3,64}$")
_WRITABLE = ("title", "description", "includedPermissions", "stage")
_LONGEST = {"title": 100, "description": 300}
_MOST_PERMISSIONS = 3000
"""The greatest sizes of a custom role (IAM's documentation, "Quotas and limits")."""


def get_predefined(_world: World, call: Call) -> Json:
    """Show one of Google's roles."""
    name = f"roles/{segments(call)['roles']}"
    if name not in role_titles():
        raise _missing(name)
    return _predefined([name], full=True)[0]


def list_predefined(_world: World, call: Call) -> Iterable[Json]:
    """List Google's roles."""
    return _predefined(role_titles(), full=_full(call))


def _predefined(names: Iterable[str], *, full: bool) -> list[Json]:
    titles = role_titles()
    roles: dict[str, Json] = {
        name: {"name": name, "title": titles[name].title, "stage": titles[name].stage} for name in names
    }
    if full:
        for permission in known_permissions():
            for name in roles_with(permission) & roles.keys():
                roles[name].setdefault("includedPermissions", []).append(permission)
    return [role | {"etag": fingerprint(role)} for role in roles.values()]


def _full(call: Call) -> bool:
    return call.parameters.get("view") == "FULL"


def _missing(name: str) -> ApiError:
    return ApiError(404, f"The role named {name} was not found.", "NOT_FOUND", "notFound")


def testable(_world: World, _call: Call) -> Json:
    """List the permissions that a custom role can have."""
    return {"permissions": [{"name": name, "stage": "GA"} for name in known_permissions()]}


def _find(world: World, call: Call) -> Resource:
    name = _custom_name(world, call, segments(call)["roles"])
    found = world.find(name)
    if found is None:
        raise _missing(name.path)
    return found


def _custom_name(world: World, call: Call, identifier: str) -> ResourceName:
    return custom_role_name(f"projects/{project_of(world, call)}/roles/{identifier}")


def show(role: Resource) -> Json:
    """Render a project's role."""
    return role.body | {"etag": fingerprint(role.body)}


def get(world: World, call: Call) -> Json:
    """Show a project's role."""
    return show(_find(world, call))


def list_(world: World, call: Call) -> Iterable[Json]:
    """List a project's roles."""
    under, deleted = f"projects/{project_of(world, call)}/", call.parameters.get("showDeleted")
    found = [show(r) for r in world.all(CUSTOM_ROLES, under)]
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
    _check_size(wanted)
    _check_permissions(wanted)
    body = {"name": name.path} | {key: wanted[key] for key in _WRITABLE if wanted.get(key)}
    made = Resource(name, call.new_id(), call.now, body)
    return Decision((Put(made),), answer=show(made))


def patch(world: World, call: Call) -> Decision:
    """Change the fields that the mask names, or that the body has."""
    found = _find(world, call)
    check_etag(call.body, found.body, "role")
    _check_size(call.body)
    _check_permissions(call.body)
    names = changed_fields(mask_paths(call), call.body, _WRITABLE, "role")
    changed = found.with_body(**{key: call.body.get(key) or None for key in names})
    return Decision((Put(changed),), answer=show(changed))


def _check_size(role: Json) -> None:
    for name, most in _LONGEST.items():
        if len(str(role.get(name) or "").encode()) > most:
            raise bad_request(f"The {name} of a role may have at most {most} bytes.")
    if len(permissions := role.get("includedPermissions") or ()) > _MOST_PERMISSIONS:
        raise bad_request(
            f"A role may have at most {_MOST_PERMISSIONS:,} permissions, not {len(permissions):,}."
        )


def _check_permissions(role: Json) -> None:
    """Refuse a permission that Google does not have (its words)."""
    for permission in role.get("includedPermissions") or ():
        if not is_permission(permission):
            raise bad_request(f"Permission {permission} is not valid.")


def delete(world: World, call: Call) -> Decision:
    """Mark a role as deleted."""
    return _marked(_find(world, call), deleted=True)


def undelete(world: World, call: Call) -> Decision:
    """Bring a deleted role back."""
    return _marked(_find(world, call), deleted=None)


def _marked(role: Resource, *, deleted: bool | None) -> Decision:
    changed = role.with_body(deleted=deleted)
    return Decision((Put(changed),), answer=show(changed))
