"""Routes: which destinations outside its subnetworks a VPC network's endpoints may reach.

The only next hop that leads anywhere is the default internet gateway; a next hop address that no endpoint
has swallows its packets (Connectivity Tests: ROUTE_NEXT_HOP_IP_ADDRESS_NOT_RESOLVED). The surprising fact: a
route with tags is not for everybody, but a router has one table. So the router gets every route that somebody
may use, and the machine of an endpoint that sees it otherwise gets a table of its own, which drops what the
endpoint may not send.
"""

from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv4Network

from fogbank.lowering.endpoints import Endpoint, tag_mark
from fogbank.lowering.fragments import Fragment
from fogbank.lowering.netns_names import ETH1, LOOPBACK, UPLINK, vpc_netns
from fogbank.lowering.peering import ImportedRange, effective_imports
from fogbank.network.addressing import ANYWHERE, INTERNET_ROUTER, VPC_ROUTER
from fogbank.network.topology import Hop, NetnsName, Route
from fogbank.resources.compute import StaticRoute, Subnetwork
from fogbank.resources.names import ResourceName

_OUT = (Hop(UPLINK, INTERNET_ROUTER),)
_TO_ROUTER = (Hop(ETH1, VPC_ROUTER),)
_SILENCE = (Hop(LOOPBACK),)


@dataclass(frozen=True, slots=True)
class StaticRoutes:
    """What a network's routes are: to its own ``ranges``, static ones by destination, and to its peers."""

    network: ResourceName
    ranges: tuple[IPv4Network, ...]
    static: Mapping[IPv4Network, tuple[StaticRoute, ...]]
    imported: tuple[ImportedRange, ...] = ()

    def leads_out(self, destination: IPv4Network) -> bool:
        """Return whether somebody may leave by a route for exactly ``destination``."""
        return any(route.to_internet for route in self.static[destination])

    def choice(self, destination: IPv4Network, marks: AbstractSet[str]) -> StaticRoute | None:
        """Choose the route for exactly ``destination`` of an endpoint with ``marks``.

        The lowest priority wins, of equals the one that leads somewhere (behaviour/vpc.md#routes).
        """
        mine = [route for route in self.static[destination] if _applies(route, marks)]
        return min(mine, key=lambda route: (route.priority, not route.to_internet), default=None)


def _applies(route: StaticRoute, marks: AbstractSet[str]) -> bool:
    return not route.tags or any(tag_mark(tag) in marks for tag in route.tags)


def routes_of(
    network: ResourceName,
    routes: Iterable[StaticRoute],
    subnetworks: Iterable[Subnetwork],
    imported: Iterable[ImportedRange] = (),
) -> StaticRoutes:
    """Read the routes of ``network``; ``subnetworks`` include hidden ones.

    A static route inside one of the network's own ranges, or of a peer's subnetwork, never wins
    (https://cloud.google.com/vpc/docs/routes#subnet-route-interactions).
    """
    own = tuple(part for each in subnetworks for part in each.ranges)
    offered = tuple(imported)
    subnets = (*own, *(each.destination for each in offered if each.priority is None))
    static: dict[IPv4Network, list[StaticRoute]] = {}
    for route in routes:
        if not any(route.destination.subnet_of(each) for each in subnets):
            static.setdefault(route.destination, []).append(route)
    return StaticRoutes(
        network,
        own,
        {to: tuple(found) for to, found in static.items()},
        effective_imports(offered, own, static),
    )


def route_fragment(table: StaticRoutes) -> Fragment:
    """Lower the router's table: what a static route takes leaves or dies, everything else dies."""
    netns = vpc_netns(table.network)
    parts = [
        Fragment.of(
            (Route(netns, destination, _OUT if table.leads_out(destination) else ()),),
            *(route.name for route in routes),
        )
        for destination, routes in table.static.items()
    ]
    if ANYWHERE not in table.static:
        parts.append(Fragment.of((Route(netns, ANYWHERE, ()),), table.network))
    return Fragment.joined(parts)


def endpoint_routes(
    table: StaticRoutes, endpoint: Endpoint, destinations: Iterable[IPv4Network] = (ANYWHERE,)
) -> Iterator[Route]:
    """Lower the table of a machine that forwards: all to the router, unless it sees some route otherwise.

    Only ``destinations``, which do not overlap, go to the network at all.
    """
    yield from _restricted(_view(table, endpoint), destinations)


def sender_routes(
    table: StaticRoutes, endpoint: Endpoint, destinations: Iterable[IPv4Network] = (ANYWHERE,)
) -> Iterator[Route]:
    """Lower the table of a machine that sends itself, like :func:`endpoint_routes`.

    What has no route is discarded silently, as in Google's network, and no error tells the sender.
    """
    for route in _restricted(_view(table, endpoint), destinations):
        yield route if route.hops else replace(route, hops=_SILENCE, source=endpoint.address)


def _restricted(routes: Iterable[Route], destinations: Iterable[IPv4Network]) -> Iterator[Route]:
    view = tuple(routes)
    for destination in destinations:
        around = (route for route in view if destination.subnet_of(route.destination))
        yield replace(max(around, key=_prefix_length), destination=destination)
        yield from (
            route
            for route in view
            if route.destination != destination and route.destination.subnet_of(destination)
        )


def _prefix_length(route: Route) -> int:
    return route.destination.prefixlen


def _view(table: StaticRoutes, endpoint: Endpoint) -> Iterator[Route]:
    """List the routes of an endpoint to which everything goes; one to anywhere is always among them."""
    choices = {destination: table.choice(destination, endpoint.marks) for destination in table.static}
    netns, source = endpoint.netns, endpoint.address
    if all(choice and choice.to_internet == table.leads_out(to) for to, choice in choices.items()):
        yield Route(netns, ANYWHERE, _TO_ROUTER, source)
        return
    yield from (Route(netns, own, _TO_ROUTER, source) for own in table.ranges)
    yield from (Route(netns, each.destination, _TO_ROUTER, source) for each in table.imported)
    yield from (_own_view(netns, to, choice, source) for to, choice in choices.items() if choice)
    if choices.get(ANYWHERE) is None:
        yield Route(netns, ANYWHERE, ())


def _own_view(netns: NetnsName, destination: IPv4Network, choice: StaticRoute, source: IPv4Address) -> Route:
    if choice.to_internet:
        return Route(netns, destination, _TO_ROUTER, source)
    return Route(netns, destination, ())
