"""Network firewall policies: their rules for each network that they are associated with.

They become rules like the network's own, in stages before or after these
(behaviour/vpc.md#firewall-policies).
"""

from collections.abc import Iterator

from fogbank.lowering.endpoints import account_mark, region_mark
from fogbank.lowering.feature import Contribution, Find, Membership
from fogbank.lowering.firewall import (
    GLOBAL_AFTER,
    GLOBAL_BEFORE,
    REGIONAL_AFTER,
    REGIONAL_BEFORE,
    EffectiveRule,
)
from fogbank.network.topology import Rule
from fogbank.resources.firewall_policies import BEFORE_CLASSIC, PolicyRule, associated_networks, rules_of
from fogbank.resources.names import ResourceName
from fogbank.resources.world import Resource


def policy_contribution(policy: Resource, find: Find) -> Contribution:
    """Read what a policy adds to the networks that it is associated with."""
    networks = tuple(associated_networks(policy))
    found = (find(each) for each in networks)
    memberships = (
        Membership(each.name, rules=tuple(_rules(policy.name, each, rules_of(policy))))
        for each in found
        if each
    )
    return Contribution(tuple(memberships), reads=networks)


def _rules(policy: ResourceName, network: Resource, rules: Iterator[PolicyRule]) -> Iterator[EffectiveRule]:
    before = network.body["networkFirewallPolicyEnforcementOrder"] == BEFORE_CLASSIC
    if policy.region:
        stage, required = REGIONAL_BEFORE if before else REGIONAL_AFTER, region_mark(policy.region)
    else:
        stage, required = GLOBAL_BEFORE if before else GLOBAL_AFTER, ""
    for each in rules:
        if each.disabled or not each.matchable:
            continue
        label = f"{policy.id}/{each.priority}"
        rule = Rule(
            each.action,
            each.traffic,
            each.sources,
            destinations=each.destinations,
            label=label,
            stage=stage,
            logged=each.logs and each.action != "next",
        )
        targets = frozenset(map(account_mark, each.accounts))
        order = (each.priority, False, label)
        yield EffectiveRule(policy, network.name, each.direction, targets, rule, order, required)
