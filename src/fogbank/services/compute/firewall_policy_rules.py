"""Rules of network firewall policies: what one may hold, and the four that every policy has from the start.

What names things that are not built (secure tags, address groups, FQDNs, threat lists, security profiles) is
refused with its name (behaviour/vpc.md#firewall-policies).
"""

from collections.abc import Iterable, Sequence
from ipaddress import ip_network

from fogbank.errors import ApiError, invalid_value, not_built, required_field
from fogbank.resources.world import Json
from fogbank.services.compute.bodies import number, one_of, refuse_unbuilt
from fogbank.services.compute.firewalls import check_traffic

LOWEST_DEFAULT = 2147483644
LARGEST_PRIORITY = 2147483647
_ACTIONS = ("allow", "deny", "goto_next", "apply_security_profile_group")
_SIDES = (("src", "INGRESS"), ("dest", "EGRESS"))
_UNBUILT: dict[str, tuple[object, ...]] = {
    "securityProfileGroup": (),
    "tlsInspect": (),
    "targetSecureTags": (),
    "targetResources": (),
    "targetForwardingRules": (),
    "targetType": ("INSTANCES",),
}
_UNBUILT_MATCHES: dict[str, tuple[object, ...]] = {
    **{
        f"{side}{what}": ()
        for side, _ in _SIDES
        for what in ("AddressGroups", "Fqdns", "RegionCodes", "ThreatIntelligences")
    },
    **{f"{side}Network{what}": ("UNSPECIFIED",) for side, _ in _SIDES for what in ("Context", "Type")},
    "srcNetworks": (),
    "srcSecureTags": (),
}


def default_rules() -> list[Json]:
    """Make the rules of a new policy: whatever reaches them goes on to the next stage (recorded)."""
    rules = []
    for priority, (direction, version, anywhere) in enumerate(
        (
            ("EGRESS", " ipv6", "::/0"),
            ("INGRESS", " ipv6", "::/0"),
            ("EGRESS", "", "0.0.0.0/0"),
            ("INGRESS", "", "0.0.0.0/0"),
        ),
        LOWEST_DEFAULT,
    ):
        side = "destIpRanges" if direction == "EGRESS" else "srcIpRanges"
        rules.append(
            {
                "kind": "compute#firewallPolicyRule",
                "priority": priority,
                "description": f"default {direction.lower()} rule{version}",
                "action": "goto_next",
                "direction": direction,
                "enableLogging": False,
                "match": {side: [anywhere], "layer4Configs": [{"ipProtocol": "all"}]},
                "ruleTupleCount": 2,
            }
        )
    return rules


def all_rules(given: Iterable[Json]) -> list[Json]:
    """Check the rules that a body gives for a whole policy, and add the default ones that it leaves out."""
    rules = {each["priority"]: each for each in default_rules()}
    own: dict[int, Json] = {}
    for index, each in enumerate(given):
        rule = complete_rule(f"resource.rules[{index}]", each)
        if rule["priority"] in own:
            raise same_priority(f"resource.rules[{index}].priority", rule["priority"])
        own[rule["priority"]] = rule
    return sorted_rules({**rules, **own}.values())


def sorted_rules(rules: Iterable[Json]) -> list[Json]:
    """Order rules as Google shows them: by priority."""
    return sorted(rules, key=lambda rule: int(rule["priority"]))


def same_priority(field: str, priority: int) -> ApiError:
    """Refuse a second rule of a priority."""
    return invalid_value(field, priority, "Cannot have rules with the same priorities.")


def rule_at(rules: Sequence[Json], priority: object) -> Json:
    """Find the rule of a priority, which a query gives; Google's 400 when there is none (recorded)."""
    wanted = number(priority) if priority is not None else 0
    for rule in rules:
        if rule["priority"] == wanted:
            return rule
    raise invalid_value(
        "priority", wanted, f"The firewall policy does not contain a rule at priority {wanted}."
    )


def complete_rule(field: str, body: Json) -> Json:
    """Check a rule and fill in what Google shows of it."""
    for required in ("action", "direction", "match", "priority"):
        if body.get(required) is None:
            raise required_field(f"{field}.{required}")
    refuse_unbuilt("networkFirewallPolicies.rules", body, _UNBUILT)
    one_of(f"{field}.action", body["action"], _ACTIONS)
    if body["action"] == _ACTIONS[-1]:
        raise not_built(f"compute.networkFirewallPolicies with action={_ACTIONS[-1]}")
    one_of(f"{field}.direction", body["direction"], ("INGRESS", "EGRESS"))
    priority = number(body["priority"])
    if not 0 <= priority <= LARGEST_PRIORITY:
        raise invalid_value(f"{field}.priority", priority, f"Must be between 0 and {LARGEST_PRIORITY}.")
    match = _match(f"{field}.match", body["match"], default=priority >= LOWEST_DEFAULT)
    rule: Json = {
        "kind": "compute#firewallPolicyRule",
        "priority": priority,
        "description": body.get("description", ""),
        "action": body["action"],
        "direction": body["direction"],
        "match": match,
        "ruleTupleCount": _tuples(match),
    }
    for name in ("enableLogging", "disabled"):
        if name in body:
            rule[name] = bool(body[name])
    for name in ("ruleName", "targetServiceAccounts"):
        if body.get(name):
            rule[name] = body[name]
    return rule


def _match(field: str, match: Json, *, default: bool) -> Json:
    refuse_unbuilt("networkFirewallPolicies.rules.match", match, _UNBUILT_MATCHES)
    if not match.get("layer4Configs"):
        raise required_field(f"{field}.layer4Configs")
    found: Json = {}
    for side, _ in _SIDES:
        name = f"{side}IpRanges"
        for index, text in enumerate(match.get(name, ())):
            _check_range(f"{field}.{name}[{index}]", text, default=default)
        if match.get(name):
            found[name] = list(match[name])
    found["layer4Configs"] = [
        _traffic(f"{field}.layer4Configs[{index}]", each) for index, each in enumerate(match["layer4Configs"])
    ]
    return found


def _check_range(field: str, text: str, *, default: bool) -> None:
    try:
        version = ip_network(text).version
    except ValueError:
        raise invalid_value(field, text, "Must be a CIDR range with network address.") from None
    if version != 4 and not default:
        raise not_built(f"compute.networkFirewallPolicies with IPv6 ranges ({text})")


def _traffic(field: str, config: Json) -> Json:
    if not config.get("ipProtocol"):
        raise required_field(f"{field}.ipProtocol")
    entry = check_traffic(field, "ipProtocol", config)
    return {"ipProtocol": entry["IPProtocol"]} | ({"ports": entry["ports"]} if "ports" in entry else {})


def _tuples(match: Json) -> int:
    """Count a rule's tuples: its ranges, protocols and ports (as in what was recorded)."""
    ranges = sum(len(match.get(f"{side}IpRanges", ())) for side, _ in _SIDES)
    return ranges + sum(1 + len(each.get("ports", ())) for each in match["layer4Configs"])
