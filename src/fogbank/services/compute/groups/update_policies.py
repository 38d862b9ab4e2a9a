"""How a managed group replaces instances: its versions, and how many may be missing or too many meanwhile."""

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

from fogbank.errors import invalid_value, not_built
from fogbank.resources.world import Json
from fogbank.services.compute.bodies import one_of

_TYPES = ("OPPORTUNISTIC", "PROACTIVE")
_ACTIONS = ("NONE", "REFRESH", "RESTART", "REPLACE")
_METHODS = ("SUBSTITUTE", "RECREATE")
_REDISTRIBUTION = ("PROACTIVE", "NONE")


@dataclass(frozen=True, slots=True)
class Version:
    """A template, under a name, that ``count`` of a group's instances are to have."""

    template: str
    name: str
    count: int


@dataclass(frozen=True, slots=True)
class UpdatePolicy:
    """``surge`` instances may be there in addition, ``unavailable`` ones may be missing."""

    proactive: bool
    recreate: bool
    restart: bool
    replace: bool
    surge: int
    unavailable: int


def completed(body: Json, zones: int) -> Json:
    """Fill in an update policy as it is stored; a group of a region spreads over ``zones``, else it is 0.

    See behaviour/compute-instance-groups.md#updates.
    """
    where = "resource.updatePolicy"
    defaults: Json = {
        "type": _TYPES[0],
        "minimalAction": _ACTIONS[3],
        "replacementMethod": _METHODS[0],
        "maxSurge": {"fixed": zones or 1},
        "maxUnavailable": {"fixed": zones or 1},
    }
    if zones:
        defaults["instanceRedistributionType"] = _REDISTRIBUTION[0]
    if body.get("replacementMethod") == "RECREATE" and "maxSurge" not in body:
        defaults["maxSurge"] = {"fixed": 0}
    whole = defaults | body
    one_of(f"{where}.type", whole["type"], _TYPES)
    one_of(f"{where}.minimalAction", whole["minimalAction"], _ACTIONS)
    one_of(f"{where}.replacementMethod", whole["replacementMethod"], _METHODS)
    if zones:
        one_of(f"{where}.instanceRedistributionType", whole["instanceRedistributionType"], _REDISTRIBUTION)
    if (most := whole.get("mostDisruptiveAllowedAction", "REPLACE")) != "REPLACE":
        raise not_built(f"compute.instanceGroupManagers.updatePolicy with mostDisruptiveAllowedAction={most}")
    for field in ("maxSurge", "maxUnavailable"):
        whole[field] = _limit(f"{where}.{field}", whole[field], zones)
    if not any(_amount(whole[field]) for field in ("maxSurge", "maxUnavailable")):
        why = "maxSurge and maxUnavailable cannot both be 0."
        raise invalid_value(f"{where}.maxUnavailable", 0, why)
    if whole["replacementMethod"] == "RECREATE" and _amount(whole["maxSurge"]):
        why = "maxSurge must be 0 when the replacement method is RECREATE."
        raise invalid_value(f"{where}.maxSurge", _amount(whole["maxSurge"]), why)
    return whole


def _amount(limit: Json) -> int:
    return int(limit["fixed"] if "fixed" in limit else limit.get("percent") or 0)


def _limit(field: str, body: Json, zones: int) -> Json:
    if "percent" in body:
        percent = int(body["percent"])
        if not 0 <= percent <= 100:
            raise invalid_value(f"{field}.percent", percent, "Must be between 0 and 100.")
        return {"percent": percent}
    fixed = int(body.get("fixed", 0))
    if fixed < 0 or (fixed and fixed < zones):
        why = f"Must be 0 or at least the number of zones ({zones})." if zones else "Must not be negative."
        raise invalid_value(f"{field}.fixed", fixed, why)
    return {"fixed": fixed}


def calculated(limit: Json, size: int, *, up: bool) -> int:
    """Return what a fixed number or a percentage of ``size`` is, rounded up or down."""
    if "fixed" in limit:
        return int(limit["fixed"])
    share = Fraction(size * int(limit["percent"]), 100)
    return -(-share.numerator // share.denominator) if up else int(share)


def shown(policy: Json, size: int) -> Json:
    """Return a stored policy as clients see it, with its limits in instances."""
    limits = {
        field: {**policy[field], "calculated": calculated(policy[field], size, up=up)}
        for field, up in (("maxSurge", True), ("maxUnavailable", False))
    }
    return policy | limits


def policy_of(body: Mapping[str, Json], size: int) -> UpdatePolicy:
    """Read a manager's policy for a group of ``size``."""
    policy = body["updatePolicy"]
    surge = calculated(policy["maxSurge"], size, up=True)
    unavailable = calculated(policy["maxUnavailable"], size, up=False)
    return UpdatePolicy(
        policy["type"] == "PROACTIVE",
        policy["replacementMethod"] == "RECREATE",
        policy["minimalAction"] == "RESTART",
        policy["minimalAction"] == "REPLACE",
        surge,
        unavailable if surge else max(unavailable, 1),  # a share of few instances may be none
    )


def versions_of(body: Json, size: int) -> tuple[Version, ...]:
    """Return how many of ``size`` instances are to have which version."""
    versions = body["versions"]
    counts = [
        min(size, calculated(each["targetSize"], size, up=True)) if "targetSize" in each else None
        for each in versions
    ]
    rest = max(0, size - sum(count for count in counts if count is not None))
    return tuple(
        Version(each["instanceTemplate"], each.get("name", ""), rest if count is None else count)
        for each, count in zip(versions, counts, strict=True)
    )
