"""Rules of NAT gateways: Google's refusals (behaviour/cloud-nat.md#rules)."""

from collections.abc import Callable, Iterator, Sequence
from ipaddress import IPv4Network

from fogbank.errors import invalid_value, not_built, required_field
from fogbank.resources.nat_rules import parse_match
from fogbank.resources.world import Json
from fogbank.services.compute.bodies import number

LAST_NUMBER = 65000

Addresses = Callable[[str, Sequence[str]], list[str]]
"""Checks the references of a field to addresses, and gives their links."""


def complete_rules(field: str, body: Json, before: Json | None, addresses: Addresses) -> Json:
    """Check the rules of one gateway; gives its field ``rules``, or nothing without rules."""
    rules = body.get("rules") or []
    if not rules:
        return {}
    if body.get("natIpAllocateOption") != "MANUAL_ONLY":
        raise invalid_value(f"{field}.rules", len(rules), "Rules need MANUAL_ONLY NAT IP allocation.")
    if body.get("enableEndpointIndependentMapping"):
        raise invalid_value(
            f"{field}.enableEndpointIndependentMapping", True, "It cannot be combined with NAT rules."
        )
    known = {each["ruleNumber"]: each for each in (before or {}).get("rules", ())}
    found: list[Json] = []
    taken: list[tuple[int, IPv4Network]] = []
    for index, rule in enumerate(rules):
        made = _rule(f"{field}.rules[{index}]", rule, known, addresses)
        if any(each["ruleNumber"] == made["ruleNumber"] for each in found):
            raise invalid_value(
                f"{field}.rules[{index}].ruleNumber", made["ruleNumber"], "The NAT has another rule of it."
            )
        _check_disjoint(f"{field}.rules[{index}].match", made, taken)
        found.append(made)
    return {"rules": found}


def _rule(field: str, rule: Json, known: dict[int, Json], addresses: Addresses) -> Json:
    if rule.get("ruleNumber") is None:
        raise required_field(f"{field}.ruleNumber")
    which = number(rule["ruleNumber"])
    if not 0 <= which <= LAST_NUMBER:
        raise invalid_value(f"{field}.ruleNumber", which, f"Must be between 0 and {LAST_NUMBER}.")
    if not rule.get("match"):
        raise required_field(f"{field}.match")
    try:
        parse_match(rule["match"])
    except ValueError as error:
        raise invalid_value(f"{field}.match", rule["match"], f"{error}.") from None
    made: Json = {"ruleNumber": which, "match": rule["match"]}
    if rule.get("description"):
        made["description"] = rule["description"]
    before = known.get(which, {}).get("action", {})
    action = _action(f"{field}.action", rule.get("action") or {}, before, addresses)
    return made | ({"action": action} if action else {})


def _action(field: str, action: Json, before: Json, addresses: Addresses) -> Json:
    """Check the addresses of a rule; without an active one nothing new gets out."""
    for name in ("sourceNatActiveRanges", "sourceNatDrainRanges"):
        if action.get(name):
            raise not_built(f"compute.routers with {field.removeprefix('resource.')}.{name}")
    active = addresses(f"{field}.sourceNatActiveIps", action.get("sourceNatActiveIps") or ())
    draining = addresses(f"{field}.sourceNatDrainIps", action.get("sourceNatDrainIps") or ())
    check_draining(
        f"{field}.sourceNatDrainIps",
        draining,
        active,
        (*before.get("sourceNatActiveIps", ()), *before.get("sourceNatDrainIps", ())),
    )
    made = {"sourceNatActiveIps": active, "sourceNatDrainIps": draining}
    return {key: value for key, value in made.items() if value}


def check_draining(field: str, draining: Sequence[str], active: Sequence[str], held: Sequence[str]) -> None:
    """Refuse to drain an address that is active too, or was not ``held`` before."""
    for index, link in enumerate(draining):
        if link in active:
            raise invalid_value(f"{field}[{index}]", link, "The address is in use for new connections too.")
        if link not in held:
            raise invalid_value(
                f"{field}[{index}]", link, "Only an address that the NAT has used can be drained."
            )


def _check_disjoint(field: str, rule: Json, taken: list[tuple[int, IPv4Network]]) -> None:
    for each in parse_match(rule["match"]):
        for other, part in taken:
            if other != rule["ruleNumber"] and part.overlaps(each):
                raise invalid_value(field, rule["match"], f"{each} overlaps {part} of rule {other}.")
        taken.append((rule["ruleNumber"], each))


def rule_links(body: Json) -> Iterator[str]:
    """List the links of every address in the rules of a gateway."""
    for rule in body.get("rules", ()):
        action = rule.get("action", {})
        yield from (*action.get("sourceNatActiveIps", ()), *action.get("sourceNatDrainIps", ()))
