"""What VPN gateways should run, from the World, purely: Google's and those of on-premises networks alike."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network

from fogbank.control.server_containers import Server
from fogbank.lowering.netns_names import ETH1, LAN
from fogbank.resources.names import ResourceName
from fogbank.resources.onprem import ONPREM, OnpremNetwork
from fogbank.resources.vpn import ANY, TUNNELS, VpnTunnel
from fogbank.resources.world import Resource, World
from fogbank.services.compute.controller.vpn.program import container

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
    """A gateway's program and its tunnels."""

    server: Server
    connections: tuple[Connection, ...]


def devices(world: World) -> Iterator[Device]:
    """List the gateways that have a tunnel."""
    yield from _gateways(world)
    for resource in world.all(ONPREM):
        network = OnpremNetwork.of(resource)
        if network.tunnels:
            yield _onprem(resource, network)


def _gateways(world: World) -> Iterator[Device]:
    found: dict[str, list[tuple[Resource, VpnTunnel]]] = {}
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
        yield Device(Server(server, gateway, container(server, ETH1, ANY, bgp)), tuple(connections))


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
            ANY if tunnel.session else tunnel.remote,
            tunnel.secret,
        )
        for tunnel in network.tunnels
    )
    program = container(network.server, LAN, sorted(static), bgp)
    return Device(Server(network.server, resource, program), tuple(connections))


def owner_of(connection: Connection) -> ResourceName:
    """Name the resource that a tunnel's state is written to."""
    return connection.resource.name
