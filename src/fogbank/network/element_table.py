"""The elements of a compiled Topology: a mapping that shares what did not change with earlier versions.

It reads like any mapping and iterates in the order in which lowering declares elements. The difference of two
versions, and what stands on a device, are found without walking through everything.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from functools import cached_property
from typing import Any, NamedTuple

from fogbank.network.sharded_map import ShardedMap
from fogbank.network.topology import Element, Key, Port, ports_of

Order = tuple[Any, ...]
"""Where an element stands among the others; orders of one table are comparable and different."""


class Placed(NamedTuple):
    """An element and its place in the order."""

    element: Element
    order: Order


class ElementTable(Mapping[Key, Element]):
    """An immutable mapping of elements by key."""

    def __init__(
        self,
        placed: ShardedMap[Key, Placed] | None = None,
        users: ShardedMap[Port, tuple[Key, ...]] | None = None,
    ) -> None:
        self.placed: ShardedMap[Key, Placed] = ShardedMap() if placed is None else placed
        self._users: ShardedMap[Port, tuple[Key, ...]] = ShardedMap() if users is None else users

    def __getitem__(self, key: Key) -> Element:
        return self.placed[key].element

    def get(self, key: Key, default: Any = None) -> Any:
        """Return the element with ``key``, or ``default``."""
        found = self.placed.get(key)
        return default if found is None else found.element

    def __contains__(self, key: object) -> bool:
        return key in self.placed

    def __iter__(self) -> Iterator[Key]:
        return iter(self._ordered)

    def __len__(self) -> int:
        return len(self.placed)

    @cached_property
    def _ordered(self) -> dict[Key, Element]:
        entries = sorted(self.placed.items(), key=lambda entry: entry[1].order)
        return {key: placed.element for key, placed in entries}

    def in_order(self, keys: Iterable[Key]) -> list[Element]:
        """Return the elements with ``keys``, which are all in the table, in order."""
        found = [self.placed[key] for key in keys]
        found.sort(key=lambda each: each.order)
        return [each.element for each in found]

    def differing(self, other: "ElementTable") -> Iterator[Key]:
        """List the keys whose elements may differ from those of ``other``."""
        return self.placed.differing(other.placed)

    def standing_on(self, ports: Iterable[Port]) -> set[Key]:
        """Name what is configured on any of these devices, leads over one, or is a link to one."""
        return {key for port in ports for key in self._users.get(port, ())}

    def changed(self, puts: Mapping[Key, Placed], gone: Collection[Key] = ()) -> "ElementTable":
        """Make the table without ``gone`` and with ``puts``."""
        users: dict[Port, tuple[Key, ...]] = {}

        def users_of(port: Port) -> tuple[Key, ...]:
            found: tuple[Key, ...] | None = users.get(port)
            return self._users.get(port, ()) if found is None else found

        for key in gone:
            for port in ports_of(self.placed[key].element):
                users[port] = tuple(each for each in users_of(port) if each != key)
        for key, placed in puts.items():
            known = self.placed.get(key)
            before = ports_of(known.element) if known and key not in gone else ()
            after = ports_of(placed.element)
            if before == after:
                continue
            for port in before:
                users[port] = tuple(each for each in users_of(port) if each != key)
            for port in after:
                users[port] = (*users_of(port), key)
        unused = [port for port, found in users.items() if not found and port in self._users]
        used = {port: found for port, found in users.items() if found}
        return ElementTable(self.placed.changed(puts, gone), self._users.changed(used, unused))
