"""Network firewall policies, global and regional, as lowering and the services read them.

A policy holds its rules and its associations in its own body. The surprising fact: global and regional ones
are one collection here, and differ by their path.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Network, ip_network
from typing import Literal

from fogbank.network.topology import Traffic
from fogbank.resources.compute import read_traffic, refer
from fogbank.resources.indexes import Index
from fogbank.resources.names import ResourceName
from fogbank.resources.world import Json, Resource, World

FIREWALL_POLICIES = "compute.firewallPolicies"

BEFORE_CLASSIC = "BEFORE_CLASSIC_FIREWALL"

_ACTIONS: dict[str, Literal["allow", "deny", "next"]] = {
    "allow": "allow",
    "deny": "deny",
    "goto_next": "next",
}


@dataclass(frozen=True, slots=True)
class PolicyRule:
    """A rule of a policy. Without sources or destinations it means any; without accounts every endpoint.

    One whose ranges are all of IPv6 matches nothing: it is not ``matchable``.
    """

    priority: int
    direction: Literal["INGRESS", "EGRESS"]
    action: Literal["allow", "deny", "next"]
    traffic: tuple[Traffic, ...]
    sources: tuple[IPv4Network, ...]
    destinations: tuple[IPv4Network, ...]
    accounts: tuple[str, ...]
    disabled: bool
    logs: bool
    matchable: bool

    @classmethod
    def of(cls, rule: Json) -> "PolicyRule":
        """Read an entry of a policy's ``rules``."""
        match = rule["match"]
        given = {side: match.get(f"{side}IpRanges", ()) for side in ("src", "dest")}
        ranges = {side: tuple(_of_ipv4(texts)) for side, texts in given.items()}
        return cls(
            rule["priority"],
            rule["direction"],
            _ACTIONS[rule["action"]],
            tuple(
                read_traffic({**each, "IPProtocol": each["ipProtocol"]}) for each in match["layer4Configs"]
            ),
            ranges["src"],
            ranges["dest"],
            tuple(each.rpartition("/")[2] for each in rule.get("targetServiceAccounts", ())),
            rule.get("disabled", False),
            rule.get("enableLogging", False),
            all(ranges[side] or not given[side] for side in given),
        )


def _of_ipv4(texts: Iterable[str]) -> Iterator[IPv4Network]:
    for text in texts:
        found = ip_network(text)
        if isinstance(found, IPv4Network):
            yield found


def rules_of(policy: Resource) -> Iterator[PolicyRule]:
    """List the rules of a policy, the lowest priority first."""
    return map(PolicyRule.of, policy.body["rules"])


def associated_networks(policy: Resource) -> Iterator[ResourceName]:
    """Name the networks that a policy is associated with."""
    return (refer(each["attachmentTarget"], "networks") for each in policy.body.get("associations", ()))


def _networks(policy: Resource) -> tuple[str, ...]:
    return tuple(each.path for each in associated_networks(policy))


_BY_NETWORK = Index(FIREWALL_POLICIES, _networks)


def policies_of(world: World, network: ResourceName, region: str | None = None) -> Iterator[Resource]:
    """List the policies of a network: the global one, or those of ``region``; at most one of each."""
    return (each for each in all_policies_of(world, network) if each.name.region == region)


def all_policies_of(world: World, network: ResourceName) -> Iterator[Resource]:
    """List every policy that a network is associated with, by path."""
    return world.by(_BY_NETWORK, network.path)
