"""Routes: which destinations outside its subnetworks a VPC network's endpoints may reach, and how.

A next hop is the default internet gateway, or the address of an endpoint that forwards; one that no endpoint
has swallows its packets (Connectivity Tests: ROUTE_NEXT_HOP_IP_ADDRESS_NOT_RESOLVED). The surprising fact: a
route with tags is not for everybody, but a router has one main table. It has what endpoints without tags see,
and beyond that every way out; what an endpoint sees otherwise is a table of its own in the router, which all
endpoints with this view share. Machines of serverless products have their view in their own table too, so
that a sender is not told by an error.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv4Network

from fogbank.lowering.endpoints import Endpoint, region_mark, tag_mark
from fogbank.lowering.fragments import Fragment
from fogbank.lowering.netns_names import ETH1, LOOPBACK, UPLINK, device_to, vpc_netns, vpn_device
from fogbank.lowering.peering import ImportedRange, effective_imports
from fogbank.network.addressing import ANYWHERE, FRONT_END, INTERNET_ROUTER, VPC_ROUTER, host
from fogbank.network.topology import Hop, Route, RoutingTable
from fogbank.resources.compute import StaticRoute, Subnetwork
from fogbank.resources.names import ResourceName

OUT = (Hop(UPLINK, INTERNET_ROUTER),)
"""The default internet gateway."""
FIRST_TABLE = 1000
_TO_ROUTER = (Hop(ETH1, VPC_ROUTER),)
_SILENCE = (Hop(LOOPBACK),)


@dataclass(frozen=True, slots=True)
class StaticRoutes:
    """What a network's routes are: to its own ``ranges``, static ones by destination, and to its peers."""

    network: ResourceName
    ranges: tuple[IPv4Network, ...]
    static: Mapping[IPv4Network, tuple[StaticRoute, ...]]
    imported: tuple[ImportedRange, ...] = ()
    forwarders: frozenset[IPv4Address] = frozenset()
    """The addresses of endpoints that forward, among those that routes lead to."""

    def leads_out(self, destination: IPv4Network) -> bool:
        """Return whether somebody may leave by a route for exactly ``destination``."""
        return any(route.to_internet for route in self.static[destination])

    @property
    def imports_default(self) -> bool:
        """Whether a peer's route leads to everything else."""
        return any(each.destination == ANYWHERE for each in self.imported)

    def hops(self, destination: IPv4Network, marks: AbstractSet[str]) -> tuple[Hop, ...] | None:
        """Return where an endpoint with ``marks`` sends what a route for exactly ``destination`` takes.

        The lowest priority wins among routes whose next hop is there, equal ones share the flows; none at all
        when no next hop is, and None when no route is for it (behaviour/vpc.md#routes).
        """
        return self._best([route for route in self.static[destination] if _applies(route, marks)])

    def common(self, destination: IPv4Network) -> tuple[Hop, ...]:
        """Return the main table's next hops: those of endpoints without tags, else somebody's."""
        plain = self.hops(destination, frozenset())
        if plain is not None:
            return plain
        return OUT if self.leads_out(destination) else self._best(self.static[destination]) or ()

    def view(self, marks: AbstractSet[str]) -> Mapping[IPv4Network, tuple[Hop, ...]] | None:
        """Return the routes of an endpoint, by destination; None when they are those of the main table."""
        own = {to: self.hops(to, marks) for to in self.static}
        if all(hops == self.common(to) for to, hops in own.items()):
            return None
        return {to: hops for to, hops in own.items() if hops is not None}

    @property
    def tags(self) -> frozenset[str]:
        """The marks that some route chooses endpoints by."""
        routes = [route for found in self.static.values() for route in found]
        tags = (tag_mark(tag) for route in routes for tag in route.tags)
        return frozenset((*tags, *(region_mark(each) for route in routes for each in route.regions)))

    def _best(self, routes: Iterable[StaticRoute]) -> tuple[Hop, ...] | None:
        known = list(routes)
        if not known:
            return None
        working = [each for each in known if each.to_internet or each.gateway or each.via in self.forwarders]
        if not working:
            return ()
        lowest = min(each.priority for each in working)
        found = {hop for each in working if each.priority == lowest for hop in _next_hop(each)}
        return tuple(sorted(found, key=lambda hop: (hop.device, str(hop.via))))


def _next_hop(route: StaticRoute) -> tuple[Hop, ...]:
    if route.via is None:
        return OUT
    return (Hop(vpn_device(route.gateway) if route.gateway else device_to(route.via), route.via),)


def _applies(route: StaticRoute, marks: AbstractSet[str]) -> bool:
    tagged = not route.tags or any(tag_mark(tag) in marks for tag in route.tags)
    return tagged and (not route.regions or any(region_mark(each) in marks for each in route.regions))


def routes_of(
    network: ResourceName,
    routes: Iterable[StaticRoute],
    subnetworks: Iterable[Subnetwork],
    imported: Iterable[ImportedRange] = (),
    forwarders: frozenset[IPv4Address] = frozenset(),
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
        forwarders,
    )


def route_fragment(table: StaticRoutes) -> Fragment:
    """Lower the router's table: what a static route takes leaves or dies, everything else dies."""
    netns = vpc_netns(table.network)
    parts = [
        Fragment.of(
            (Route(netns, destination, table.common(destination)),),
            *(route.name for route in routes),
        )
        for destination, routes in table.static.items()
    ]
    if ANYWHERE not in table.static and not table.imports_default:
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
    netns, source = endpoint.netns, endpoint.address
    own = table.view(endpoint.marks)
    if own is None:
        yield Route(netns, ANYWHERE, _TO_ROUTER, source)
        return
    yield from (Route(netns, each, _TO_ROUTER, source) for each in table.ranges)
    yield from (Route(netns, each.destination, _TO_ROUTER, source) for each in table.imported)
    for destination, hops in own.items():
        yield Route(netns, destination, _TO_ROUTER if hops else (), source if hops else None)
    if ANYWHERE not in own and not table.imports_default:
        yield Route(netns, ANYWHERE, ())


@dataclass(frozen=True, slots=True)
class Views:
    """How the endpoints of a network see its routes: ``numbers`` of tables by the marks that matter.

    Endpoints whose marks are not among them see the main table.
    """

    tags: frozenset[str]
    numbers: Mapping[frozenset[str], int]

    def number(self, endpoint: Endpoint) -> int | None:
        """Return the number of the table by which an endpoint's packets are routed; None for the main one."""
        return self.numbers.get(endpoint.marks & self.tags)


def views_of(table: StaticRoutes, endpoints: Iterable[Endpoint]) -> Views:
    """Give numbers to the views that ``endpoints`` have of a network's routes."""
    tags = table.tags
    found = {each.marks & tags for each in endpoints} if tags else {frozenset[str]()}
    numbered = {marks: _number(view) for marks in found if (view := table.view(marks)) is not None}
    return Views(tags, numbered)


def views_fragment(table: StaticRoutes, views: Views) -> Fragment | None:
    """Lower the tables of views: what the network has itself is left to the main table."""
    if not views.numbers:
        return None
    netns = vpc_netns(table.network)
    known = {number: table.view(marks) or {} for marks, number in views.numbers.items()}
    parts = []
    for number, view in sorted(known.items()):
        routes = {
            each: Route(netns, each, (), table=number, falls_through=True) for each in _inside(table, view)
        }
        routes |= {to: Route(netns, to, hops, table=number) for to, hops in view.items()}
        routes.setdefault(ANYWHERE, Route(netns, ANYWHERE, (), table=number))
        owners = {route.name for to in view for route in table.static[to]}
        parts.append(Fragment.of((RoutingTable(netns, number), *routes.values()), table.network, *owners))
    return Fragment.joined(parts)


def _inside(table: StaticRoutes, view: Mapping[IPv4Network, tuple[Hop, ...]]) -> Iterator[IPv4Network]:
    """List what the main table has that static routes do not: own ranges, those of peers, private Google."""
    yield from table.ranges
    yield from (each.destination for each in table.imported if each.destination not in view)
    around = max((to for to in view if FRONT_END in to), key=lambda to: to.prefixlen, default=None)
    if around is not None and view[around] == OUT:
        yield host(FRONT_END)


def _number(view: Mapping[IPv4Network, tuple[Hop, ...]]) -> int:
    """Return the number of a view's table, which follows from what is in it."""
    text = "; ".join(f"{to} {hops}" for to, hops in sorted(view.items()))
    return FIRST_TABLE + int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") // 2
