"""BGP of Cloud Routers as real types: interfaces, peers, what is advertised to them and learned from them.

What a router has learned is kept in its ``private``, written by its controller. Routes are lowered from
there, so they live exactly as long as the sessions that told them (behaviour/bgp.md#learned-routes).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Interface, IPv4Network

from fogbank.resources.compute import Network, StaticRoute, Subnetwork, read_address, read_range, refer
from fogbank.resources.compute_indexes import in_network
from fogbank.resources.names import ResourceName
from fogbank.resources.world import Json, Resource, World

SESSIONS = "bgpSessions"
"""Key of a router's ``private``: peer's name → what is said with it."""
KEYS = "md5Keys"
"""Key of a router's ``private``: name → key."""

BASE_PRIORITY = 100
INTER_REGION_COST = 201
"""What is added to the priority of another region's subnetworks: the least that Google documents."""


@dataclass(frozen=True, slots=True)
class RouterInterface:
    """An interface of a router: its address in a tunnel."""

    name: str
    address: IPv4Interface
    tunnel: ResourceName


@dataclass(frozen=True, slots=True)
class LearnedRoute:
    """What a peer has told; ``med`` is the lower the better."""

    destination: IPv4Network
    med: int
    path: tuple[int, ...]

    @property
    def kept(self) -> Json:
        """What is kept of it."""
        return {"destination": str(self.destination), "med": self.med, "path": list(self.path)}


@dataclass(frozen=True, slots=True)
class Session:
    """What is said with a peer: since when it is up, in seconds of 1970, None when it is not."""

    state: str = "Idle"
    since: int | None = None
    learned: tuple[LearnedRoute, ...] = ()

    @classmethod
    def of(cls, kept: Json) -> "Session":
        """Read what :attr:`kept` wrote."""
        learned = (
            LearnedRoute(read_range(each["destination"]), each["med"], tuple(each["path"]))
            for each in kept["learned"]
        )
        return cls(kept["state"], kept["since"], tuple(learned))

    @property
    def kept(self) -> Json:
        """What is kept of it."""
        return {"state": self.state, "since": self.since, "learned": [each.kept for each in self.learned]}


@dataclass(frozen=True, slots=True)
class BgpPeer:
    """A peer of a router, on one of its interfaces; ``advertised`` by destination with the MED of each."""

    name: str
    interface: RouterInterface
    address: IPv4Address
    asn: int
    enabled: bool
    session: Session
    key: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class BgpRouter:
    """The BGP side of a Cloud Router; ``keepalive`` in seconds."""

    name: ResourceName
    network: ResourceName
    region: str
    asn: int
    keepalive: int
    interfaces: Mapping[str, RouterInterface]
    peers: tuple[BgpPeer, ...]

    @classmethod
    def of(cls, resource: Resource) -> "BgpRouter":
        """Read a ``compute.routers`` resource."""
        body, private = resource.body, resource.private
        bgp = body.get("bgp", {})
        interfaces = {
            each["name"]: _interface(each) for each in body.get("interfaces", ()) if _is_linked(each)
        }
        return cls(
            resource.name,
            refer(body["network"], "networks"),
            resource.name.region or "",
            bgp.get("asn", 0),
            bgp.get("keepaliveInterval", 20),
            interfaces,
            tuple(
                _peer(each, interfaces[each["interfaceName"]], private)
                for each in body.get("bgpPeers", ())
                if each["interfaceName"] in interfaces
            ),
        )


def _is_linked(interface: Json) -> bool:
    return bool(interface.get("linkedVpnTunnel") and interface.get("ipRange"))


def _interface(body: Json) -> RouterInterface:
    tunnel = refer(body["linkedVpnTunnel"], "vpnTunnels", "regions")
    return RouterInterface(body["name"], IPv4Interface(body["ipRange"]), tunnel)


def _peer(body: Json, interface: RouterInterface, private: Json) -> BgpPeer:
    kept = private.get(SESSIONS, {}).get(body["name"])
    return BgpPeer(
        body["name"],
        interface,
        read_address(body["peerIpAddress"]),
        body["peerAsn"],
        body.get("enable", "TRUE") == "TRUE",
        Session.of(kept) if kept else Session(),
        private.get(KEYS, {}).get(body.get("md5AuthenticationKeyName"), ""),
    )


def learned_routes(router: BgpRouter, network: Resource) -> Iterator[tuple[StaticRoute, ResourceName]]:
    """List what peers have told as routes, each with the tunnel that it leads over.

    In a network with regional dynamic routing only endpoints of the router's region have them.
    """
    regional = Network.of(network).dynamic_routing == "REGIONAL"
    regions = (router.region,) if regional else ()
    for peer in router.peers:
        for each in peer.session.learned:
            route = StaticRoute(
                router.name,
                router.network,
                each.destination,
                each.med,
                tunnel=peer.interface.tunnel,
                regions=regions,
            )
            yield route, peer.interface.tunnel


def advertisement(world: World, router: Resource, peer: Json) -> Mapping[IPv4Network, int]:
    """Work out what a router tells a peer: destinations, each with its MED.

    The peer's own settings count when its mode is CUSTOM, else the router's
    (behaviour/bgp.md#advertisements).
    """
    own = peer.get("advertiseMode") == "CUSTOM"
    settings = peer if own else router.body.get("bgp", {})
    base = peer.get("advertisedRoutePriority", BASE_PRIORITY)
    found: dict[IPv4Network, int] = {}
    custom = settings.get("advertiseMode") == "CUSTOM"
    if not custom or "ALL_SUBNETS" in settings.get("advertisedGroups", ()):
        found |= _subnetworks(world, router, base)
    if custom:
        found |= {read_range(each["range"]): base for each in settings.get("advertisedIpRanges", ())}
    return found


def _subnetworks(world: World, router: Resource, base: int) -> dict[IPv4Network, int]:
    network = world.get(refer(router.body["network"], "networks"))
    everywhere = Network.of(network).dynamic_routing == "GLOBAL"
    found: dict[IPv4Network, int] = {}
    for subnetwork in map(Subnetwork.of, in_network(world, "subnetworks", network.name)):
        near = subnetwork.region == router.name.region
        if near or everywhere:
            found |= dict.fromkeys(subnetwork.ranges, base if near else base + INTER_REGION_COST)
    return found
