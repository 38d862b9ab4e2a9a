"""The ranges that a VPC network holds, no two of which overlap (behaviour/vpc.md#ranges).

They are those of its subnetworks in all regions, primary and secondary, those reserved for peering, and those
that a connector or another API's resource brought (`network_users`).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Network

from fogbank.resources.compute import StaticAddress, Subnetwork
from fogbank.resources.compute_indexes import in_network
from fogbank.resources.names import ResourceName
from fogbank.resources.network_users import network_users
from fogbank.resources.world import World


@dataclass(frozen=True, slots=True)
class TakenRange:
    """A range that a network already holds, and how a refusal names its holder."""

    range: IPv4Network
    holder: str


def taken_ranges(
    world: World, network: ResourceName, without: ResourceName | None = None
) -> Iterator[TakenRange]:
    """List every range that ``network`` holds, but for those of the subnetwork ``without``."""
    for resource in in_network(world, "subnetworks", network):
        if resource.name != without:
            holder = f"existing subnetwork '{resource.name.id}' in region '{resource.name.region}'."
            yield from (TakenRange(each, holder) for each in Subnetwork.of(resource).ranges)
    for resource in in_network(world, "globalAddresses", network):
        yield TakenRange(StaticAddress.of(resource).range, f"reserved range '{resource.name.id}'.")
    for user in network_users(world, network):
        if user.subnetwork is None:
            holder = f"the range of {user.noun} '{user.name.id}' in region '{user.name.region}'."
            yield TakenRange(user.range, holder)
