"""IAM policies: who may do what, as documents that services keep and the front end asks.

A policy is Google's JSON (``bindings``, ``etag``, ``version``), kept under the name of the resource it guards
in the collection ``SERVICE.policies``. The table of roles is small on purpose: it has the permissions that
something in the region asks about, and a role that it does not know grants nothing.
"""

from collections.abc import Iterable, Mapping

from fogbank.errors import ApiError, not_built
from fogbank.resources.fingerprints import eight_bytes
from fogbank.resources.world import Json

NEVER_SET: Json = {"etag": "ACAB"}
"""What Google shows for a policy that nobody has set."""

INVOKE = "run.routes.invoke"
"""The permission to send a request to a Cloud Run service (SEMANTICS 5.6)."""

_EVERYTHING = ("",)
_SET_POLICY = ".setIamPolicy"

_RUN_OBJECTS = (
    "run.services.",
    "run.revisions.",
    "run.configurations.",
    "run.routes.get",
    "run.routes.list",
    "run.jobs.",
    "run.executions.",
    "run.tasks.",
    "run.locations.",
    "run.operations.",
    "resourcemanager.projects.get",
    "resourcemanager.projects.list",
)
_MAKE_TOKENS = (
    "iam.serviceAccounts.getAccessToken",
    "iam.serviceAccounts.getOpenIdToken",
    "iam.serviceAccounts.implicitDelegation",
    "iam.serviceAccounts.signBlob",
    "iam.serviceAccounts.signJwt",
)

RoleTable = Mapping[str, tuple[str, ...]]
"""Role to permissions, each a whole name or a beginning that ends in a dot."""

ROLES: RoleTable = {
    "roles/owner": _EVERYTHING,
    "roles/editor": _EVERYTHING,
    "roles/run.admin": ("run.", "resourcemanager.projects.get", "resourcemanager.projects.list"),
    "roles/run.developer": _RUN_OBJECTS,
    "roles/run.invoker": (INVOKE, "run.jobs.run"),
    "roles/run.servicesInvoker": (INVOKE,),
    "roles/iam.serviceAccountUser": (
        "iam.serviceAccounts.actAs",
        "iam.serviceAccounts.get",
        "iam.serviceAccounts.list",
        "resourcemanager.projects.get",
        "resourcemanager.projects.list",
    ),
    "roles/iam.serviceAccountTokenCreator": (
        *_MAKE_TOKENS,
        "iam.serviceAccounts.get",
        "iam.serviceAccounts.list",
    ),
    "roles/iam.serviceAccountOpenIdTokenCreator": ("iam.serviceAccounts.getOpenIdToken",),
    "roles/iam.serviceAccountAdmin": (
        "iam.serviceAccounts.create",
        "iam.serviceAccounts.delete",
        "iam.serviceAccounts.get",
        "iam.serviceAccounts.getIamPolicy",
        "iam.serviceAccounts.list",
        "iam.serviceAccounts.setIamPolicy",
        "iam.serviceAccounts.update",
    ),
    "roles/iam.serviceAccountKeyAdmin": ("iam.serviceAccountKeys.",),
    "roles/artifactregistry.reader": ("artifactregistry.repositories.downloadArtifacts",),
    "roles/artifactregistry.writer": (
        "artifactregistry.repositories.downloadArtifacts",
        "artifactregistry.repositories.uploadArtifacts",
    ),
    "roles/iap.tunnelResourceAccessor": (
        "iap.tunnelInstances.accessViaIAP",
        "iap.tunnelDestGroups.accessViaIAP",
    ),
}
"""The basic roles, those that the front end asks about itself, and those of APIs that are not built.

The other roles of an API stand in its ``Service`` (SEMANTICS 10).
"""

_VIEWED = frozenset({"get", "list", "getIamPolicy", "getEffectiveFirewalls"})
"""Last words of the permissions that roles/viewer has."""

_BASIC_ROLES = frozenset({"roles/owner", "roles/editor"})
_WITHOUT_SET_POLICY = frozenset({"roles/editor", "roles/run.developer"})
_MEMBER_KINDS = frozenset(
    {"user", "serviceAccount", "group", "domain", "deleted", "principal", "principalSet"}
)
_MEMBER_KINDS_OF_PROJECTS = frozenset({"projectOwner", "projectEditor", "projectViewer"})
_EVERYBODY = frozenset({"allUsers", "allAuthenticatedUsers"})


def etag(serial: int) -> str:
    """Return a version's etag. ``serial`` is new for every change."""
    return eight_bytes(str(serial).encode())


def member_of(email: str) -> str:
    """Name an e-mail address as policies do: ``serviceAccount:`` or ``user:`` before it."""
    kind = "serviceAccount" if email.endswith(".gserviceaccount.com") else "user"
    return f"{kind}:{email}"


def policy_of(bindings: Mapping[str, Iterable[str]], serial: int) -> Json:
    """Make a policy from members by role."""
    return {
        "version": 1,
        "etag": etag(serial),
        "bindings": [{"role": role, "members": sorted(set(members))} for role, members in bindings.items()],
    }


def replaced(current: Json | None, proposed: Json, serial: int) -> Json:
    """Answer setIamPolicy: ``proposed`` checked and tidied, with a new etag.

    ``current`` is what is kept now (None when never set). Bindings of one role become one; empty ones go.
    Refuses a stale etag (409), members of no known kind and roles that are no roles (400), and conditions,
    which are not built yet.
    """
    now = (current or NEVER_SET)["etag"]
    if proposed.get("etag") and proposed["etag"] != now:
        raise ApiError(
            409,
            "There were concurrent policy changes. Please retry the whole read-modify-write with exponential "
            "backoff.",
            "ABORTED",
            "aborted",
        )
    return policy_of(_merged(proposed.get("bindings") or ()), serial)


def bind(policy: Json | None, role: str, member: str, serial: int) -> Json:
    """Add ``member`` to ``role``."""
    bindings = _merged((policy or NEVER_SET).get("bindings") or ())
    return policy_of(bindings | {role: [*bindings.get(role, ()), member]}, serial)


def allows(
    policies: Iterable[Json | None],
    permission: str,
    principal: str | None,
    authenticated: bool = True,
    roles: RoleTable = ROLES,
) -> bool:
    """Return whether any of ``policies`` (the resource's own and its project's) grants ``permission``.

    ``principal`` is an e-mail address, None for a caller without a name.
    """
    known = _names_of(principal, authenticated)
    return any(
        grants(binding["role"], permission, roles) and not known.isdisjoint(binding.get("members") or ())
        for policy in policies
        for binding in (policy or NEVER_SET).get("bindings") or ()
    )


def granted(
    policies: Iterable[Json | None],
    permissions: Iterable[str],
    principal: str | None,
    roles: RoleTable = ROLES,
) -> tuple[str, ...]:
    """Answer testIamPermissions: those of ``permissions`` that ``principal`` has."""
    found = tuple(policies)
    return tuple(p for p in permissions if allows(found, p, principal, principal is not None, roles))


def grants(role: str, permission: str, roles: RoleTable = ROLES) -> bool:
    """Return whether ``role`` has ``permission``; ``roles`` are those that exist."""
    if permission.endswith(_SET_POLICY) and role in _WITHOUT_SET_POLICY:
        return False
    if permission in _MAKE_TOKENS and role in _BASIC_ROLES:
        return False  # owners give themselves roles/iam.serviceAccountTokenCreator first
    if role == "roles/viewer":
        return permission.rpartition(".")[2] in _VIEWED
    return any(
        permission.startswith(held) if held.endswith(".") or not held else permission == held
        for held in roles.get(role, ())
    )


def _names_of(principal: str | None, authenticated: bool) -> frozenset[str]:
    """Every member of a policy that this caller is."""
    names = {"allUsers"}
    if authenticated:
        names.add("allAuthenticatedUsers")
    if principal:
        names |= {member_of(principal), f"domain:{principal.rpartition('@')[2]}"}
    return frozenset(names)


def _merged(bindings: Iterable[Json]) -> dict[str, list[str]]:
    roles: dict[str, list[str]] = {}
    for binding in bindings:
        if binding.get("condition"):
            raise not_built("iam.policies.conditions")
        role, members = str(binding.get("role", "")), [str(m) for m in binding.get("members") or ()]
        _check(role, members)
        if members:
            roles.setdefault(role, []).extend(members)
    return roles


def _check(role: str, members: Iterable[str]) -> None:
    if not role.startswith(("roles/", "projects/", "organizations/")):
        raise ApiError(
            400,
            f"Role ({role}) does not exist in the resource's hierarchy.",
            "INVALID_ARGUMENT",
            "badRequest",
        )
    for member in members:
        kind, colon, rest = member.partition(":")
        known = kind in _MEMBER_KINDS or kind in _MEMBER_KINDS_OF_PROJECTS
        if member not in _EVERYBODY and not (colon and rest and known):
            raise ApiError(
                400,
                f"The member {member} is of an unknown type. Please set a valid type prefix for the member.",
                "INVALID_ARGUMENT",
                "badRequest",
            )
