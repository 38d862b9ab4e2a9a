"""Firewall rules: endpoints that the same rules choose share one policy in each direction.

So the cost of a rule does not grow with endpoints, nor that of an endpoint with rules. A policy is called by
the marks (tags, service accounts) that chose it and not by its rules: changing a rule replaces one policy
and touches no endpoint.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Literal

from fogbank.lowering.endpoints import Endpoint, account_mark, tag_mark
from fogbank.lowering.fragments import Fragment
from fogbank.lowering.memoize import memoized
from fogbank.lowering.netns_names import device_to, vpc_netns
from fogbank.lowering.reading import grouped
from fogbank.network.topology import AddressSetMember, Element, FirewallPolicy, PortSecurity, Rule
from fogbank.resources.compute import FirewallRule
from fogbank.resources.names import ResourceName
from fogbank.resources.world import Resource

Direction = Literal["INGRESS", "EGRESS"]
DIRECTIONS: tuple[Direction, ...] = ("INGRESS", "EGRESS")
_IMPLIED: Mapping[Direction, Literal["allow", "deny"]] = {"INGRESS": "deny", "EGRESS": "allow"}


@dataclass(frozen=True, slots=True)
class EffectiveRule:
    """A rule ready for use: ``targets`` are the marks that it chooses endpoints by, none chooses all."""

    name: ResourceName
    network: ResourceName
    direction: Direction
    targets: frozenset[str]
    rule: Rule
    order: tuple[int, bool, str]


@dataclass(frozen=True, slots=True)
class RuleSet:
    """The rules in force in a network, in order; ``targets`` and ``address_sets`` are the marks they name."""

    network: ResourceName
    rules: tuple[EffectiveRule, ...]
    targets: frozenset[str]
    address_sets: frozenset[str]

    def profile(self, endpoint: Endpoint) -> frozenset[str]:
        """Return which marks of ``endpoint`` matter here: endpoints of one profile share policies."""
        return endpoint.marks & self.targets


@memoized
def rule_sets(firewalls: tuple[Resource, ...]) -> Mapping[ResourceName, RuleSet]:
    """Read the rules in force in every network that has any."""
    ready = (each for resource in firewalls if (each := _ready(resource)))
    return {
        network: _rule_set(members) for network, members in grouped(ready, lambda each: each.network).items()
    }


@memoized
def _rule_set(rules: tuple[EffectiveRule, ...]) -> RuleSet:
    return RuleSet(
        rules[0].network,
        tuple(sorted(rules, key=lambda each: each.order)),
        frozenset(mark for each in rules for mark in each.targets),
        frozenset(address_set for each in rules for address_set in each.rule.address_sets),
    )


@memoized
def _ready(resource: Resource) -> EffectiveRule | None:
    read = FirewallRule.of(resource)
    if read.disabled:
        return None
    rule = Rule(
        action=read.action,
        traffic=read.traffic,
        sources=read.sources,
        address_sets=(*map(tag_mark, read.source_tags), *map(account_mark, read.source_accounts)),
        destinations=read.destinations,
        label=read.name.id,
    )
    targets = frozenset((*map(tag_mark, read.target_tags), *map(account_mark, read.target_accounts)))
    order = (read.priority, read.action == "allow", read.name.id)
    return EffectiveRule(read.name, read.network, read.direction, targets, rule, order)


@memoized
def no_rules(network: Resource) -> RuleSet:
    """Make the rule set of a network in which only the implied rules are in force."""
    return RuleSet(network.name, (), frozenset(), frozenset())


@memoized
def port_security_fragment(rules: RuleSet, endpoints: tuple[Endpoint, ...], owner: ResourceName) -> Fragment:
    """Lower the guards of ``endpoints`` and their places in the groups that rules name."""
    return Fragment.of((element for each in endpoints for element in _port_security(rules, each)), owner)


def _port_security(rules: RuleSet, endpoint: Endpoint) -> Iterator[Element]:
    netns, profile = vpc_netns(endpoint.network), rules.profile(endpoint)
    yield PortSecurity(
        netns,
        device_to(endpoint.address),
        endpoint.address,
        ingress=policy_name("INGRESS", profile),
        egress=policy_name("EGRESS", profile),
    )
    for address_set in sorted(endpoint.marks & rules.address_sets):
        yield AddressSetMember(netns, address_set, endpoint.address)


def policy_fragments(rules: RuleSet, endpoints: Iterable[Endpoint]) -> Iterator[Fragment]:
    """Lower the policies that ``endpoints`` of one network need."""
    made = _made(rules)
    for profile in sorted({rules.profile(each) for each in endpoints}, key=sorted):
        if profile not in made:
            made[profile] = tuple(_policy_fragment(rules, direction, profile) for direction in DIRECTIONS)
        yield from made[profile]


@memoized
def _made(_rules: RuleSet) -> dict[frozenset[str], tuple[Fragment, ...]]:
    return {}


def _policy_fragment(rules: RuleSet, direction: Direction, profile: AbstractSet[str]) -> Fragment:
    chosen = [
        each
        for each in rules.rules
        if each.direction == direction and (not each.targets or not each.targets.isdisjoint(profile))
    ]
    policy = FirewallPolicy(
        vpc_netns(rules.network),
        policy_name(direction, profile),
        tuple(each.rule for each in chosen),
        _IMPLIED[direction],
    )
    return Fragment.of((policy,), rules.network, *(each.name for each in chosen))


def policy_name(direction: Direction, profile: AbstractSet[str]) -> str:
    """Name the policy of endpoints with ``profile``: ``ingress``, or ``ingress-`` and a digest."""
    if not profile:
        return direction.lower()
    digest = hashlib.sha256(" ".join(sorted(profile)).encode()).hexdigest()[:8]
    return f"{direction.lower()}-{digest}"
