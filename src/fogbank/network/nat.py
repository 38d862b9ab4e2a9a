"""Port blocks: each client of a translating gateway gets its own slice of ports on one outside address.

`lowering` deals the blocks. The surprising fact: dealing is stable, not optimal. A client keeps the block
that it was observed with as long as it is still valid, because moving it would break its connections.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address

from fogbank.network.topology import PortRange

FIRST_PORT = 1024
LAST_PORT = 65535
PORTS_PER_ADDRESS = LAST_PORT - FIRST_PORT + 1
"""64,512 ports for each address and protocol (behaviour/cloud-nat.md#ports)."""


@dataclass(frozen=True, slots=True, order=True)
class Block:
    """The ``ports`` of ``outside`` that belong to one client."""

    outside: IPv4Address
    ports: PortRange


def is_block(ports: PortRange, size: int) -> bool:
    """Return whether ``ports`` is an aligned block of ``size`` (a power of two) in the usable ports."""
    return len(ports) == size and ports.first % size == 0 and ports.first >= FIRST_PORT


def blocks_per_address(size: int) -> int:
    """Count the aligned blocks of ``size`` ports that one address holds."""
    return (LAST_PORT + 1 - _first_start(size)) // size


def deal(
    clients: Iterable[IPv4Address],
    outsides: Sequence[IPv4Address],
    size: int,
    held: Mapping[IPv4Address, Block],
) -> Mapping[IPv4Address, Block]:
    """Assign every client a block of ``size`` ports (a power of two) on one of ``outsides``.

    A valid block in ``held`` stays; the others are dealt first-fit, lowest address of the list first. Clients
    that find no room get nothing (behaviour/cloud-nat.md#addresses).
    """
    wanted = tuple(clients)
    allowed = frozenset(outsides)
    dealt: dict[IPv4Address, Block] = {}
    taken: set[Block] = set()
    for client in wanted:
        block = held.get(client)
        if block and block.outside in allowed and is_block(block.ports, size) and block not in taken:
            dealt[client] = block
            taken.add(block)
    free = _Free(tuple(outsides), size, taken)
    for client in wanted:
        if client not in dealt and (found := free.take()):
            dealt[client] = found
    return dealt


@dataclass(slots=True)
class _Free:
    outsides: tuple[IPv4Address, ...]
    size: int
    taken: set[Block]
    place: int = 0
    start: int = field(default=0)

    def take(self) -> Block | None:
        while self.place < len(self.outsides):
            self.start = self.start or _first_start(self.size)
            while self.start + self.size <= LAST_PORT + 1:
                block = Block(self.outsides[self.place], PortRange(self.start, self.start + self.size - 1))
                self.start += self.size
                if block not in self.taken:
                    return block
            self.place, self.start = self.place + 1, 0
        return None


def _first_start(size: int) -> int:
    return max(size, FIRST_PORT)
