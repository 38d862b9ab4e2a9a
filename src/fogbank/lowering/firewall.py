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
from fogbank.lowering.netns_names import device_to, vpc_netns
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

    @property
    def marks(self) -> tuple[frozenset[str], frozenset[str]]:
        """Everything that the port security of endpoints depends on."""
        return self.targets, self.address_sets

    def profile(self, endpoint: Endpoint) -> frozenset[str]:
        """Return which marks of ``endpoint`` matter here: endpoints of one profile share policies."""
        return endpoint.marks & self.targets


NO_RULES = RuleSet(ResourceName("compute.networks", ""), (), frozenset(), frozenset())
"""The rule set of a network without endpoints."""


def rule_set(network: ResourceName, rules: Iterable[EffectiveRule]) -> RuleSet:
    """Put the ``rules`` in force in ``network`` in order."""
    ordered = tuple(sorted(rules, key=lambda each: each.order))
    return RuleSet(
        network,
        ordered,
        frozenset(mark for each in ordered for mark in each.targets),
        frozenset(address_set for each in ordered for address_set in each.rule.address_sets),
    )


def effective_rule(resource: Resource) -> EffectiveRule | None:
    """Read a firewall rule; None when it is disabled."""
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


def port_security_fragment(rules: RuleSet, endpoints: Iterable[Endpoint]) -> Fragment:
    """Lower the port security of ``endpoints`` and their places in the address sets that rules name."""
    return Fragment.joined(Fragment.of(_port_security(rules, each), each.owner) for each in endpoints)


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


def policy_fragment(rules: RuleSet, profile: AbstractSet[str]) -> Fragment:
    """Lower the policies of endpoints with ``profile``, one in each direction."""
    return Fragment.joined(_policy_fragment(rules, direction, profile) for direction in DIRECTIONS)


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
