"""VPN resources as real types: gateways' interfaces and tunnels, and who refers to what among them.

The surprising fact: a gateway's process belongs to one of its interfaces. What a tunnel needs of its gateway
is kept in the tunnel's ``private`` when it is made, for none of it ever changes.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network

from fogbank.resources.compute import read_address, read_range, refer
from fogbank.resources.indexes import Index
from fogbank.resources.names import ResourceName
from fogbank.resources.world import Json, Resource, World

VPN_GATEWAYS = "compute.vpnGateways"
TARGET_GATEWAYS = "compute.targetVpnGateways"
EXTERNAL_GATEWAYS = "compute.externalVpnGateways"
TUNNELS = "compute.vpnTunnels"
FORWARDING_RULES = "compute.forwardingRules"

GATEWAY_OF_RULE = "vpnGateway"
"""Key of a VPN forwarding rule's ``private``: the :class:`GatewayInterface` that it serves."""

ANY = (IPv4Network("0.0.0.0/0"),)
"""The traffic selector of tunnels whose routes decide alone."""


@dataclass(frozen=True, slots=True)
class GatewayInterface:
    """An interface of a gateway: ``address`` on the internet, ``server`` names its process."""

    server: str
    network: ResourceName
    address: IPv4Address

    @classmethod
    def of(cls, kept: Json) -> "GatewayInterface":
        """Read what :meth:`kept` wrote."""
        return cls(kept["server"], refer(kept["network"], "networks"), read_address(kept["address"]))

    @property
    def kept(self) -> Json:
        """What is kept of it in a resource's ``private``."""
        return {"server": self.server, "network": self.network.self_link, "address": str(self.address)}


def server_id(gateway: Resource, interface: int) -> str:
    """Name the process of an interface; no other gateway ever has one of this name."""
    return f"vpn-{gateway.id:x}-{interface}"


def interfaces_of(gateway: Resource) -> tuple[GatewayInterface, ...]:
    """Read the interfaces of a ``compute.vpnGateways`` resource."""
    network = refer(gateway.body["network"], "networks")
    return tuple(
        GatewayInterface(server_id(gateway, each["id"]), network, read_address(each["ipAddress"]))
        for each in gateway.body["vpnInterfaces"]
    )


def gateway_of_rule(rule: Resource) -> GatewayInterface | None:
    """Read whose address an ESP forwarding rule gives to a classic gateway; None of any other rule."""
    kept = rule.private.get(GATEWAY_OF_RULE)
    return GatewayInterface.of(kept) if kept and rule.body["IPProtocol"] == "ESP" else None


@dataclass(frozen=True, slots=True)
class VpnTunnel:
    """A tunnel. ``near`` and ``far`` are its traffic selectors; ``established`` is whether packets pass."""

    name: ResourceName
    id: str
    interface: GatewayInterface
    peer: IPv4Address
    near: tuple[IPv4Network, ...]
    far: tuple[IPv4Network, ...]
    established: bool
    gateway: ResourceName
    router: ResourceName | None = None
    secret: str = field(default="", repr=False)

    @classmethod
    def of(cls, resource: Resource) -> "VpnTunnel":
        """Read a ``compute.vpnTunnels`` resource."""
        body = resource.body
        router = body.get("router")
        return cls(
            resource.name,
            f"t{resource.id:x}",
            GatewayInterface.of(resource.private["interface"]),
            read_address(body["peerIp"]),
            tuple(map(read_range, body["localTrafficSelector"])),
            tuple(map(read_range, body["remoteTrafficSelector"])),
            body["status"] == "ESTABLISHED",
            gateway_of(body),
            refer(router, "routers", "regions") if router else None,
            resource.private["secret"],
        )


def gateway_of(body: Json) -> ResourceName:
    """Name the gateway that a tunnel's body refers to, an HA or a classic one."""
    if link := body.get("vpnGateway"):
        return refer(link, "vpnGateways", "regions")
    return refer(body["targetVpnGateway"], "targetVpnGateways", "regions")


def _gateways(tunnel: Resource) -> Iterable[str]:
    fields = ("vpnGateway", "targetVpnGateway", "peerExternalGateway", "peerGcpGateway", "router")
    return [tunnel.body[each] for each in fields if tunnel.body.get(each)]


_TUNNELS_OF = Index(TUNNELS, _gateways)


def tunnels_of(world: World, used: ResourceName) -> Iterator[Resource]:
    """List the tunnels that refer to a gateway of any kind, at either end, or to a router, by path."""
    return world.by(_TUNNELS_OF, used.self_link)


def _target(rule: Resource) -> Iterable[str]:
    target = rule.body.get("target")
    return (target,) if target else ()


_RULES_OF = Index(FORWARDING_RULES, _target)


def rules_of(world: World, gateway: ResourceName) -> Iterator[Resource]:
    """List the forwarding rules of a classic gateway, by path."""
    return world.by(_RULES_OF, gateway.self_link)


def _rule_address(rule: Resource) -> Iterable[str]:
    return (rule.body["IPAddress"],) if rule.private.get(GATEWAY_OF_RULE) else ()


_RULES_BY_ADDRESS = Index(FORWARDING_RULES, _rule_address)


def rules_with_address(world: World, address: str) -> Iterator[Resource]:
    """List the VPN forwarding rules of an external address, by path."""
    return world.by(_RULES_BY_ADDRESS, address)


def _interface_addresses(gateway: Resource) -> Iterable[str]:
    return [each["ipAddress"] for each in gateway.body["vpnInterfaces"]]


_GATEWAYS_BY_ADDRESS = Index(VPN_GATEWAYS, _interface_addresses)


def gateway_addresses(world: World) -> Iterator[str]:
    """List the external addresses of all HA gateways, and of forwarding rules without a reserved one."""
    yield from (address for address, _ in world.ordered(_GATEWAYS_BY_ADDRESS))
    yield from (address for address, _ in world.ordered(_RULES_BY_ADDRESS))


def _tunnel_hop(route: Resource) -> Iterable[str]:
    hop = route.body.get("nextHopVpnTunnel")
    return (hop,) if hop else ()


_ROUTES_BY_TUNNEL = Index("compute.routes", _tunnel_hop)


def routes_over(world: World, tunnel: ResourceName) -> Iterator[Resource]:
    """List the static routes whose next hop is ``tunnel``, by path."""
    return world.by(_ROUTES_BY_TUNNEL, tunnel.self_link)


def _linked_tunnels(router: Resource) -> Iterable[str]:
    return [
        each["linkedVpnTunnel"] for each in router.body.get("interfaces", ()) if each.get("linkedVpnTunnel")
    ]


_ROUTERS_BY_TUNNEL = Index("compute.routers", _linked_tunnels)


def routers_with_tunnel(world: World, tunnel: ResourceName) -> Iterator[Resource]:
    """List the routers with an interface on ``tunnel``, by path."""
    return world.by(_ROUTERS_BY_TUNNEL, tunnel.self_link)
