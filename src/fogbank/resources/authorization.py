"""Who may do what: a caller, a permission and a resource in, yes or no out.

A caller has a permission when a binding of the project's policy, or of a policy that stands beside the
resource itself or what contains it, names the caller in a role that has it. Above all projects there is only
the region's own account, an owner like an organisation's administrator: a policy that leaves it out locks
nobody out of the region. A binding with a condition counts when that holds for the resource and now. There
are no folders and no deny policies; groups have no members here. Roles are Google's (``predefined_roles``)
and the project's own.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

from fogbank.errors import ApiError
from fogbank.resources.names import ResourceName
from fogbank.resources.policies import member_of, names_of, policy_of
from fogbank.resources.predefined_roles import roles_with
from fogbank.resources.projects import (
    POLICIES,
    account_policy_name,
    custom_role_name,
    find_account,
    project_number,
)
from fogbank.resources.world import Json, Resource, World

if TYPE_CHECKING:
    from fogbank.resources.conditions import Attributes, Condition

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
        contains it, which comes first. Without any the question is about the project.
        """
        ...

    def allows_everywhere(self, world: World, principal: str | None, permission: str, project: str) -> bool:
        """Return whether the project's policy gives it by a role of Google's, without a condition."""
        ...


class Unrestricted:
    """The access of the region itself, which makes networks for new projects by its own services."""

    def allows(
        self, world: World, principal: str | None, permission: str, project: str, *guarded: ResourceName
    ) -> bool:
        """Return True."""
        del world, principal, permission, project, guarded
        return True

    def allows_everywhere(self, world: World, principal: str | None, permission: str, project: str) -> bool:
        """Return True."""
        del world, principal, permission, project
        return True


UNRESTRICTED: Access = Unrestricted()


@dataclass(frozen=True, slots=True)
class Compiled:
    """A policy turned around: the roles of each ``member``.

    ``conditional`` are its bindings with conditions, each of those with what it grants while it holds.
    ``answers`` has what was asked of it before, and what Google's roles said, which do not change.
    """

    roles: Mapping[str, frozenset[str]]
    conditional: "tuple[tuple[Condition, Compiled], ...]" = ()
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
    """The access that the World's policies give; ``now`` tells the time.

    ``operator`` owns every project and is the Shared VPC admin of them all.

    Compiled policies are remembered by the resource that they were made of, which never changes.
    """

    def __init__(self, operator: str, now: Callable[[], datetime]) -> None:
        self._now = now
        own = {role: [member_of(operator)] for role in ("roles/owner", "roles/compute.xpnAdmin")}
        self._inherited = compiled(policy_of(own, 0))
        self._compiled: dict[int, tuple[Resource, Compiled]] = {}

    def allows(
        self, world: World, principal: str | None, permission: str, project: str, *guarded: ResourceName
    ) -> bool:
        """Return whether a binding gives ``permission``."""
        own = self._remembered(world, POLICIES, f"projects/{project}")
        beside = (self._remembered(world, name.collection, name.path) for name in guarded)
        found = [self._inherited, *(each for each in (own, *beside) if each is not None)]
        if any(each.gives(principal, permission) for each in found):
            return True
        if any(each.conditional for each in found):
            holding = self._holding(world, found, project, guarded)
            if any(each.gives(principal, permission) for each in holding):
                return True
            found += holding
        roles, mine = _NONE.union(*(each.roles_of(principal) for each in found)), f"projects/{project}/roles/"
        return any(role.startswith(mine) and _custom_has(world, role, permission) for role in roles)

    def allows_everywhere(self, world: World, principal: str | None, permission: str, project: str) -> bool:
        """Return whether the project's policy gives it whatever the resource is: the usual case."""
        own = self._remembered(world, POLICIES, f"projects/{project}")
        return own is not None and own.gives(principal, permission)

    def _holding(
        self, world: World, policies: Iterable[Compiled], project: str, guarded: Sequence[ResourceName]
    ) -> list[Compiled]:
        """Return what the bindings grant whose conditions hold."""
        about = attributes(world, project, guarded, self._now())
        return [
            granted for each in policies for condition, granted in each.conditional if condition.holds(about)
        ]

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
    conditional: list[tuple[Condition, Compiled]] = []
    for binding in policy.get("bindings") or ():
        members = binding.get("members") or ()
        if binding.get("condition"):
            conditional.append(_compiled_condition(binding, members))
            continue
        for member in members:
            roles.setdefault(member, set()).add(binding["role"])
    return Compiled({member: frozenset(held) for member, held in roles.items()}, tuple(conditional))


def _compiled_condition(binding: Json, members: Iterable[str]) -> "tuple[Condition, Compiled]":
    from fogbank.resources.conditions import parse_condition

    granted = Compiled(dict.fromkeys(members, frozenset({binding["role"]})))
    return parse_condition(binding["condition"]["expression"]), granted


def attributes(world: World, project: str, guarded: Sequence[ResourceName], now: datetime) -> "Attributes":
    """Tell in Google's words what a question is about (behaviour/iam.md#conditions).

    It is the last of ``guarded``. A path that ends with a place or a collection, as a list's, is about the
    project.
    """
    from fogbank.resources.conditions import Attributes

    last = guarded[-1] if guarded else ResourceName(POLICIES, "")
    segments = last.path.split("/")
    if segments[2:3] in (["global"], ["aggregated"]):
        del segments[2]
    pairs = list(zip(segments[::2], segments[1::2], strict=False))
    if not pairs or pairs[-1][0] in _PLACES:
        service = "cloudresourcemanager.googleapis.com"
        return Attributes(f"projects/{project_number(world, project)}", f"{service}/Project", service, now)
    service, kind = f"{last.service}.googleapis.com", pairs[-1][0]
    path = last.path
    if len(segments) % 2:  # a list within the resource, or a verb of compute's
        path = path.rpartition("/")[0]
    if last.service == "secretmanager":
        path = path.replace(f"projects/{project}/", f"projects/{project_number(world, project)}/", 1)
    name = _TYPES.get((last.service, kind)) or _singular(kind)
    return Attributes(path, f"{service}/{name}", service, now)


_PLACES = frozenset({"projects", "regions", "zones", "locations"})
_TYPES = {("secretmanager", "versions"): "SecretVersion"}


def _singular(collection: str) -> str:
    """Turn a collection into the name of its type: ``policies`` into ``Policy``."""
    name = collection[0].upper() + collection[1:]
    if name.endswith("ies"):
        return f"{name[:-3]}y"
    return name[:-2] if name.endswith("sses") else name.removesuffix("s")


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
