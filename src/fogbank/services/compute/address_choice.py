"""Which address somebody gets: the one asked for, or always the first free one.

External addresses of all projects and regions come from one pool, internal ones from a subnetwork's range,
ranges for peering from the private ranges, clear of everything the network holds.
"""

from collections.abc import Iterable, Iterator
from ipaddress import AddressValueError, IPv4Address, IPv4Network
from itertools import chain

from fogbank.errors import ApiError, in_use, invalid_value, required_field
from fogbank.network.addressing import EXTERNAL_ADDRESSES, PRIVATE_RANGES, host, usable
from fogbank.resources.compute import Network, StaticAddress, Subnetwork, read_address
from fogbank.resources.compute_indexes import addresses_in_subnetwork, external_addresses
from fogbank.resources.instances import (
    addresses_of_instances,
    alias_ranges_in,
    external_addresses_of_instances,
)
from fogbank.resources.load_balancing import forwarding_addresses
from fogbank.resources.names import ResourceName
from fogbank.resources.network_ranges import taken_ranges
from fogbank.resources.network_users import subnetwork_users
from fogbank.resources.passthrough import internal_rules_in
from fogbank.resources.vpn import gateway_addresses
from fogbank.resources.world import Json, Resource, World
from fogbank.services.compute import ranges

FIELD = "resource.address"
_PEERING_BLOCKS = PRIVATE_RANGES[:3]


def taken_external(world: World) -> set[IPv4Address]:
    """List the external addresses that anybody has: a reservation, an instance, a rule, a VPN gateway."""
    holders = (
        *(external_addresses(world), external_addresses_of_instances(world)),
        *(forwarding_addresses(world), gateway_addresses(world)),
    )
    return set(map(read_address, chain(*holders)))


def external(world: World, wanted: object = None, also_taken: Iterable[IPv4Address] = ()) -> IPv4Address:
    """Choose an external address; refuses one that is not in the pool or not free, or an empty pool."""
    taken = taken_external(world).union(also_taken)
    if wanted:
        address = _read(wanted)
        if address not in EXTERNAL_ADDRESSES or address in _ends(EXTERNAL_ADDRESSES):
            raise invalid_value(
                FIELD, wanted, f"The region's external addresses are those of {EXTERNAL_ADDRESSES}."
            )
        if address in taken:
            raise _occupied(address)
        return address
    free = next((each for each in EXTERNAL_ADDRESSES.hosts() if each not in taken), None)
    if free is None:
        raise _exhausted(EXTERNAL_ADDRESSES.num_addresses - 2)
    return free


def internal(world: World, subnetwork: Resource, wanted: object = None) -> IPv4Address:
    """Choose an address of a subnetwork; refuses one that is reserved, taken, or a connector's.

    One that an instance has may be reserved for it when it is ``wanted``
    (behaviour/static-addresses.md#promotion).
    """
    view = Subnetwork.of(subnetwork)
    for user in subnetwork_users(world, view.network, subnetwork.name):
        raise in_use("subnetwork", subnetwork.name.path, user.path)
    held = reserved_in(world, subnetwork.name)
    taken = {address for each in held for address in each}
    if wanted:
        address = _read(wanted)
        if address not in view.range:
            raise invalid_value(FIELD, wanted, f"The address is not in {view.range}, the subnetwork's range.")
        if address in view.reserved:
            raise invalid_value(FIELD, wanted, "The address is one of the four that are reserved.")
        if address in taken:
            raise _occupied(address)
        return address
    return first_free_of(world, subnetwork, view, ())


def reserved_in(world: World, subnetwork: ResourceName) -> Iterator[IPv4Network]:
    """List what is reserved in a subnetwork: addresses, and blocks of serverless instances."""
    yield from (StaticAddress.of(each).range for each in addresses_in_subnetwork(world, subnetwork))
    yield from (host(address) for address, _ in internal_rules_in(world, subnetwork))


def reserved_resources(world: World, subnetwork: ResourceName, address: IPv4Address) -> Iterator[Resource]:
    """List the resources that reserve an address of a subnetwork, alone or in a block."""
    for each in addresses_in_subnetwork(world, subnetwork):
        if address in StaticAddress.of(each).range:
            yield each


def first_free_of(
    world: World, subnetwork: Resource, view: Subnetwork, also_taken: Iterable[IPv4Address]
) -> IPv4Address:
    """Choose the lowest address of a subnetwork that nobody has: by reservation, instance or alias range."""
    ranges_taken = [each for each, _ in alias_ranges_in(world, subnetwork.name) if each.subnet_of(view.range)]
    ranges_taken += reserved_in(world, subnetwork.name)
    taken = {int(each) for each in also_taken}
    taken.update(int(address) for each in ranges_taken for address in each)
    numbers = usable(view.range)
    candidate = numbers.start
    for number in addresses_of_instances(world, subnetwork.name):
        while candidate < number and candidate in taken:
            candidate += 1
        if candidate < number:
            break
        candidate = max(candidate, number + 1)
    while candidate in taken:
        candidate += 1
    if candidate not in numbers:
        raise _full(subnetwork, view.range)
    return IPv4Address(candidate)


def peering_range(world: World, network: Resource, body: Json) -> IPv4Network:
    """Choose a range that peered networks may use (purpose VPC_PEERING)."""
    length = body.get("prefixLength")
    if not length:
        raise required_field("resource.prefixLength")
    if not 8 <= int(length) <= ranges.SMALLEST:
        raise invalid_value("resource.prefixLength", length, f"Must be between 8 and {ranges.SMALLEST}.")
    taken = list(taken_ranges(world, network.name))
    if wanted := body.get("address"):
        found = ranges.subnetwork_range(FIELD, f"{wanted}/{length}")
        ranges.check_disjoint(FIELD, found, iter(taken))
        return found
    held = [each.range for each in taken]
    if Network.of(network).auto:
        held.append(ranges.AUTO_BLOCK)
    free = next(_free_ranges(int(length), held), None)
    if free is None:
        raise invalid_value("resource.prefixLength", length, "The network has no free range of this size.")
    return free


def _free_ranges(length: int, held: list[IPv4Network]) -> Iterator[IPv4Network]:
    for block in _PEERING_BLOCKS:
        if length >= block.prefixlen:
            for candidate in block.subnets(new_prefix=length):
                if not any(candidate.overlaps(each) for each in held):
                    yield candidate


def endpoint(world: World, network: ResourceName, wanted: object) -> IPv4Address:
    """Check the address of a global endpoint (purpose PRIVATE_SERVICE_CONNECT): outside every subnetwork."""
    if not wanted:
        raise required_field(FIELD)
    address = _read(wanted)
    ranges.check_disjoint(FIELD, IPv4Network(address), taken_ranges(world, network))
    return address


def _read(text: object) -> IPv4Address:
    try:
        return IPv4Address(str(text))
    except AddressValueError:
        raise invalid_value(FIELD, text, "Must be an IPv4 address.") from None


def _ends(network: IPv4Network) -> tuple[IPv4Address, IPv4Address]:
    return network.network_address, network.broadcast_address


def _occupied(address: IPv4Address) -> ApiError:
    return ApiError(
        400,
        f"IP '{address}' is already being used by another resource.",
        "INVALID_ARGUMENT",
        "resourceInUseByAnotherResource",
    )


def _exhausted(limit: int) -> ApiError:
    message = f"Quota 'STATIC_ADDRESSES' exceeded.  Limit: {float(limit)} globally."
    return ApiError(403, message, "RESOURCE_EXHAUSTED", "quotaExceeded")


def _full(subnetwork: Resource, held: IPv4Network) -> ApiError:
    # behaviour/vpc.md#exhaustion
    message = (
        f"IP space of '{subnetwork.name.path}' is exhausted. Insufficient free IP addresses in the IP range "
        f"'{held}'. Consider expanding the current IP range or selecting an alternative IP range. If this is "
        "a secondary range, consider adding an additional secondary range."
    )
    return ApiError(400, message, "INVALID_ARGUMENT", "ipSpaceExhaustedWithDetails")
