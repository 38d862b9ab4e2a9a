"""Who may do what: a caller, a permission and a resource in, yes or no out.

A caller has a permission when a binding of the project's policy, or of a policy that stands beside the
resource itself or what contains it, names the caller in a role that has it. Above all projects there is only
the region's own account, an owner like an organisation's administrator: a policy that leaves it out locks
nobody out of the region. There are no folders, no deny policies and no conditions; groups have no members
here. Roles are Google's (``predefined_roles``) and the project's own.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from fogbank.errors import ApiError
from fogbank.resources.names import ResourceName
from fogbank.resources.policies import member_of, names_of, policy_of
from fogbank.resources.predefined_roles import roles_with
from fogbank.resources.projects import POLICIES, account_policy_name, custom_role_name, find_account
from fogbank.resources.world import Json, Resource, World

_MOST_REMEMBERED = 4096
"""Policies whose compiled form is kept, and answers of each; when there are more, all are made again."""

_NONE: frozenset[str] = frozenset()


class Access(Protocol):
    """What the front end and services ask about permissions."""

    def allows(
        self, world: World, principal: str | None, permission: str, project: str, *guarded: ResourceName
    ) -> bool:
        """Return whether ``principal`` has ``permission``; it is an e-mail address, None for anybody.

        ``project`` is an id; ``guarded`` names policies (``run.policies``) of the resource and of what
        contains it.
        """
        ...


class Unrestricted:
    """The access of the region itself, which makes networks for new projects by its own services."""

    def allows(
        self, world: World, principal: str | None, permission: str, project: str, *guarded: ResourceName
    ) -> bool:
        """Return True."""
        del world, principal, permission, project, guarded
        return True


UNRESTRICTED: Access = Unrestricted()


@dataclass(frozen=True, slots=True)
class Compiled:
    """A policy turned around: the roles of each ``member``.

    ``answers`` has what was asked of it before, and what Google's roles said, which do not change.
    """

    roles: Mapping[str, frozenset[str]]
    answers: dict[tuple[str | None, str], bool] = field(default_factory=dict, compare=False)

    def gives(self, principal: str | None, permission: str) -> bool:
        """Return whether one of Google's roles gives ``permission``."""
        key = (principal, permission)
        known = self.answers.get(key)
        if known is not None:
            return known
        if len(self.answers) >= _MOST_REMEMBERED:
            self.answers.clear()
        given = not self.roles_of(principal).isdisjoint(roles_with(permission))
        self.answers[key] = given
        return given

    def roles_of(self, principal: str | None) -> frozenset[str]:
        """Return the roles that ``principal`` has."""
        return _NONE.union(*(self.roles.get(name, _NONE) for name in names_of(principal)))


class Policies:
    """The access that the World's policies give; ``operator`` owns every project.

    Compiled policies are remembered by the resource that they were made of, which never changes.
    """

    def __init__(self, operator: str) -> None:
        self._inherited = compiled(policy_of({"roles/owner": [member_of(operator)]}, 0))
        self._compiled: dict[int, tuple[Resource, Compiled]] = {}

    def allows(
        self, world: World, principal: str | None, permission: str, project: str, *guarded: ResourceName
    ) -> bool:
        """Return whether a binding gives ``permission``."""
        own = self._remembered(world, POLICIES, f"projects/{project}")
        if own is not None and own.gives(principal, permission):
            return True
        beside = (self._remembered(world, name.collection, name.path) for name in guarded)
        found = [self._inherited, *(each for each in (own, *beside) if each is not None)]
        if any(each.gives(principal, permission) for each in found):
            return True
        roles, mine = _NONE.union(*(each.roles_of(principal) for each in found)), f"projects/{project}/roles/"
        return any(role.startswith(mine) and _custom_has(world, role, permission) for role in roles)

    def _remembered(self, world: World, collection: str, path: str) -> Compiled | None:
        members = world.collections.get(collection)
        policy = members.get(path) if members is not None else None
        if policy is None:
            return None
        known = self._compiled.get(id(policy))
        if known is not None and known[0] is policy:
            return known[1]
        if len(self._compiled) >= _MOST_REMEMBERED:
            self._compiled.clear()
        made = compiled(policy.body)
        self._compiled[id(policy)] = (policy, made)
        return made


def compiled(policy: Json) -> Compiled:
    """Turn a policy around: the roles of each member."""
    roles: dict[str, set[str]] = {}
    for binding in policy.get("bindings") or ():
        for member in binding.get("members") or ():
            roles.setdefault(member, set()).add(binding["role"])
    return Compiled({member: frozenset(held) for member, held in roles.items()})


def held(
    access: Access,
    world: World,
    principal: str,
    permissions: Iterable[str],
    project: str,
    *guarded: ResourceName,
) -> tuple[str, ...]:
    """Answer testIamPermissions: those of ``permissions`` that ``principal`` has."""
    return tuple(each for each in permissions if access.allows(world, principal, each, project, *guarded))


def _custom_has(world: World, role: str, permission: str) -> bool:
    found = world.find(custom_role_name(role))
    if found is None or found.body.get("deleted") or found.body.get("stage") == "DISABLED":
        return False
    return permission in (found.body.get("includedPermissions") or ())


def denied(permission: str, resource: str, *, service: str) -> ApiError:
    """Refuse for want of ``permission`` on ``resource``, a path; each API in its own words.

    See behaviour/iam.md#refusals. Resource Manager says the same of a project that does not exist.
    """
    match service:
        case "compute":
            message = f"Required '{permission}' permission for '{resource}'"
        case "cloudresourcemanager":
            message = "The caller does not have permission"
        case "secretmanager":
            message = f"Permission '{permission}' denied for resource '{resource}' (or it may not exist)."
        case _:
            message = f"Permission '{permission}' denied on resource '{resource}' (or it may not exist)."
    detail = {
        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
        "reason": "IAM_PERMISSION_DENIED",
        "domain": f"{service}.googleapis.com",
        "metadata": {"permission": permission, "resource": resource},
    }
    details = () if service == "compute" else (detail,)
    return ApiError(403, message, "PERMISSION_DENIED", "forbidden", details)


def check_acts_as(
    access: Access, world: World, principal: str, email: str, project: str | None = None
) -> None:
    """Refuse a service account that ``principal`` may not act as, or that is not of ``project`` if given."""
    account = find_account(world, email)
    if account is None or account.name.project != (project or account.name.project):
        raise cannot_act_as(email)
    beside = account_policy_name(account.name)
    if not access.allows(world, principal, "iam.serviceAccounts.actAs", account.name.project, beside):
        raise cannot_act_as(email)


def cannot_act_as(email: str) -> ApiError:
    """Refuse to let a workload run as an account (behaviour/iam.md#refusals)."""
    return ApiError(
        403,
        f"Permission 'iam.serviceaccounts.actAs' denied on service account {email} (or it may not exist).",
        "PERMISSION_DENIED",
        "forbidden",
    )
