"""Addresses that the region deals out, and the plan that keeps them apart.

`services` and `lowering` take addresses from here; the same inputs always give the same address. The
surprising fact: routers talk to one another over link-local addresses that stand on their loopbacks, one
for each kind of router, because a next hop must never be an address of the namespace that uses it.
"""

from collections.abc import Container
from ipaddress import IPv4Address, IPv4Network

METADATA = IPv4Address("169.254.169.254")
"""Where every instance finds the metadata server and the resolver."""

LINK_LOCAL = IPv4Network("169.254.0.0/16")
FABRIC_INSTANCES = IPv4Network("169.254.16.0/20")
"""Instance number n of the serverless fabric has the n-th address."""

EXTERNAL_ADDRESSES = IPv4Network("203.0.113.0/24")
"""Reserved and automatic external addresses of a region."""

EGRESS_POOL = IPv4Network("198.51.100.0/24")
"""The sources of serverless egress that no VPC takes (behaviour/cloud-run.md#egress)."""

FRONT_END = IPv4Address("192.0.2.1")
"""Where Google's front end is on the internet: every name under run.app is there."""

TERMINAL = IPv4Address("192.0.2.255")
"""Who the terminal is on the internet (`fogbank connect`): behind the addresses of third parties."""

RESTRICTED_GOOGLE = IPv4Network("199.36.153.4/30")
PRIVATE_GOOGLE = IPv4Network("199.36.153.8/30")
"""What restricted.googleapis.com and private.googleapis.com are: nobody on the internet has a route there."""

ANYWHERE = IPv4Network("0.0.0.0/0")

PRIVATE_RANGES = (
    IPv4Network("10.0.0.0/8"),
    IPv4Network("172.16.0.0/12"),
    IPv4Network("192.168.0.0/16"),
    IPv4Network("100.64.0.0/10"),
    RESTRICTED_GOOGLE,
    PRIVATE_GOOGLE,
)
"""What private-ranges-only sends to the VPC (behaviour/cloud-run.md#egress: the verified six)."""

INTERNET_ROUTER = IPv4Address("169.254.1.1")
FABRIC_ROUTER = IPv4Address("169.254.1.2")
VPC_ROUTER = IPv4Address("169.254.1.3")
HUB_ROUTER = IPv4Address("169.254.1.4")
CONNECTOR_ROUTER = IPv4Address("169.254.1.5")
PEERING_ROUTER = IPv4Address("169.254.1.6")


def vpn_next_hop(gateway: IPv4Address) -> IPv4Address:
    """Return the next hop of the VPN gateway at ``gateway``, on either side of it.

    It is outside the link-local range, whose addresses users give to BGP sessions inside tunnels.
    """
    return IPv4Address("198.18.0.0") + int(gateway) % (1 << 16)


def host(address: IPv4Address) -> IPv4Network:
    """Return the /32 of ``address``."""
    return IPv4Network((int(address), 32))


def usable(network: IPv4Network) -> range:
    """Return the numbers of a subnetwork's addresses but for the reserved four.

    See behaviour/vpc.md#reserved-addresses.
    """
    first = int(network.network_address)
    return range(first + 2, first + network.num_addresses - 2)


def first_free(
    network: IPv4Network, taken: Container[IPv4Address], count: int = 1
) -> tuple[IPv4Address, ...]:
    """Take the lowest ``count`` usable addresses of ``network`` that are not ``taken``; fewer when full."""
    found: list[IPv4Address] = []
    for number in usable(network):
        if len(found) == count:
            break
        if (address := IPv4Address(number)) not in taken:
            found.append(address)
    return tuple(found)


def fabric_address(index: int) -> IPv4Address:
    """Return the address of instance ``index`` (1 …) in the serverless fabric; ValueError beyond the last."""
    if not 1 <= index < FABRIC_INSTANCES.num_addresses:
        raise ValueError(f"the serverless fabric has no place {index}")
    return FABRIC_INSTANCES.network_address + index


def pool_address(number: int) -> IPv4Address:
    """Return the address that draw ``number`` of the egress pool means; draws wrap around."""
    return EGRESS_POOL.network_address + 1 + number % (EGRESS_POOL.num_addresses - 2)
