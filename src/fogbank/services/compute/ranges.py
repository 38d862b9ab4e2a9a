"""Ranges of subnetworks: which are allowed, and what a refused one is told (behaviour/vpc.md#ranges)."""

from collections.abc import Iterator
from ipaddress import AddressValueError, IPv4Network, NetmaskValueError

from fogbank.errors import ApiError, invalid_value
from fogbank.resources.network_ranges import TakenRange

AUTO_BLOCK = IPv4Network("10.128.0.0/9")
"""Where the subnetworks of auto mode networks live (behaviour/vpc.md#networks)."""

SMALLEST = 29
LARGEST = 4

PROHIBITED = tuple(
    IPv4Network(text)
    for text in (
        "0.0.0.0/8",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "199.36.153.4/30",
        "199.36.153.8/30",
        "224.0.0.0/4",
        "255.255.255.255/32",
    )
)


def parse_range(field: str, text: object) -> IPv4Network:
    """Read a CIDR range as Google wants it: the first address of the range, and its length."""
    try:
        return IPv4Network(str(text))
    except (AddressValueError, NetmaskValueError):
        raise invalid_value(field, text, "Must be an IPv4 CIDR range such as 10.0.0.0/24.") from None
    except ValueError:
        first = IPv4Network(str(text), strict=False)
        raise invalid_value(
            field, text, f"Must be a CIDR range with network address: {first} contains it."
        ) from None


def subnetwork_range(field: str, text: object) -> IPv4Network:
    """Read a range that a subnetwork may have."""
    found = parse_range(field, text)
    if not LARGEST <= found.prefixlen <= SMALLEST:
        raise invalid_value(field, text, f"The prefix length must be between {LARGEST} and {SMALLEST}.")
    for prohibited in PROHIBITED:
        if found.overlaps(prohibited):
            raise invalid_value(field, text, f"Invalid IPCidrRange: {found} overlaps {prohibited}.")
    return found


def check_disjoint(field: str, wanted: IPv4Network, taken: Iterator[TakenRange]) -> None:
    """Refuse ``wanted`` when it overlaps anything ``taken``."""
    for each in taken:
        if wanted.overlaps(each.range):
            raise conflict(field, wanted, each.holder)


def conflict(field: str, wanted: IPv4Network, holder: str) -> ApiError:
    """Refuse in Google's words (behaviour/vpc.md#ranges)."""
    return invalid_value(field, wanted, f"Invalid IPCidrRange: {wanted} conflicts with {holder}")
