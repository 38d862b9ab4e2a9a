"""First packets as nft commands: the flows of some clients wait for a decision before they are translated.

A rule can give a new flow one range of ports, and gives up when that is full. Clients with several ranges, or
whose flows must keep one outside port, are in a set: the first packet of each of their flows is handed to the
program and goes no further. It sends the packet again with the number of the range that it chose as its
priority, as often as needed (:mod:`first_packets`); the packet's mark chooses its routing table. Packets of
known flows never leave the kernel.
"""

from collections.abc import Iterable

from fogbank.dataplane.linux.firewall.nftables import (
    KINDS,
    PORTED,
    PORTS_EXHAUSTED,
    TABLE,
    drop_counter,
    slug,
)
from fogbank.network.topology import SEARCHED_PORTS, DeviceName, PortBlock, PortRange

LOG_GROUP = 9
"""The kernel's log group by which packets are handed over; each namespace has its own."""

FIRST_NUMBER, NUMBER_MASK = 0x4E00_0000, 0xFF00_0000
"""What the numbers of ranges begin with; the kernel gives a packet that it forwards a priority below 16."""

RANGES = NUMBER_MASK ^ 0xFFFF_FFFF


def parts_of(block: PortBlock) -> tuple[PortBlock, ...]:
    """Divide a block into ranges that the kernel searches to the end."""
    first, last = block.ports.first, block.ports.last
    return tuple(
        PortBlock(block.outside, PortRange(start, min(start + SEARCHED_PORTS - 1, last)))
        for start in range(first, last + 1, SEARCHED_PORTS)
    )


def render_handover(device: DeviceName) -> list[str]:
    """Prepare what takes first packets out and lets them in again; the device's chains must be there."""
    name, out = slug(device), f'oifname "{device}"'
    unnumbered = f"meta priority & {_priority(NUMBER_MASK)} != {_priority(FIRST_NUMBER)}"
    new = f"{out} ct state new ct status & confirmed == 0"
    take = f"log group {LOG_GROUP} snaplen 65535 queue-threshold 1 drop"
    lose = f"counter name {drop_counter(PORTS_EXHAUSTED)} drop"
    lines = [
        f"add map {TABLE} parts_{name} {{ type classid : interval ipv4_addr . inet_service; }}",
        f"add map {TABLE} sources_{name} {{ type classid : ipv4_addr; }}",
        f"insert rule {TABLE} translate_{name} {out} snat ip to meta priority map @sources_{name}",
        f"insert rule {TABLE} translate_{name} {out} {PORTED} snat ip to meta priority map @parts_{name}",
    ]
    for kind, flags in KINDS:
        first = f"ip saddr @first_{name}{kind}"
        lines += [
            f"add set {TABLE} first_{name}{kind} {{ type ipv4_addr;{flags} }}",
            f"insert rule {TABLE} leaving_{name} {new} {first} {unnumbered} {take}",
            # What no range took must not leave as it is.
            f"insert rule {TABLE} gone_{name} {new} {first} {lose}",
        ]
    return lines


def render_parts(device: DeviceName, parts: Iterable[tuple[int, PortBlock]]) -> list[str]:
    """Give ranges their numbers."""
    return [f"add element {TABLE} {name} {{ {entry} }}" for name, entry in _entries(device, parts)]


def render_no_parts(device: DeviceName, parts: Iterable[tuple[int, PortBlock]]) -> list[str]:
    """Take the numbers of ranges away."""
    return [f"delete element {TABLE} {name} {{ {entry} }}" for name, entry in _entries(device, parts)]


def _entries(device: DeviceName, parts: Iterable[tuple[int, PortBlock]]) -> list[tuple[str, str]]:
    name = slug(device)
    return [
        entry
        for number, part in parts
        for entry in (
            (f"parts_{name}", f"{_priority(number)} : {part.outside} . {part.ports}"),
            (f"sources_{name}", f"{_priority(number)} : {part.outside}"),
        )
    ]


def _priority(number: int) -> str:
    """Write a priority as nft does: two halves."""
    return f"{number >> 16:x}:{number & 0xFFFF:x}"
