"""Firewall rules: endpoints that the same rules choose share one policy in each direction.

So the cost of a rule does not grow with endpoints, nor that of an endpoint with rules. A policy is called by
the marks (tags, service accounts) that chose it and not by its rules: changing a rule replaces one policy
and touches no endpoint.
"""

import hashlib
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Literal

from immutables import Map

from fogbank.lowering.endpoints import Endpoint, account_mark, tag_mark
from fogbank.lowering.fragments import Fragment
from fogbank.lowering.netns_names import device_to, vpc_netns
from fogbank.lowering.routes import Views
from fogbank.network.topology import (
    AddressSetMember,
    Element,
    FirewallPolicy,
    PortSecurity,
    RouteSelection,
    Rule,
)
from fogbank.resources.compute import FirewallRule
from fogbank.resources.names import ResourceName
from fogbank.resources.world import Resource

Direction = Literal["INGRESS", "EGRESS"]
DIRECTIONS: tuple[Direction, ...] = ("INGRESS", "EGRESS")
CLOSED = "closed"
"""In a profile: the endpoint is no target of ingress rules. Marks of tags and accounts look different."""

OWN_RULES, GLOBAL_BEFORE, REGIONAL_BEFORE, CLASSIC, GLOBAL_AFTER, REGIONAL_AFTER = range(6)
"""Stages: rules of Google's own services, policies that come before firewall rules, these, policies after.

The implied rules come last (behaviour/vpc.md#firewall-policies).
"""

_IMPLIED: Mapping[Direction, Literal["allow", "deny"]] = {"INGRESS": "deny", "EGRESS": "allow"}


@dataclass(frozen=True, slots=True)
class EffectiveRule:
    """A rule ready for use: ``targets`` are the marks that it chooses endpoints by, none chooses all.

    Endpoints must have the mark ``required`` besides, unless it is empty. ``order`` is that within its stage.
    """

    name: ResourceName
    network: ResourceName
    direction: Direction
    targets: frozenset[str]
    rule: Rule
    order: tuple[int, bool, str]
    required: str = ""

    @property
    def place(self) -> tuple[int, tuple[int, bool, str]]:
        """Where it stands among all rules of a network."""
        return self.rule.stage, self.order


@dataclass(frozen=True, slots=True)
class RuleSet:
    """The rules in force in a network, each direction in order.

    ``targets`` and ``address_sets`` are the marks that they name, ``uses`` counts how many rules do.
    """

    network: ResourceName
    rules: Mapping[Direction, tuple[EffectiveRule, ...]] = field(default_factory=dict)
    targets: frozenset[str] = frozenset()
    address_sets: frozenset[str] = frozenset()
    uses: Map[tuple[str, str], int] = field(default_factory=Map)

    def changed(self, gone: Iterable[EffectiveRule], come: Iterable[EffectiveRule]) -> "RuleSet":
        """Make the rules without ``gone`` and with ``come``."""
        rules: dict[Direction, list[EffectiveRule]] = {}
        uses = self.uses.mutate()
        for step, changes in ((-1, gone), (1, come)):
            for rule in changes:
                found = rules.setdefault(rule.direction, list(self.rules.get(rule.direction, ())))
                place = bisect_left(found, rule.place, key=_place)
                found[place : place + (step < 0)] = [rule] if step > 0 else []
                for use in _uses(rule):
                    uses[use] = uses.get(use, 0) + step
        left = uses.finish()
        return RuleSet(
            self.network,
            {**self.rules, **{direction: tuple(found) for direction, found in rules.items()}},
            _marks("target", self.targets, self.uses, left),
            _marks("address set", self.address_sets, self.uses, left),
            left,
        )

    @property
    def marks(self) -> tuple[frozenset[str], frozenset[str]]:
        """Everything that the port security of endpoints depends on."""
        return self.targets, self.address_sets

    def profile(self, endpoint: Endpoint) -> frozenset[str]:
        """Return which marks of ``endpoint`` matter here: endpoints of one profile share policies."""
        chosen = endpoint.marks & self.targets
        return chosen | {CLOSED} if endpoint.closed else chosen


def _place(rule: EffectiveRule) -> tuple[int, tuple[int, bool, str]]:
    return rule.place


def _uses(rule: EffectiveRule) -> Iterator[tuple[str, str]]:
    yield from (("target", mark) for mark in rule.targets)
    if rule.required:
        yield "target", rule.required
    yield from (("address set", mark) for mark in rule.rule.address_sets)


def _marks(
    kind: str, known: frozenset[str], before: Map[tuple[str, str], int], after: Map[tuple[str, str], int]
) -> frozenset[str]:
    """Name the marks that are used; the same object when they are as before."""
    if before is after:
        return known
    found = frozenset(mark for (found, mark), count in after.items() if found == kind and count)
    return known if found == known else found


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
        stage=CLASSIC,
        logged=read.logs,
    )
    targets = frozenset((*map(tag_mark, read.target_tags), *map(account_mark, read.target_accounts)))
    order = (read.priority, read.action == "allow", read.name.id)
    return EffectiveRule(read.name, read.network, read.direction, targets, rule, order)


def port_security_fragment(rules: RuleSet, endpoints: Iterable[Endpoint], views: Views) -> Fragment:
    """Lower the port security of ``endpoints``, their places in address sets, and their view of routes."""
    return Fragment.joined(Fragment.of(_port_security(rules, each, views), each.owner) for each in endpoints)


def _port_security(rules: RuleSet, endpoint: Endpoint, views: Views) -> Iterator[Element]:
    netns, profile = vpc_netns(endpoint.network), rules.profile(endpoint)
    yield PortSecurity(
        netns,
        device_to(endpoint.address),
        endpoint.address,
        ingress=policy_name("INGRESS", profile),
        egress=policy_name("EGRESS", profile),
        ranges=endpoint.aliases,
        forwards=endpoint.forwards,
    )
    for address_set in sorted(endpoint.marks & rules.address_sets):
        yield AddressSetMember(netns, address_set, endpoint.address)
    if (table := views.number(endpoint)) is not None:
        yield RouteSelection(netns, device_to(endpoint.address), table)


def applies(rule: EffectiveRule, profile: AbstractSet[str]) -> bool:
    """Return whether ``rule`` chooses endpoints with ``profile``; no ingress rule chooses a closed one."""
    if CLOSED in profile and rule.direction == "INGRESS":
        return False
    if rule.required and rule.required not in profile:
        return False
    return not rule.targets or not rule.targets.isdisjoint(profile)


def policy_fragment(rules: RuleSet, direction: Direction, profile: AbstractSet[str]) -> Fragment:
    """Lower the policy of endpoints with ``profile`` in one direction."""
    chosen = [each for each in rules.rules.get(direction, ()) if applies(each, profile)]
    policy = FirewallPolicy(
        vpc_netns(rules.network),
        policy_name(direction, profile),
        tuple(each.rule for each in chosen),
        _IMPLIED[direction],
        counted=direction == "INGRESS",
    )
    return Fragment.of((policy,), rules.network, *(each.name for each in chosen))


def direction_of_policy(name: str) -> Direction:
    """Return the direction of the policy that :func:`policy_name` called ``name``."""
    return "INGRESS" if name.partition("-")[0] == "ingress" else "EGRESS"


def policy_name(direction: Direction, profile: AbstractSet[str]) -> str:
    """Name the policy of endpoints with ``profile``: ``ingress``, or ``ingress-`` and a digest."""
    if not profile:
        return direction.lower()
    digest = hashlib.sha256(" ".join(sorted(profile)).encode()).hexdigest()[:8]
    return f"{direction.lower()}-{digest}"
