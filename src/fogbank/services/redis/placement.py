"""Where an instance gets its addresses: a range of the authorized network that nothing else holds.

With DIRECT_PEERING Google chooses an unused /29, or takes the one that the client names; it is kept for as
long as the instance lives (behaviour/memorystore-redis.md#addresses).
"""

from hashlib import blake2b
from ipaddress import IPv4Network

from fogbank.errors import ApiError
from fogbank.resources.names import ResourceName
from fogbank.resources.network_ranges import free_range, taken_ranges
from fogbank.resources.private_services import (
    NoAllocatedRange,
    allocated_ranges,
    connection_name,
    free_allocated_range,
)
from fogbank.resources.world import World
from fogbank.services.collections import bad_request

PREFIX_LENGTH, WITH_READ_REPLICAS = 29, 28
"""Of what an instance holds, and of what one with read replicas does."""

_CHOSEN_FROM = tuple(map(IPv4Network, ("10.0.0.0/9", "172.16.0.0/12", "192.168.0.0/16")))
"""Private ranges but for those that auto-mode networks grow into."""
_ALLOWED = tuple(map(IPv4Network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10")))


def choose_range(
    world: World,
    network: ResourceName,
    asked: str,
    number: int,
    *,
    private_services: bool,
    length: int = PREFIX_LENGTH,
    field: str = "reserved_ip_range",
) -> IPv4Network:
    """Return the range ``asked`` for, or a free one of ``length``; ``number`` spreads the choices.

    With ``private_services`` it is one of the ranges allocated to Google's services, and ``asked`` is the
    name of the one to take it from. ``field`` is where the client asked.
    """
    if private_services:
        return _of_allocated(world, network, asked, length, field)
    taken = tuple(taken_ranges(world, network))
    if asked:
        wanted = _read(asked, length, field)
        for each in taken:
            if each.range.overlaps(wanted):
                raise bad_request(f"The reserved IP range {wanted} overlaps {each.holder}", field)
        return wanted
    spread = int.from_bytes(blake2b(f"{network.path} {number}".encode(), digest_size=8).digest())
    for within in _CHOSEN_FROM:
        found = free_range((each.range for each in taken), within, length, spread)
        if found is not None:
            return found
    raise bad_request(
        f"The network '{network.path}' has no free /{length} range. Name one with reservedIpRange.", field
    )


def _of_allocated(world: World, network: ResourceName, asked: str, length: int, field: str) -> IPv4Network:
    """Take the first free range of those allocated (behaviour/private-services-access.md#ranges)."""
    if world.find(connection_name(network)) is None:
        raise ApiError(
            400,
            "Google private service access is not enabled. Enable privateServiceAccess and try again.",
            "FAILED_PRECONDITION",
            "failedPrecondition",
        )
    if not allocated_ranges(world, network, asked):
        raise bad_request(f"The range '{asked}' is not allocated to the network's connection.", field)
    try:
        return free_allocated_range(world, network, asked, length)
    except NoAllocatedRange:
        raise bad_request(
            f"The ranges allocated to the network '{network.path}' have no free /{length}.", field
        ) from None


def _read(asked: str, length: int, field: str) -> IPv4Network:
    try:
        wanted = IPv4Network(asked)
    except ValueError:
        raise bad_request(f"'{asked}' is not an IPv4 range.", field) from None
    if wanted.prefixlen != length:
        raise bad_request(f"The reserved IP range {wanted} must be a /{length} range.", field)
    if not any(wanted.subnet_of(each) for each in _ALLOWED):
        raise bad_request(f"The reserved IP range {wanted} is not a private range.", field)
    return wanted


def peering_name(network: ResourceName, region: str) -> str:
    """Name the peering with Google's network that has the instances of a region: ``redis-peer-<digits>``."""
    digest = blake2b(f"{network.path} {region}".encode(), digest_size=5).digest()
    return f"redis-peer-{int.from_bytes(digest):012}"
