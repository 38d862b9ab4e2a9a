"""The region's external addresses: one pool for all projects, and who has which."""

from ipaddress import IPv4Address
from itertools import chain

from fogbank.network.addressing import EXTERNAL_ADDRESSES
from fogbank.resources.clusters import endpoints_of_clusters
from fogbank.resources.compute import read_address
from fogbank.resources.compute_indexes import external_addresses
from fogbank.resources.instances import external_addresses_of_instances
from fogbank.resources.load_balancing import forwarding_addresses
from fogbank.resources.vpn import gateway_addresses
from fogbank.resources.world import World


def taken_external(world: World) -> set[IPv4Address]:
    """List the external addresses that anybody has: a reservation, instance, rule, gateway or cluster."""
    found = chain(
        external_addresses(world),
        external_addresses_of_instances(world),
        forwarding_addresses(world),
        gateway_addresses(world),
        endpoints_of_clusters(world),
    )
    return set(map(read_address, found))


def free_external(world: World) -> IPv4Address | None:
    """Return the lowest external address that nobody has; None when there is none."""
    taken = taken_external(world)
    return next((each for each in EXTERNAL_ADDRESSES.hosts() if each not in taken), None)
