"""Where an instance gets its addresses: a range of the authorized network that nothing else holds.

With DIRECT_PEERING Google chooses an unused /29, or takes the one that the client names; it is kept for as
long as the instance lives (behaviour/memorystore-redis.md#addresses).
"""

from hashlib import blake2b
from ipaddress import IPv4Network

from fogbank.resources.names import ResourceName
from fogbank.resources.network_ranges import free_range, taken_ranges
from fogbank.resources.world import World
from fogbank.services.collections import bad_request

PREFIX_LENGTH = 29

_CHOSEN_FROM = tuple(map(IPv4Network, ("10.0.0.0/9", "172.16.0.0/12", "192.168.0.0/16")))
"""Private ranges but for those that auto-mode networks grow into."""
_ALLOWED = tuple(map(IPv4Network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10")))


def choose_range(world: World, network: ResourceName, asked: str, number: int) -> IPv4Network:
    """Return the range ``asked`` for, or without one a free /29; ``number`` spreads the choices."""
    taken = tuple(taken_ranges(world, network))
    if asked:
        wanted = _read(asked)
        for each in taken:
            if each.range.overlaps(wanted):
                raise bad_request(
                    f"The reserved IP range {wanted} overlaps {each.holder}", "reserved_ip_range"
                )
        return wanted
    spread = int.from_bytes(blake2b(f"{network.path} {number}".encode(), digest_size=8).digest())
    for within in _CHOSEN_FROM:
        found = free_range((each.range for each in taken), within, PREFIX_LENGTH, spread)
        if found is not None:
            return found
    raise bad_request(
        f"The network '{network.path}' has no free /29 range. Name one with reservedIpRange.",
        "reserved_ip_range",
    )


def _read(asked: str) -> IPv4Network:
    try:
        wanted = IPv4Network(asked)
    except ValueError:
        raise bad_request(f"'{asked}' is not an IPv4 range.", "reserved_ip_range") from None
    if wanted.prefixlen != PREFIX_LENGTH:
        raise bad_request(
            f"The reserved IP range {wanted} must be a /{PREFIX_LENGTH} range.", "reserved_ip_range"
        )
    if not any(wanted.subnet_of(each) for each in _ALLOWED):
        raise bad_request(f"The reserved IP range {wanted} is not a private range.", "reserved_ip_range")
    return wanted


def peering_name(network: ResourceName, region: str) -> str:
    """Name the peering with Google's network that has the instances of a region: ``redis-peer-<digits>``."""
    digest = blake2b(f"{network.path} {region}".encode(), digest_size=5).digest()
    return f"redis-peer-{int.from_bytes(digest):012}"
