"""IAM policies as documents: members by role, with an etag.

A policy is Google's JSON (``bindings``, ``etag``, ``version``), kept under the name of the resource it guards
in the collection ``SERVICE.policies``. What policies grant is decided in ``authorization``.
"""

from collections.abc import Callable, Iterable, Mapping

from fogbank.errors import ApiError, not_built
from fogbank.resources.fingerprints import eight_bytes
from fogbank.resources.world import Json

NEVER_SET: Json = {"etag": "ACAB"}
"""What Google shows for a policy that nobody has set."""

MOST_MEMBERS = 1500
"""Members in all bindings of a policy (IAM's documentation, "Quotas and limits")."""

INVOKE = "run.routes.invoke"
"""The permission to send a request to a Cloud Run service (behaviour/cloud-run.md#invokers)."""

_MEMBER_KINDS = frozenset(
    {"user", "serviceAccount", "group", "domain", "deleted", "principal", "principalSet"}
)
_MEMBER_KINDS_OF_PROJECTS = frozenset({"projectOwner", "projectEditor", "projectViewer"})
_EVERYBODY = frozenset({"allUsers", "allAuthenticatedUsers"})


def etag(serial: int) -> str:
    """Return a version's etag. ``serial`` is new for every change."""
    return eight_bytes(str(serial).encode())


def is_service_account(email: str) -> bool:
    """Return whether an e-mail address is that of a service account."""
    return email.endswith(".gserviceaccount.com")


def member_of(email: str) -> str:
    """Name an e-mail address as policies do: ``serviceAccount:`` or ``user:`` before it."""
    kind = "serviceAccount" if is_service_account(email) else "user"
    return f"{kind}:{email}"


def policy_of(bindings: Mapping[str, Iterable[str]], serial: int) -> Json:
    """Make a policy from members by role."""
    return {
        "version": 1,
        "etag": etag(serial),
        "bindings": [{"role": role, "members": sorted(set(members))} for role, members in bindings.items()],
    }


def replaced(
    current: Json | None, proposed: Json, serial: int, exists: Callable[[str], bool] = lambda _role: True
) -> Json:
    """Answer setIamPolicy: ``proposed`` checked and tidied, with a new etag.

    ``current`` is what is kept now (None when never set); ``exists`` tells which roles may be bound. Bindings
    of one role become one; empty ones go. Refuses a stale etag (409), members of no known kind and roles that
    are no roles (400), and conditions, which are not built yet.
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
    bindings = _merged(proposed.get("bindings") or ())
    members = sum(len(set(each)) for each in bindings.values())
    if members > MOST_MEMBERS:
        raise ApiError(
            400,
            f"The number of members in the policy ({members:,}) is larger than the maximum allowed size "
            f"{MOST_MEMBERS:,}.",
            "INVALID_ARGUMENT",
            "badRequest",
        )
    for role in bindings:
        if not exists(role):
            raise _no_such_role(role)
    return policy_of(bindings, serial)


def bind(policy: Json | None, role: str, member: str, serial: int) -> Json:
    """Add ``member`` to ``role``."""
    bindings = _merged((policy or NEVER_SET).get("bindings") or ())
    return policy_of(bindings | {role: [*bindings.get(role, ()), member]}, serial)


def without_account(policy: Json, email: str, number: str, serial: int) -> Json | None:
    """Return a policy in which a deleted service account has no role; None when it had none.

    Google keeps the bindings under another name (IAM's documentation, "Policies with deleted principals"),
    so that one of the same address that is made anew does not get them.
    """
    member, deleted = member_of(email), f"deleted:serviceAccount:{email}?uid={number}"
    bindings = policy.get("bindings") or ()
    if not any(member in binding["members"] for binding in bindings):
        return None
    left = {
        binding["role"]: [deleted if each == member else each for each in binding["members"]]
        for binding in bindings
    }
    return policy_of(left, serial)


def names_of(principal: str | None) -> tuple[str, ...]:
    """List every member of a policy that a caller is; ``principal`` is None for one without a name."""
    if principal is None:
        return ("allUsers",)
    domain = principal.rpartition("@")[2]
    return (member_of(principal), "allUsers", "allAuthenticatedUsers", f"domain:{domain}")


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


def _no_such_role(role: str) -> ApiError:
    message = f"Role ({role}) does not exist in the resource's hierarchy."
    return ApiError(400, message, "INVALID_ARGUMENT", "badRequest")


def _check(role: str, members: Iterable[str]) -> None:
    if not role.startswith(("roles/", "projects/", "organizations/")):
        raise _no_such_role(role)
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
