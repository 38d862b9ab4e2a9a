"""What changes how a whole VPC network resolves names: server policies and response policies of Cloud DNS.

A network has one of each at most. A server policy may send every query elsewhere, a response policy
answers about single names before any zone is asked (behaviour/cloud-dns.md#resolution).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network

from fogbank.resources.indexes import Index
from fogbank.resources.names import ResourceName
from fogbank.resources.world import Json, Resource, World

SERVER_POLICIES = "dns.serverPolicies"
RESPONSE_POLICIES = "dns.responsePolicies"
RESPONSE_RULES = "dns.responsePolicyRules"

_PRIVATE = tuple(map(IPv4Network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")))
"""Targets that are reached through the VPC network without being told so (RFC 1918)."""


@dataclass(frozen=True, slots=True)
class ForwardingTarget:
    """A name server that queries are forwarded to: through the VPC network when ``private``."""

    address: IPv4Address
    private: bool


def forwarding_targets(config: Json | None) -> tuple[ForwardingTarget, ...]:
    """Read the targets of a ``forwardingConfig`` or an ``alternativeNameServerConfig``."""
    return tuple(_target(each) for each in (config or {}).get("targetNameServers", ()))


def _target(given: Json) -> ForwardingTarget:
    address = IPv4Address(given["ipv4Address"])
    private = given.get("forwardingPath") == "private" or any(address in each for each in _PRIVATE)
    return ForwardingTarget(address, private)


def server_policy(world: World, network: ResourceName) -> Resource | None:
    """Find the server policy of a network."""
    return next(iter(world.by(_SERVER_POLICY_OF, network.path)), None)


def response_policy(world: World, network: ResourceName) -> Resource | None:
    """Find the response policy of a network."""
    return next(iter(world.by(_RESPONSE_POLICY_OF, network.path)), None)


def logs_queries(world: World, network: ResourceName) -> bool:
    """Return whether all queries of a network are logged."""
    found = server_policy(world, network)
    return found is not None and bool(found.body.get("enableLogging"))


def alternative_servers(world: World, network: ResourceName) -> tuple[ForwardingTarget, ...]:
    """List the name servers that get every query of a network instead of Cloud DNS; mostly none."""
    found = server_policy(world, network)
    return forwarding_targets(found.body.get("alternativeNameServerConfig")) if found else ()


def response_rule(world: World, network: ResourceName, name: str) -> Resource | None:
    """Find the rule that is about ``name``: its own, else that of the closest wildcard above it."""
    policy = response_policy(world, network)
    if policy is None:
        return None
    labels = name.split(".")
    wildcards = (f"*.{'.'.join(labels[start:])}" for start in range(1, len(labels)))
    for wanted in (name, *wildcards):
        found = next(iter(world.by(_RULE_ABOUT, (policy.name.path, wanted))), None)
        if found is not None:
            return found
    return None


def rules_of(world: World, policy: ResourceName) -> Iterator[Resource]:
    """List the rules of a response policy by name."""
    return world.all(RESPONSE_RULES, f"{policy.path}/rules/")


def _networks(policy: Resource) -> tuple[str, ...]:
    return tuple(policy.private.get("networks", ()))


def _about(rule: Resource) -> tuple[tuple[str, str], ...]:
    return ((rule.name.path.partition("/rules/")[0], rule.body["dnsName"]),)


_SERVER_POLICY_OF: Index[Resource] = Index(SERVER_POLICIES, _networks)
_RESPONSE_POLICY_OF: Index[Resource] = Index(RESPONSE_POLICIES, _networks)
_RULE_ABOUT: Index[Resource] = Index(RESPONSE_RULES, _about)
