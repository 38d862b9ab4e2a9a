"""The three IAM methods that many resources have, made once, and the networks that bodies refer to.

A policy lives beside the resource that it is about, under the same path, and a project's
counts for all in it.
"""

from collections.abc import Callable, Mapping

from fogbank.errors import ApiError
from fogbank.resources.authorization import denied, held
from fogbank.resources.names import ResourceName, parse_compute_reference
from fogbank.resources.policies import NEVER_SET, as_version, replaced
from fogbank.resources.predefined_roles import may_be_bound
from fogbank.resources.projects import POLICIES, custom_role_name
from fogbank.resources.world import Json, Put, Resource, World
from fogbank.services.contract import NO_PERMISSION, Call, Decision, Method, Read, Write

MOST_TESTED = 100
"""Permissions in one call of testIamPermissions (ours); anybody with a token may ask."""

_PUBLIC = frozenset({"allUsers", "allAuthenticatedUsers"})

Guarded = Callable[[World, Call], ResourceName]


def iam_methods(
    prefix: str, guarded: Guarded, kind: str, *, without_public: bool = False
) -> Mapping[str, Method]:
    """Make getIamPolicy, setIamPolicy and testIamPermissions under ``prefix`` (``projects.``).

    ``guarded`` names the policy of the resource that a call is about, and refuses when that does not exist;
    ``kind`` (``run.services``) is what permissions call it. A resource ``without_public`` members refuses
    ``allUsers`` and ``allAuthenticatedUsers``.
    """

    def get_policy(world: World, call: Call) -> Json:
        return as_version(_body(world, guarded(world, call)) or NEVER_SET, _requested_version(call))

    def set_policy(world: World, call: Call) -> Decision:
        name = guarded(world, call)
        proposed = call.body.get("policy")
        if proposed is None:
            raise ApiError(400, "The policy is missing.", "INVALID_ARGUMENT", "badRequest")
        if without_public:
            _refuse_public(proposed)
        number = call.new_id()
        policy = replaced(_body(world, name), proposed, number, lambda role: _exists(world, role, name))
        return Decision((Put(Resource(name, number, call.now, policy)),), answer=policy)

    def test_permissions(world: World, call: Call) -> Json:
        """Answer alike for what is not there and for what the caller may not see, as Google advises."""
        try:
            name = guarded(world, call)
        except ApiError:
            return {}
        permissions = call.body.get("permissions") or ()
        if len(permissions) > MOST_TESTED:
            message = f"At most {MOST_TESTED} permissions can be tested at once, not {len(permissions)}."
            raise ApiError(400, message, "INVALID_ARGUMENT", "badRequest")
        beside = () if name.collection == POLICIES else (name,)
        found = held(call.access, world, call.principal, permissions, name.project, *beside)
        return {"permissions": list(found)} if found else {}

    return {
        f"{prefix}getIamPolicy": Read(get_policy, f"{kind}.getIamPolicy"),
        f"{prefix}setIamPolicy": Write(set_policy, f"{kind}.setIamPolicy"),
        f"{prefix}testIamPermissions": Read(test_permissions, NO_PERMISSION),
    }


def network_named(
    world: World,
    call: Call,
    reference: str,
    project: str,
    refuse: Callable[[str], ApiError],
    *,
    foreign: str = "",
) -> ResourceName:
    """Find the network that a body refers to, for a caller who may see it; ``refuse`` makes a refusal.

    ``foreign`` is what is said of another project's network; without it such a one will do.
    """
    try:
        name = parse_compute_reference(reference, "networks", project, "global")
    except ValueError:
        raise refuse(f"'{reference}' does not name a network.") from None
    if foreign and name.project != project:
        raise refuse(foreign)
    permission, beside = "compute.networks.get", ResourceName("compute.policies", name.path)
    if not call.access.allows(world, call.principal, permission, name.project, beside):
        raise denied(permission, name.path, service=call.method.partition(".")[0])
    if world.find(name) is None:
        raise refuse(f"The network '{name.path}' was not found.")
    return name


def _requested_version(call: Call) -> int:
    """Return the version of policies that a caller asked for: in the query or the body, 0 if not at all."""
    asked = call.parameters.get("options.requestedPolicyVersion")
    asked = asked or call.parameters.get("optionsRequestedPolicyVersion")
    return int(asked or (call.body.get("options") or {}).get("requestedPolicyVersion") or 0)


def _refuse_public(policy: Json) -> None:
    """Refuse a policy that lets everybody in (observed for resources that cannot be public)."""
    for binding in policy.get("bindings") or ():
        for member in binding.get("members") or ():
            if member in _PUBLIC:
                message = f"Member {member} is invalid due to membership type restrictions on the resource."
                raise ApiError(400, message, "INVALID_ARGUMENT", "badRequest")


def _body(world: World, name: ResourceName) -> Json | None:
    found = world.find(name)
    return found.body if found else None


def _exists(world: World, role: str, guarded: ResourceName) -> bool:
    """Return whether a policy may bind a role: Google's, or one of its own project."""
    if may_be_bound(role):
        return True
    found = world.find(custom_role_name(role))
    return found is not None and found.name.project == guarded.project and not found.body.get("deleted")
