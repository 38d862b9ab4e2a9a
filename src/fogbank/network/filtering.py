"""Filtering: which rule of a policy decides about a new flow.

`paths` asks it; the data plane compiles the same rules for the kernel, and a test holds both to one answer.
The surprising fact: a rule whose groups are empty of members matches nothing, while a rule that names neither
sources nor groups matches every source.
"""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import Literal

from fogbank.network.topology import FirewallPolicy, Rule, Traffic

ICMP, TCP, UDP, SCTP = 1, 6, 17, 132
WITH_PORTS = frozenset({TCP, UDP, SCTP})

AddressSets = Mapping[str, AbstractSet[IPv4Address]]


@dataclass(frozen=True, slots=True)
class Packet:
    """The first packet of a flow. ``port`` is the destination's; it means nothing for protocols without."""

    source: IPv4Address
    destination: IPv4Address
    protocol: int = TCP
    port: int = 0


@dataclass(frozen=True, slots=True)
class Ruling:
    """What a policy says, and the rule that says it; None when its default does."""

    action: Literal["allow", "deny"]
    rule: Rule | None


def decide(policy: FirewallPolicy, packet: Packet, address_sets: AddressSets) -> Ruling:
    """Find the first rule of ``policy`` that matches ``packet`` and decides; else its default does."""
    left: int | None = None
    for rule in policy.rules:
        if rule.stage == left or not matches(rule, packet, address_sets):
            continue
        if rule.action != "next":
            return Ruling(rule.action, rule)
        left = rule.stage
    return Ruling(policy.default, None)


def matches(rule: Rule, packet: Packet, address_sets: AddressSets) -> bool:
    """Return whether ``rule`` is about ``packet``."""
    return (
        any(_carries(traffic, packet) for traffic in rule.traffic)
        and _comes_from(rule, packet.source, address_sets)
        and (not rule.destinations or any(packet.destination in each for each in rule.destinations))
    )


def _carries(traffic: Traffic, packet: Packet) -> bool:
    if traffic.protocol not in {None, packet.protocol}:
        return False
    if not traffic.ports:
        return True
    return packet.protocol in WITH_PORTS and any(packet.port in ports for ports in traffic.ports)


def _comes_from(rule: Rule, source: IPv4Address, address_sets: AddressSets) -> bool:
    if not rule.sources and not rule.address_sets:
        return True
    return any(source in each for each in rule.sources) or any(
        source in address_sets.get(address_set, frozenset()) for address_set in rule.address_sets
    )
