"""What a networking feature is: pure functions that say what one resource or instance adds to the network.

The compiler knows no feature by name. It asks every feature about each of its sources, puts what they add to
a VPC network together, and lowers routes, firewall rules and Cloud NAT for all endpoints of that network,
whoever they belong to. The surprising fact: a feature sees one source at a time and never the whole World, so
that a pass costs what changed.
"""

from collections.abc import Callable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network

from fogbank.lowering.endpoints import Endpoint
from fogbank.lowering.firewall import EffectiveRule
from fogbank.lowering.fragments import Fragment
from fogbank.lowering.peering import ImportedRange
from fogbank.lowering.routes import StaticRoutes
from fogbank.network.topology import NetnsName
from fogbank.resources.compute import Network, Router, StaticRoute, Subnetwork
from fogbank.resources.fleet import Instance
from fogbank.resources.names import ResourceName
from fogbank.resources.world import Resource

Source = Resource | Instance
"""What a feature lowers: a resource of the World, or an instance of the fleet."""

Find = Callable[[ResourceName], Resource | None]
"""Looks up a resource of the World."""


@dataclass(frozen=True, slots=True)
class Interface:
    """A network interface in a VPC network that is to have an address.

    ``address`` is the one it was given, None takes the lowest free one of ``within`` and keeps it. The other
    fields are as in :class:`Endpoint`.
    """

    netns: NetnsName
    region: str
    marks: frozenset[str]
    owner: ResourceName
    address: IPv4Address | None = None
    within: IPv4Network | None = None
    closed: bool = False
    nat: bool = True
    aliases: tuple[IPv4Network, ...] = ()
    forwards: bool = False
    shared: tuple[IPv4Network, ...] = ()


@dataclass(frozen=True, slots=True)
class Gateways:
    """The Cloud NAT gateways of a router, and the addresses behind the names that they use."""

    router: Router
    outsides: tuple[tuple[ResourceName, IPv4Address], ...]


@dataclass(frozen=True, slots=True)
class Membership:
    """What a source adds to one VPC ``network``; ``itself`` is given by the network's own resource.

    ``subnetworks`` may be hidden ones that no client sees. ``reserved`` addresses are given to no interface
    that asks for a free one. ``peers`` are the networks at the other end of active peerings,
    ``imported`` what is reached through them.
    """

    network: ResourceName
    itself: Network | None = None
    subnetworks: tuple[Subnetwork, ...] = ()
    interfaces: tuple[Interface, ...] = ()
    reserved: tuple[IPv4Address, ...] = ()
    routes: tuple[StaticRoute, ...] = ()
    rules: tuple[EffectiveRule, ...] = ()
    gateways: tuple[Gateways, ...] = ()
    peers: tuple[ResourceName, ...] = ()
    imported: tuple[ImportedRange, ...] = ()


@dataclass(frozen=True, slots=True)
class Contribution:
    """What a source adds: to VPC networks, and by name to what several sources share.

    Each of ``shared`` exists while any source names it; the feature of its collection lowers it. ``reads``
    names the other resources that were looked up: when one of them changes, the source is asked again.
    """

    memberships: tuple[Membership, ...] = ()
    shared: tuple[ResourceName, ...] = ()
    reads: tuple[ResourceName, ...] = ()


NOTHING = Contribution()


@dataclass(frozen=True, slots=True)
class NetworkContext:
    """What a fragment inside a VPC network may depend on; ``mtu`` in bytes."""

    name: ResourceName
    mtu: int
    routes: StaticRoutes


class Feature:
    """One networking feature. A subclass overrides what it has; by default a feature adds nothing."""

    resources: AbstractSet[str] = frozenset()
    """The collections whose resources are its sources."""

    instances: AbstractSet[str] = frozenset()
    """The collections whose resources own the instances that are its sources."""

    def always(self) -> Fragment | None:
        """Lower what every region has."""
        return None

    def contribution(self, source: Source, find: Find) -> Contribution:
        """Read what ``source`` adds to networks and shares with others."""
        del source, find
        return NOTHING

    def outside(self, source: Source) -> Fragment | None:
        """Lower what ``source`` is beside all VPC networks."""
        del source
        return None

    def inside(
        self, source: Source, network: NetworkContext, endpoints: tuple[Endpoint, ...]
    ) -> Fragment | None:
        """Lower what ``source`` is in a network to which it adds subnetworks or ``endpoints``.

        Without endpoints it must not depend on ``network`` but for its name.
        """
        del source, network, endpoints
        return None

    def shared(
        self, name: ResourceName, resource: Resource | None, endpoints: tuple[Endpoint, ...]
    ) -> Fragment:
        """Lower what the sources that name ``name`` share.

        ``resource`` is None when it does not exist; ``endpoints`` are those that it has in VPC networks.
        """
        del resource, endpoints
        raise NotImplementedError(f"{type(self).__name__} lowers nothing that is shared: {name}")
