"""Invariants: what every topology must fulfil before it may be built.

Tests assert them over random Worlds. Each function gives sentences about what is wrong; none is good news.
"""

from collections import defaultdict
from collections.abc import Iterator
from ipaddress import IPv4Address
from itertools import pairwise

from fogbank.network.topology import (
    Address,
    DeviceName,
    FirewallPolicy,
    Link,
    Listener,
    NetnsName,
    NetworkNamespace,
    Port,
    PortRange,
    PortSecurity,
    Route,
    Shaper,
    SourceNat,
    StatefulFirewall,
    Topology,
    namespaces_of,
)

LOOPBACK = DeviceName("lo")
_LONGEST_DEVICE_NAME = 15
_FORBIDDEN = frozenset("/: \t\n")


def violations(topology: Topology) -> tuple[str, ...]:
    """List everything in ``topology`` that could not be built or would not mean what it says."""
    checks = (_namespaces, _devices, _addresses, _policies, _port_blocks)
    return tuple(sentence for check in checks for sentence in check(topology))


def _namespaces(topology: Topology) -> Iterator[str]:
    known = {netns.name for netns in topology.of_kind(NetworkNamespace)}
    for element in topology:
        for netns in namespaces_of(element):
            if netns not in known:
                yield f"{element.key} stands in {netns}, which does not exist"


def _ends(topology: Topology) -> Iterator[Port]:
    for link in topology.of_kind(Link):
        yield link.left
        yield link.right


def _devices(topology: Topology) -> Iterator[str]:
    devices: set[Port] = set()
    for port in _ends(topology):
        if port in devices:
            yield f"two links claim {port}"
        devices.add(port)
        if not 1 <= len(port.device) <= _LONGEST_DEVICE_NAME or not _FORBIDDEN.isdisjoint(port.device):
            yield f"{port.device!r} is no name for a device"
    for port, user in _uses(topology):
        if port.device != LOOPBACK and port not in devices:
            yield f"{user} names the device {port.device} of {port.netns}, which does not exist"


def _uses(topology: Topology) -> Iterator[tuple[Port, tuple[str, ...]]]:
    for element in topology:
        match element:
            case Address(port=port) | Shaper(port=port):
                yield port, element.key
            case Route(netns=netns, hops=hops):
                for hop in hops:
                    yield Port(netns, hop.device), element.key
            case SourceNat(netns=netns, device=device) | PortSecurity(netns=netns, device=device):
                yield Port(netns, device), element.key
            case StatefulFirewall(netns=netns, uplink=str() as uplink):
                yield Port(netns, uplink), element.key
            case _:
                pass


def _addresses(topology: Topology) -> Iterator[str]:
    homes: dict[tuple[NetnsName, IPv4Address], Port] = {}
    for address in topology.of_kind(Address):
        home = homes.setdefault((address.port.netns, address.interface.ip), address.port)
        if home != address.port:
            yield f"{address.interface.ip} is on both {home} and {address.port}"
    for listener in topology.of_kind(Listener):
        if (listener.netns, listener.address) not in homes:
            yield f"{listener.key} listens on an address that its namespace does not have"
    for route in topology.of_kind(Route):
        if route.source is not None and (route.netns, route.source) not in homes:
            yield f"{route.key} gives sockets {route.source}, which its namespace does not have"


def _policies(topology: Topology) -> Iterator[str]:
    known = {(policy.netns, policy.name) for policy in topology.of_kind(FirewallPolicy)}
    filtered = {each.netns for each in topology.of_kind(StatefulFirewall)}
    for port_security in topology.of_kind(PortSecurity):
        if port_security.netns not in filtered:
            yield f"{port_security.key} guards in a namespace without a filter"
        for name in (port_security.ingress, port_security.egress):
            if (port_security.netns, name) not in known:
                yield f"{port_security.key} names the policy {name}, which does not exist"


def _port_blocks(topology: Topology) -> Iterator[str]:
    blocks: dict[IPv4Address, list[PortRange]] = defaultdict(list)
    for translation in topology.of_kind(SourceNat):
        if translation.ports is not None:
            blocks[translation.outside].append(translation.ports)
    for outside, ranges in blocks.items():
        for before, after in pairwise(sorted(ranges)):
            if after.first <= before.last:
                yield f"two clients share ports of {outside}: {before} and {after}"
