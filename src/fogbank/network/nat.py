"""Port blocks: each client of a translating gateway gets its own ports on the gateway's addresses.

`lowering` deals the blocks. The surprising fact: dealing is stable, not optimal. A client keeps the blocks
that it was observed with as long as they are still valid, because moving would break its connections.
"""

from bisect import bisect_right, insort
from collections.abc import Iterable, Iterator, Mapping, Sequence
from ipaddress import IPv4Address

from fogbank.network.topology import PortBlock, PortRange

FIRST_PORT = 1024
LAST_PORT = 65535
PORTS_PER_ADDRESS = LAST_PORT - FIRST_PORT + 1
"""64,512 ports for each address and protocol (behaviour/cloud-nat.md#ports)."""

Blocks = tuple[PortBlock, ...]


def is_aligned(ports: PortRange) -> bool:
    """Return whether ``ports`` is a run of a power of two, aligned to its size, in the usable ports."""
    size = len(ports)
    return size & (size - 1) == 0 and ports.first % size == 0 and ports.first >= FIRST_PORT


def addresses_for(ports: int) -> int:
    """Count the addresses that hold ``ports`` (behaviour/cloud-nat.md#addresses)."""
    return -(-ports // PORTS_PER_ADDRESS)


def deal(
    wanted: Mapping[IPv4Address, int],
    outsides: Sequence[IPv4Address],
    held: Mapping[IPv4Address, Blocks],
    fewest: int | None = None,
) -> Mapping[IPv4Address, Blocks]:
    """Assign every client the number of ports that it is ``wanted`` to have, on some of ``outsides``.

    Blocks are aligned runs of a power of two. What of ``held`` is valid stays; the rest is dealt first-fit,
    lowest address of the list first, in one run where there is one and in several otherwise. A client gets
    all that it should have or, if ``fewest`` is given and there is room for so many, what there is; else
    nothing (behaviour/cloud-nat.md#addresses).
    """
    free = {outside: _FreePorts() for outside in outsides}
    dealt = {client: _kept(held.get(client, ()), ports, free) for client, ports in wanted.items()}
    for client, ports in wanted.items():
        dealt[client] = _widened(dealt[client], ports, free)
        dealt[client] += _new(ports - _count(dealt[client]), free)
        if _count(dealt[client]) < (ports if fewest is None else min(fewest, ports)):
            for block in dealt.pop(client):
                free[block.outside].release(block.ports)
    return dealt


def _count(blocks: Iterable[PortBlock]) -> int:
    return sum(len(block.ports) for block in blocks)


def _kept(held: Blocks, ports: int, free: Mapping[IPv4Address, "_FreePorts"]) -> Blocks:
    """Reserve what may stay of ``held``: at most ``ports``, and of one block its first part."""
    kept: list[PortBlock] = []
    for block in held:
        size = min(len(block.ports), _power(ports - _count(kept)))
        if not size or block.outside not in free or not is_aligned(block.ports):
            continue
        part = PortRange(block.ports.first, block.ports.first + size - 1)
        if free[block.outside].reserve(part):
            kept.append(PortBlock(block.outside, part))
    return tuple(kept)


def _widened(blocks: Blocks, ports: int, free: Mapping[IPv4Address, "_FreePorts"]) -> Blocks:
    """Make a single block the aligned run of ``ports`` around it, where that is free."""
    if len(blocks) != 1 or len(blocks[0].ports) >= ports:
        return blocks
    ((outside, run),) = ((block.outside, block.ports) for block in blocks)
    first = run.first // ports * ports
    around = PortRange(first, min(first + ports, LAST_PORT + 1) - 1)
    rest = _siblings(run, ports)
    if not is_aligned(around) or not all(free[outside].holds(each) for each in rest):
        return blocks
    for each in rest:
        free[outside].reserve(each)
    return (PortBlock(outside, around),)


def _siblings(run: PortRange, ports: int) -> list[PortRange]:
    """List the runs that together with ``run`` are the aligned run of ``ports`` around it."""
    found = []
    first, size = run.first, len(run)
    while size < ports:
        other = first ^ size
        found.append(PortRange(other, min(other + size, LAST_PORT + 1) - 1))
        first, size = min(first, other), size * 2
    return found


def _new(missing: int, free: Mapping[IPv4Address, "_FreePorts"]) -> Blocks:
    """Take ``missing`` ports, in pieces as large as possible; fewer when there are no more."""
    found: list[PortBlock] = []
    piece = _power(missing)
    while missing and piece:
        piece = min(piece, _power(missing))
        taken = next(_offers(piece, free), None)
        if taken is None:
            piece //= 2
        else:
            found.append(taken)
            missing -= piece
    return tuple(found)


def _offers(size: int, free: Mapping[IPv4Address, "_FreePorts"]) -> Iterator[PortBlock]:
    for outside, ports in free.items():
        if (run := ports.take(size)) is not None:
            yield PortBlock(outside, run)


def _power(number: int) -> int:
    """Return the largest power of two that is not more than ``number``; 0 for 0."""
    return 1 << (number.bit_length() - 1) if number > 0 else 0


class _FreePorts:
    """The free ports of one address, as aligned runs of powers of two."""

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._sizes: dict[int, int] = {}
        start = FIRST_PORT
        while start <= LAST_PORT:
            self._put(start, start)  # 1024 from 1024 on, 2048 from 2048 on, and so forth
            start *= 2

    def _put(self, start: int, size: int) -> None:
        insort(self._starts, start)
        self._sizes[start] = size

    def take(self, size: int) -> PortRange | None:
        """Take the lowest aligned run of ``size``."""
        for start in self._starts:
            if self._sizes[start] >= size:
                run = PortRange(start, start + size - 1)
                self.reserve(run)
                return run
        return None

    def _run_around(self, ports: PortRange) -> int | None:
        place = bisect_right(self._starts, ports.first) - 1
        if place < 0:
            return None
        start = self._starts[place]
        return start if ports.last < start + self._sizes[start] else None

    def holds(self, ports: PortRange) -> bool:
        """Return whether the aligned ``ports`` are free; they may be in several runs."""
        left = ports.first
        while left <= ports.last:
            start = self._run_around(PortRange(left, left))
            if start is None:
                return False
            left = start + self._sizes[start]
        return True

    def reserve(self, ports: PortRange) -> bool:
        """Take the aligned run ``ports``; False when it is not free."""
        if not self.holds(ports):
            return False
        start = self._run_around(ports)
        if start is None:  # it is free in smaller runs: take them one by one
            middle = ports.first + len(ports) // 2
            return self.reserve(PortRange(ports.first, middle - 1)) and self.reserve(
                PortRange(middle, ports.last)
            )
        size = self._sizes.pop(start)
        self._starts.remove(start)
        while size > len(ports):
            size //= 2
            self._put(start + size if ports.first < start + size else start, size)
            start = start if ports.first < start + size else start + size
        return True

    def release(self, ports: PortRange) -> None:
        """Give the aligned run ``ports`` back."""
        self._put(ports.first, len(ports))
