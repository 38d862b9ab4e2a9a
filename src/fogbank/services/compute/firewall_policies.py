"""Network firewall policies, global and regional: sets of rules that many networks may share.

The methods of both collections are the same functions; where a policy stands is in the call's path. A policy
does nothing until a network is associated with it (behaviour/vpc.md#firewall-policies).
"""

from collections.abc import Callable, Iterable
from functools import partial

from fogbank.errors import invalid_value, not_built, required_field, stale_fingerprint
from fogbank.resources.compute import refer
from fogbank.resources.compute_indexes import in_network
from fogbank.resources.firewall_policies import policies_of
from fogbank.resources.listings import listing
from fogbank.resources.names import ResourceName, parse_compute_reference
from fogbank.resources.world import Json, Resource, World
from fogbank.services.access import iam_methods
from fogbank.services.compute.bodies import bad_request, inputs, is_current, merged, number, without_nulls
from fogbank.services.compute.decisions import deleted, in_use, policy_name, put
from fogbank.services.compute.factories import check_free, fingerprinted, made
from fogbank.services.compute.firewall_policy_rules import (
    LOWEST_DEFAULT,
    all_rules,
    complete_rule,
    rule_at,
    same_priority,
    sorted_rules,
)
from fogbank.services.compute.handlers import as_stored, in_place
from fogbank.services.compute.names import by_id, check_name, named, new_identifier, project_of, region_of
from fogbank.services.compute.references import find_referred, reference
from fogbank.services.contract import Call, Decision, List, Method, Read, Write

_OUTPUTS = ("associations", "ruleTupleCount", "shortName", "displayName", "parent", "region", "policySource")
GLOBAL, REGIONAL = "networkFirewallPolicies", "regionNetworkFirewallPolicies"


def insert(world: World, call: Call) -> Decision:
    """Make a policy, with its first rules."""
    body = inputs(call.body, _OUTPUTS)
    name = named(world, call, "firewallPolicies", new_identifier(body))
    if (kind := body.get("policyType", "VPC_POLICY")) != "VPC_POLICY":
        raise not_built(f"compute.networkFirewallPolicies with policyType={kind}")
    if body.get("packetMirroringRules"):
        raise not_built("compute.networkFirewallPolicies with packetMirroringRules")
    check_free(world, name)
    fields = {"description": body.get("description", ""), "rules": all_rules(body.get("rules", ()))}
    policy = made(call, name, fields)
    place = name.self_link.rpartition("/")[0]
    return put(call, "insert", _counted(policy.with_body(selfLinkWithId=f"{place}/{policy.id}")))


def _counted(policy: Resource) -> Resource:
    count = sum(each["ruleTupleCount"] for each in policy.body["rules"])
    return fingerprinted(policy.with_body(ruleTupleCount=count))


def _found(world: World, call: Call) -> Resource:
    return world.get(named(world, call, "firewallPolicies", call["firewallPolicy"]))


def get(world: World, call: Call) -> Json:
    """Show a policy with its rules and associations."""
    return _found(world, call).body


def list_global(world: World, call: Call) -> Iterable[Json]:
    """List the global policies of a project."""
    place = f"projects/{project_of(world, call)}/global/"
    return listing(world, "compute.firewallPolicies", place, partial(as_stored, world))


def list_all(world: World, call: Call) -> Iterable[Json]:
    """List the policies of a region, or all of a project."""
    return in_place(world, call, "firewallPolicies")


def patch(world: World, call: Call) -> Decision:
    """Change a policy's description, or all of its rules at once."""
    policy, body = _found(world, call), inputs(call.body, _OUTPUTS)
    if (given := body.get("fingerprint")) and not is_current(given, policy.body["fingerprint"]):
        raise stale_fingerprint()
    changed = {"description": body["description"]} if "description" in body else {}
    if "rules" in body:
        changed |= {"rules": all_rules(body["rules"])}
    return put(call, "patch", _counted(policy.with_body(**changed)))


def delete(world: World, call: Call) -> Decision:
    """Take a policy away, unless a network is associated with it."""
    policy = _found(world, call)
    for each in policy.body.get("associations", ()):
        return in_use(call, "delete", policy, "firewall_policy", refer(each["attachmentTarget"], "networks"))
    return deleted(call, policy)


def get_rule(world: World, call: Call) -> Json:
    """Show the rule of a priority."""
    return rule_at(_found(world, call).body["rules"], call.parameters.get("priority"))


def add_rule(world: World, call: Call) -> Decision:
    """Add a rule at a priority that is free, or at the first free one of a range."""
    policy, body = _found(world, call), without_nulls(call.body)
    taken = {each["priority"] for each in policy.body["rules"]}
    if body.get("priority") is None and call.parameters.get("minPriority") is not None:
        first = number(call.parameters["minPriority"])
        last = number(call.parameters.get("maxPriority") or LOWEST_DEFAULT - 1)
        free = (each for each in range(first, last + 1) if each not in taken)
        body["priority"] = next(free, None)
    rule = complete_rule("resource", body)
    if rule["priority"] in taken:
        raise same_priority("resource.priority", rule["priority"])
    return _with_rules(call, "addRule", policy, [*policy.body["rules"], rule])


def _with_rules(call: Call, kind: str, policy: Resource, rules: Iterable[Json]) -> Decision:
    return put(call, kind, _counted(policy.with_body(rules=sorted_rules(rules))))


def patch_rule(world: World, call: Call) -> Decision:
    """Change the fields of a rule that the body gives."""
    policy = _found(world, call)
    before = rule_at(policy.body["rules"], call.parameters.get("priority"))
    rule = complete_rule("resource", merged(before, call.body))
    others = [each for each in policy.body["rules"] if each is not before]
    if any(each["priority"] == rule["priority"] for each in others):
        raise same_priority("resource.priority", rule["priority"])
    return _with_rules(call, "patchRule", policy, [*others, rule])


def remove_rule(world: World, call: Call) -> Decision:
    """Take the rule of a priority away; the default ones stay."""
    policy = _found(world, call)
    rule = rule_at(policy.body["rules"], call.parameters.get("priority"))
    if rule["priority"] >= LOWEST_DEFAULT:
        raise invalid_value("priority", rule["priority"], "Default rules cannot be removed.")
    return _with_rules(
        call, "removeRule", policy, [each for each in policy.body["rules"] if each is not rule]
    )


def clone_rules(world: World, call: Call) -> Decision:
    """Replace a policy's rules by those of another one."""
    policy, text = _found(world, call), call.parameters.get("sourceFirewallPolicy")
    if not text:
        raise required_field("sourceFirewallPolicy")
    region = policy.name.region
    try:
        source = parse_compute_reference(
            str(text), "firewallPolicies", policy.name.project, "regions" if region else "global", region
        )
    except (ValueError, IndexError):
        raise invalid_value("sourceFirewallPolicy", text, "The URL is malformed.") from None
    return _with_rules(call, "cloneRules", policy, world.get(source).body["rules"])


def add_association(world: World, call: Call) -> Decision:
    """Associate a network, which has one policy of each scope at most."""
    policy, body = _found(world, call), without_nulls(call.body)
    if not body.get("attachmentTarget"):
        raise required_field("resource.attachmentTarget")
    target = body["attachmentTarget"]
    network = find_referred(world, "resource.attachmentTarget", target, "networks", call)
    name = body.get("name") or f"{network.name.id}-{policy.name.id}"[:63].rstrip("-")
    check_name("resource.name", name)
    entry = {"name": name, "attachmentTarget": network.name.self_link, "shortName": policy.name.id}
    kept = [
        each
        for each in policy.body.get("associations", ())
        if each["attachmentTarget"] != entry["attachmentTarget"]
    ]
    present = next(policies_of(world, network.name, policy.name.region), None)
    if present is not None and not call.parameters.get("replaceExistingAssociation"):
        raise bad_request(
            f"The network '{network.name.path}' is already associated with the firewall policy "
            f"'{present.name.path}'.",
            "alreadyExists",
        )
    if any(each["name"] == name for each in kept):
        raise bad_request(f"An association with that name already exists: '{name}'.", "alreadyExists")
    decision = put(call, "addAssociation", fingerprinted(policy.with_body(associations=[*kept, entry])))
    if present is None or present.name == policy.name:
        return decision
    left = [
        each for each in present.body["associations"] if each["attachmentTarget"] != network.name.self_link
    ]
    moved = put(call, "addAssociation", fingerprinted(present.with_body(associations=left or None)))
    return Decision((*moved.changes, *decision.changes), decision.operation)


def _association(policy: Resource, call: Call) -> Json:
    name = call.parameters.get("name")
    for each in policy.body.get("associations", ()):
        if each["name"] == name:
            found: Json = each
            return found
    raise invalid_value(
        "name", name, f"An association with that name does not exist in '{policy.name.path}'."
    )


def get_association(world: World, call: Call) -> Json:
    """Show an association."""
    return _association(_found(world, call), call)


def remove_association(world: World, call: Call) -> Decision:
    """Take an association away: the policy's rules leave the network."""
    policy = _found(world, call)
    gone = _association(policy, call)
    left = [each for each in policy.body["associations"] if each is not gone]
    return put(call, "removeAssociation", fingerprinted(policy.with_body(associations=left or None)))


def effective_policies(world: World, network: ResourceName, region: str | None = None) -> list[Json]:
    """Show the policies that count for a network, or for its part in a region, with their rules."""
    kinds = {None: "NETWORK"} | ({region: "NETWORK_REGIONAL"} if region else {})
    return [
        {"name": policy.name.id, "type": kind, "rules": policy.body["rules"]}
        | ({} if region else {"shortName": policy.name.id})
        for place, kind in kinds.items()
        for policy in policies_of(world, network, place)
    ]


def effective_in_region(world: World, call: Call) -> Json:
    """Gather the policies of a network for one region."""
    project = project_of(world, call)
    if not call.parameters.get("network"):
        raise required_field("network")
    network = world.get(by_id(world, reference("network", call.parameters["network"], "networks", project)))
    found = effective_policies(world, network.name, region_of(call))
    rules = [each.body for each in in_network(world, "firewalls", network.name)]
    return {"firewalls": rules} | ({"firewallPolicys": found} if found else {})


def _policy(world: World, call: Call) -> ResourceName:
    return policy_name(world.get(named(world, call, "firewallPolicies", call["resource"])).name)


def _methods(collection: str, kind: str) -> dict[str, Method]:
    """Make the methods of one scope; ``kind`` is what permissions call its policies."""
    changes: dict[str, Callable[[World, Call], Decision]] = {
        "addRule": add_rule,
        "patchRule": patch_rule,
        "removeRule": remove_rule,
        "patch": patch,
    }
    return {
        f"{collection}.insert": Write(insert, f"{kind}.create"),
        f"{collection}.get": Read(get, f"{kind}.get"),
        f"{collection}.list": List(
            list_all if collection == REGIONAL else list_global, permission=f"{kind}.list"
        ),
        f"{collection}.delete": Write(delete, f"{kind}.delete"),
        **{f"{collection}.{verb}": Write(each, f"{kind}.update") for verb, each in changes.items()},
        f"{collection}.cloneRules": Write(clone_rules, f"{kind}.cloneRules"),
        f"{collection}.getRule": Read(get_rule, f"{kind}.get"),
        f"{collection}.addAssociation": Write(add_association, f"{kind}.use"),
        f"{collection}.removeAssociation": Write(remove_association, f"{kind}.use"),
        f"{collection}.getAssociation": Read(get_association, f"{kind}.get"),
        **iam_methods(f"{collection}.", _policy, kind),
    }


METHODS: dict[str, Method] = {
    **_methods(GLOBAL, "compute.firewallPolicies"),
    **_methods(REGIONAL, "compute.regionFirewallPolicies"),
    f"{GLOBAL}.aggregatedList": List(list_all, permission="compute.firewallPolicies.list"),
    f"{REGIONAL}.getEffectiveFirewalls": Read(effective_in_region, "compute.regionFirewallPolicies.get"),
}
