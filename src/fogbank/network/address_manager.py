"""Who has which address of one network: gateways, reserved addresses, and every interface.

The lowest free address of a range is given, and whoever has a valid one keeps it. The same holders in the
same order always get the same addresses.
"""

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network
from typing import TypeVar

from fogbank.network.addressing import usable

H = TypeVar("H", bound=Hashable)


@dataclass(slots=True)
class AddressManager:
    """Gives addresses out; ``taken`` are those that nobody else may get."""

    taken: set[IPv4Address] = field(default_factory=set)

    def take(self, addresses: Iterable[IPv4Address]) -> None:
        """Note that ``addresses`` belong to somebody."""
        self.taken.update(addresses)

    def assign(
        self, within: IPv4Network, holders: Sequence[H], held: Mapping[H, IPv4Address]
    ) -> tuple[IPv4Address | None, ...]:
        """Give each of ``holders`` an address of ``within``: the one in ``held`` if it is free, else the
        lowest free one, None when the range is full.
        """
        numbers = usable(within)
        kept: dict[H, IPv4Address] = {}
        for holder in holders:
            address = held.get(holder)
            if address is not None and int(address) in numbers and address not in self.taken:
                kept[holder] = address
                self.taken.add(address)
        free = (each for number in numbers if (each := IPv4Address(number)) not in self.taken)
        given: list[IPv4Address | None] = []
        for holder in holders:
            address = kept.get(holder) or next(free, None)
            given.append(address)
            if address is not None:
                self.taken.add(address)
        return tuple(given)
