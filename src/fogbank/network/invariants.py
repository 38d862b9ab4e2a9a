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
    Filter,
    Guard,
    Link,
    Listener,
    Policy,
    Port,
    PortRange,
    Route,
    Shaper,
    SourceNat,
    Space,
    SpaceName,
    Topology,
    spaces_of,
)

LOOPBACK = DeviceName("lo")
_LONGEST_DEVICE_NAME = 15
_FORBIDDEN = frozenset("/: \t\n")


def violations(topology: Topology) -> tuple[str, ...]:
    """List everything in ``topology`` that could not be built or would not mean what it says."""
    checks = (_spaces, _devices, _addresses, _policies, _port_blocks)
    return tuple(sentence for check in checks for sentence in check(topology))


def _spaces(topology: Topology) -> Iterator[str]:
    known = {space.name for space in topology.of_kind(Space)}
    for element in topology:
        for space in spaces_of(element):
            if space not in known:
                yield f"{element.key} stands in {space}, which does not exist"


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
            yield f"{user} names the device {port.device} of {port.space}, which does not exist"


def _uses(topology: Topology) -> Iterator[tuple[Port, tuple[str, ...]]]:
    for element in topology:
        match element:
            case Address(port=port) | Shaper(port=port):
                yield port, element.key
            case Route(space=space, hops=hops):
                for hop in hops:
                    yield Port(space, hop.device), element.key
            case SourceNat(space=space, device=device) | Guard(space=space, device=device):
                yield Port(space, device), element.key
            case Filter(space=space, uplink=str() as uplink):
                yield Port(space, uplink), element.key
            case _:
                pass


def _addresses(topology: Topology) -> Iterator[str]:
    homes: dict[tuple[SpaceName, IPv4Address], Port] = {}
    for address in topology.of_kind(Address):
        home = homes.setdefault((address.port.space, address.interface.ip), address.port)
        if home != address.port:
            yield f"{address.interface.ip} is on both {home} and {address.port}"
    for listener in topology.of_kind(Listener):
        if (listener.space, listener.address) not in homes:
            yield f"{listener.key} listens on an address that its space does not have"
    for route in topology.of_kind(Route):
        if route.source is not None and (route.space, route.source) not in homes:
            yield f"{route.key} gives sockets {route.source}, which its space does not have"


def _policies(topology: Topology) -> Iterator[str]:
    known = {(policy.space, policy.name) for policy in topology.of_kind(Policy)}
    filtered = {each.space for each in topology.of_kind(Filter)}
    for guard in topology.of_kind(Guard):
        if guard.space not in filtered:
            yield f"{guard.key} guards in a space without a filter"
        for name in (guard.ingress, guard.egress):
            if (guard.space, name) not in known:
                yield f"{guard.key} names the policy {name}, which does not exist"


def _port_blocks(topology: Topology) -> Iterator[str]:
    blocks: dict[IPv4Address, list[PortRange]] = defaultdict(list)
    for translation in topology.of_kind(SourceNat):
        if translation.ports is not None:
            blocks[translation.outside].append(translation.ports)
    for outside, ranges in blocks.items():
        for before, after in pairwise(sorted(ranges)):
            if after.first <= before.last:
                yield f"two clients share ports of {outside}: {before} and {after}"
