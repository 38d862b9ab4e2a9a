"""On-premises networks: a VPN device on the internet, and a host behind it that answers and asks.

The device is a router like any office's: what its hosts send to the ranges of a tunnel goes into that,
everything else to the internet under the device's own address.
"""

from collections.abc import Iterator
from ipaddress import IPv4Interface

from fogbank.lowering.feature import Feature, Source
from fogbank.lowering.fragments import Fragment
from fogbank.lowering.internet import SITE_SERVICE
from fogbank.lowering.netns_names import ETH0, LAN, LOOPBACK, instance_netns, site_netns
from fogbank.lowering.vpn import on_the_internet
from fogbank.lowering.workloads import containers
from fogbank.network.addressing import ANYWHERE, host, vpn_next_hop
from fogbank.network.topology import (
    Address,
    Element,
    Hop,
    Link,
    Listener,
    NetworkNamespace,
    Port,
    Route,
    SourceNat,
    Tunnel,
)
from fogbank.resources.fleet import Instance
from fogbank.resources.onprem import ONPREM, OnpremNetwork
from fogbank.resources.sites import WEB_PORTS


class OnpremNetworks(Feature):
    """The operator's networks outside Google."""

    resources = instances = frozenset({ONPREM})

    def outside(self, source: Source) -> Fragment | None:
        """Lower a network, or the program of its VPN device."""
        if isinstance(source, Instance):
            return Fragment.of(containers(source), source.owner)
        network = OnpremNetwork.of(source)
        return Fragment.of((*_device(network), *_host(network)), network.name)


def _device(network: OnpremNetwork) -> Iterator[Element]:
    netns, address = instance_netns(network.server), network.address
    yield from on_the_internet(netns, address)
    yield Route(netns, ANYWHERE, (Hop(ETH0, vpn_next_hop(address)),), address)
    yield Address(Port(netns, LOOPBACK), IPv4Interface(network.device_address))
    for each in network.ranges:
        yield Route(netns, each, ())
        yield SourceNat(netns, ETH0, each, address)
    for tunnel in network.tunnels:
        yield Tunnel(netns, LAN, address, tunnel.peer, network.ranges, tunnel.remote, tunnel.established)


def _host(network: OnpremNetwork) -> Iterator[Element]:
    device, netns, address = (
        instance_netns(network.server),
        site_netns(network.host_name),
        network.host_address,
    )
    yield NetworkNamespace(netns)
    yield Link(Port(device, LAN), Port(netns, ETH0))
    yield Address(Port(netns, ETH0), IPv4Interface(address))
    yield Route(device, host(address), (Hop(LAN),))
    yield Route(netns, ANYWHERE, (Hop(ETH0, network.device_address),), address)
    for port in WEB_PORTS:
        yield Listener(netns, address, port, "tcp", SITE_SERVICE)
