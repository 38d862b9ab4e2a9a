"""The ranges that a VPC network holds, no two of which overlap (behaviour/vpc.md#ranges).

They are those of its subnetworks in all regions, primary and secondary, those reserved for peering, those
that a connector or another API's resource brought (`network_users`), and those of its peers.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Network

from fogbank.resources.compute import StaticAddress, Subnetwork
from fogbank.resources.compute_indexes import in_network
from fogbank.resources.names import ResourceName
from fogbank.resources.network_users import network_users
from fogbank.resources.peering import active_peerings
from fogbank.resources.world import World


@dataclass(frozen=True, slots=True)
class TakenRange:
    """A range that a network already holds, whose ``resource`` it is, and how a refusal names its holder."""

    range: IPv4Network
    holder: str
    resource: ResourceName


def taken_ranges(
    world: World, network: ResourceName, without: ResourceName | None = None
) -> Iterator[TakenRange]:
    """List every range that ``network`` may not give again, but for those of the subnetwork ``without``.

    Those that its peers hold, or the peers of these, are taken too (behaviour/vpc.md#peering).
    """
    yield from own_ranges(world, network, without)
    for each in _peering_group(world, network):
        for taken in own_ranges(world, each):
            holder = f"IP range {taken.range} that was allocated by resource {taken.resource.path}."
            yield TakenRange(taken.range, holder, taken.resource)


def _peering_group(world: World, network: ResourceName) -> Iterator[ResourceName]:
    """List the peers of a network and their peers, each once."""
    seen = {network}
    for distance in (1, 2):
        del distance
        for near in tuple(seen):
            found = world.find(near)
            for peering in active_peerings(found, world.find) if found else ():
                if peering.peer.name not in seen:
                    seen.add(peering.peer.name)
                    yield peering.peer.name


def own_ranges(
    world: World, network: ResourceName, without: ResourceName | None = None
) -> Iterator[TakenRange]:
    """List every range that ``network`` itself holds, but for those of the subnetwork ``without``."""
    for resource in in_network(world, "subnetworks", network):
        if resource.name != without:
            holder = f"existing subnetwork '{resource.name.id}' in region '{resource.name.region}'."
            yield from (TakenRange(each, holder, resource.name) for each in Subnetwork.of(resource).ranges)
    for resource in in_network(world, "globalAddresses", network):
        holder = f"reserved range '{resource.name.id}'."
        yield TakenRange(StaticAddress.of(resource).range, holder, resource.name)
    for user in network_users(world, network):
        if user.subnetwork is None:
            holder = f"the range of {user.noun} '{user.name.id}' in region '{user.name.region}'."
            yield TakenRange(user.range, holder, user.name)


def free_range(
    taken: Iterable[IPv4Network], within: IPv4Network, prefix_length: int, start: int = 0
) -> IPv4Network | None:
    """Find a range in ``within`` that overlaps none of ``taken``; None when there is none.

    The search begins at the candidate number ``start`` (modulo how many there are) and goes round once, so
    that ranges chosen for one thing do not lie side by side with those of the next.
    """
    size = 2 ** (32 - prefix_length)
    first, last = int(within.network_address), int(within.broadcast_address)
    count = within.num_addresses // size
    if not count:
        return None
    spans = sorted((int(each.network_address), int(each.broadcast_address)) for each in taken)
    begin = first + start % count * size
    for lowest, highest in ((begin, last), (first, begin - 1)):
        found = _free_from(spans, lowest, highest, size)
        if found is not None:
            return IPv4Network((found, prefix_length))
    return None


def _free_from(spans: Iterable[tuple[int, int]], lowest: int, highest: int, size: int) -> int | None:
    """Return the lowest aligned address of a free block of ``size`` that begins from ``lowest`` on."""
    candidate = lowest
    for begin, end in spans:
        if end < candidate:
            continue
        if begin >= candidate + size:
            break
        candidate = (end // size + 1) * size
    return candidate if candidate + size - 1 <= highest else None
