"""Cloud VPN's gateways: a namespace for each interface, between the internet and its VPC network's router.

Outside it has the gateway's external address, and routes to the peers of its tunnels alone; everything else
goes to the VPC network. A program in it encapsulates what comes from there. To the VPC network the gateway is
a peer whose endpoints filter themselves: firewall rules judge the network's own (behaviour/vpn.md#data-path).
"""

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Interface, IPv4Network

from fogbank.lowering.feature import Feature, Source
from fogbank.lowering.fragments import Fragment
from fogbank.lowering.netns_names import (
    ETH0,
    ETH1,
    INTERNET,
    device_to,
    instance_netns,
    vpc_netns,
    vpn_device,
)
from fogbank.lowering.workloads import containers
from fogbank.network.addressing import ANYWHERE, host, vpn_next_hop
from fogbank.network.topology import (
    Address,
    Element,
    Hop,
    Link,
    NetnsName,
    NetworkNamespace,
    PeerNetwork,
    Port,
    Route,
    Tunnel,
)
from fogbank.resources.fleet import Instance
from fogbank.resources.vpn import (
    FORWARDING_RULES,
    TARGET_GATEWAYS,
    TUNNELS,
    VPN_GATEWAYS,
    GatewayInterface,
    VpnTunnel,
    gateway_of_rule,
    interfaces_of,
)

EVERYTHING = (IPv4Network("0.0.0.0/1"), IPv4Network("128.0.0.0/1"))
"""What may be behind a gateway: its tunnels' traffic selectors, and routes, say what is."""


class VpnGateways(Feature):
    """Gateways of both kinds, and their tunnels."""

    resources = frozenset({VPN_GATEWAYS, FORWARDING_RULES, TUNNELS})
    instances = frozenset({VPN_GATEWAYS, TARGET_GATEWAYS})

    def outside(self, source: Source) -> Fragment | None:
        """Lower a gateway's interfaces, a tunnel, or the program of an interface."""
        if isinstance(source, Instance):
            return Fragment.of(containers(source), source.owner)
        match source.name.collection:
            case "compute.vpnGateways":
                interfaces = interfaces_of(source)
            case "compute.forwardingRules":
                found = gateway_of_rule(source)
                interfaces = (found,) if found else ()
            case _:
                tunnel = VpnTunnel.of(source)
                return Fragment.of(_tunnel(tunnel), tunnel.name)
        elements = [element for each in interfaces for element in _interface(each)]
        return Fragment.of(elements, source.name) if elements else None


def _interface(interface: GatewayInterface) -> Iterator[Element]:
    netns, vpc = instance_netns(interface.server), vpc_netns(interface.network)
    address, inward = interface.address, vpn_device(interface.server)
    yield from on_the_internet(netns, address)
    yield Link(Port(vpc, inward), Port(netns, ETH1))
    yield Address(Port(vpc, inward), IPv4Interface(vpn_next_hop(address)))
    yield PeerNetwork(vpc, inward, EVERYTHING)
    yield Route(netns, ANYWHERE, (Hop(ETH1, vpn_next_hop(address)),))


def on_the_internet(netns: NetnsName, address: IPv4Address) -> Iterator[Element]:
    """Lower a VPN gateway's namespace and its side to the internet, where it has ``address``."""
    yield NetworkNamespace(netns, forwards=True, delegated=True)
    yield Link(Port(INTERNET, device_to(address)), Port(netns, ETH0))
    yield Address(Port(netns, ETH0), IPv4Interface(address))
    yield Address(Port(INTERNET, device_to(address)), IPv4Interface(vpn_next_hop(address)))
    yield Route(INTERNET, host(address), (Hop(device_to(address)),))


def _tunnel(tunnel: VpnTunnel) -> Iterator[Element]:
    netns, local = instance_netns(tunnel.interface.server), tunnel.interface.address
    yield Tunnel(netns, ETH1, local, tunnel.peer, tunnel.near, tunnel.far, tunnel.established)
    yield Route(netns, host(tunnel.peer), (Hop(ETH0, vpn_next_hop(local)),), local)
