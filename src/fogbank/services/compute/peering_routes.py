"""Routes that peered networks exchange: what each imports, derived from both sides when somebody reads.

Lowering derives the same from the same readers (`fogbank.lowering.peering`); a test holds both to one answer.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Network

from fogbank.errors import ApiError, required_field
from fogbank.resources.compute import StaticRoute, Subnetwork
from fogbank.resources.compute_indexes import in_network
from fogbank.resources.names import ResourceName, compute_name
from fogbank.resources.peering import ActivePeering, active_peerings, peerings_of
from fogbank.resources.world import Json, Resource, World
from fogbank.services.compute.bodies import one_of
from fogbank.services.compute.factories import make
from fogbank.services.compute.names import by_id, project_of
from fogbank.services.contract import Call, List, Method

PEERING_ROUTE = "peering-route-"


@dataclass(frozen=True, slots=True)
class OfferedRoute:
    """A range that a network offers to a peer; ``taken`` unless one of them does not want it exchanged.

    ``region`` is None for a static route, which leads there from all regions.
    """

    destination: IPv4Network
    region: str | None
    priority: int
    taken: bool


def offered_routes(world: World, network: ResourceName, peering: ActivePeering) -> Iterator[OfferedRoute]:
    """List what ``network``, the near side of ``peering``, offers to the far side."""
    for resource in in_network(world, "subnetworks", network):
        subnetwork = Subnetwork.of(resource)
        for each in subnetwork.ranges:
            yield OfferedRoute(each, subnetwork.region, 0, peering.exports(each))
    for resource in in_network(world, "routes", network):
        route = StaticRoute.of(resource)
        if peering.own.exports_custom and not route.to_internet and not route.tags:
            yield OfferedRoute(route.destination, None, route.priority, peering.exports_custom)


def peering_routes(world: World, network: Resource) -> Iterator[Resource]:
    """Derive the routes that a network has from its active peerings."""
    for peering in active_peerings(network, world.find):
        for offered in offered_routes(world, peering.peer.name, peering.seen_from_peer):
            if offered.taken:
                yield _route(network, peering, offered)


def _route(network: Resource, peering: ActivePeering, offered: OfferedRoute) -> Resource:
    suffix = f"{network.id % 16**8:08x}{int(offered.destination.network_address):08x}"
    path = f"projects/{network.name.project}/global/routes/{PEERING_ROUTE}{suffix}"
    fields = {
        "description": f"Auto generated route via peering [{peering.own.name}].",
        "network": network.name.self_link,
        "destRange": str(offered.destination),
        "priority": offered.priority,
        "nextHopPeering": peering.own.name,
    }
    identity = network.id ^ int(offered.destination.network_address) ^ peering.peer.id
    return make(ResourceName("compute.routes", path), identity, network.created, fields)


def list_peering_routes(world: World, call: Call) -> Iterable[Json]:
    """List what a network gets from a peer (INCOMING) or offers it (OUTGOING), for one region."""
    # The query names a region, which does not say where the network is.
    name = compute_name("networks", project_of(world, call), "global", None, call["network"])
    network = world.get(by_id(world, name))
    wanted = {}
    for field in ("peeringName", "region", "direction"):
        wanted[field] = str(call.parameters.get(field) or "")
        if not wanted[field]:
            raise required_field(field)
    one_of("direction", wanted["direction"], ("INCOMING", "OUTGOING"))
    if all(each.name != wanted["peeringName"] for each in peerings_of(network)):
        raise ApiError(
            404,
            f"The peering '{wanted['peeringName']}' was not found in '{network.name.path}'.",
            "NOT_FOUND",
            "notFound",
        )
    return [
        {
            "destRange": str(offered.destination),
            "type": "STATIC_PEERING_ROUTE" if offered.region is None else "SUBNET_PEERING_ROUTE",
            "nextHopRegion": offered.region or wanted["region"],
            "priority": offered.priority,
            "imported": offered.taken,
        }
        for peering in active_peerings(network, world.find)
        if peering.own.name == wanted["peeringName"]
        for offered in (
            offered_routes(world, network.name, peering)
            if wanted["direction"] == "OUTGOING"
            else offered_routes(world, peering.peer.name, peering.seen_from_peer)
        )
    ]


METHODS: dict[str, Method] = {
    "networks.listPeeringRoutes": List(list_peering_routes, permission="compute.networks.listPeeringRoutes"),
}
