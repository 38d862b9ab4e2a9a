"""Passthrough load balancers as the network has them: what a controller derived, stored beside the rules.

For each regional forwarding rule with a backend service there is one hidden resource that says who gets its
packets now; for each machine behind one, another says which addresses it shares. No client sees them. They
are stored so that a region that starts again serves at once, by the verdicts that it knew.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network

from fogbank.resources.compute import read_address
from fogbank.resources.indexes import Index
from fogbank.resources.load_balancing import FORWARDING_RULES
from fogbank.resources.names import ResourceName
from fogbank.resources.world import Resource, World

PASSTHROUGH = "compute.passthroughRules"
FORWARDED = "compute.forwardedAddresses"
_PASSTHROUGH = "/passthrough"


@dataclass(frozen=True, slots=True)
class Passthrough:
    """A rule for ``address`` in ``network``; its packets go to ``hops``, machines that have the address.

    ``protocol`` is a number, None for all; no ``ports`` are all. Where it is not ``external``, only clients
    of ``region`` reach it unless it is ``everywhere``.
    """

    rule: ResourceName
    network: ResourceName
    region: str
    address: IPv4Address
    external: bool
    everywhere: bool
    protocol: int | None
    ports: tuple[tuple[int, int], ...]
    hops: tuple[IPv4Address, ...]

    @classmethod
    def of(cls, resource: Resource) -> "Passthrough":
        """Read a ``compute.passthroughRules`` resource."""
        body = resource.body
        return cls(
            ResourceName(FORWARDING_RULES, resource.name.path.removesuffix(_PASSTHROUGH)),
            ResourceName("compute.networks", body["network"]),
            resource.name.region or "",
            read_address(body["address"]),
            body["external"],
            body["everywhere"],
            body["protocol"],
            tuple((first, last) for first, last in body["ports"]),
            tuple(map(read_address, body["hops"])),
        )


def is_passthrough(rule: Resource) -> bool:
    """Return whether a forwarding rule leads to a backend service without a proxy."""
    return "backendService" in rule.body


def passthrough_name(rule: ResourceName) -> ResourceName:
    """Name the resource that says what the network has of a rule; its path is no other's."""
    return ResourceName(PASSTHROUGH, f"{rule.path}{_PASSTHROUGH}")


def forwarded_name(instance: ResourceName) -> ResourceName:
    """Name the resource with the shared addresses of an instance."""
    return ResourceName(FORWARDED, f"{instance.path}/forwardedAddresses")


def forwarded_addresses(resource: Resource | None) -> tuple[IPv4Network, ...]:
    """Return the addresses that an instance shares."""
    return tuple(IPv4Network(each) for each in resource.body["addresses"]) if resource else ()


def _internal(rule: Resource) -> tuple[tuple[str, str], ...]:
    if rule.body.get("loadBalancingScheme") != "INTERNAL":
        return ()
    return ((rule.body["subnetwork"], rule.body["IPAddress"]),)


_BY_SUBNETWORK: Index[Resource] = Index(FORWARDING_RULES, _internal)


def internal_rules_in(world: World, subnetwork: ResourceName) -> Iterator[tuple[IPv4Address, Resource]]:
    """List the internal forwarding rules with an address of a subnetwork."""
    link = subnetwork.self_link
    for (within, address), rule in world.ordered(_BY_SUBNETWORK, (link, "")):
        if within != link:
            return
        yield read_address(address), rule
