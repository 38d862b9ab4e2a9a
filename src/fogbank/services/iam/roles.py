"""Roles: Google's own, as far as the region knows their permissions, and a project's.

The permissions listed are those that something in the region can ask about. A project's own role can be made
and bound, and grants nothing yet.
"""

import re
from collections.abc import Iterable, Mapping

from fogbank.errors import ApiError
from fogbank.resources.fingerprints import fingerprint
from fogbank.resources.names import ResourceName
from fogbank.resources.policies import ROLES, grants
from fogbank.resources.world import Json, Put, Resource, World
from fogbank.services.contract import Call, Decision
from fogbank.services.iam.accounts import bad_request
from fogbank.services.segments import project_of, segments

CUSTOM = "iam.roles"

_USUAL = ("create", "delete", "get", "list", "update")
_GUARDED = (*_USUAL, "getIamPolicy", "setIamPolicy")
_VERBS: Mapping[str, tuple[str, ...]] = {
    "artifactregistry.repositories": ("downloadArtifacts", "uploadArtifacts"),
    "compute.addresses": (*_USUAL, "use"),
    "compute.firewalls": _USUAL,
    "compute.networks": (*_USUAL, "access", "use"),
    "compute.projects": ("get",),
    "compute.regions": ("get", "list"),
    "compute.routers": _USUAL,
    "compute.routes": ("create", "delete", "get", "list"),
    "compute.subnetworks": (*_GUARDED, "use", "useExternalIp"),
    "compute.zones": ("get", "list"),
    "iam.roles": (*_USUAL, "undelete"),
    "iam.serviceAccountKeys": ("create", "delete", "get", "list"),
    "iam.serviceAccounts": (
        *_GUARDED,
        "actAs",
        "disable",
        "enable",
        "getAccessToken",
        "getOpenIdToken",
        "implicitDelegation",
        "signBlob",
        "signJwt",
    ),
    "iap.tunnelDestGroups": ("accessViaIAP",),
    "iap.tunnelInstances": ("accessViaIAP",),
    "resourcemanager.projects": (*_GUARDED, "undelete"),
    "run.configurations": ("get", "list"),
    "run.jobs": (*_GUARDED, "run"),
    "run.locations": ("list",),
    "run.revisions": ("delete", "get", "list"),
    "run.routes": ("get", "invoke", "list"),
    "run.services": _GUARDED,
    "serviceusage.services": ("disable", "enable", "get", "list", "use"),
    "vpcaccess.connectors": (*_USUAL, "use"),
    "vpcaccess.locations": ("list",),
    "vpcaccess.operations": ("get", "list"),
}
PERMISSIONS = tuple(sorted(f"{kind}.{verb}" for kind, verbs in _VERBS.items() for verb in verbs))
"""Every permission that the region knows."""

_PREDEFINED = tuple(sorted({"roles/viewer", *ROLES}))
_ID = re.compile(r"^[a-zA-Z0-9_.]{3,64}$")
_WRITABLE = ("title", "description", "includedPermissions", "stage")


def get_predefined(_world: World, call: Call) -> Json:
    """Show one of Google's roles."""
    name = f"roles/{segments(call)['roles']}"
    if name not in _PREDEFINED:
        raise _missing(name)
    return _predefined(name, full=True)


def list_predefined(_world: World, call: Call) -> Iterable[Json]:
    """List Google's roles."""
    return [_predefined(name, full=_full(call)) for name in _PREDEFINED]


def _predefined(name: str, *, full: bool) -> Json:
    words = re.sub(r"([a-z])([A-Z])", r"\1 \2", name.removeprefix("roles/").replace(".", " "))
    role: Json = {"name": name, "title": words.title(), "stage": "GA"}
    if full:
        role["includedPermissions"] = [p for p in PERMISSIONS if grants(name, p)]
    return role | {"etag": fingerprint(role)}


def _full(call: Call) -> bool:
    return call.parameters.get("view") == "FULL"


def _missing(name: str) -> ApiError:
    return ApiError(404, f"The role named {name} was not found.", "NOT_FOUND", "notFound")


def testable(_world: World, _call: Call) -> Json:
    """List the permissions that a custom role can have."""
    return {"permissions": [{"name": name, "stage": "GA"} for name in PERMISSIONS]}


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
    etag = call.body.get("etag")
    if etag and etag != show(found)["etag"]:
        raise ApiError(409, "There were concurrent changes of the role.", "ABORTED", "aborted")
    mask = [f for f in str(call.parameters.get("updateMask") or "").split(",") if f]
    names = [re.sub(r"_([a-z])", lambda m: m[1].upper(), f) for f in mask] or [
        key for key in _WRITABLE if key in call.body
    ]
    if unknown := set(names) - set(_WRITABLE):
        raise bad_request(f"The fields {', '.join(sorted(unknown))} of a role cannot be changed.")
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
