"""IAM policies as documents: members by role, with an etag.

A policy is Google's JSON (``bindings``, ``etag``, ``version``), kept under the name of the resource that it
is about in the collection ``SERVICE.policies``. What policies grant is decided in ``authorization``, what
conditions mean in ``conditions``. A policy with conditions is of version 3, another of version 1.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from hashlib import sha256

from fogbank.errors import ApiError
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

CONDITIONAL = 3
"""The version of policies with conditions; who does not ask for it sees their roles under other names."""

MOST_CONDITIONS = 100
"""Bindings with conditions in a policy (IAM's documentation, "Quotas and limits")."""

_VERSIONS = (0, 1, CONDITIONAL)
_BASIC_ROLES = frozenset({"roles/owner", "roles/editor", "roles/viewer"})
_TITLE, _DESCRIPTION = 100, 256

_Bound = dict[tuple[str, str], list[str]]
"""Members by role and condition, which is JSON or empty."""


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


def as_version(policy: Json, requested: int) -> Json:
    """Show a policy to who asked for a version; to others than 3, roles with conditions go by other names.

    See behaviour/iam.md#conditions.
    """
    if requested not in _VERSIONS:
        raise _bad_request(f"Requested policy version ({requested}) is not one of 0, 1 and 3.")
    if policy.get("version") != CONDITIONAL or requested == CONDITIONAL:
        return policy
    bindings = [
        {"role": f"{each['role']}_withcond_{_hash(each['condition'])}", "members": each["members"]}
        if "condition" in each
        else each
        for each in policy["bindings"]
    ]
    return {**policy, "version": 1, "bindings": bindings}


def replaced(
    current: Json | None, proposed: Json, serial: int, exists: Callable[[str], bool] = lambda _role: True
) -> Json:
    """Answer setIamPolicy: ``proposed`` checked and tidied, with a new etag.

    ``current`` is what is kept now (None when never set); ``exists`` tells which roles may be bound. Bindings
    of one role and condition become one; empty ones go. Refuses a stale etag (409), members of no known kind,
    roles that are no roles, conditions that nobody could evaluate, and to change a policy with conditions by
    one of another version (400).
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
    _check_version(current, proposed, conditions=sum(bool(condition) for _, condition in bindings))
    members = sum(len(set(each)) for each in bindings.values())
    if members > MOST_MEMBERS:
        raise ApiError(
            400,
            f"The number of members in the policy ({members:,}) is larger than the maximum allowed size "
            f"{MOST_MEMBERS:,}.",
            "INVALID_ARGUMENT",
            "badRequest",
        )
    for role, condition in bindings:
        if not exists(role):
            raise _no_such_role(role)
        if condition:
            _check_condition(json.loads(condition), role, bindings[role, condition])
    return _written(bindings, serial)


def bind(policy: Json | None, role: str, member: str, serial: int) -> Json:
    """Add ``member`` to ``role``."""
    bindings = _merged((policy or NEVER_SET).get("bindings") or ())
    return _written(bindings | {(role, ""): [*bindings.get((role, ""), ()), member]}, serial)


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
        (binding["role"], _key(binding)): [deleted if each == member else each for each in binding["members"]]
        for binding in bindings
    }
    return _written(left, serial)


def names_of(principal: str | None) -> tuple[str, ...]:
    """List every member of a policy that a caller is; ``principal`` is None for one without a name."""
    if principal is None:
        return ("allUsers",)
    domain = principal.rpartition("@")[2]
    return (member_of(principal), "allUsers", "allAuthenticatedUsers", f"domain:{domain}")


def _merged(bindings: Iterable[Json]) -> _Bound:
    bound: _Bound = {}
    for binding in bindings:
        role, members = str(binding.get("role", "")), [str(m) for m in binding.get("members") or ()]
        _check(role, members)
        if members:
            bound.setdefault((role, _key(binding)), []).extend(members)
    return bound


def _key(binding: Json) -> str:
    condition = binding.get("condition")
    return json.dumps(condition, sort_keys=True) if condition else ""


def _written(bindings: Mapping[tuple[str, str], Iterable[str]], serial: int) -> Json:
    """Make a policy from members by role and condition."""
    written: list[Json] = []
    for (role, condition), members in bindings.items():
        also = {"condition": json.loads(condition)} if condition else {}
        written.append({"role": role, "members": sorted(set(members)), **also})
    version = CONDITIONAL if any("condition" in each for each in written) else 1
    return {"version": version, "etag": etag(serial), "bindings": written}


def _hash(condition: Json) -> str:
    """Return what stands for a condition in the name of a role: 20 hexadecimal digits."""
    return sha256(json.dumps(condition, sort_keys=True).encode()).hexdigest()[:20]


def _check_version(current: Json | None, proposed: Json, *, conditions: int) -> None:
    """Refuse to set or to lose conditions unawares (behaviour/iam.md#conditions)."""
    version = int(proposed.get("version") or 0)
    if version not in _VERSIONS:
        raise _bad_request(f"The policy version ({version}) is not one of 0, 1 and 3.")
    if conditions > MOST_CONDITIONS:
        raise _bad_request(
            f"The policy has {conditions} conditional role bindings; {MOST_CONDITIONS} are allowed."
        )
    had = (current or NEVER_SET).get("version") == CONDITIONAL
    if version != CONDITIONAL and (conditions or (had and proposed.get("etag"))):
        raise _bad_request(
            "A policy that contains conditional role bindings must be read and written with policy version "
            f"{CONDITIONAL}; this one has version {version}."
        )


def _check_condition(condition: Json, role: str, members: Iterable[str]) -> None:
    """Refuse a condition that cannot be evaluated, or that Google lets nobody set there."""
    from fogbank.resources.conditions import ConditionError, parse_condition

    title, description = str(condition.get("title", "")), str(condition.get("description", ""))
    if not title or len(title) > _TITLE:
        raise _bad_request(f"The title of a condition must have 1 to {_TITLE} characters.")
    if len(description) > _DESCRIPTION:
        raise _bad_request(f"The description of a condition must have at most {_DESCRIPTION} characters.")
    if role in _BASIC_ROLES:
        raise _bad_request(f"Conditions cannot be set on the basic role {role}.")
    if public := _EVERYBODY.intersection(members):
        raise _bad_request(f"Conditions cannot be set on bindings with {', '.join(sorted(public))}.")
    try:
        parse_condition(str(condition.get("expression", "")))
    except ConditionError as error:
        raise _bad_request(f"Condition expression compilation failed. Errors: {error}.") from None


def _bad_request(message: str) -> ApiError:
    return ApiError(400, message, "INVALID_ARGUMENT", "badRequest")


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
