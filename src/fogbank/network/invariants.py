"""Invariants: what every topology must fulfil before it may be built.

Tests assert them over random Worlds. Each function returns sentences about what is wrong; none is good news.
What an element needs is in the table of kinds.
"""

from collections import defaultdict
from collections.abc import Iterator
from ipaddress import IPv4Address
from itertools import pairwise

from fogbank.network.kinds import kind_of
from fogbank.network.topology import (
    Address,
    DeviceName,
    NetnsName,
    NetworkNamespace,
    Port,
    PortRange,
    SourceNat,
    Topology,
    made_by,
    namespaces_of,
)

LOOPBACK = DeviceName("lo")
_LONGEST_DEVICE_NAME = 15
_FORBIDDEN = frozenset("/: \t\n")


def violations(topology: Topology) -> tuple[str, ...]:
    """List everything in ``topology`` that could not be built or would not mean what it says."""
    checks = (_namespaces, _devices, _addresses, _references, _port_blocks)
    return tuple(sentence for check in checks for sentence in check(topology))


def _namespaces(topology: Topology) -> Iterator[str]:
    known = {netns.name for netns in topology.of_kind(NetworkNamespace)}
    for element in topology:
        for netns in namespaces_of(element):
            if netns not in known:
                yield f"{element.key} stands in {netns}, which does not exist"


def _devices(topology: Topology) -> Iterator[str]:
    devices: set[Port] = set()
    for port in (port for element in topology for port in made_by(element)):
        if port in devices:
            yield f"two links claim {port}"
        devices.add(port)
        if not 1 <= len(port.device) <= _LONGEST_DEVICE_NAME or not _FORBIDDEN.isdisjoint(port.device):
            yield f"{port.device!r} is no name for a device"
    for element in topology:
        kind = kind_of(element)
        for port in (*kind.configured_on(element), *kind.matches(element)):
            if port.device != LOOPBACK and port not in devices:
                yield f"{element.key} names the device {port.device} of {port.netns}, which does not exist"


def _addresses(topology: Topology) -> Iterator[str]:
    homes: dict[tuple[NetnsName, IPv4Address], Port] = {}
    for address in topology.of_kind(Address):
        home = homes.setdefault((address.port.netns, address.interface.ip), address.port)
        if home != address.port:
            yield f"{address.interface.ip} is on both {home} and {address.port}"
    for element in topology:
        for needed in kind_of(element).local(element):
            for netns in namespaces_of(element):
                if (netns, needed) not in homes:
                    yield f"{element.key} needs the address {needed}, which its namespace does not have"


def _references(topology: Topology) -> Iterator[str]:
    for element in topology:
        for key in kind_of(element).refers_to(element):
            if key not in topology.elements:
                yield f"{element.key} refers to {key}, which does not exist"


def _port_blocks(topology: Topology) -> Iterator[str]:
    blocks: dict[IPv4Address, list[PortRange]] = defaultdict(list)
    for translation in topology.of_kind(SourceNat):
        for block in translation.all_blocks:
            blocks[block.outside].append(block.ports)
    for outside, ranges in blocks.items():
        for before, after in pairwise(sorted(ranges)):
            if after.first <= before.last:
                yield f"two clients share ports of {outside}: {before} and {after}"
