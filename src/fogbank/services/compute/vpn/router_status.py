"""What a Cloud Router says of BGP: peers, learned and advertised routes (behaviour/bgp.md#status)."""

from datetime import datetime, timedelta
from typing import Any

from fogbank.resources.bgp import BgpPeer, BgpRouter, LearnedRoute, advertisement
from fogbank.resources.compute_indexes import in_network
from fogbank.resources.vpn import VpnTunnel
from fogbank.resources.world import Json, Resource, World


def bgp_status(world: World, resource: Resource, now: datetime) -> Json:
    """Return the parts of a router's status that are about BGP; none for a router without peers."""
    router = BgpRouter.of(resource)
    if not router.peers:
        return {}
    bodies = {each["name"]: each for each in resource.body["bgpPeers"]}
    in_all = [
        route
        for each in in_network(world, "routers", router.network)
        for route in _learned(world, BgpRouter.of(each))
    ]
    return {
        "bestRoutes": _best(in_all),
        "bestRoutesForRouter": _best(_learned(world, router)),
        "bgpPeerStatus": [
            _peer_status(each, _advertised(world, resource, bodies[each.name], each), now)
            for each in router.peers
        ],
    }


def _learned(world: World, router: BgpRouter) -> list[Json]:
    """List what a router has learned over tunnels that are up."""
    found: list[Json] = []
    for peer in router.peers:
        tunnel = world.find(peer.interface.tunnel)
        if tunnel is not None and VpnTunnel.of(tunnel).established:
            found += [_route(router, peer, each) for each in peer.session.learned]
    return found


def _route(router: BgpRouter, peer: BgpPeer, learned: LearnedRoute) -> Json:
    path = {"pathSegmentType": "AS_SEQUENCE", "asLists": list(learned.path)}
    return {
        "kind": "compute#route",
        "network": router.network.self_link,
        "destRange": str(learned.destination),
        "priority": learned.med,
        "nextHopIp": str(peer.address),
        "nextHopVpnTunnel": peer.interface.tunnel.self_link,
        "nextHopMed": learned.med,
        "nextHopOrigin": "IGP",
        "routeType": "BGP",
        "routeStatus": "ACTIVE",
        "asPaths": [path],
    }


def _best(routes: list[Json]) -> list[Json]:
    """Keep the routes of the lowest priority to each destination."""
    lowest: dict[str, int] = {}
    for each in routes:
        lowest[each["destRange"]] = min(each["priority"], lowest.get(each["destRange"], each["priority"]))
    return [each for each in routes if each["priority"] == lowest[each["destRange"]]]


def _advertised(world: World, router: Resource, body: Json, peer: BgpPeer) -> list[Json]:
    return [
        {
            "kind": "compute#route",
            "network": router.body["network"],
            "destRange": str(destination),
            "priority": med,
            "nextHopIp": str(peer.interface.address.ip),
            "routeType": "BGP",
        }
        for destination, med in sorted(advertisement(world, router, body).items())
    ]


def _peer_status(peer: BgpPeer, advertised: list[Json], now: datetime) -> Json:
    session = peer.session
    status: dict[str, Any] = {
        "name": peer.name,
        "ipAddress": str(peer.interface.address.ip),
        "peerIpAddress": str(peer.address),
        "linkedVpnTunnel": peer.interface.tunnel.self_link,
        "status": "DOWN" if session.since is None else "UP",
        "state": session.state,
        "numLearnedRoutes": len(session.learned),
        "enableIpv4": True,
        "enableIpv6": False,
        "md5AuthEnabled": bool(peer.key),
    }
    if session.since is not None:
        seconds = max(0, int(now.timestamp()) - session.since)
        status |= {
            "advertisedRoutes": advertised,
            "uptime": _duration(seconds),
            "uptimeSeconds": str(seconds),
        }
    return status


def _duration(seconds: int) -> str:
    """Say a time as Google does: ``1 hours, 2 minutes, 3 seconds``, from the longest part that there is."""
    whole = timedelta(seconds=seconds)
    hours, rest = divmod(whole.seconds, 3600)
    parts = {"days": whole.days, "hours": hours, "minutes": rest // 60, "seconds": rest % 60}
    first = next((index for index, count in enumerate(parts.values()) if count), 3)
    return ", ".join(f"{count} {unit}" for unit, count in list(parts.items())[first:])
