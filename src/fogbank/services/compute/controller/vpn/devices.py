"""What VPN gateways should run, from the World, purely: Google's and those of on-premises networks alike.

charon finds the tunnel of a packet by traffic selectors. A device on premises with two tunnels must reach the
BGP peer of each, so what each takes is everything but BGP's addresses, and of those its own.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network

from fogbank.control.server_containers import Server
from fogbank.lowering.netns_names import ETH1, LAN
from fogbank.resources.bgp import BASE_PRIORITY, BgpRouter, advertisement
from fogbank.resources.onprem import ONPREM, OnpremNetwork
from fogbank.resources.vpn import ANY, TUNNELS, VpnTunnel
from fogbank.resources.world import Resource, World
from fogbank.services.compute.controller.vpn.bgp_configuration import Neighbor
from fogbank.services.compute.controller.vpn.program import container

AROUND_BGP = tuple(sorted(ANY[0].address_exclude(IPv4Network("169.254.0.0/16"))))
"""Everything but the range of BGP's addresses, as prefixes."""
KEEPALIVE = 20
"""Seconds between two signs of life of a device on premises."""
IKE_PROPOSALS = ("aes256gcm16-prfsha256-modp2048", "aes256-sha256-modp2048", "aes128-sha1-modp2048")
ESP_PROPOSALS = ("aes256gcm16", "aes128gcm16", "aes256-sha256")


@dataclass(frozen=True, slots=True)
class Connection:
    """A tunnel as charon gets it; ``resource`` is what it is of, ``secret`` its shared secret.

    Of the two ends one ``initiates``, and does so again as long as there is no association.
    """

    id: str
    resource: Resource
    local: IPv4Address
    remote: IPv4Address
    near: tuple[IPv4Network, ...]
    far: tuple[IPv4Network, ...]
    secret: str = field(repr=False)

    @property
    def initiates(self) -> bool:
        """Whether it begins: always the higher address, so that never both do."""
        return self.local > self.remote

    @property
    def settings(self) -> tuple[object, ...]:
        """What charon has to be told again when it changes."""
        return (self.local, self.remote, self.near, self.far, self.secret)


@dataclass(frozen=True, slots=True)
class Device:
    """A gateway's program, its tunnels, and its peers in BGP, each with the resource whose peer it is.

    With ``routes`` its own machine routes by what it learns.
    """

    server: Server
    connections: tuple[Connection, ...]
    neighbors: tuple[Neighbor, ...] = ()
    owners: tuple[Resource, ...] = ()
    bgp: bool = False
    routes: bool = False

    @property
    def settings(self) -> tuple[object, ...]:
        """What has to be told again when it changes."""
        return (*(each.settings for each in self.connections), self.neighbors)


def devices(world: World) -> Iterator[Device]:
    """List the gateways that have a tunnel."""
    yield from _gateways(world)
    for resource in world.all(ONPREM):
        network = OnpremNetwork.of(resource)
        if network.tunnels:
            yield _onprem(resource, network)


def _gateways(world: World) -> Iterator[Device]:
    found: dict[str, list[tuple[Resource, VpnTunnel]]] = {}
    speakers = _speakers(world)
    for resource in world.all(TUNNELS):
        tunnel = VpnTunnel.of(resource)
        found.setdefault(tunnel.interface.server, []).append((resource, tunnel))
    for server, tunnels in found.items():
        gateway = world.get(tunnels[0][1].gateway)
        bgp = "bgpd" if any(tunnel.router for _, tunnel in tunnels) else ""
        connections = (
            Connection(
                tunnel.id,
                resource,
                tunnel.interface.address,
                tunnel.peer,
                tunnel.near,
                tunnel.far,
                tunnel.secret,
            )
            for resource, tunnel in tunnels
        )
        program = Server(server, gateway, container(server, ETH1, ANY, bgp))
        spoken = speakers.get(server, []) if bgp else []
        neighbors, owners = tuple(each for each, _ in spoken), tuple(owner for _, owner in spoken)
        yield Device(program, tuple(connections), neighbors, owners, bool(bgp))


def _speakers(world: World) -> dict[str, list[tuple[Neighbor, Resource]]]:
    """Find the BGP peers of all routers, by the gateway's program through whose tunnel they are reached."""
    found: dict[str, list[tuple[Neighbor, Resource]]] = {}
    for resource in world.all("compute.routers"):
        router = BgpRouter.of(resource)
        bodies = {each["name"]: each for each in resource.body.get("bgpPeers", ())}
        for peer in router.peers:
            tunnel = world.find(peer.interface.tunnel)
            if tunnel is None:
                continue
            told = advertisement(world, resource, bodies[peer.name])
            neighbor = Neighbor(
                peer.name,
                peer.interface.address,
                peer.address,
                peer.asn,
                router.asn,
                router.keepalive,
                tuple(sorted(told.items())),
                peer.enabled,
                peer.key,
            )
            server = VpnTunnel.of(tunnel).interface.server
            found.setdefault(server, []).append((neighbor, resource))
    return found


def _onprem(resource: Resource, network: OnpremNetwork) -> Device:
    static = {each for tunnel in network.tunnels if tunnel.session is None for each in tunnel.remote}
    bgp = "zebra" if any(tunnel.session for tunnel in network.tunnels) else ""
    connections = (
        Connection(
            f"o{int(tunnel.peer):x}",
            resource,
            network.address,
            tunnel.peer,
            ANY if tunnel.session else network.ranges,
            (tunnel.session.address.network, *AROUND_BGP) if tunnel.session else tunnel.remote,
            tunnel.secret,
        )
        for tunnel in network.tunnels
    )
    program = container(network.server, LAN, sorted(static), bgp)
    sessions = [(tunnel, tunnel.session) for tunnel in network.tunnels if tunnel.session]
    neighbors = tuple(
        Neighbor(
            str(tunnel.peer),
            session.address,
            session.peer,
            session.peer_asn,
            network.asn,
            KEEPALIVE,
            tuple((each, BASE_PRIORITY) for each in network.ranges),
            key=tunnel.key,
        )
        for tunnel, session in sessions
    )
    owners = (resource,) * len(neighbors)
    server = Server(network.server, resource, program)
    return Device(server, tuple(connections), neighbors, owners, bool(bgp), routes=True)
