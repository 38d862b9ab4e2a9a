"""Servers of managed services in a VPC network: a range behind a peering, with an interface for each server.

Google has them in a network of its own that is peered with the user's. What that means for a packet is
lowered here: the range is routed, clients' egress rules apply to what they send, no rule of the user's
applies to the servers, Cloud NAT does not serve them, and they open connections to one another only
(behaviour/private-services-access.md#data-path).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface, IPv4Network

from fogbank.lowering.endpoints import Endpoint, region_mark
from fogbank.lowering.feature import (
    NOTHING,
    Contribution,
    Feature,
    Find,
    Interface,
    Membership,
    NetworkContext,
    Source,
)
from fogbank.lowering.firewall import Direction, EffectiveRule
from fogbank.lowering.fragments import Fragment
from fogbank.lowering.netns_names import ETH1, device_to, instance_netns, vpc_netns
from fogbank.lowering.vpc import interface, ranges
from fogbank.lowering.workloads import containers
from fogbank.network.addressing import ANYWHERE, VPC_ROUTER, host
from fogbank.network.topology import Address, Element, Hop, NetworkNamespace, Port, Route, Rule, Traffic
from fogbank.resources.compute import PEERED, SecondaryRange, Subnetwork
from fogbank.resources.fleet import Instance
from fogbank.resources.names import ResourceName
from fogbank.resources.world import Resource


@dataclass(frozen=True, slots=True)
class ManagedServers:
    """The servers of the resource ``name``, by the ids of their containers, with addresses in ``range``.

    ``kind`` is the word for them in names (``redis``); ``mark`` is what rules choose them by. With
    ``regional`` only endpoints of their own region reach them, else all of the network. ``more_ranges`` hold
    addresses of theirs too. ``shared`` is an address whose connections are spread over servers, which are
    given by their own addresses.
    """

    name: ResourceName
    kind: str
    network: ResourceName
    region: str
    range: IPv4Network
    mark: str
    servers: tuple[tuple[str, IPv4Address], ...]
    regional: bool
    more_ranges: tuple[IPv4Network, ...] = ()
    shared: tuple[IPv4Address, tuple[IPv4Address, ...]] | None = None

    def membership(self) -> Membership:
        """Give the servers interfaces in the network."""
        return Membership(
            self.network,
            subnetworks=(self._hidden(),),
            interfaces=tuple(
                Interface(
                    instance_netns(server),
                    self.region,
                    frozenset({self.mark}),
                    self.name,
                    address=address,
                    aliases=self._shared_with(address),
                )
                for server, address in self.servers
            ),
            rules=tuple(self._rules()),
        )

    def elements(self, network: NetworkContext, endpoints: tuple[Endpoint, ...]) -> Iterator[Element]:
        """Lower the range and the servers' namespaces."""
        yield from ranges(network.name, self.range[1], self._ranges())
        for endpoint in endpoints:
            yield NetworkNamespace(endpoint.netns)
            yield from interface(endpoint, network.mtu)
            yield Route(endpoint.netns, ANYWHERE, (Hop(ETH1, VPC_ROUTER),), endpoint.address)
            for each in endpoint.aliases:
                yield Address(Port(endpoint.netns, ETH1), IPv4Interface(each))
        if self.shared and self.shared[1]:
            address, servers = self.shared
            hops = tuple(sorted((Hop(device_to(each)) for each in servers), key=lambda hop: hop.device))
            yield Route(vpc_netns(network.name), host(address), hops)

    def _ranges(self) -> tuple[IPv4Network, ...]:
        return (self.range, *self.more_ranges)

    def _shared_with(self, server: IPv4Address) -> tuple[IPv4Network, ...]:
        return (host(self.shared[0]),) if self.shared and server in self.shared[1] else ()

    def _hidden(self) -> Subnetwork:
        """Make the producer's subnetwork."""
        identifier = f"{self.kind}-{self.name.id}"
        path = f"projects/{self.name.project}/regions/{self.region}/subnetworks/{identifier}"
        return Subnetwork(
            ResourceName("compute.subnetworks", path),
            self.network,
            self.region,
            self.range,
            self.range[1],
            PEERED,
            tuple(SecondaryRange(str(each), each) for each in self.more_ranges),
        )

    def _rules(self) -> Iterator[EffectiveRule]:
        """Let endpoints reach the servers, and servers one another, before any rule of the user's."""
        label = f"{self.kind}-{self.name.id}"
        near = (region_mark(self.region),) if self.regional else ()
        to_clients = Rule("allow", (Traffic(),), address_sets=near, label=label)
        closed = Rule("deny", (Traffic(),), label=label)
        among = Rule("allow", (Traffic(),), destinations=self._ranges(), label=label)
        ordered: tuple[tuple[Direction, Rule], ...] = (
            ("INGRESS", to_clients),
            ("INGRESS", closed),
            ("EGRESS", among),
            ("EGRESS", closed),
        )
        for order, (direction, rule) in enumerate(ordered):
            yield EffectiveRule(
                self.name,
                self.network,
                direction,
                frozenset({self.mark}),
                rule,
                (order - 4, False, self.name.path),
            )


class ManagedServersFeature(Feature):
    """The resources of a managed service, by ``servers_of``, and the containers that run for them."""

    def __init__(self, collection: str, servers_of: Callable[[Resource], ManagedServers]) -> None:
        self.resources = self.instances = frozenset({collection})
        self._servers_of = servers_of

    def contribution(self, source: Source, find: Find) -> Contribution:
        """Give a resource's servers interfaces in its network."""
        del find
        if isinstance(source, Instance):
            return NOTHING
        return Contribution((self._servers_of(source).membership(),))

    def inside(
        self, source: Source, network: NetworkContext, endpoints: tuple[Endpoint, ...]
    ) -> Fragment | None:
        """Lower the places of a resource's servers."""
        if isinstance(source, Instance):
            return None
        servers = self._servers_of(source)
        return Fragment.of(servers.elements(network, endpoints), servers.name)

    def outside(self, source: Source) -> Fragment | None:
        """Lower a server that runs: its place is there as long as the resource is."""
        return Fragment.of(containers(source), source.owner) if isinstance(source, Instance) else None
