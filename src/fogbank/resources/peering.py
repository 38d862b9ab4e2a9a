"""VPC Network Peering: what a network asks of another one, and what both agree on.

A network keeps its own side of each peering in its body. A peering is ACTIVE while both sides name each
other (behaviour/vpc.md#peering). The surprising fact: no state is stored, so both sides always see the same.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from ipaddress import IPv4Network

from fogbank.network.addressing import PRIVATE_RANGES
from fogbank.resources.compute import refer
from fogbank.resources.names import ResourceName
from fogbank.resources.world import Json, Resource

Find = Callable[[ResourceName], Resource | None]

SINCE = "peerings"
"""Key of a network's ``private``: the name of each of its peerings → when it was added."""

CONSENSUS = "CONSENSUS"

_NOT_PUBLIC = (
    *PRIVATE_RANGES,
    *map(IPv4Network, ("192.0.0.0/24", "192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24")),
    *map(IPv4Network, ("192.88.99.0/24", "198.18.0.0/15", "240.0.0.0/4")),
)


@dataclass(frozen=True, slots=True)
class Peering:
    """One side of a peering: the peer's ``network``, and which routes beside subnet routes are exchanged.

    ``public`` means subnetworks with privately used public addresses.
    """

    name: str
    network: ResourceName
    exports_custom: bool
    imports_custom: bool
    exports_public: bool
    imports_public: bool
    needs_consensus: bool

    @classmethod
    def of(cls, entry: Json) -> "Peering":
        """Read an entry of a network's ``peerings``."""
        return cls(
            entry["name"],
            refer(entry["network"], "networks"),
            entry["exportCustomRoutes"],
            entry["importCustomRoutes"],
            entry["exportSubnetRoutesWithPublicIp"],
            entry["importSubnetRoutesWithPublicIp"],
            entry.get("updateStrategy") == CONSENSUS,
        )


@dataclass(frozen=True, slots=True)
class ActivePeering:
    """A peering that both sides want, as ``network`` sees it: its own side, and that of the ``peer``."""

    own: Peering
    other: Peering
    peer: Resource
    network: Resource

    def exports(self, subnet_range: IPv4Network) -> bool:
        """Return whether the peer may reach ``subnet_range`` of the network's."""
        return not is_public(subnet_range) or (self.own.exports_public and self.other.imports_public)

    @property
    def exports_custom(self) -> bool:
        """Whether the peer uses the network's static routes."""
        return self.own.exports_custom and self.other.imports_custom

    @property
    def seen_from_peer(self) -> "ActivePeering":
        """The same peering from the other end."""
        return ActivePeering(self.other, self.own, self.network, self.peer)


def peerings_of(network: Resource) -> tuple[Peering, ...]:
    """List the peerings that a network asks for."""
    return tuple(map(Peering.of, network.body.get("peerings", ())))


def active_peerings(network: Resource, find: Find) -> Iterator[ActivePeering]:
    """List the peerings of a network that the other side wants too."""
    for own in peerings_of(network):
        peer = find(own.network)
        if peer is None:
            continue
        for other in peerings_of(peer):
            if other.network == network.name:
                yield ActivePeering(own, other, peer, network)


def since(network: Resource, name: str) -> datetime:
    """Return when a network's side of the peering ``name`` was added."""
    return datetime.fromisoformat(network.private[SINCE][name])


def is_public(subnet_range: IPv4Network) -> bool:
    """Return whether a subnetwork's range is one of public addresses, used privately."""
    return not any(subnet_range.subnet_of(each) for each in _NOT_PUBLIC)
