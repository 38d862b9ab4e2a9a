"""Ranges that keep two networks from being peered (behaviour/vpc.md#peering)."""

from ipaddress import IPv4Network
from typing import NamedTuple

from fogbank.resources.names import ResourceName
from fogbank.resources.network_ranges import TakenRange, own_ranges
from fogbank.resources.peering import active_peerings
from fogbank.resources.world import Resource, World


class _Side(NamedTuple):
    """A network of two that are being peered: what it holds, and what its active peers do."""

    own: list[TakenRange]
    peers: list[tuple[str, IPv4Network]]


def first_overlap(world: World, network: Resource, peering: str) -> str | None:
    """Say which ranges of a network overlap those of a new peer or of a peer's peers; None when none do.

    Peers of one network may not overlap one another either (behaviour/vpc.md#peering).
    """
    new = next((each for each in active_peerings(network, world.find) if each.own.name == peering), None)
    if new is None:
        return None
    local = _side(world, network, without=new.peer.name)
    remote = _side(world, new.peer, without=network.name)
    for mine in local.own:
        for theirs in remote.own:
            if mine.range.overlaps(theirs.range):
                return (
                    f"An IP range in the peer network ({theirs.range}) overlaps with an IP range in the "
                    f"local network ({mine.range}) allocated by resource ({mine.resource.path})."
                )
    return _overlap_with_peers(local, remote, "local", "peer") or _overlap_with_peers(
        remote, local, "peer", "local"
    )


def _side(world: World, network: Resource, without: ResourceName) -> _Side:
    peers = [
        (each.own.name, taken.range)
        for each in active_peerings(network, world.find)
        if each.peer.name != without
        for taken in own_ranges(world, each.peer.name)
    ]
    return _Side(list(own_ranges(world, network.name)), peers)


def _overlap_with_peers(one: _Side, other: _Side, near: str, far: str) -> str | None:
    for mine in one.own:
        for name, theirs in other.peers:
            if mine.range.overlaps(theirs):
                return (
                    f"An IP range in the {near} network ({mine.range}) allocated by resource "
                    f"({mine.resource.path}) overlaps with an IP range ({theirs}) in an active peer "
                    f"({name}) of the {far} network."
                )
    return None
